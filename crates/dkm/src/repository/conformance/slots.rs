//! Slots: create-only, of all lengths, contended for.

use std::sync::Barrier;
use std::thread;

use dkm_core::record::RECORD_LEN_MAX;
use dkm_core::slot::SLOT_NAME_LEN_MAX;
use dkm_core::{Room, SlotName};

use super::samples::{Sample, slot};
use super::{Fixture, Verdict, Violation, must};
use crate::repository::{Put, RepositoryError};

pub(super) fn puts_create_only(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let name = slot("contended")?;
    for room in Room::ALL {
        sample.put(room, &name, b"first")?;
        for bytes in [b"other".as_slice(), b"first", b""] {
            for mut connection in [sample.fresh()?, sample.fresh()?] {
                let put = connection.put(sample.group, room, &name, bytes);
                let refused = matches!(put, Ok(Put::Taken) | Err(RepositoryError::Invalid(_)));
                must(refused && (bytes.is_empty() || put == Ok(Put::Taken)), || {
                    format!("a put to a taken slot ended with {put:?}")
                })?;
            }
        }
        sample.holds(room, &name, b"first")?;
    }
    Ok(Verdict::Held)
}

pub(super) fn one_of_many_writers_wins(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    const WRITERS: u8 = 6;
    const ROUNDS: u8 = 20;
    let mut sample = Sample::announced(fixture)?;
    for round in 0..ROUNDS {
        let name = slot(&format!("round-{round}"))?;
        let room = Room::ALL[usize::from(round % 2)];
        let barrier = Barrier::new(usize::from(WRITERS));
        let write = |writer: u8| -> Result<Put, RepositoryError> {
            let connection = sample.repository.connect(0);
            // A writer that has no connection must not keep the others waiting.
            barrier.wait();
            connection?.put(sample.group, room, &name, &[writer; 300])
        };
        let puts: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let write = &write;
                    scope.spawn(move || (writer, write(writer)))
                })
                .collect();
            writers.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let mut winners = Vec::new();
        for put in puts {
            let (writer, put) = put.map_err(|_| Violation("a writer panicked".to_owned()))?;
            match put? {
                Put::Created => winners.push(writer),
                Put::Taken => {}
                Put::Tombstoned => return Err(Violation("no key was destroyed".to_owned())),
            }
        }
        let [winner] = winners[..] else {
            return Err(Violation(format!("{} of {WRITERS} writers were told that they won", winners.len())));
        };
        sample.holds(room, &name, &[winner; 300])?;
    }
    Ok(Verdict::Held)
}

pub(super) fn names_of_all_lengths_work(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let mut names: Vec<String> = (1..=SLOT_NAME_LEN_MAX).map(|len| "n".repeat(len)).collect();
    names.extend(["-", "--", "-rf", "0", "a-", "control", "keys"].map(str::to_owned));
    let longest = "z".repeat(SLOT_NAME_LEN_MAX - 1);
    names.extend([format!("{longest}a"), format!("{longest}b")]);
    for name in &names {
        sample.put(Room::Control, &slot(name)?, name.as_bytes())?;
    }
    let mut listed: Vec<SlotName> =
        sample.connection.list(sample.group, Room::Control)?.into_iter().map(|entry| entry.name).collect();
    listed.sort();
    let mut expected: Vec<SlotName> = names.iter().map(|name| slot(name)).collect::<Result<_, _>>()?;
    expected.sort();
    must(listed == expected, || format!("of the slots {expected:?} it lists {listed:?}"))?;
    for name in &names {
        sample.holds(Room::Control, &slot(name)?, name.as_bytes())?;
    }
    Ok(Verdict::Held)
}

pub(super) fn records_of_all_lengths_work(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    for len in [1, 2, 100, 4_095, 4_096, 4_097, 65_535, RECORD_LEN_MAX] {
        let bytes: Vec<u8> = (1..=251u8).cycle().take(len).collect();
        for room in Room::ALL {
            let name = slot(&format!("len-{len}"))?;
            sample.put(room, &name, &bytes)?;
            sample.holds(room, &name, &bytes)?;
        }
    }
    for len in [0, RECORD_LEN_MAX + 1] {
        let name = slot(&format!("refused-{len}"))?;
        let put = sample.connection.put(sample.group, Room::Keys, &name, &vec![1; len]);
        must(matches!(put, Err(RepositoryError::Invalid(_))), || {
            format!("a put of {len} bytes ended with {put:?}")
        })?;
        must(sample.entries(Room::Keys, &name)?.is_empty(), || format!("a record of {len} bytes is listed"))?;
    }
    Ok(Verdict::Held)
}

pub(super) fn twins_are_two_entries(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    for room in Room::ALL {
        let name = slot("conflict")?;
        sample.put(room, &name, b"one")?;
        if !fixture.twin(0, sample.group, room, &name, b"other") {
            return Ok(Verdict::Skipped("a slot of this repository cannot hold two records"));
        }
        let entries = sample.entries(room, &name)?;
        must(entries.len() == 2, || format!("two records in a slot are {} entries", entries.len()))?;
        must(entries[0].stamp != entries[1].stamp, || "twins have the same stamp".to_owned())?;
        let mut bytes = Vec::new();
        for entry in &entries {
            bytes.push(sample.connection.get(sample.group, room, entry)?.bytes.to_vec());
        }
        bytes.sort();
        must(bytes == [b"one".to_vec(), b"other".to_vec()], || "twins are not read as they are".to_owned())?;
        let put = sample.connection.put(sample.group, room, &name, b"third")?;
        must(put == Put::Taken, || format!("a put to a slot with twins ended with {put:?}"))?;
    }
    Ok(Verdict::Held)
}
