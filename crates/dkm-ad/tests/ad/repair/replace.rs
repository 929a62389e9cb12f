//! A readers group that another one replaces: who reads what, at every moment of it.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::Group;
use dkm::core::kdf::key_id;
use dkm::core::record::{Family, KeyRecord, Material, Origin, Record};
use dkm::core::ring::Distrust;
use dkm::core::{KeyId, Room};
use dkm::repository::{Put, Replica, Repository as _, RepositoryError};
use dkm::{ErrorKind, GroupId};
use dkm_ad::audit::{Class, PathKind, Services, Verdict, audit};
use dkm_ad::repair::{Limits, RepairError, Task, carry_out};
use dkm_testbed::{Account, Group as Readers};

use super::super::access::{Objects, context};
use super::super::attacks::distrust;
use super::super::person::Person;
use super::super::stage::{Stage, Test};
use super::{Operator, nothing_left, records, written};

pub(crate) const TESTS: &[Test] = &[
    ("readers_are_replaced_on_open_connections_too", are_replaced_on_open_connections_too),
    ("readers_that_were_deleted_are_replaced", that_were_deleted_are_replaced),
    ("replacing_readers_may_end_after_every_change", may_end_after_every_change),
    ("keys_that_are_made_while_readers_are_replaced", keys_that_are_made_meanwhile),
    ("readers_are_not_replaced_by_what_can_be_none", not_replaced_by_what_can_be_none),
    ("readers_are_not_replaced_past_what_cannot_be_changed", not_past_what_cannot_be_changed),
];

/// A group with an archived key, read by one group and soon by another.
struct Scene<'a> {
    stage: &'a Stage,
    /// In the old readers group, in both, in the new one.
    old: Account,
    both: Account,
    new: Account,
    from: Readers,
    to: Readers,
    group: Group,
    /// One for each key: the first is archived.
    blobs: Vec<Vec<u8>>,
}

impl<'a> Scene<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let old = stage.account("svc-old")?;
        let both = stage.account("svc-both")?;
        let new = stage.account("svc-new")?;
        let from = stage.readers(&[&stage.maker, &both, &old])?;
        let to = stage.readers(&[&stage.maker, &both, &new])?;
        let group = stage.group(&stage.maker, &from)?;
        let first = group.view()?.protecting?;
        let mut blobs = vec![group.protect(&context(), b"secret")?];
        crate::stage::next_second();
        group.compromise(first, "so that there is an archived one")?;
        blobs.push(group.protect(&context(), b"secret")?);
        Ok(Self { stage, old, both, new, from, to, group, blobs })
    }

    fn id(&self) -> GroupId {
        self.group.id()
    }

    fn task(&self) -> Task {
        Task::ReplaceReaders { to: self.to.sam.clone() }
    }

    fn client(&self, account: &Account) -> Result<Group> {
        Ok(self.stage.client(account)?.group(&self.id().to_string())?)
    }

    /// Opens all blobs, protects, and has seen nothing odd.
    fn goes_on(&self, group: &Group) -> Result<()> {
        group.refresh()?;
        ensure!(group.unprotect(&context(), &self.blobs[1])?.as_ref() == b"secret");
        let view = group.view()?;
        ensure!(view.ring.keys.len() >= 2, "{:?}", view.ring);
        ensure!(
            view.ring.findings.is_empty() && view.unread.is_empty(),
            "{:?} {:?}",
            view.ring.findings,
            view.unread
        );
        ensure!(view.alarms.is_empty(), "{:?}", view.alarms);
        let blob = group.protect(&context(), b"more")?;
        ensure!(group.unprotect(&context(), &blob)?.as_ref() == b"more");
        Ok(())
    }

    /// Neither the group nor anything in it is seen by an account with a fresh ticket.
    fn reads_nothing(&self, account: &Account) -> Result<()> {
        ensure!(!self.stage.sees(account, self.id())?, "{} sees the group", account.sam);
        let person = Person::with_fresh_ticket(self.stage, account)?;
        for dn in records(self.stage, self.id())? {
            let seen = person.search(&dn, "base", "(objectClass=*)", &[])?;
            ensure!(seen.entries() == 0, "{seen:?}");
        }
        Ok(())
    }

    fn services(&self) -> Result<Services> {
        let sids = [&self.stage.maker.sid, &self.old.sid, &self.both.sid, &self.new.sid];
        Ok(Services::unsigned(&sids.map(|sid| format!("{sid} a service\n")).concat())?)
    }

    /// Nothing that is left names the old group.
    fn is_done(&self) -> Result<()> {
        let rooms = Room::ALL.map(|room| self.stage.room(self.id(), room));
        let mut dns = records(self.stage, self.id())?;
        dns.extend(rooms.into_iter().collect::<Result<Vec<_>>>()?);
        dns.push(Objects::of(self.stage, self.id())?.container);
        for dn in dns {
            let text = self.stage.with(|domain| domain.descriptor(&dn))?;
            ensure!(!text.contains(&self.from.sid) && text.contains(&self.to.sid), "{dn}: {text}");
        }
        Ok(())
    }
}

/// Reads a key's bytes on a connection that was opened before.
fn reads(connection: &mut Box<dyn Replica>, group: GroupId) -> Result<usize, RepositoryError> {
    let mut count = 0;
    for entry in connection.list(group, Room::Keys)? {
        count += usize::from(connection.get(group, Room::Keys, &entry).is_ok());
    }
    Ok(count)
}

fn are_replaced_on_open_connections_too(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let (running, leaving) = (scene.client(&scene.both)?, scene.client(&scene.old)?);
    let mut open = stage.open(&scene.old)?.connect(0)?;
    let mut waiting = stage.open(&scene.new)?.connect(0)?;
    ensure!(reads(&mut open, scene.id())? == 2);
    ensure!(reads(&mut waiting, scene.id()).is_err());
    scene.reads_nothing(&scene.new)?;
    let operator = Operator::new(stage)?;
    let report = operator.run(scene.id(), &scene.task(), Limits::default())??;
    nothing_left(&report)?;
    ensure!(report.controllers[0].creators_outside.is_empty(), "{report:?}");
    ensure!(report.readers == scene.to.sid && report.replaced == [scene.from.sid.clone()], "{report:?}");
    scene.is_done()?;
    // On the connections that were open all the while, and for clients that ran.
    ensure!(matches!(reads(&mut open, scene.id()), Err(RepositoryError::Denied { .. })));
    ensure!(reads(&mut waiting, scene.id())? == 2);
    ensure!(leaving.refresh().is_err());
    let error = leaving.unprotect(&context(), &scene.blobs[1]).err().context("it still opens")?;
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    scene.goes_on(&running)?;
    scene.goes_on(&scene.client(&scene.new)?)?;
    scene.goes_on(&scene.group)?;
    scene.reads_nothing(&scene.old)?;
    drop(operator);
    let report = audit(&stage.open(&stage.maker)?, scene.id(), &scene.services()?)?;
    ensure!(report.readers.sid.is_some_and(|sid| sid.to_string() == scene.to.sid), "{report}");
    ensure!(!report.findings.iter().any(|finding| finding.to_string().contains(&scene.old.sam)), "{report}");
    // And back again.
    let operator = Operator::new(stage)?;
    let back = Task::ReplaceReaders { to: scene.from.sid.clone() };
    nothing_left(&operator.run(scene.id(), &back, Limits::default())??)?;
    scene.goes_on(&scene.client(&scene.old)?)?;
    scene.reads_nothing(&scene.new)
}

fn that_were_deleted_are_replaced(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    stage.with(|domain| domain.delete(&scene.from.dn))?;
    scene.reads_nothing(&scene.both)?;
    let operator = Operator::new(stage)?;
    nothing_left(&operator.run(scene.id(), &scene.task(), Limits::default())??)?;
    scene.is_done()?;
    scene.goes_on(&scene.client(&scene.new)?)?;
    scene.goes_on(&scene.client(&scene.both)?)?;
    scene.reads_nothing(&scene.old)
}

/// As if the program, its machine or its connection had died after each single change.
fn may_end_after_every_change(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let running = scene.client(&scene.both)?;
    let operator = Operator::new(stage)?;
    let repository = stage.open(&operator.account)?;
    let mut total = 0;
    let mut former_read = true;
    loop {
        let done = carry_out(&repository, scene.id(), &scene.task(), Limits::default(), &mut |written| {
            if written == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match done {
            Ok(report) => {
                nothing_left(&report)?;
                total += written(&report);
                break;
            }
            Err(RepairError::Ended { written }) => total += written,
            Err(error) => return Err(error.into()),
        }
        ensure!(total < 100, "it does not end");
        // Whoever is in both groups notices nothing, whether it runs or starts.
        scene.goes_on(&running).with_context(|| format!("after {total} changes"))?;
        scene.goes_on(&scene.client(&scene.both)?).with_context(|| format!("after {total} changes"))?;
        // The old readers lose all at once, and for good.
        let reads_now = scene.client(&scene.old).is_ok();
        ensure!(former_read || !reads_now, "after {total} changes the old readers are back");
        former_read = reads_now;
        // A repair does not do half of it, and an audit tells.
        let repair = operator.run(scene.id(), &Task::Repair, Limits::default())?;
        let report = audit(&stage.open(&stage.maker)?, scene.id(), &scene.services()?)?;
        if matches!(repair, Err(RepairError::Unfinished { .. })) {
            ensure!(report.verdict != Verdict::NoPath);
            ensure!(report.unchecked.iter().any(|not| not.because.contains("replace-readers")), "{report}");
            let told = report.findings.iter().any(|finding| {
                finding.kind == PathKind::A
                    && finding.class == Class::Service
                    && finding.who.name == scene.old.sam
                    && finding.what.contains("not finished")
            });
            ensure!(told, "{report}");
        } else {
            scene.is_done()?;
        }
    }
    // What is written down twice; two rooms and what holds them; each record twice.
    let count = records(stage, scene.id())?.len() as u64;
    ensure!(total == 2 + 3 + 2 * count, "{total} changes for {count} records");
    ensure!(!former_read);
    scene.is_done()?;
    scene.goes_on(&running).context("a running client, at the end")?;
    scene.goes_on(&scene.client(&scene.new)?).context("the new readers, at the end")?;
    scene.reads_nothing(&scene.old)
}

fn keys_that_are_made_meanwhile(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    // A connection on which the old readers group was read, and a key that is on its way over it.
    let mut stale = stage.open(&stage.maker)?.connect(0)?;
    stale.rights(scene.id())?;
    let operator = Operator::new(stage)?;
    let repository = stage.open(&operator.account)?;
    // A creator makes a key when the old group sees nothing any more and is still written down.
    let count = records(stage, scene.id())?.len() as u64;
    let mut made: Option<KeyId> = None;
    let report = carry_out(&repository, scene.id(), &scene.task(), Limits::default(), &mut |written| {
        if written == 1 + count + 3 {
            made = scene.group.roll("in the middle of it").ok().map(|new| new.key);
        }
        ControlFlow::Continue(())
    })?;
    nothing_left(&report)?;
    let made = made.context("no key was made")?;
    scene.is_done()?;
    let running = scene.client(&scene.both)?;
    scene.goes_on(&running)?;
    ensure!(running.view()?.ring.key(made).is_some_and(|key| key.distrust.is_none()));
    // The one on its way comes when all is done: it names the old readers, who don't see it, and does not count.
    let late = put_key(&mut stale, &scene, made)?;
    running.refresh()?;
    let view = running.view()?;
    ensure!(distrust(&view, late, &stage.maker.sid)? == Distrust::LooseAccessControl);
    scene.reads_nothing(&scene.old)?;
    nothing_left(&operator.run(scene.id(), &Task::Repair, Limits::default())??)?;
    scene.is_done()?;
    running.refresh()?;
    let why = running.view()?.ring.key(late).context("it has gone")?.distrust.clone();
    ensure!(why != Some(Distrust::LooseAccessControl), "{why:?}");
    Ok(())
}

/// Adds a key as a client does that has looked at the group a while ago.
fn put_key(connection: &mut Box<dyn Replica>, scene: &Scene<'_>, predecessor: KeyId) -> Result<KeyId> {
    let material = [9; 32];
    let at = scene.group.view()?.now.0 + 30 * 60_000;
    let key = KeyRecord {
        id: key_id(scene.id(), Family::Native, &material),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: at - 25 * 60_000,
        activates_at_ms: at,
        predecessor: Some(predecessor),
        attempt: 0,
        material: Material::Plain(material.into()),
        guid: None,
    };
    let (id, slot) = (key.id, key.slot());
    let put = connection.put(scene.id(), Room::Keys, &slot, &Record::Key(key).encode(scene.id()))?;
    ensure!(put == Put::Created);
    Ok(id)
}

fn not_replaced_by_what_can_be_none(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let empty = stage.readers(&[])?;
    let distribution = format!("CN=list-{},CN=Users,{}", empty.sam, stage.url().domain_dn());
    stage.with(|domain| {
        // GROUP_TYPE_RESOURCE_GROUP without GROUP_TYPE_SECURITY_ENABLED.
        domain.modify_ldif(&format!(
            "dn: {distribution}\nchangetype: add\nobjectClass: group\ngroupType: 4\nmember: {}\n",
            stage.maker.dn
        ))
    })?;
    let operator = Operator::new(stage)?;
    for (name, why) in [
        (empty.sam.as_str(), "nobody is in it"),
        (distribution.as_str(), "distribution group"),
        ("Domain Users", "the domain came with"),
        ("Administrators", "the domain came with"),
        (operator.recovery.sam.as_str(), "recovery group"),
        (scene.old.sam.as_str(), "it is no group"),
        ("nobody-at-all", "is no account or group"),
    ] {
        let to = Task::ReplaceReaders { to: name.to_owned() };
        match operator.run(scene.id(), &to, Limits::default())? {
            Err(error @ RepairError::NoReaders { .. }) => {
                ensure!(error.to_string().contains(why), "{name}: {error}");
            }
            other => anyhow::bail!("{name}: {other:?}"),
        }
    }
    scene.goes_on(&scene.client(&scene.old)?)?;
    let to = Task::ReplaceReaders { to: empty.sam.clone() };
    let limits = Limits { even_if_empty: true, ..Limits::default() };
    let report = operator.run(scene.id(), &to, limits)??;
    nothing_left(&report)?;
    let outside = &report.controllers[0].creators_outside;
    ensure!(outside.len() == 1 && outside[0].contains(&stage.maker.sid), "{report:?}");
    scene.reads_nothing(&scene.both)
}

fn not_past_what_cannot_be_changed(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let operator = Operator::new(stage)?;
    // A creator's object that the recovery group may neither read nor write.
    let keys = stage.room(scene.id(), Room::Keys)?;
    let person = Person::with_fresh_ticket(stage, &stage.maker)?;
    let own = super::encoded(stage, &format!("O:{0}G:DAD:PAI(A;;GA;;;{0})", stage.maker.sid))?;
    let junk = format!("CN=junk,{keys}");
    let ldif = format!("dn: {junk}\nchangetype: add\nobjectClass: contact\nnTSecurityDescriptor:: {own}\n");
    person.change(&ldif)?.done()?;
    match operator.run(scene.id(), &scene.task(), Limits::default())? {
        Err(RepairError::LeftBehind { left, .. }) => {
            ensure!(left.len() == 1 && left[0].dn == junk, "{left:?}")
        }
        other => anyhow::bail!("{other:?}"),
    }
    // Nothing was taken from anybody.
    scene.goes_on(&scene.client(&scene.old)?)?;
    let limits = Limits { leave_behind: true, ..Limits::default() };
    let report = operator.run(scene.id(), &scene.task(), limits)??;
    ensure!(report.controllers[0].left.len() == 1, "{report:?}");
    person.change(&format!("dn: {junk}\nchangetype: delete\n"))?.done()?;
    scene.is_done()?;
    scene.goes_on(&scene.client(&scene.new)?)?;
    scene.reads_nothing(&scene.old)
}
