//! Every kind of path, put into a real domain and found there.

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::NewGroup;
use dkm::repository::GroupAccess;
use dkm_ad::audit::{Class, PathKind, Services, Verdict, audit};
use dkm_testbed::Account;

use super::{Scene, alone, fails, paths};
use crate::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("audit_finds_members_by_every_route", finds_members_by_every_route),
    ("audit_finds_administrators_among_the_readers", finds_administrators_among_the_readers),
    ("audit_finds_who_controls_members", finds_who_controls_members),
    ("audit_finds_who_controls_groups_of_readers", finds_who_controls_groups_of_readers),
    ("audit_finds_that_owners_write_the_readers_group", finds_that_owners_write_the_readers_group),
    ("audit_finds_what_descriptors_open", finds_what_descriptors_open),
    ("audit_finds_any_member_of_the_recovery_group", finds_any_member_of_the_recovery_group),
    ("audit_finds_the_ways_around_access_control", finds_the_ways_around_access_control),
];

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
            ..GroupAccess::default()
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
