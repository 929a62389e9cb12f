//! Erasing what has a tombstone, and nothing else.

use dkm_core::record::{Change, Purpose};
use dkm_core::{GroupId, Room, SlotName};

use super::samples::{Sample, key, restored, status, tombstone};
use super::{Fixture, Verdict, Violation, must};
use crate::repository::{Entry, Put, RepositoryError};

fn not_erased(sample: &mut Sample, entry: &Entry, why: &str) -> Result<(), Violation> {
    let shred = sample.connection.shred(sample.group, entry);
    must(matches!(shred, Err(RepositoryError::NotTombstoned { .. })), || {
        format!("erasing {why} ended with {shred:?}")
    })
}

fn is_gone(sample: &mut Sample, entry: &Entry) -> Result<(), Violation> {
    for mut connection in [sample.fresh()?, sample.fresh()?] {
        let listed = connection.list(sample.group, Room::Keys)?.iter().any(|e| e.name == entry.name);
        must(!listed, || "an erased record is still listed".to_owned())?;
        let read = connection.get(sample.group, Room::Keys, entry);
        must(matches!(read, Err(RepositoryError::NotFound { .. })), || {
            format!("reading an erased record ended with {read:?}")
        })?;
    }
    Ok(())
}

pub(super) fn keys_without_tombstone_are_not_erased(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let (id, record) = key(sample.group)?;
    let name = sample.put_record(&record)?;
    let entry = sample.entry(Room::Keys, &name)?;
    not_erased(&mut sample, &entry, "a key that is in use")?;
    for change in [Change::Suspended, Change::Deactivated, Change::Compromised] {
        sample.put_record(&status(id, change, Purpose::Ordinary))?;
        not_erased(&mut sample, &entry, &format!("a key that is {change:?}"))?;
    }
    let (other, _) = key(sample.group)?;
    sample.put_record(&tombstone(other))?;
    not_erased(&mut sample, &entry, "a key when another was destroyed")?;
    let notice = status(id, Change::Resumed, Purpose::InUse);
    let name = sample.put_record(&notice)?;
    let entry = sample.entry(Room::Keys, &name)?;
    not_erased(&mut sample, &entry, "a record that is no key")?;
    sample.holds(Room::Keys, &name, &notice.encode(sample.group))?;
    sample.holds(Room::Keys, &record.slot(sample.group, 0), &record.encode(sample.group))?;
    Ok(Verdict::Held)
}

pub(super) fn keys_with_tombstone_are_erased(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let (id, record) = key(sample.group)?;
    let (_, kept) = key(sample.group)?;
    let again = restored(&record);
    let kept_name = sample.put_record(&kept)?;
    let names: [SlotName; 2] = [sample.put_record(&record)?, sample.put_record(&again)?];
    let grave = sample.put_record(&tombstone(id))?;
    for name in names {
        let entry = sample.entry(Room::Keys, &name)?;
        sample.connection.shred(sample.group, &entry)?;
        is_gone(&mut sample, &entry)?;
        // A second client erases the same record.
        sample.fresh()?.shred(sample.group, &entry)?;
    }
    sample.holds(Room::Keys, &kept_name, &kept.encode(sample.group))?;
    sample.holds(Room::Control, &grave, &tombstone(id).encode(sample.group))?;
    Ok(Verdict::Held)
}

pub(super) fn tombstones_lie_in_control_only(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let (id, record) = key(sample.group)?;
    let name = sample.put_record(&record)?;
    // A creator can write this, and creators destroy nothing.
    let forged = tombstone(id);
    sample.put(Room::Keys, &forged.slot(sample.group, 0), &forged.encode(sample.group))?;
    // A tombstone of another group, copied here.
    let foreign = GroupId([9; 16]);
    sample.put(Room::Control, &forged.slot(foreign, 0), &forged.encode(foreign))?;
    let entry = sample.entry(Room::Keys, &name)?;
    not_erased(&mut sample, &entry, "a key whose tombstone is in the wrong place")?;
    let again = restored(&record);
    sample.put_record(&again)?;
    sample.holds(Room::Keys, &name, &record.encode(sample.group))?;
    Ok(Verdict::Held)
}

pub(super) fn destroyed_keys_are_not_taken_again(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let (id, record) = key(sample.group)?;
    let again = restored(&record);
    // Before its key has ever been here, as on a replica that lags behind.
    sample.put_record(&tombstone(id))?;
    for record in [record, again] {
        let name = record.slot(sample.group, 0);
        for mut connection in [sample.fresh()?, sample.fresh()?] {
            let put = connection.put(sample.group, Room::Keys, &name, &record.encode(sample.group))?;
            must(put == Put::Tombstoned, || format!("a put of a destroyed key ended with {put:?}"))?;
        }
        let entries = sample.entries(Room::Keys, &name)?;
        must(entries.is_empty(), || "a destroyed key is listed after its put was refused".to_owned())?;
    }
    let (_, other) = key(sample.group)?;
    sample.put_record(&other)?;
    Ok(Verdict::Held)
}

pub(super) fn returning_material_is_erased(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let (id, record) = key(sample.group)?;
    let name = sample.put_record(&record)?;
    let entry = sample.entry(Room::Keys, &name)?;
    sample.put_record(&tombstone(id))?;
    erase_everywhere(fixture, &sample, &name)?;
    for replica in 0..sample.repository.replicas() {
        if !fixture.bring_back(replica, sample.group, &name, &record.encode(sample.group)) {
            return Ok(Verdict::Skipped("the fixture cannot bring records in past the repository"));
        }
        erase_everywhere(fixture, &sample, &name)?;
        let put = sample.connection.put(sample.group, Room::Keys, &name, &record.encode(sample.group))?;
        must(put == Put::Tombstoned, || format!("a put of a destroyed key ended with {put:?}"))?;
    }
    is_gone(&mut sample, &entry)?;
    Ok(Verdict::Held)
}

/// What clients do at each refresh: erase a destroyed key wherever it is listed. A repository may do it by itself.
fn erase_everywhere(fixture: &mut dyn Fixture, sample: &Sample, name: &SlotName) -> Result<(), Violation> {
    let listed = |replica: usize| -> Result<_, Violation> {
        let mut connection = sample.repository.connect(replica)?;
        let found = connection.list(sample.group, Room::Keys)?.into_iter().find(|entry| entry.name == *name);
        Ok((connection, found))
    };
    fixture.spread();
    for replica in 0..sample.repository.replicas() {
        if let (mut connection, Some(entry)) = listed(replica)? {
            connection.shred(sample.group, &entry)?;
        }
    }
    fixture.spread();
    for replica in 0..sample.repository.replicas() {
        let (_, found) = listed(replica)?;
        must(found.is_none(), || "material of a destroyed key has come back and stays".to_owned())?;
    }
    Ok(())
}
