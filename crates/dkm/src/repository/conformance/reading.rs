//! Listing and reading, while others write.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use dkm_core::{Digest, Room, SlotName};

use super::samples::{Sample, slot};
use super::{Fixture, Verdict, Violation, must};
use crate::repository::{Entry, Put, RepositoryError};

pub(super) fn acknowledged_puts_are_listed(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    const RECORDS: u32 = 150;
    let sample = Sample::announced(fixture)?;
    let (repository, group) = (&sample.repository, sample.group);
    let acknowledged = AtomicU32::new(0);
    let name = |n: u32| slot(&format!("record-{n:04}"));
    let write = || -> Result<(), Violation> {
        let mut connection = repository.connect(0)?;
        for n in 0..RECORDS {
            let put = connection.put(group, Room::Keys, &name(n)?, &n.to_be_bytes())?;
            must(put == Put::Created, || format!("a put to a free slot ended with {put:?}"))?;
            acknowledged.store(n + 1, Ordering::SeqCst);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let writer = scope.spawn(write);
        let mut kept = repository.connect(0)?;
        loop {
            let ended = writer.is_finished();
            for fresh in [false, true] {
                let before = acknowledged.load(Ordering::SeqCst);
                let mut opened = if fresh { Some(repository.connect(0)?) } else { None };
                let entries = opened.as_deref_mut().unwrap_or(kept.as_mut()).list(group, Room::Keys)?;
                let listed: BTreeSet<SlotName> = entries.into_iter().map(|entry| entry.name).collect();
                for n in 0..before {
                    must(listed.contains(&name(n)?), || {
                        format!("a record whose put was acknowledged is not listed ({n} of {before})")
                    })?;
                }
            }
            if ended {
                return writer.join().map_err(|_| Violation("the writer panicked".to_owned()))?;
            }
        }
    })?;
    Ok(Verdict::Held)
}

pub(super) fn records_are_whole_or_not_there(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    const RECORDS: u32 = 40;
    let sample = Sample::announced(fixture)?;
    let (repository, group) = (&sample.repository, sample.group);
    // A record that begins with the digest of the rest shows by itself whether it is whole.
    let record = |n: u32| {
        let body: Vec<u8> = n.to_be_bytes().iter().copied().cycle().take(20_000).collect();
        [Digest::of(&body).as_bytes().as_slice(), &body].concat()
    };
    let write = || -> Result<(), Violation> {
        let mut connection = repository.connect(0)?;
        for n in 0..RECORDS {
            connection.put(group, Room::Control, &slot(&format!("record-{n}"))?, &record(n))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let writer = scope.spawn(write);
        let mut connection = repository.connect(0)?;
        loop {
            let ended = writer.is_finished();
            for entry in connection.list(group, Room::Control)? {
                let stored = connection.get(group, Room::Control, &entry)?;
                let (digest, body) = stored.bytes.split_at(stored.bytes.len().min(32));
                must(digest == Digest::of(body).as_bytes(), || {
                    format!(
                        "record {} of {} bytes is served that is not whole",
                        entry.name,
                        stored.bytes.len()
                    )
                })?;
            }
            if ended {
                return writer.join().map_err(|_| Violation("the writer panicked".to_owned()))?;
            }
        }
    })?;
    Ok(Verdict::Held)
}

pub(super) fn other_connections_see_puts(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let mut older = sample.fresh()?;
    for n in 0..5 {
        let name = slot(&format!("record-{n}"))?;
        // Listing before the put must not keep the older connection from seeing it afterwards.
        older.list(sample.group, Room::Keys)?;
        sample.put(Room::Keys, &name, b"new")?;
        for (which, connection) in [("an older", &mut older), ("a fresh", &mut sample.fresh()?)] {
            let listed = connection.list(sample.group, Room::Keys)?;
            let Some(entry) = listed.iter().find(|entry| entry.name == name) else {
                return Err(Violation(format!("{which} connection does not see another's put")));
            };
            let read = connection.get(sample.group, Room::Keys, entry)?;
            must(read.bytes.as_slice() == b"new", || format!("{which} connection reads something else"))?;
        }
    }
    Ok(Verdict::Held)
}

pub(super) fn changes_change_stamps(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let name = slot("changed")?;
    sample.put(Room::Keys, &name, b"before")?;
    let mut stamps = BTreeSet::from([sample.entry(Room::Keys, &name)?.stamp]);
    for (n, bytes) in [b"after1", b"after2", b"after3", b"before"].into_iter().enumerate() {
        if !fixture.change(0, sample.group, &name, bytes) {
            return Ok(Verdict::Skipped("the fixture cannot change a record past the repository"));
        }
        let entry = sample.entry(Room::Keys, &name)?;
        let stored = sample.connection.get(sample.group, Room::Keys, &entry)?;
        must(stored.bytes.as_slice() == bytes, || {
            "a connection gives bytes that are not there any more".to_owned()
        })?;
        must(stamps.insert(entry.stamp), || format!("change {n} of a record's bytes kept its stamp"))?;
    }
    Ok(Verdict::Held)
}

pub(super) fn entries_that_are_gone_are_not_found(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let other = slot("other")?;
    sample.put(Room::Control, &other, b"x")?;
    let entry = sample.entry(Room::Control, &other)?;
    for (room, name) in [(Room::Control, slot("gone")?), (Room::Keys, other)] {
        let gone = Entry { name, stamp: entry.stamp.clone() };
        let read = sample.connection.get(sample.group, room, &gone);
        must(matches!(read, Err(RepositoryError::NotFound { .. })), || {
            format!("reading a record that is not there ended with {read:?}")
        })?;
    }
    Ok(Verdict::Held)
}

pub(super) fn origins_are_attested(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let mut creators = BTreeSet::new();
    for (n, room) in [Room::Control, Room::Keys, Room::Keys].into_iter().enumerate() {
        let name = slot(&format!("record-{n}"))?;
        let before = sample.connection.clock()?;
        sample.put(room, &name, b"x")?;
        let after = sample.connection.clock()?;
        let entry = sample.entry(room, &name)?;
        let attested = sample.connection.get(sample.group, room, &entry)?.attested;
        must(attested.template_ok, || "a new record's access control is not the template's".to_owned())?;
        must(!attested.creator.0.is_empty(), || "a record has no creator".to_owned())?;
        if let (Some(before), Some(after)) = (before, after) {
            // Stores keep times to the second or worse.
            let fits = before.minus(2_000) <= attested.created && attested.created <= after.plus(2_000);
            must(fits, || {
                format!("a record was taken at {} by a clock between {before} and {after}", attested.created)
            })?;
        }
        must(attested.created.0 > 0, || "a record has no time".to_owned())?;
        let again = sample.fresh()?.get(sample.group, room, &entry)?.attested;
        must(again == attested, || "a record is attested otherwise on another connection".to_owned())?;
        creators.insert(attested.creator);
    }
    must(creators.len() == 1, || format!("one account's records have the creators {creators:?}"))?;
    Ok(Verdict::Held)
}

pub(super) fn big_rooms_are_listed_whole(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    const RECORDS: u32 = 2_000;
    let mut sample = Sample::announced(fixture)?;
    for n in 0..RECORDS {
        sample.put(Room::Keys, &slot(&format!("record-{n}"))?, &n.to_be_bytes())?;
    }
    let mut connection = sample.fresh()?;
    let mut entries = connection.list(sample.group, Room::Keys)?;
    must(entries.len() == 2_000, || format!("of {RECORDS} records {} are listed", entries.len()))?;
    entries.sort();
    entries.dedup_by(|a, b| a.name == b.name);
    must(entries.len() == 2_000, || "a record is listed twice".to_owned())?;
    for entry in &entries {
        let n: Option<u32> = entry.name.as_str().strip_prefix("record-").and_then(|n| n.parse().ok());
        let bytes = connection.get(sample.group, Room::Keys, entry)?.bytes;
        must(n.is_some_and(|n| bytes.as_slice() == n.to_be_bytes()), || {
            format!("slot {} does not give back what was put", entry.name)
        })?;
    }
    Ok(Verdict::Held)
}

pub(super) fn records_spread(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let replicas = sample.repository.replicas();
    if replicas < 2 {
        return Ok(Verdict::Skipped("there is one replica"));
    }
    let name = slot("spread")?;
    for room in Room::ALL {
        sample.put(room, &name, b"spread")?;
    }
    fixture.spread();
    for replica in 0..replicas {
        let mut connection = sample.repository.connect(replica)?;
        must(connection.groups()?.contains(&sample.group), || format!("replica {replica} lacks the group"))?;
        for room in Room::ALL {
            let listed = connection.list(sample.group, room)?;
            let Some(entry) = listed.iter().find(|entry| entry.name == name) else {
                return Err(Violation(format!("replica {replica} lacks a record of {room}")));
            };
            let same = connection.get(sample.group, room, entry)?.bytes.as_slice() == b"spread";
            must(same, || format!("replica {replica} has other bytes"))?;
        }
    }
    Ok(Verdict::Held)
}
