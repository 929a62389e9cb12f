//! A repository in memory, for tests: several replicas, and every fault that one can have, by switch.
//!
//! Nothing here is fit for keys that matter. Handles are cheap to clone and share one world; [`MemoryRepository::seen_by`]
//! looks at the same world through another account's eyes.

mod replica;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use dkm_core::record::{Change, Record};
use dkm_core::{
    Attestation, Digest, GroupId, KeyId, Principal, ReplicaId, RepositoryId, Room, SlotName, Timestamp,
};
use zeroize::Zeroizing;

use super::{GroupAccess, Replica, Repository, RepositoryError};

/// When records that were put on one replica come to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Before the put is acknowledged.
    AtOnce,
    /// When [`MemoryRepository::replicate`] is called.
    ByHand,
    /// After every so many operations on any replica.
    Every(u64),
}

/// What is wrong with a replica. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// It does not answer.
    pub unreachable: bool,
    /// It turns the account away.
    pub denied: bool,
    /// Every put ends with *no space*.
    pub no_space: bool,
    /// Every change ends with *read-only*.
    pub read_only: bool,
    /// Records that it holds and does not show.
    pub withheld: BTreeSet<(Room, SlotName)>,
    /// It shows nothing that was added from now on, as a replica does that lags or lies. Puts are acknowledged.
    pub frozen: bool,
    /// After so many further operations every one fails, as if the client were cut off; none: never.
    pub cut_off_after: Option<u64>,
    /// With `cut_off_after`: the last operation is carried out, but its answer is lost.
    pub answer_lost: bool,
    /// Its clock and what it attests are off by so many milliseconds.
    pub clock_off_ms: i64,
    /// It offers no clock.
    pub no_clock: bool,
}

type Time = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Debug, Clone)]
struct Held {
    bytes: Zeroizing<Vec<u8>>,
    attested: Attestation,
    stamp: u64,
}

#[derive(Debug, Clone, Default)]
struct Place {
    announced: bool,
    rooms: BTreeMap<(Room, SlotName), Vec<Held>>,
}

#[derive(Debug, Clone)]
struct Store {
    id: ReplicaId,
    faults: Faults,
    frozen_at: u64,
    groups: BTreeMap<GroupId, Place>,
}

#[derive(Debug, Clone)]
struct Rules {
    founder: String,
    readers: BTreeSet<String>,
    creators: BTreeSet<String>,
    owners: BTreeSet<String>,
}

struct World {
    id: RepositoryId,
    stores: Vec<Store>,
    rules: BTreeMap<GroupId, Rules>,
    replication: Replication,
    /// Some replica lacks what another holds, as far as is known.
    uneven: bool,
    operations: u64,
    stamps: u64,
    time: Time,
}

/// A repository in memory. See the module.
#[derive(Clone)]
pub struct MemoryRepository {
    world: Arc<Mutex<World>>,
    account: Arc<str>,
}

impl fmt::Debug for MemoryRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryRepository({})", self.account)
    }
}

/// The number of a replica in an id, so that ids differ and tests can tell them apart.
fn numbered(first: u8, number: usize) -> [u8; 16] {
    let mut id = [0u8; 16];
    id[0] = first;
    id[8..].copy_from_slice(&u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes());
    id
}

impl MemoryRepository {
    /// An empty repository with so many replicas (at least 1), the system's time, and replication at once. Its account
    /// is `uid:0`.
    #[must_use]
    pub fn new(replicas: usize) -> Self {
        let time: Time = Arc::new(|| {
            let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
            Timestamp(u64::try_from(ms).unwrap_or(u64::MAX))
        });
        let stores = (0..replicas.max(1))
            .map(|number| Store {
                id: ReplicaId(numbered(b'r', number)),
                faults: Faults::default(),
                frozen_at: 0,
                groups: BTreeMap::new(),
            })
            .collect();
        let world = World {
            id: RepositoryId(numbered(b'R', 0)),
            stores,
            rules: BTreeMap::new(),
            replication: Replication::AtOnce,
            uneven: false,
            operations: 0,
            stamps: 0,
            time,
        };
        Self { world: Arc::new(Mutex::new(world)), account: "uid:0".into() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same repository through another account's eyes.
    #[must_use]
    pub fn seen_by(&self, account: &str) -> Self {
        Self { world: self.world.clone(), account: account.into() }
    }

    /// Sets when records spread.
    #[must_use]
    pub fn with_replication(self, replication: Replication) -> Self {
        self.world().replication = replication;
        self
    }

    /// Sets the clock of all replicas, for tests that make their own time.
    #[must_use]
    pub fn with_time(self, time: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.world().time = Arc::new(time);
        self
    }

    /// Changes what is wrong with a replica; a number that is not there is ignored.
    pub fn faults(&self, replica: usize, change: impl FnOnce(&mut Faults)) {
        let mut world = self.world();
        let stamps = world.stamps;
        if let Some(store) = world.stores.get_mut(replica) {
            let was_frozen = store.faults.frozen;
            change(&mut store.faults);
            if store.faults.frozen && !was_frozen {
                store.frozen_at = stamps;
            }
        }
    }

    /// Makes all replicas whole and reachable; nothing that they hold changes.
    pub fn heal(&self) {
        self.world().stores.iter_mut().for_each(|store| store.faults = Faults::default());
    }

    /// Exchanges records between all replicas that are reachable, until they hold the same.
    pub fn replicate(&self) {
        self.world().replicate();
    }

    /// A replica forgets everything, as a disk does that was replaced by an empty one.
    pub fn lose(&self, replica: usize) {
        let mut world = self.world();
        world.uneven = true;
        if let Some(store) = world.stores.get_mut(replica) {
            store.groups.clear();
        }
    }

    /// Changes who has access to a group, on all replicas at once. Accounts not named lose it, its founder too.
    pub fn set_access(&self, group: GroupId, access: &GroupAccess) {
        if let Some(rules) = self.world().rules.get_mut(&group) {
            let founder = std::mem::take(&mut rules.founder);
            let named = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
            *rules = Rules {
                readers: named(&access.readers),
                creators: named(&access.creators),
                owners: named(&access.owners),
                founder,
            };
        }
    }

    /// Brings a record into a replica past all checks, as a restored backup, a tampering administrator or a
    /// conflicting replication does: beside what the slot holds, a conflict twin. `None` attests this account and now.
    pub fn plant(
        &self,
        replica: usize,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
        attested: Option<Attestation>,
    ) {
        let mut world = self.world();
        world.uneven = true;
        let stamp = world.next_stamp();
        let attested = attested.unwrap_or_else(|| world.attest(replica, &self.account));
        if let Some(store) = world.stores.get_mut(replica) {
            let held = Held { bytes: Zeroizing::new(bytes.to_vec()), attested, stamp };
            let place = store.groups.entry(group).or_default();
            place.rooms.entry((room, name.clone())).or_default().push(held);
        }
    }

    /// Takes what a slot holds out of a replica past all checks; whether there was anything.
    pub fn remove(&self, replica: usize, group: GroupId, room: Room, name: &SlotName) -> bool {
        let mut world = self.world();
        let place = world.stores.get_mut(replica).and_then(|store| store.groups.get_mut(&group));
        place.and_then(|place| place.rooms.remove(&(room, name.clone()))).is_some()
    }

    /// Everything that a replica holds of a group, whatever its faults hide: room, slot, bytes.
    #[must_use]
    pub fn held(&self, replica: usize, group: GroupId) -> Vec<(Room, SlotName, Vec<u8>)> {
        let world = self.world();
        let place = world.stores.get(replica).and_then(|store| store.groups.get(&group));
        place
            .into_iter()
            .flat_map(|place| &place.rooms)
            .flat_map(|((room, name), held)| held.iter().map(|h| (*room, name.clone(), h.bytes.to_vec())))
            .collect()
    }

    /// How many operations were asked for on all replicas so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations
    }
}

impl World {
    fn next_stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    fn now(&self, replica: usize) -> Timestamp {
        let off = self.stores.get(replica).map_or(0, |store| store.faults.clock_off_ms);
        Timestamp((self.time)().0.saturating_add_signed(off))
    }

    fn attest(&self, replica: usize, account: &str) -> Attestation {
        Attestation { creator: Principal(account.to_owned()), created: self.now(replica), template_ok: true }
    }

    /// Brings a record that was just put to the other replicas, and whatever else they lack.
    fn spread(&mut self, from: usize, group: GroupId, room: Room, name: &SlotName) {
        if self.uneven || self.stores.iter().any(|store| store.faults.unreachable) {
            return self.replicate();
        }
        let at = (room, name.clone());
        let place = self.stores.get(from).and_then(|store| store.groups.get(&group));
        let Some(held) = place.and_then(|place| place.rooms.get(&at)).cloned() else { return };
        for (number, store) in self.stores.iter_mut().enumerate() {
            let place = store.groups.entry(group).or_default();
            let key = held.first().filter(|_| room == Room::Keys).and_then(|held| key_of(group, &held.bytes));
            let buried = key.is_some_and(|key| place.is_buried(group, key));
            if number != from && !buried {
                place.rooms.entry(at.clone()).or_insert_with(|| held.clone());
            }
        }
    }

    fn replicate(&mut self) {
        self.uneven = self.stores.iter().any(|store| store.faults.unreachable);
        let mut all: BTreeMap<GroupId, Place> = BTreeMap::new();
        for store in self.stores.iter().filter(|store| !store.faults.unreachable) {
            for (group, place) in &store.groups {
                let into = all.entry(*group).or_default();
                into.announced |= place.announced;
                for (at, held) in &place.rooms {
                    let twins = into.rooms.entry(at.clone()).or_default();
                    for record in held {
                        if twins.iter().all(|twin| twin.bytes != record.bytes) {
                            twins.push(record.clone());
                        }
                    }
                }
            }
        }
        let mut stamps = self.stamps;
        for store in self.stores.iter_mut().filter(|store| !store.faults.unreachable) {
            for (group, place) in &all {
                let own = store.groups.entry(*group).or_default();
                own.announced |= place.announced;
                // Rooms are ordered control first: a tombstone is there before the key that it keeps out.
                for (at, held) in &place.rooms {
                    for record in held {
                        let key = (at.0 == Room::Keys).then(|| key_of(*group, &record.bytes)).flatten();
                        let buried = key.is_some_and(|key| own.is_buried(*group, key));
                        let known =
                            own.rooms.get(at).is_some_and(|own| own.iter().any(|o| o.bytes == record.bytes));
                        if !buried && !known {
                            stamps += 1;
                            let record = Held { stamp: stamps, ..record.clone() };
                            own.rooms.entry(at.clone()).or_default().push(record);
                        }
                    }
                }
            }
        }
        self.stamps = stamps;
    }
}

impl Place {
    /// Whether a tombstone of the key lies in the control room.
    fn is_buried(&self, group: GroupId, key: KeyId) -> bool {
        let control = self.rooms.iter().filter(|((room, _), _)| *room == Room::Control);
        control.flat_map(|(_, held)| held).any(|held| {
            matches!(
                Record::decode(&held.bytes),
                Ok((of, Record::Status(status))) if of == group && status.key == key && status.change == Change::Destroyed
            )
        })
    }
}

/// The id of the key that a record holds, if it is a key record of the group.
fn key_of(group: GroupId, bytes: &[u8]) -> Option<KeyId> {
    match Record::decode(bytes) {
        Ok((of, Record::Key(key))) if of == group => Some(key.id),
        _ => None,
    }
}

impl Repository for MemoryRepository {
    fn url(&self) -> String {
        "memory:".to_owned()
    }

    fn replicas(&self) -> usize {
        self.world().stores.len()
    }

    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        let connection = replica::MemoryReplica::new(self.clone(), replica)?;
        Ok(Box::new(connection))
    }
}

/// The stamp of a held record, as bytes. Two replicas never give the same.
fn stamp_bytes(held: &Held) -> Vec<u8> {
    let digest = Digest::of(&held.bytes);
    [&held.stamp.to_be_bytes()[..], &digest.as_bytes()[..8]].concat()
}

#[cfg(test)]
mod tests;
