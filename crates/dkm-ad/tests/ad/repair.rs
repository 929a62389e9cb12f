//! Access that is put right again, and readers groups that are replaced, by an account in the recovery group.

mod replace;

use std::ops::ControlFlow;
use std::sync::MutexGuard;

use anyhow::{Context as _, Result, bail, ensure};
use dkm::blocking::Group;
use dkm::core::{GroupId, Room};
use dkm_ad::repair::{Deviant, Limits, Refusals, RepairError, Report, Task, carry_out, plan};
use dkm_ad::security::Sid;
use dkm_testbed::{Account, Group as Readers, Scope};

use super::access::{Objects, context};
use super::person::{DACL, INSUFFICIENT_ACCESS, Person, encoded};
use super::stage::{Stage, Test};

pub(crate) use replace::TESTS as REPLACE;

pub(crate) const TESTS: &[Test] = &[
    ("repair_closes_what_was_opened_up", closes_what_was_opened_up),
    ("repair_is_for_the_recovery_group_alone", is_for_the_recovery_group_alone),
    ("repair_leaves_refusals_of_single_accounts", leaves_refusals_of_single_accounts),
    ("repair_tells_what_it_cannot_put_right", tells_what_it_cannot_put_right),
    ("repair_can_be_planned_and_done_by_hand", can_be_planned_and_done_by_hand),
];

/// An account that is in the recovery group for as long as this lives.
pub(crate) struct Operator<'a> {
    stage: &'a Stage,
    pub(crate) account: Account,
    recovery: Readers,
    _alone: MutexGuard<'static, ()>,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(stage: &'a Stage) -> Result<Self> {
        let alone = super::audit::alone();
        let account = stage.account("operator")?;
        let recovery = recovery(stage)?;
        stage.with(|domain| domain.add_member(&recovery, &account.dn))?;
        Ok(Self { stage, account, recovery, _alone: alone })
    }

    pub(crate) fn run(
        &self,
        group: GroupId,
        task: &Task,
        limits: Limits,
    ) -> Result<std::result::Result<Report, RepairError>> {
        let repository = self.stage.open(&self.account)?;
        Ok(carry_out(&repository, group, task, limits, &mut |_| ControlFlow::Continue(())))
    }

    fn repair(&self, group: GroupId) -> Result<Report> {
        Ok(self.run(group, &Task::Repair, Limits::default())??)
    }
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        let out = self.stage.with(|domain| domain.remove_member(&self.recovery, &self.account.dn));
        if let Err(error) = out {
            eprintln!("{error:#}");
        }
    }
}

/// The repository's recovery group.
fn recovery(stage: &Stage) -> Result<Readers> {
    let dn = format!("CN=recovery,{}", stage.url().container_dn());
    let found = stage.with(|domain| {
        domain.search(&dn, Scope::Base, "(objectClass=group)", &["sAMAccountName", "objectSid"])
    })?;
    let found = found.first().context("no recovery group")?;
    let sid = found.attributes.get("objectSid").and_then(|values| values.first()).context("no SID")?;
    Ok(Readers {
        sam: found.text("sAMAccountName").context("no name")?,
        sid: Sid::parse(sid)?.to_string(),
        dn,
    })
}

/// A group of the maker's with a member who creates, too.
struct Scene<'a> {
    stage: &'a Stage,
    readers: Readers,
    member: Account,
    group: Group,
    blob: Vec<u8>,
    objects: Objects,
}

impl<'a> Scene<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let member = stage.account("svc-member")?;
        let readers = stage.readers(&[&stage.maker, &member])?;
        let group = stage.group(&stage.maker, &readers)?;
        let blob = group.protect(&context(), b"secret")?;
        let objects = Objects::of(stage, group.id())?;
        Ok(Self { stage, readers, member, group, blob, objects })
    }

    fn id(&self) -> GroupId {
        self.group.id()
    }

    fn descriptor(&self, dn: &str) -> Result<String> {
        self.stage.with(|domain| domain.descriptor(dn))
    }

    /// A descriptor's parts: what stands before the DACL, its flags, its entries.
    fn parts(&self, dn: &str) -> Result<(String, String, String)> {
        let text = self.descriptor(dn)?;
        let (head, rest) = text.split_once("D:").context("no DACL")?;
        let at = rest.find('(').context("an empty DACL")?;
        let (flags, rest) = rest.split_at(at);
        let entries = rest.split("S:").next().unwrap_or(rest);
        Ok((head.to_owned(), flags.to_owned(), entries.to_owned()))
    }

    fn set(&self, dn: &str, flags: &str, entries: &str) -> Result<()> {
        let (head, ..) = self.parts(dn)?;
        self.stage.with(|domain| domain.set_descriptor(dn, &format!("{head}D:{flags}{entries}")))
    }

    fn client(&self, account: &Account) -> Result<Group> {
        Ok(self.stage.client(account)?.group(&self.id().to_string())?)
    }
}

fn deviant<'r>(report: &'r Report, dn: &str) -> Result<&'r Deviant> {
    let done = report.controllers.first().context("nothing was done")?;
    let found = done.deviants.iter().find(|deviant| deviant.dn.eq_ignore_ascii_case(dn));
    found.with_context(|| format!("{dn} is not told: {report:?}"))
}

/// How many changes were written.
fn written(report: &Report) -> u64 {
    report.controllers.iter().map(|done| done.written).sum()
}

fn nothing_left(report: &Report) -> Result<()> {
    ensure!(
        report.controllers.iter().all(|done| done.left.is_empty() && done.failure.is_none()),
        "{report:?}"
    );
    Ok(())
}

fn closes_what_was_opened_up(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let Objects { key, keys, control, container, .. } = &scene.objects;
    let honest: Vec<String> =
        [key, keys, control, container].iter().map(|dn| scene.descriptor(dn)).collect::<Result<_>>()?;
    let operator = Operator::new(stage)?;
    let untouched = operator.repair(scene.id())?;
    ensure!(written(&untouched) == 0, "{untouched:?}");
    nothing_left(&untouched)?;
    let running = scene.client(&scene.member)?;
    // The owner of the only key opens it, in every way there is; somebody opens what is above it.
    let ways: [(&str, &str); 4] = [
        ("PAI", "(A;;GA;;;SY)(A;;RPRC;;;READERS)(A;;RC;;;OW)(A;;RCWD;;;RECOVERY)(A;;RPRC;;;AU)"),
        ("AI", "(A;;GA;;;SY)(A;;RPRC;;;READERS)(A;;RC;;;OW)(A;;RCWD;;;RECOVERY)"),
        ("PAI", "(A;;GA;;;SY)(A;;RPRC;;;READERS)(A;;RCWD;;;RECOVERY)"),
        (
            "PAI",
            "(A;;GA;;;SY)(A;;RPRC;;;READERS)(A;;GA;;;OW)(A;;RCWD;;;RECOVERY)(A;;GA;;;WD)(D;;WP;;;READERS)",
        ),
    ];
    for (at, (flags, entries)) in ways.into_iter().enumerate() {
        let recovery = &operator.recovery.sid;
        let entries = entries.replace("READERS", &scene.readers.sid).replace("RECOVERY", recovery);
        let turned = Person::with_fresh_ticket(stage, &stage.maker)?;
        turned.set_descriptor(stage, key, DACL, &format!("D:{flags}{entries}"))?.done()?;
        if at == 0 {
            for dn in [keys, control, container] {
                let (_, flags, entries) = scene.parts(dn)?;
                scene.set(dn, &flags, &format!("{entries}(A;;LCRPLORC;;;AU)"))?;
            }
        }
        running.refresh()?;
        ensure!(running.protect(&context(), b"x").is_err(), "{entries}");
        let report = operator.repair(scene.id())?;
        nothing_left(&report)?;
        ensure!(deviant(&report, key)?.was_open, "{report:?}");
        ensure!(written(&report) == if at == 0 { 4 } else { 1 }, "{report:?}");
        let now: Vec<String> =
            [key, keys, control, container].iter().map(|dn| scene.descriptor(dn)).collect::<Result<_>>()?;
        ensure!(now == honest, "{now:?}\n{honest:?}");
        // A client that runs goes on, as does one that starts.
        for group in [&running, &scene.client(&scene.member)?] {
            group.refresh()?;
            let blob = group.protect(&context(), b"again")?;
            ensure!(scene.client(&scene.member)?.unprotect(&context(), &blob)?.as_ref() == b"again");
            ensure!(group.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
            ensure!(group.view()?.alarms.is_empty(), "{:?}", group.view()?.alarms);
            ensure!(group.view()?.ring.findings.is_empty(), "{:?}", group.view()?.ring.findings);
        }
        ensure!(written(&operator.repair(scene.id())?) == 0, "it is not idempotent");
    }
    Ok(())
}

fn is_for_the_recovery_group_alone(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let (_, flags, entries) = scene.parts(&scene.objects.keys)?;
    scene.set(&scene.objects.keys, &flags, &format!("{entries}(A;;LC;;;AU)"))?;
    let opened = scene.descriptor(&scene.objects.keys)?;
    // The owner who made the group, a member, the domain's administrator; an outsider does not even see it.
    let outsider = stage.account("person")?;
    let repositories = [
        stage.open(&stage.maker)?,
        stage.open(&scene.member)?,
        stage.open_as_administrator()?,
        stage.open(&outsider)?,
    ];
    for task in [Task::Repair, Task::ReplaceReaders { to: scene.readers.sam.clone() }] {
        for (at, repository) in repositories.iter().enumerate() {
            let done = carry_out(repository, scene.id(), &task, Limits::default(), &mut |_| {
                ControlFlow::Continue(())
            });
            match (at, done) {
                (0..3, Err(error @ RepairError::NotInRecovery { .. })) => {
                    // A plain member does not see what it is called.
                    let name = if at == 1 { "the recovery group S-1-5-21-" } else { "(dkm-recovery-" };
                    ensure!(error.to_string().contains(name), "{error}");
                }
                (3, Err(RepairError::Repository(_))) => {}
                (_, other) => bail!("{at}: {other:?}"),
            }
        }
    }
    ensure!(scene.descriptor(&scene.objects.keys)? == opened);
    // Nor do they get there without the command.
    let roles = format!(
        "dn: {}\nchangetype: modify\nadd: description\ndescription: owner {}\n",
        scene.objects.control, scene.member.sid
    );
    let person = Person::with_fresh_ticket(stage, &scene.member)?;
    person.change(&roles)?.refused_with(INSUFFICIENT_ACCESS)?;
    Person::administrator(stage)?.change(&roles)?.refused_with(INSUFFICIENT_ACCESS)?;
    // Being in the recovery group is not yet to read: that takes a change of a DACL, which shows.
    let operator = Operator::new(stage)?;
    let person = Person::with_fresh_ticket(stage, &operator.account)?;
    let seen = person.search(&scene.objects.key, "base", "(objectClass=*)", &["thumbnailPhoto"])?.done()?;
    ensure!(seen.entries() == 1 && !seen.text.contains("thumbnailPhoto:"), "{seen:?}");
    let found = person.search(&scene.objects.keys, "sub", "(thumbnailPhoto=*)", &["1.1"])?.done()?;
    ensure!(found.entries() == 0, "{found:?}");
    for ldif in [
        format!("dn: {}\nchangetype: delete\n", scene.objects.key),
        format!("dn: {}\nchangetype: modify\nreplace: displayName\ndisplayName: x\n", scene.objects.control),
        format!("dn: CN=mine,{}\nchangetype: add\nobjectClass: contact\n", scene.objects.keys),
    ] {
        person.change(&ldif)?.refused_with(INSUFFICIENT_ACCESS)?;
    }
    nothing_left(&operator.repair(scene.id())?)?;
    ensure!(scene.descriptor(&scene.objects.keys)? != opened);
    Ok(())
}

fn leaves_refusals_of_single_accounts(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let operator = Operator::new(stage)?;
    // As docs/active-directory-removal.md has it; and one that shuts the readers out.
    let (_, flags, entries) = scene.parts(&scene.objects.keys)?;
    let refusal = format!("(D;;LCRPLORC;;;{})", scene.member.sid);
    let shut = format!("(D;;LCRPLORC;;;{})", scene.readers.sid);
    scene.set(&scene.objects.keys, &flags, &format!("{refusal}{shut}{entries}(A;;LC;;;AU)"))?;
    let report = operator.repair(scene.id())?;
    nothing_left(&report)?;
    let kept = &report.controllers[0].refusals_kept;
    ensure!(kept.len() == 1 && kept[0].contains(&scene.member.sid), "{report:?}");
    let now = scene.descriptor(&scene.objects.keys)?;
    ensure!(now.matches("(D;").count() == 1 && !now.contains(";;;AU"), "{now}");
    ensure!(scene.client(&scene.member).is_err(), "it is let in again");
    scene.group.refresh()?;
    scene.group.protect(&context(), b"x")?;
    let lifted = Limits { refusals: Refusals::Lifted, ..Limits::default() };
    nothing_left(&operator.run(scene.id(), &Task::Repair, lifted)??)?;
    ensure!(!scene.descriptor(&scene.objects.keys)?.contains("(D;"));
    ensure!(scene.client(&scene.member)?.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    Ok(())
}

fn tells_what_it_cannot_put_right(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let operator = Operator::new(stage)?;
    // Its owner shuts everybody out of the key but himself; another object nobody is to see.
    let (_, _, honest) = scene.parts(&scene.objects.key)?;
    let own = format!("(A;;GA;;;{})", stage.maker.sid);
    let turned = Person::with_fresh_ticket(stage, &stage.maker)?;
    turned.set_descriptor(stage, &scene.objects.key, DACL, &format!("D:PAI{own}"))?.done()?;
    let report = operator.repair(scene.id())?;
    let left = &report.controllers[0].left;
    ensure!(
        left.len() == 1 && left[0].dn == scene.objects.key && left[0].why.contains("owner"),
        "{report:?}"
    );
    // One who gives the recovery group its entry back can be helped.
    turned
        .set_descriptor(
            stage,
            &scene.objects.key,
            DACL,
            &format!("D:PAI{own}(A;;RCWD;;;{})", operator.recovery.sid),
        )?
        .done()?;
    nothing_left(&operator.repair(scene.id())?)?;
    ensure!(scene.parts(&scene.objects.key)?.2 == honest);
    // An administrator who took a key: its DACL is put right, its owner is told.
    let (_, _, entries) = scene.parts(&scene.objects.key)?;
    let sddl = format!("O:DAG:DAD:PAI{entries}(A;;RPRC;;;DA)");
    stage.with(|domain| domain.set_descriptor(&scene.objects.key, &sddl))?;
    let report = operator.repair(scene.id())?;
    let left = &report.controllers[0].left;
    ensure!(left.len() == 1 && left[0].why.contains("administrator owns it"), "{report:?}");
    ensure!(deviant(&report, &scene.objects.key)?.was_open);
    ensure!(scene.parts(&scene.objects.key)?.2 == honest);
    Ok(())
}

fn can_be_planned_and_done_by_hand(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let operator = Operator::new(stage)?;
    let honest = scene.descriptor(&scene.objects.key)?;
    let (_, flags, entries) = scene.parts(&scene.objects.key)?;
    scene.set(&scene.objects.key, &flags, &format!("{entries}(A;;RPRC;;;AU)"))?;
    let opened = scene.descriptor(&scene.objects.key)?;
    // A member may plan it: it reads every descriptor.
    let planned = plan(&stage.open(&scene.member)?, scene.id(), &Task::Repair, Limits::default())?;
    ensure!(scene.descriptor(&scene.objects.key)? == opened);
    ensure!(planned.deviants.len() == 1 && planned.changes.len() == 1, "{planned:?}");
    ensure!(planned.deviants[0].key == scene.group.view()?.protecting.ok().map(|key| key.to_string()));
    let ldif = planned.ldif();
    ensure!(ldif.contains("(A;;RPRC;;;") && ldif.contains("control: 1.2.840.113556.1.4.801"), "{ldif}");
    let person = Person::with_fresh_ticket(stage, &operator.account)?;
    person.change(&ldif)?.done()?;
    ensure!(scene.descriptor(&scene.objects.key)? == honest);
    ensure!(encoded(stage, &honest)? != encoded(stage, &opened)?);
    let again = plan(&stage.open(&scene.member)?, scene.id(), &Task::Repair, Limits::default())?;
    ensure!(again.changes.is_empty() && again.ldif().is_empty(), "{again:?}");
    Ok(())
}

/// Where a group's records are, in either room.
fn records(stage: &Stage, group: GroupId) -> Result<Vec<String>> {
    let mut dns = Vec::new();
    for room in Room::ALL {
        let room = stage.room(group, room)?;
        let found = stage.with(|domain| domain.search(&room, Scope::One, "(objectClass=*)", &["cn"]))?;
        dns.extend(found.into_iter().map(|found| found.dn));
    }
    Ok(dns)
}
