//! An elevator that means ill: dkmd's account in the hands of somebody else.

use anyhow::{Context as _, Result, ensure};
use dkm::Policy;
use dkm::core::kdf::key_id;
use dkm::core::record::{
    Change, ExposedRecord, Family, GroupRecord, KeyRecord, Material, Origin, PolicyRecord, Purpose, Record,
    RosterRecord, StatusRecord, public_part,
};
use dkm::core::ring::{Distrust, KeyState};
use dkm::core::{KeyId, RepositoryId, Room, SlotName};
use dkm::repository::{Put, Repository as _, RepositoryError};

use dkm_testbed::Scope;

use super::{LONG_MS, Scene, now, request};
use crate::access::context;
use crate::person::{DACL, INSUFFICIENT_ACCESS, Person, base64, encoded};
use crate::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("elevators_records_count_only_as_exposures", records_count_only_as_exposures),
    ("elevators_bury_and_squat_nothing", bury_and_squat_nothing),
    ("elevators_read_no_key_and_touch_no_other_group", read_no_key_and_touch_no_other_group),
    ("elevators_who_let_themselves_add_keys_gain_nothing", who_let_themselves_add_keys_gain_nothing),
];

fn odd(error: anyhow::Error) -> RepositoryError {
    RepositoryError::Invalid(error.to_string())
}

impl Scene<'_> {
    fn key(&self) -> Result<KeyId> {
        Ok(self.group.view()?.ring.keys.first().context("no key")?.id())
    }

    /// Puts a record as the elevator, as a client does.
    fn put(&self, record: &Record, slot: &SlotName) -> Result<Put, RepositoryError> {
        let mut connection = self.stage.open(&self.stage.elevator).map_err(odd)?.connect(0)?;
        connection.put(self.id(), Room::Control, slot, &record.encode(self.id()))
    }

    /// Puts an object where an elevator may, and says that it is `owner`'s: Samba takes that.
    fn smuggle(&self, elevator: &Person, bytes: &[u8], slot: &SlotName, owner: &str) -> Result<()> {
        let descriptor = self.stage.with(|domain| {
            let found = domain.search(&self.objects.control, Scope::One, "(objectClass=contact)", &["cn"])?;
            domain.descriptor(&found.first().context("no record")?.dn)
        })?;
        let (_, rest) = descriptor.split_once("G:").context("no owner")?;
        let rest = rest.split("S:AI").next().unwrap_or(rest);
        let descriptor = encoded(self.stage, &format!("O:{owner}G:{rest}"))?;
        let key = self.key()?;
        let ldif = format!(
            "dn: CN={slot},CN=exposures,{}\nchangetype: add\nobjectClass: contact\ndisplayName: {slot}\n\
             thumbnailPhoto:: {}\nl: {key}\nnTSecurityDescriptor:: {descriptor}\n",
            self.objects.control,
            base64(bytes)
        );
        elevator.change(&ldif)?.done().map(drop)
    }

    /// Why a member is not given what is in a slot of `control`.
    fn why_unread(&self, slot: &SlotName) -> Result<String> {
        let mut connection = self.stage.open(&self.stage.maker)?.connect(0)?;
        let entries = connection.list(self.id(), Room::Control)?;
        // The owners' own records of that name are read beside it.
        for entry in entries.iter().filter(|entry| entry.name == *slot) {
            if let Err(RepositoryError::Unreadable { why, .. }) =
                connection.get(self.id(), Room::Control, entry)
            {
                return Ok(why);
            }
        }
        anyhow::bail!("it is read, or not listed")
    }

    fn status(&self, change: Change) -> Result<Record> {
        Ok(Record::Status(StatusRecord {
            key: self.key()?,
            change,
            purpose: Purpose::Ordinary,
            reason: "because".to_owned(),
            epoch: 1,
            answers: Vec::new(),
            when_ms: now().0,
        }))
    }
}

fn records_count_only_as_exposures(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let before = scene.group.view()?;
    let heads = before.ring.policies.heads().to_vec();
    let mut records = vec![
        Record::Group(GroupRecord {
            name: "another-name".to_owned(),
            created_at_ms: 1,
            repository: RepositoryId([7; 16]),
            roster_genesis: None,
            description: None,
        }),
        Record::Policy(PolicyRecord {
            version: 2,
            previous: heads,
            created_at_ms: now().0,
            policy: Policy { rotation_period_ms: 77 * 86_400_000, ..before.policy.clone() },
        }),
        Record::Roster(RosterRecord {
            version: 1,
            previous: Vec::new(),
            created_at_ms: now().0,
            persons: Vec::new(),
            levels: Vec::new(),
            change_delay_ms: 0,
            signatures: Vec::new(),
            elevation: None,
        }),
        Record::Key(planted(&scene, 9)?),
    ];
    for change in
        [Change::Suspended, Change::Resumed, Change::Deactivated, Change::Compromised, Change::Destroyed]
    {
        records.push(scene.status(change)?);
    }
    let elevator = Person::with_fresh_ticket(stage, &stage.elevator)?;
    let mut litter = 0;
    for record in &records {
        let slot = record.slot(scene.id(), 0);
        // Among the owners' records it can't put any.
        let denied = scene.put(record, &format!("of-{}", record.kind()).parse()?);
        ensure!(matches!(denied, Err(RepositoryError::Denied { .. })), "{denied:?}");
        // In its own room a record counts for nothing, in its own slot or another, in whoever's name.
        for owner in [&stage.elevator.sid, &stage.maker.sid] {
            litter += 1;
            let slots = [slot.clone(), format!("litter-{litter}").parse()?];
            for slot in &slots[usize::from(*owner == stage.maker.sid)..] {
                scene.smuggle(&elevator, &record.encode(scene.id()), slot, owner)?;
                let why = scene.why_unread(slot)?;
                ensure!(why.contains("an elevator"), "{}: {why}", record.kind_name());
            }
        }
    }
    let garbage: SlotName = "garbage".parse()?;
    scene.smuggle(&elevator, b"no record", &garbage, &stage.maker.sid)?;
    ensure!(scene.why_unread(&garbage)?.contains("an elevator"));
    // It announces no group either.
    let other = dkm::core::GroupId(request().0);
    let announced = format!(
        "dn: CN=announced,CN=exposures,{}\nchangetype: add\nobjectClass: contact\n\
         displayName: announced {other}\nnTSecurityDescriptor:: {}\n",
        scene.objects.control,
        encoded(stage, "D:PAI(A;;GA;;;SY)(A;;RPRC;;;AU)")?
    );
    elevator.change(&announced)?.done()?;
    ensure!(!stage.open(&stage.maker)?.connect(0)?.groups()?.contains(&other));
    for group in [scene.group.clone(), stage.client(&stage.maker)?.group(&scene.id().to_string())?] {
        group.refresh()?;
        let view = group.view()?;
        ensure!(view.policy == before.policy && view.ring.name == before.ring.name, "{view:?}");
        ensure!(view.ring.keys.len() == 1 && view.ring.keys[0].state(view.now) == KeyState::Active);
        ensure!(view.ring.findings.is_empty() && view.ring.exposures.is_empty(), "{:?}", view.ring);
        ensure!(view.unread.len() > records.len(), "each is told: {:?}", view.unread);
        ensure!(group.rosters(&|_, _, _| true)?.genesis.is_none());
        group.protect(&context(), b"x")?;
    }
    // What it is there for counts.
    let exposed = Record::Exposed(ExposedRecord {
        from_ms: now().0,
        until_ms: now().0 + LONG_MS,
        who: "person:alice".to_owned(),
        grant: request().to_string(),
    });
    ensure!(scene.put(&exposed, &exposed.slot(scene.id(), 0))? == Put::Created);
    ensure!(scene.put(&exposed, &exposed.slot(scene.id(), 0))? == Put::Taken);
    // It reads that back before it lets anybody in.
    let mut connection = stage.open(&stage.elevator)?.connect(0)?;
    let entries = connection.list(scene.id(), Room::Control)?;
    let entry =
        entries.iter().find(|entry| entry.name == exposed.slot(scene.id(), 0)).context("not listed")?;
    ensure!(*connection.get(scene.id(), Room::Control, entry)?.bytes == exposed.encode(scene.id()));
    scene.group.refresh()?;
    let view = scene.group.view()?;
    ensure!(view.ring.exposures.len() == 1 && view.ring.keys[0].is_exposed(now().plus(1)), "{:?}", view.ring);
    // The room may be renamed, as any object: what is in it stays what it was.
    let (before, room) = (view.ring.clone(), format!("CN=exposures,{}", scene.objects.control));
    stage.with(|domain| domain.rename(&room, &format!("CN=renamed,{}", scene.objects.control)))?;
    for group in [scene.group.clone(), stage.client(&stage.maker)?.group(&scene.id().to_string())?] {
        group.refresh()?;
        ensure!(group.view()?.ring == before, "{:?}", group.view()?.ring);
    }
    // Its client knows what it may do: nothing of that.
    let view = stage.client(&stage.elevator)?.group(&scene.id().to_string())?.view()?;
    ensure!(!view.rights.read && !view.rights.create && !view.rights.own, "{:?}", view.rights);
    Ok(())
}

fn bury_and_squat_nothing(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let elevator = Person::with_fresh_ticket(stage, &stage.elevator)?;
    let smuggle = |record: &Record, slot: &SlotName| {
        scene.smuggle(&elevator, &record.encode(scene.id()), slot, &stage.maker.sid)
    };
    let tombstone = scene.status(Change::Destroyed)?;
    smuggle(&tombstone, &tombstone.slot(scene.id(), 0))?;
    // Neither is the key's material taken for buried, nor is it erased by those who may erase.
    let mut maker = stage.open(&stage.maker)?.connect(0)?;
    let entries = maker.list(scene.id(), Room::Keys)?;
    let entry = entries.first().context("no key")?;
    let bytes = maker.get(scene.id(), Room::Keys, entry)?.bytes;
    let elsewhere = SlotName::for_restored_key(scene.key()?);
    ensure!(maker.put(scene.id(), Room::Keys, &elsewhere, &bytes)? == Put::Created);
    let shredded = maker.shred(scene.id(), entry);
    ensure!(matches!(shredded, Err(RepositoryError::NotTombstoned { .. })), "{shredded:?}");
    // In its room the slot of the next policy is taken; the owners' is not.
    scene.group.refresh()?;
    let policy = scene.group.policy()?;
    let heads = scene.group.view()?.ring.policies.heads().to_vec();
    let squat = Record::Policy(PolicyRecord {
        version: 2,
        previous: heads.clone(),
        created_at_ms: 1,
        policy: policy.clone(),
    });
    smuggle(&squat, &SlotName::for_chained("policy", &heads, 0))?;
    let changed = Policy { rotation_period_ms: 80 * 86_400_000, ..policy };
    scene.group.set_policy(changed.clone())?;
    ensure!(scene.group.policy()? == changed);
    // So does whoever destroys a key in truth.
    scene.group.compromise(scene.key()?, "known to others")?;
    Ok(())
}

fn read_no_key_and_touch_no_other_group(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let elevator = Person::with_fresh_ticket(stage, &stage.elevator)?;
    let objects = &scene.objects;
    for (base, scope) in [(&objects.key, "base"), (&objects.key_guid, "base"), (&objects.keys, "sub")] {
        let answer =
            elevator.search(base, scope, "(objectClass=contact)", &["*", "thumbnailPhoto", "info"])?;
        ensure!(answer.entries() == 0, "{answer:?}");
    }
    let readers = scene.group_dn("readers");
    let recovery = format!("CN=recovery,{}", stage.url().container_dn());
    let (me, person) = (&stage.elevator.dn, stage.account("person")?);
    let mut changes = Vec::new();
    for dn in [&readers, &recovery] {
        for member in [me, &person.dn] {
            changes.push(format!("dn: {dn}\nchangetype: modify\nadd: member\nmember: {member}\n"));
        }
        changes.push(format!("dn: {dn}\nchangetype: modify\nreplace: member\n"));
        changes.push(format!("dn: {dn}\nchangetype: delete\n"));
    }
    changes.push(format!("dn: {}\nchangetype: delete\n", scene.group_dn("elevated")));
    let control = &objects.control;
    changes.push(format!(
        "dn: {control}\nchangetype: modify\nadd: description\ndescription: owner {}\n",
        stage.elevator.sid
    ));
    changes.push(format!("dn: {}\nchangetype: delete\n", objects.key));
    for dn in [&readers, &recovery, control, &objects.container, &objects.key, &scene.group_dn("elevated")] {
        let dacl = encoded(stage, "D:PAI(A;;GA;;;AU)")?;
        changes.push(format!(
            "dn: {dn}\ncontrol: {DACL}\nchangetype: modify\nreplace: nTSecurityDescriptor\n\
             nTSecurityDescriptor:: {dacl}\n"
        ));
    }
    let refused = elevator.changes_refused(&changes)?;
    ensure!(refused == changes.len(), "{refused} of {} were refused", changes.len());
    // A key can't be put among the keys as things are.
    let (slot, ldif) = key_object(&scene, 8)?;
    elevator.change(&ldif)?.refused_with(INSUFFICIENT_ACCESS)?;
    scene.others_go_on()?;
    ensure!(scene.group.view()?.ring.key(slot).is_none());
    Ok(())
}

/// A key of the elevator's, in its place after the one that is there.
fn planted(scene: &Scene<'_>, secret: u8) -> Result<KeyRecord> {
    let material = [secret; 32];
    Ok(KeyRecord {
        id: key_id(scene.id(), Family::Native, &material),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: now().0,
        activates_at_ms: now().0 + scene.group.policy()?.activation_delay_ms + 60_000,
        predecessor: Some(scene.key()?),
        attempt: 0,
        material: Material::Plain(material.into()),
        guid: None,
    })
}

fn key_object(scene: &Scene<'_>, secret: u8) -> Result<(KeyId, String)> {
    let key = planted(scene, secret)?;
    let (id, slot) = (key.id, key.slot());
    let bytes = Record::Key(key).encode(scene.id());
    let public = public_part(&bytes).context("no public part")?;
    let honest = scene.stage.with(|domain| domain.descriptor(&scene.objects.key))?;
    let (_, rest) = honest.split_once("G:").context("no owner")?;
    let rest = rest.split("S:AI").next().unwrap_or(rest);
    let descriptor = encoded(scene.stage, &format!("O:{}G:{rest}", scene.stage.elevator.sid))?;
    let ldif = format!(
        "dn: CN={slot},{}\nchangetype: add\nobjectClass: contact\ndisplayName: {slot}\n\
         thumbnailPhoto:: {}\ninfo: {}\nnTSecurityDescriptor:: {descriptor}\n",
        scene.objects.keys,
        base64(&bytes),
        base64(&public)
    );
    Ok((id, ldif))
}

/// Who writes the room's DACL can give himself the right to add keys, add one, and take the right away again.
fn who_let_themselves_add_keys_gain_nothing(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let elevator = Person::with_fresh_ticket(stage, &stage.elevator)?;
    let keys = &scene.objects.keys;
    let before = stage.with(|domain| domain.descriptor(keys))?;
    let dacl = before.split_once("D:").context("no DACL")?.1;
    let dacl = dacl.split("S:").next().unwrap_or(dacl);
    let opened = format!("D:{dacl}(A;;CCDC;;;{})", stage.elevator.sid);
    elevator.set_descriptor(stage, keys, DACL, &opened)?.done()?;
    let (id, ldif) = key_object(&scene, 8)?;
    elevator.change(&ldif)?.done()?;
    // While the room is open every client tells.
    scene.group.refresh()?;
    let view = scene.group.view()?;
    ensure!(view.access.iter().any(|line| line.alarming && line.may.contains("CCDC")), "{:?}", view.access);
    elevator.set_descriptor(stage, keys, DACL, &format!("D:{dacl}"))?.done()?;
    ensure!(stage.with(|domain| domain.descriptor(keys))? == before);
    for group in [scene.group.clone(), stage.client(&stage.maker)?.group(&scene.id().to_string())?] {
        group.refresh()?;
        let view = group.view()?;
        let key = view.ring.key(id).context("the key is not seen")?;
        ensure!(key.distrust == Some(Distrust::LooseAccessControl), "{:?}", key.distrust);
        ensure!(!view.access.iter().any(|line| line.alarming), "{:?}", view.access);
        ensure!(view.protecting.is_ok_and(|protecting| protecting != id));
        group.protect(&context(), b"x")?;
    }
    Ok(())
}
