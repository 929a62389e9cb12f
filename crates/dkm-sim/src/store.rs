//! A simulated replica: a grow-only set of records, create-only slots, tombstones that erase.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dkm_core::record::{Change, Record};
use dkm_core::ring::Observed;
use dkm_core::{Digest, KeyId, ReplicaId, Room, SlotName};

/// Where a record lies, and which it is: twins share a slot.
pub(crate) type Place = (Room, SlotName, Digest);

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    Created,
    Taken,
    Tombstoned,
}

/// One replica's records.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) id: ReplicaId,
    pub(crate) records: BTreeMap<Place, Arc<Observed>>,
    /// Slots of the keys room with bytes that are no record.
    pub(crate) unread: BTreeSet<SlotName>,
    tombstones: BTreeSet<KeyId>,
    /// Whether tombstones erase; the proof switches it off.
    keeps_tombstones: bool,
}

fn key_of(seen: &Observed) -> Option<KeyId> {
    if let Record::Key(key) = &seen.record { Some(key.id) } else { None }
}

impl Store {
    pub(crate) fn new(id: ReplicaId, keeps_tombstones: bool) -> Self {
        Self {
            id,
            records: BTreeMap::new(),
            unread: BTreeSet::new(),
            tombstones: BTreeSet::new(),
            keeps_tombstones,
        }
    }

    /// Whether a slot holds a record.
    pub(crate) fn is_taken(&self, room: Room, name: &SlotName) -> bool {
        if room == Room::Keys && self.unread.contains(name) {
            return true;
        }
        let first = (room, name.clone(), Digest([0; 32]));
        self.records.range(first..).next().is_some_and(|((r, n, _), _)| *r == room && n == name)
    }

    /// A create-only put.
    pub(crate) fn put(&mut self, seen: Arc<Observed>) -> Put {
        if key_of(&seen).is_some_and(|key| self.tombstones.contains(&key)) {
            return Put::Tombstoned;
        }
        if self.is_taken(seen.room, &seen.name) {
            return Put::Taken;
        }
        self.take(seen);
        Put::Created
    }

    /// A record that comes from another replica. Returns whether it was a destroyed key's, and is not kept.
    pub(crate) fn merge(&mut self, seen: &Arc<Observed>) -> bool {
        if key_of(seen).is_some_and(|key| self.tombstones.contains(&key)) {
            return true;
        }
        if let Some(known) = self.records.get(&(seen.room, seen.name.clone(), seen.digest))
            && known.attested.created <= seen.attested.created
        {
            return false;
        }
        self.take(seen.clone());
        false
    }

    fn take(&mut self, seen: Arc<Observed>) {
        if let Record::Status(status) = &seen.record
            && status.change == Change::Destroyed
            && self.keeps_tombstones
        {
            // A tombstone that arrives erases what lags behind.
            self.tombstones.insert(status.key);
            self.shred(status.key);
        }
        self.records.insert((seen.room, seen.name.clone(), seen.digest), seen);
    }

    /// Erases a key's records.
    pub(crate) fn shred(&mut self, key: KeyId) {
        self.records.retain(|_, seen| key_of(seen) != Some(key));
    }

    /// Whether a key's material lies here.
    pub(crate) fn holds(&self, key: KeyId) -> bool {
        self.records.values().any(|seen| seen.verified && key_of(seen) == Some(key))
    }

    /// Becomes what it was, tombstones too.
    pub(crate) fn set_back(&mut self, older: &Self) {
        self.records = older.records.clone();
        self.tombstones = older.tombstones.clone();
    }
}
