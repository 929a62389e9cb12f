//! Who can come to read a group's keys: what an audit of a real domain comes to, and what it tells of changes.

mod paths;

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::Group;
use dkm::core::Room;
use dkm::core::record::{Change as StatusChange, Purpose, Record, StatusRecord};
use dkm::repository::Repository as _;
use dkm_ad::audit::{
    Change, Class, Effect, Finding, PathKind, Report, Round, Services, Verdict, Watch, audit,
};
use dkm_testbed::{Account, Group as Readers};

use super::stage::{Stage, Test};

pub(crate) use paths::TESTS as PATHS;

pub(crate) const TESTS: &[Test] = &[
    ("audit_of_services_alone_finds_no_path", of_services_alone_finds_no_path),
    ("audit_by_an_administrator_or_an_auditor_is_complete", by_an_administrator_or_an_auditor_is_complete),
    (
        "audit_by_a_non_member_finds_who_reads_a_note_or_a_key",
        by_a_non_member_finds_who_reads_a_note_or_a_key,
    ),
    ("audit_by_a_plain_member_is_incomplete", by_a_plain_member_is_incomplete),
    ("audit_follows_the_readers_group", follows_the_readers_group),
    ("audit_finds_a_swapped_access_list", finds_a_swapped_access_list),
    ("audit_tells_what_changes", tells_what_changes),
];

/// The domain's head and the recovery group are everybody's: who changes them, or wants them unchanged, is alone.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
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
        let room = self.room("keys");
        self.stage.with(|domain| {
            let found = domain.search(&room, dkm_testbed::Scope::One, "(objectClass=contact)", &["cn"])?;
            Ok(found.first().context("no key")?.dn.clone())
        })
    }

    fn room(&self, room: &str) -> String {
        let room = if room == "control" { Room::Control } else { Room::Keys };
        self.stage.room(self.group.id(), room).unwrap()
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
pub(crate) fn fails(report: &Report, kind: PathKind, who: &Account, words: &str) -> Result<()> {
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

fn by_an_administrator_or_an_auditor_is_complete(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    for repository in [stage.open_as_administrator()?, stage.open(&stage.auditor()?)?] {
        let report = audit(&repository, scene.group.id(), &scene.services()?)?;
        ensure!(report.verdict == Verdict::NoPath && report.unchecked.is_empty(), "{report}");
        ensure!(paths(&report, PathKind::A, &scene.service.sid).len() == 1, "{report}");
    }
    Ok(())
}

/// A note that a key is in use lies among the keys and is no secret; a key with the descriptor of a note would be one.
fn by_a_non_member_finds_who_reads_a_note_or_a_key(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let auditor = stage.auditor()?;
    let look =
        || Ok::<_, anyhow::Error>(audit(&stage.open(&auditor)?, scene.group.id(), &scene.services()?)?);
    let key = scene.group.view()?.ring.keys.first().context("no key")?.id();
    let dn = scene.key()?;
    let note = Record::Status(StatusRecord {
        key,
        change: StatusChange::Resumed,
        purpose: Purpose::InUse,
        reason: "needed by a member".to_owned(),
        epoch: 1,
        answers: Vec::new(),
        when_ms: 1,
    });
    let mut maker = stage.open(&stage.maker)?.connect(0)?;
    let bytes = note.encode(scene.group.id());
    maker.put(scene.group.id(), Room::Keys, &note.slot(scene.group.id(), 0), &bytes)?;
    let report = look()?;
    ensure!(report.verdict == Verdict::NoPath, "{report}");
    // Who owns the group reads the note, and is told that the key was needed.
    let administrator = stage.client_of_administrator()?.group(&scene.group.id().to_string())?;
    let view = administrator.view()?;
    ensure!(view.ring.key(key).is_some_and(|key| key.status.use_noticed), "{:?}", view.unread);
    // Without its public part it can't be told from a note by its descriptor.
    stage.with(|domain| domain.modify_ldif(&format!("dn: {dn}\nchangetype: modify\nreplace: info\n")))?;
    scene.open_up(&dn, &format!("(A;;RP;;;{})", stage.auditors.sid))?;
    let report = look()?;
    ensure!(report.verdict == Verdict::Paths, "{report}");
    ensure!(report.findings.iter().any(|f| f.kind == PathKind::B && f.is_failure()), "{report}");
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
    let control = scene.room("control");
    stage.with(|domain| {
        domain.modify_ldif(&format!(
            "dn: {control}\nchangetype: modify\ndelete: description\ndescription: readers {}\n-\n\
             add: description\ndescription: readers {}\n",
            scene.readers.sid, other.sid,
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
