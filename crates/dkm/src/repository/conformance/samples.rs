//! Groups and records for the cases.

use std::sync::Arc;

use dkm_core::kdf::key_id;
use dkm_core::record::{Change, Family, KeyRecord, Material, Origin, Purpose, Record, StatusRecord};
use dkm_core::{GroupId, KeyId, Room, SlotName};
use zeroize::Zeroizing;

use super::{Fixture, Violation, must};
use crate::repository::{Entry, Put, Replica, Repository, RepositoryError};

fn random<const N: usize>() -> Result<[u8; N], Violation> {
    let mut bytes = [0u8; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Violation("the system gives no randomness".to_owned()))?;
    Ok(bytes)
}

pub(super) fn random_group() -> Result<GroupId, Violation> {
    random().map(GroupId)
}

pub(super) fn slot(text: &str) -> Result<SlotName, Violation> {
    text.parse().map_err(|error| Violation(format!("{text}: {error}")))
}

/// A group of the fixture on replica 0, and what a case does with it.
pub(super) struct Sample {
    pub(super) repository: Arc<dyn Repository>,
    pub(super) connection: Box<dyn Replica>,
    pub(super) group: GroupId,
}

impl Sample {
    /// An announced group.
    pub(super) fn announced(fixture: &dyn Fixture) -> Result<Self, Violation> {
        let mut sample = Self::staged(fixture)?;
        sample.connection.announce_group(sample.group)?;
        Ok(sample)
    }

    /// A group that is not announced.
    pub(super) fn staged(fixture: &dyn Fixture) -> Result<Self, Violation> {
        let repository = fixture.repository();
        let mut connection = repository.connect(0)?;
        let group = random_group()?;
        connection.create_group(group, &fixture.access())?;
        Ok(Self { repository, connection, group })
    }

    pub(super) fn fresh(&self) -> Result<Box<dyn Replica>, Violation> {
        Ok(self.repository.connect(0)?)
    }

    /// Puts a record that must be taken.
    pub(super) fn put(&mut self, room: Room, name: &SlotName, bytes: &[u8]) -> Result<(), Violation> {
        let put = self.connection.put(self.group, room, name, bytes)?;
        must(put == Put::Created, || format!("a put to the free slot {name} of {room} ended with {put:?}"))
    }

    pub(super) fn put_record(&mut self, record: &Record) -> Result<SlotName, Violation> {
        let name = record.slot(self.group, 0);
        self.put(record.room(), &name, &record.encode(self.group))?;
        Ok(name)
    }

    /// The entries of one slot.
    pub(super) fn entries(&mut self, room: Room, name: &SlotName) -> Result<Vec<Entry>, Violation> {
        let entries = self.connection.list(self.group, room)?;
        Ok(entries.into_iter().filter(|entry| entry.name == *name).collect())
    }

    /// The one entry of a slot.
    pub(super) fn entry(&mut self, room: Room, name: &SlotName) -> Result<Entry, Violation> {
        let mut entries = self.entries(room, name)?;
        must(entries.len() == 1, || format!("slot {name} has {} entries, not one", entries.len()))?;
        entries.pop().ok_or_else(|| Violation(String::new()))
    }

    /// What a slot holds, read by a fresh connection too.
    pub(super) fn holds(&mut self, room: Room, name: &SlotName, bytes: &[u8]) -> Result<(), Violation> {
        let entry = self.entry(room, name)?;
        let same = self.connection.get(self.group, room, &entry)?.bytes.as_slice() == bytes;
        must(same, || format!("slot {name} of {room} does not give back what was put"))?;
        let mut fresh = self.fresh()?;
        let listed = fresh.list(self.group, room)?.into_iter().find(|entry| entry.name == *name);
        let Some(entry) = listed else {
            return Err(Violation(format!("a fresh connection does not list slot {name} of {room}")));
        };
        let same = fresh.get(self.group, room, &entry)?.bytes.as_slice() == bytes;
        must(same, || format!("slot {name} of {room} gives a fresh connection something else"))
    }
}

/// A key record of the group with random material.
pub(super) fn key(group: GroupId) -> Result<(KeyId, Record), Violation> {
    let material = Zeroizing::new(random::<32>()?);
    let id = key_id(group, Family::Native, &material);
    let predecessor = Some(KeyId(random()?));
    let record = Record::Key(KeyRecord {
        id,
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1_000,
        activates_at_ms: 2_000,
        predecessor,
        attempt: 0,
        material: Material::Plain(material),
        guid: None,
    });
    Ok((id, record))
}

/// The same key as it comes back from an archive, in another slot.
pub(super) fn restored(key: &Record) -> Record {
    match key {
        Record::Key(key) => {
            Record::Key(KeyRecord { origin: Origin::Restored, predecessor: None, ..key.clone() })
        }
        other => other.clone(),
    }
}

pub(super) fn status(key: KeyId, change: Change, purpose: Purpose) -> Record {
    Record::Status(StatusRecord {
        key,
        change,
        purpose,
        reason: "conformance".to_owned(),
        epoch: 0,
        answers: Vec::new(),
        when_ms: 3_000,
    })
}

pub(super) fn tombstone(key: KeyId) -> Record {
    status(key, Change::Destroyed, Purpose::Ordinary)
}

/// Refused as a group is that is not there, or that the account may not read.
pub(super) fn is_refusal(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::NotFound { .. } | RepositoryError::Denied { .. })
}

/// A violation unless an operation was refused.
pub(super) fn refused<T>(what: &str, result: Result<T, RepositoryError>) -> Result<(), Violation> {
    match result {
        Ok(_) => Err(Violation(format!("{what} was allowed"))),
        Err(error) => must(is_refusal(&error), || format!("{what} was refused with another error: {error}")),
    }
}
