//! Who can come to read a group's keys: every kind of path is put into a real domain, and found there.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::{Group, NewGroup};
use dkm::repository::GroupAccess;
use dkm_ad::audit::{
    Change, Class, Effect, Finding, PathKind, Report, Round, Services, Verdict, Watch, audit,
};
use dkm_testbed::{Account, Group as Readers};

use super::stage::Stage;

pub(crate) const TESTS: &[(&str, fn(&Stage) -> Result<()>)] = &[
    ("audit_of_services_alone_finds_no_path", of_services_alone_finds_no_path),
    ("audit_by_an_administrator_is_incomplete", by_an_administrator_is_incomplete),
    ("audit_by_a_plain_member_is_incomplete", by_a_plain_member_is_incomplete),
    ("audit_finds_members_by_every_route", finds_members_by_every_route),
    ("audit_finds_administrators_among_the_readers", finds_administrators_among_the_readers),
    ("audit_finds_who_controls_members", finds_who_controls_members),
    ("audit_finds_who_controls_groups_of_readers", finds_who_controls_groups_of_readers),
    ("audit_finds_that_owners_write_the_readers_group", finds_that_owners_write_the_readers_group),
    ("audit_finds_what_descriptors_open", finds_what_descriptors_open),
    ("audit_finds_any_member_of_the_recovery_group", finds_any_member_of_the_recovery_group),
    ("audit_finds_the_ways_around_access_control", finds_the_ways_around_access_control),
    ("audit_follows_the_readers_group", follows_the_readers_group),
    ("audit_finds_a_swapped_access_list", finds_a_swapped_access_list),
    ("audit_tells_what_changes", tells_what_changes),
];

/// The domain's head and the recovery group are everybody's: who changes them, or wants them unchanged, is alone.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A group with a service that reads it.
struct Scene<'a> {
    stage: &'a Stage,
    service: Account,
    readers: Readers,
    group: Group,
}

impl<'a> Scene<'a> {
    fn set(stage: &'a Stage) -> Result<Self> {
        let service = stage.account("svc-audited")?;
        let readers = stage.readers(&[&stage.maker, &service])?;
        let group = stage.group(&stage.maker, &readers)?;
        Ok(Self { stage, service, readers, group })
    }

    fn services(&self) -> Result<Services> {
        let list = format!("{} makes groups\n{} reads\n", self.stage.maker.sid, self.service.sid);
        Ok(Services::unsigned(&list)?)
    }

    /// As the maker sees it, which reads every key object and lists the container.
    fn audit(&self) -> Result<Report> {
        Ok(audit(&self.stage.open(&self.stage.maker)?, self.group.id(), &self.services()?)?)
    }

    fn key(&self) -> Result<String> {
        self.stage.with(|domain| {
            let room = self.room("keys");
            let found = domain.search(&room, dkm_testbed::Scope::One, "(objectClass=contact)", &["cn"])?;
            Ok(found.first().context("no key")?.dn.clone())
        })
    }

    fn room(&self, room: &str) -> String {
        format!("CN={room},CN={},{}", self.group.id(), self.stage.url().container_dn())
    }

    /// Adds entries in SDDL to an object's DACL.
    fn open_up(&self, dn: &str, entries: &str) -> Result<()> {
        self.stage.with(|domain| {
            let text = domain.descriptor(dn)?;
            let (head, rest) = text.split_once("D:").context("no DACL")?;
            let at = rest.find('(').context("an empty DACL")?;
            let (flags, rest) = rest.split_at(at);
            let dacl = rest.split("S:").next().unwrap_or(rest);
            domain.set_descriptor(dn, &format!("{head}D:{flags}{dacl}{entries}"))
        })
    }
}

/// The paths of an account, of one kind.
fn paths<'r>(report: &'r Report, kind: PathKind, who: &str) -> Vec<&'r Finding> {
    let is_his = |finding: &&Finding| {
        finding.kind == kind && finding.who.sid.is_some_and(|sid| sid.to_string() == who)
    };
    report.findings.iter().filter(is_his).collect()
}

/// An account has a path of this kind that fails the audit, in which these words occur.
fn fails(report: &Report, kind: PathKind, who: &Account, words: &str) -> Result<()> {
    let is_told = paths(report, kind, &who.sid)
        .iter()
        .any(|finding| finding.is_failure() && finding.to_string().contains(words));
    ensure!(is_told, "no path {kind} of {} with {words:?}:\n{report}", who.sam);
    ensure!(report.verdict == Verdict::Paths);
    Ok(())
}

fn of_services_alone_finds_no_path(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let report = scene.audit()?;
    ensure!(report.verdict == Verdict::NoPath, "{report}");
    ensure!(report.to_string().ends_with("no path of kinds A–K found\n"), "{report}");
    let members = paths(&report, PathKind::A, &scene.service.sid);
    ensure!(members.len() == 1 && members[0].class == Class::Service, "{report}");
    // Who always has control is told, and what no audit looks at.
    let administrators = report.findings.iter().filter(|finding| finding.class == Class::BelowAcl);
    ensure!(administrators.count() > 3, "{report}");
    ensure!(report.to_string().contains("can take ownership, which leaves a trace"), "{report}");
    ensure!(report.to_string().contains("hypervisors"), "{report}");
    let json = serde_json::to_value(&report)?;
    ensure!(json["verdict"] == "no-path" && json["findings"][0]["kind"].is_string(), "{json}");
    ensure!(json["not_searched"].as_array().is_some_and(|list| list.len() > 5), "{json}");
    // The same domain without a list of services: each reader is a person, for all that is known.
    let report = audit(&stage.open(&stage.maker)?, scene.group.id(), &Services::none())?;
    fails(&report, PathKind::A, &scene.service, "is a member")
}

fn by_an_administrator_is_incomplete(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let repository = stage.open_as_administrator()?;
    let report = audit(&repository, scene.group.id(), &scene.services()?)?;
    ensure!(report.verdict == Verdict::Incomplete, "{report}");
    let unread = report
        .unchecked
        .iter()
        .any(|unchecked| unchecked.kind == PathKind::B && unchecked.what.contains("of 1 key objects"));
    ensure!(unread, "{report}");
    ensure!(report.to_string().contains("not checked, because"), "{report}");
    Ok(())
}

fn by_a_plain_member_is_incomplete(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let report = audit(&stage.open(&scene.service)?, scene.group.id(), &scene.services()?)?;
    ensure!(report.verdict == Verdict::Incomplete, "{report}");
    ensure!(report.unchecked.iter().all(|unchecked| unchecked.kind == PathKind::D), "{report}");
    ensure!(report.unchecked.iter().any(|unchecked| unchecked.what.contains("recovery group")), "{report}");
    Ok(())
}

fn finds_members_by_every_route(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let (nested, primary, history) =
        (stage.account("nested")?, stage.account("primary")?, stage.account("history")?);
    let (inner, namesake) = (stage.readers(&[&nested])?, stage.account("namesake")?);
    let outer = stage.readers(&[])?;
    let foreign = "S-1-5-21-1111-2222-3333-4444";
    stage.with(|domain| {
        domain.add_member(&outer, &inner.dn)?;
        domain.add_member(&scene.readers, &outer.dn)?;
        // A circle must not hold anybody up.
        domain.add_member(&inner, &outer.dn)?;
        domain.add_member(&outer, &primary.dn)?;
        domain.set_primary_group(&primary, &outer)?;
        for (account, sid) in [(&history, &scene.readers.sid), (&namesake, &scene.service.sid)] {
            domain.modify_ldif(&format!(
                "dn: {}\nchangetype: modify\nadd: sIDHistory\nsIDHistory: {sid}\n",
                account.dn
            ))?;
        }
        domain.modify_ldif(&format!(
            "dn: {}\nchangetype: modify\nadd: member\nmember: <SID={foreign}>\n",
            scene.readers.dn
        ))
    })?;
    let report = scene.audit()?;
    fails(&report, PathKind::A, &nested, &format!("{} > {} > {}", scene.readers.sam, outer.sam, inner.sam))?;
    fails(&report, PathKind::A, &primary, "as primary group")?;
    fails(&report, PathKind::A, &history, "by SID history")?;
    fails(&report, PathKind::A, &namesake, "carries a member's SID")?;
    ensure!(paths(&report, PathKind::A, foreign).iter().any(|finding| finding.is_failure()), "{report}");
    ensure!(
        report.unchecked.iter().any(|unchecked| unchecked.because.contains("another domain")),
        "{report}"
    );
    // What the list calls a service passes, and nobody by his name or place.
    ensure!(paths(&report, PathKind::A, &scene.service.sid).iter().all(|finding| !finding.is_failure()));
    Ok(())
}

fn finds_administrators_among_the_readers(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let before = scene.audit()?;
    ensure!(before.verdict == Verdict::NoPath, "{before}");
    let admins = stage.with(|domain| {
        domain.add_member(&scene.readers, &format!("CN=Domain Admins,CN=Users,{}", domain.base()))?;
        Ok(format!("{}-500", domain.sid()))
    })?;
    let report = scene.audit()?;
    let path = paths(&report, PathKind::A, &admins);
    ensure!(path.iter().any(|finding| finding.is_failure()), "{report}");
    // In the other kinds they stay what they are.
    ensure!(report.failures().all(|finding| finding.kind == PathKind::A), "{report}");
    Ok(())
}

fn finds_who_controls_members(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let names = ["reset", "flags", "credentials", "names", "dacl", "delegates", "owner", "maps"];
    let people = names.iter().map(|name| stage.account(name)).collect::<Result<Vec<_>>>()?;
    let [reset, flags, credentials, names, dacl, delegates, owner, maps] = people.as_slice() else {
        anyhow::bail!("eight accounts");
    };
    let service = scene.service.dn.as_str();
    let entry = |right: &str, object: &str, who: &Account| format!("(OA;;{right};{object};;{})", who.sid);
    let entries = [
        entry("CR", "00299570-246d-11d0-a768-00aa006e0529", reset),
        // By its property set.
        entry("WP", "4c164200-20c0-11d0-a768-00aa006e0529", flags),
        entry("WP", "5b47d60f-6090-40b2-9f37-2a4de88f3063", credentials),
        entry("WP", "f3a64788-5306-11d1-a9c5-0000f80367c1", names),
        entry("WP", "00fbf30c-91fe-11d1-aebc-0000f80367c1", maps),
        entry("WP", "800d94d7-b7a1-42a1-b14d-7cae1423d07f", delegates),
        format!("(A;;WD;;;{})", dacl.sid),
    ];
    scene.open_up(service, &entries.concat())?;
    stage.with(|domain| {
        let text = domain.descriptor(service)?;
        let rest = text.split_once("G:").context("no primary group")?.1;
        domain.set_descriptor(service, &format!("O:{}G:{rest}", owner.sid))
    })?;
    let report = scene.audit()?;
    fails(&report, PathKind::F, reset, "resets a member's password")?;
    fails(&report, PathKind::F, flags, "userAccountControl")?;
    fails(&report, PathKind::F, dacl, "writes the DACL of a member's account")?;
    fails(&report, PathKind::F, owner, "owns a member's account")?;
    fails(&report, PathKind::G, credentials, "key credentials")?;
    fails(&report, PathKind::G, names, "service principal names")?;
    fails(&report, PathKind::G, maps, "maps a certificate")?;
    fails(&report, PathKind::G, delegates, "in others' names")?;
    // A group without members opens nothing to anybody today.
    let operators = paths(&report, PathKind::F, "S-1-5-32-548");
    ensure!(operators.iter().any(|finding| finding.class == Class::Empty), "{report}");
    // Administrators are told, and fail nothing.
    let administrators = report.findings.iter().filter(|finding| finding.class == Class::BelowAcl);
    ensure!(administrators.clone().any(|finding| finding.kind == PathKind::F), "{report}");
    ensure!(administrators.clone().all(|finding| !finding.is_failure()));
    Ok(())
}

fn finds_who_controls_groups_of_readers(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let (writer, joiner, dacl, deleter) = (
        stage.account("writer")?,
        stage.account("joiner")?,
        stage.account("dacl")?,
        stage.account("deleter")?,
    );
    let inner = stage.readers(&[])?;
    let clerks = stage.readers(&[&writer])?;
    stage.with(|domain| domain.add_member(&scene.readers, &inner.dn))?;
    let member = "bf9679c0-0de6-11d0-a285-00aa003049e2";
    scene
        .open_up(&inner.dn, &format!("(OA;;WP;{member};;{})(OA;;SW;{member};;{})", clerks.sid, joiner.sid))?;
    scene.open_up(&scene.readers.dn, &format!("(A;;WD;;;{})(A;;SD;;;{})", dacl.sid, deleter.sid))?;
    let report = scene.audit()?;
    fails(&report, PathKind::E, &writer, &format!("through {}", clerks.sam))?;
    fails(&report, PathKind::E, &joiner, "adds itself")?;
    fails(&report, PathKind::E, &dacl, "writes the DACL")?;
    // It is not protected from inheritance, so it can be moved to where others have rights.
    fails(&report, PathKind::E, &deleter, "moves a group of readers")
}

fn finds_that_owners_write_the_readers_group(stage: &Stage) -> Result<()> {
    let (service, owner) = (stage.account("svc-own")?, stage.account("owner")?);
    let new = NewGroup {
        name: format!("of-{}", owner.sam),
        description: None,
        policy: Stage::policy(),
        access: GroupAccess {
            readers: vec![service.sam.clone(), stage.maker.sam.clone()],
            creators: vec![stage.maker.sam.clone()],
            owners: vec![owner.sam.clone(), stage.maker.sam.clone()],
        },
    };
    let group = stage.client(&stage.maker)?.create_group(new)?;
    let services = Services::unsigned(&format!("{}\n{}\n", stage.maker.sid, service.sid))?;
    let report = audit(&stage.open(&stage.maker)?, group.id(), &services)?;
    // An owner reads no key, and can make itself a member.
    fails(&report, PathKind::E, &owner, "writes the members of a group of readers")?;
    ensure!(paths(&report, PathKind::A, &owner.sid).is_empty(), "{report}");
    let member = paths(&report, PathKind::A, &service.sid);
    ensure!(member.iter().any(|finding| finding.class == Class::Service), "{report}");
    // Nobody but the system deletes or moves a readers group of ours by its own descriptor.
    let deleters = report.findings.iter().filter(|finding| finding.what.starts_with("deletes or moves"));
    ensure!(deleters.count() == 0, "{report}");
    Ok(())
}

fn finds_what_descriptors_open(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let (reader, dacl, taker, planter, maker) = (
        stage.account("reader")?,
        stage.account("dacl")?,
        stage.account("taker")?,
        stage.account("planter")?,
        stage.account("unnamed")?,
    );
    let key = scene.key()?;
    scene.open_up(&key, &format!("(A;;RP;;;{})(A;;WO;;;{})", reader.sid, taker.sid))?;
    let contact = "5cb41ed0-0e4c-11d0-a286-00aa003049e2";
    scene.open_up(&scene.room("control"), &format!("(A;;WD;;;{})", dacl.sid))?;
    scene.open_up(&scene.room("keys"), &format!("(OA;;CC;{contact};;{})", planter.sid))?;
    let second = format!("CN=key-{},{}", "ab".repeat(16), scene.room("keys"));
    stage.with(|domain| {
        domain.modify_ldif(&format!("dn: {second}\nchangetype: add\nobjectClass: contact\n"))?;
        domain.set_descriptor(
            &second,
            &format!(
                "O:{}G:DAD:PAI(A;;GA;;;SY)(A;;RPRC;;;{})(A;;RPRC;;;AU)(A;;RC;;;OW)",
                maker.sid, scene.readers.sid
            ),
        )
    })?;
    let report = scene.audit()?;
    fails(&report, PathKind::B, &reader, "reads key objects")?;
    fails(&report, PathKind::C, &taker, "takes over")?;
    // Samba's directory lets an owner write the DACL, whatever OWNER RIGHTS says.
    fails(&report, PathKind::C, &maker, "owns an object of the group")?;
    fails(&report, PathKind::D, &dacl, "writes the DACL")?;
    fails(&report, PathKind::K, &planter, "beyond the template")?;
    fails(&report, PathKind::K, &maker, "no creator of the group")?;
    let everybody = paths(&report, PathKind::B, "S-1-5-11");
    ensure!(
        everybody.iter().any(|finding| finding.is_failure() && finding.objects == [second.as_str()]),
        "{report}"
    );
    Ok(())
}

fn finds_any_member_of_the_recovery_group(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let recovery = format!("CN=recovery,{}", stage.url().container_dn());
    let change = |how: &str, who: &Account| {
        stage.with(|domain| {
            domain.modify_ldif(&format!(
                "dn: {recovery}\nchangetype: modify\n{how}: member\nmember: {}\n",
                who.dn
            ))
        })
    };
    // Even a service must not be in it.
    change("add", &scene.service)?;
    let report = scene.audit();
    change("delete", &scene.service)?;
    let report = report?;
    fails(&report, PathKind::D, &scene.service, "recovery group")?;
    let report = scene.audit()?;
    ensure!(report.verdict == Verdict::NoPath, "{report}");
    Ok(())
}

fn finds_the_ways_around_access_control(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let (sync, all, branch, hosts) =
        (stage.account("sync")?, stage.account("all")?, stage.account("branch")?, stage.account("hosts")?);
    let base = stage.with(|domain| Ok(domain.base().to_owned()))?;
    let before = stage.with(|domain| domain.descriptor(&base))?;
    let (machine, web) = (format!("CN=RODC1,CN=Computers,{base}"), stage.account("web")?);
    let managed = format!("CN=gmsa1,CN=Users,{base}");
    let (constrained, resource) = (stage.account("constrained")?, stage.account("resource")?);
    let controller = stage.with(|domain| {
        let found = domain.search(&base, dkm_testbed::Scope::Sub, "(primaryGroupID=516)", &["cn"])?;
        Ok(found.first().context("no domain controller")?.dn.clone())
    })?;
    scene.open_up(
        &base,
        &format!(
            "(OA;;CR;1131f6aa-9c07-11d1-f79f-00c04fc2dcd2;;{})(OA;;CR;1131f6ad-9c07-11d1-f79f-00c04fc2dcd2;;{})",
            sync.sid, all.sid
        ),
    )?;
    let report = (|| {
        stage.with(|domain| {
            // A read-only domain controller that a branch office's administrator looks after, and that may keep the
            // service's password.
            domain.modify_ldif(&format!(
                "dn: {machine}\nchangetype: add\nobjectClass: computer\nsAMAccountName: RODC1$\n\
                 userAccountControl: 83890176\nmanagedBy: {}\nmsDS-RevealOnDemandGroup: {}\n",
                branch.dn, scene.readers.dn
            ))?;
            domain.modify_ldif(&format!(
                "dn: {}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 524800\n",
                web.dn
            ))?;
            // The service in the name is not what is protected: a ticket for it is one for LDAP.
            domain.modify_ldif(&format!(
                "dn: {}\nchangetype: modify\nadd: msDS-AllowedToDelegateTo\nmsDS-AllowedToDelegateTo: time/{}\n",
                constrained.dn,
                domain.fqdn()
            ))?;
            let actors = domain.sddl_to_binary(&format!("O:BAD:(A;;CCDCLCSWRPWP;;;{})", resource.sid))?;
            domain.modify_ldif(&format!(
                "dn: {controller}\nchangetype: modify\nadd: msDS-AllowedToActOnBehalfOfOtherIdentity\n\
                 msDS-AllowedToActOnBehalfOfOtherIdentity:: {}\n",
                base64(&actors)
            ))?;
            let readers = domain.sddl_to_binary(&format!("O:SYD:(A;;RP;;;{})", hosts.sid))?;
            domain.modify_ldif(&format!(
                "dn: {managed}\nchangetype: add\nobjectClass: msDS-GroupManagedServiceAccount\n\
                 sAMAccountName: gmsa1$\nuserAccountControl: 4096\nmsDS-ManagedPasswordInterval: 30\n\
                 msDS-GroupMSAMembership:: {}\n",
                base64(&readers)
            ))?;
            domain.add_member(&scene.readers, &managed)
        })?;
        scene.audit()
    })();
    stage.with(|domain| {
        domain.set_descriptor(&base, &before)?;
        // Not all of it is there if something above failed, which is what is told then.
        for dn in [&managed, &machine, &web.dn, &constrained.dn] {
            let _ = domain.delete(dn);
        }
        let _ = domain.modify_ldif(&format!(
            "dn: {controller}\nchangetype: modify\ndelete: msDS-AllowedToActOnBehalfOfOtherIdentity\n"
        ));
        Ok(())
    })?;
    let report = report?;
    fails(&report, PathKind::I, &sync, "DirSync")?;
    fails(&report, PathKind::I, &all, "DCSync")?;
    fails(&report, PathKind::J, &branch, "administers a read-only domain controller")?;
    fails(&report, PathKind::K, &web, "unconstrained delegation")?;
    fails(&report, PathKind::K, &constrained, "(constrained delegation)")?;
    fails(&report, PathKind::K, &resource, "resource-based delegation")?;
    fails(&report, PathKind::H, &hosts, "managed password")?;
    let told = |kind, words: &str| {
        report.findings.iter().any(|finding| finding.kind == kind && finding.to_string().contains(words))
    };
    ensure!(told(PathKind::J, "RODC1$"), "{report}");
    ensure!(told(PathKind::J, "may keep a member's password"), "{report}");
    // Those who replicate by their nature are told, too.
    ensure!(
        report.findings.iter().any(|finding| finding.kind == PathKind::I && finding.class == Class::BelowAcl),
        "{report}"
    );
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn follows_the_readers_group(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let (keeper, impostor) = (stage.account("keeper")?, stage.account("impostor")?);
    let base = stage.with(|domain| Ok(domain.base().to_owned()))?;
    let branch = format!("OU=branch of {},{base}", keeper.sam);
    let moved = format!("CN=renamed {},{branch}", scene.readers.sam);
    stage.with(|domain| {
        domain.add_ou(&branch)?;
        domain.rename(&scene.readers.dn, &moved)
    })?;
    scene.open_up(&branch, &format!("(A;;WD;;;{})", keeper.sid))?;
    // Another group takes its name and its place.
    let swapped = format!("dn: {}\nchangetype: add\nobjectClass: group\n", scene.readers.dn);
    stage.with(|domain| {
        domain.modify_ldif(&swapped)?;
        let double = Readers { dn: scene.readers.dn.clone(), ..scene.readers.clone() };
        domain.add_member(&double, &impostor.dn)
    })?;
    let report = scene.audit()?;
    ensure!(report.readers.sid.is_some_and(|sid| sid.to_string() == scene.readers.sid), "{report}");
    ensure!(report.readers_dn.as_deref() == Some(moved.as_str()), "{report}");
    fails(&report, PathKind::E, &keeper, "container above")?;
    ensure!(paths(&report, PathKind::A, &impostor.sid).is_empty(), "{report}");
    ensure!(!paths(&report, PathKind::A, &scene.service.sid).is_empty(), "{report}");
    Ok(())
}

fn finds_a_swapped_access_list(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let (impostor, namesake) = (stage.account("impostor")?, stage.account("namesake")?);
    let other = stage.readers(&[&impostor])?;
    stage.with(|domain| {
        domain.modify_ldif(&format!(
            "dn: {control}\nchangetype: modify\ndelete: description\ndescription: readers {}\n-\n\
             add: description\ndescription: readers {}\n",
            scene.readers.sid,
            other.sid,
            control = scene.room("control")
        ))?;
        // Anybody may be called like a room: only what is in the container is one.
        domain.modify_ldif(&format!(
            "dn: {}\nchangetype: modify\nreplace: displayName\ndisplayName: {}/keys\n",
            namesake.dn,
            scene.group.id()
        ))
    })?;
    let report = scene.audit()?;
    fails(&report, PathKind::A, &impostor, "is a member")?;
    // Whom the keys themselves admit is not in that group.
    let admitted = paths(&report, PathKind::B, &scene.service.sid);
    ensure!(admitted.iter().any(|finding| finding.through == [scene.readers.sam.as_str()]), "{report}");
    Ok(())
}

fn tells_what_changes(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let person = stage.account("person")?;
    let mut watch = Watch::new(stage.open(&stage.maker)?, scene.group.id(), scene.services()?);
    ensure!(matches!(watch.round()?, Round::First(_)));
    let mut changes = || -> Result<Vec<Change>> {
        match watch.round()? {
            Round::Changed { changes, .. } => Ok(changes),
            other => anyhow::bail!("{other:?}"),
        }
    };
    stage.with(|domain| domain.add_member(&scene.readers, &person.dn))?;
    let is_his = |finding: &Finding| {
        finding.kind == PathKind::A
            && finding.effect == Effect::Reads
            && finding.who.sid.is_some_and(|sid| sid.to_string() == person.sid)
    };
    let appeared = changes()?;
    let told = |change: &Change| matches!(change, Change::Appeared(finding) if is_his(finding));
    ensure!(appeared.iter().any(|change| told(change) && change.is_failure()), "{appeared:?}");
    stage.with(|domain| domain.remove_member(&scene.readers, &person.dn))?;
    let vanished = changes()?;
    let told = |change: &Change| matches!(change, Change::Vanished(finding) if is_his(finding));
    ensure!(vanished.iter().any(told), "{vanished:?}");
    let moved = format!(
        "CN=moved {},CN=Users,{}",
        scene.readers.sam,
        stage.with(|domain| Ok(domain.base().to_owned()))?
    );
    stage.with(|domain| domain.rename(&scene.readers.dn, &moved))?;
    let followed = changes()?;
    ensure!(
        followed
            .iter()
            .any(|change| matches!(change, Change::ReadersMoved { to, .. } if to.contains(&moved))),
        "{followed:?}"
    );
    Ok(())
}
