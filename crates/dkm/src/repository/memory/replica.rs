//! A connection to a replica in memory.

use std::collections::BTreeSet;
use std::sync::MutexGuard;

use dkm_core::member::Rights;
use dkm_core::record::{PublicPart, RECORD_LEN_MAX, public_part};
use dkm_core::{Digest, GroupId, KeyId, Principal, ReplicaId, RepositoryId, Room, SlotName, Timestamp};
use zeroize::Zeroizing;

use super::{Held, MemoryRepository, Place, Replication, Rules, Store, World, key_of, stamp_bytes};
use crate::repository::{
    AccessLine, Changes, Entry, GroupAccess, Listing, Put, Replica, RepositoryError, Stored,
};

#[derive(Debug)]
pub(super) struct MemoryReplica {
    repository: MemoryRepository,
    number: usize,
    id: ReplicaId,
    repository_id: RepositoryId,
}

impl MemoryReplica {
    pub(super) fn new(repository: MemoryRepository, number: usize) -> Result<Self, RepositoryError> {
        let world = repository.world();
        let Some(store) = world.stores.get(number) else {
            return Err(RepositoryError::NotARepository {
                location: format!("memory replica {number}"),
                why: "there is no such replica".to_owned(),
            });
        };
        let (id, repository_id) = (store.id, world.id);
        drop(world);
        let connection = Self { repository, number, id, repository_id };
        drop(connection.begin()?);
        Ok(connection)
    }

    fn location(&self) -> String {
        format!("memory replica {}", self.number)
    }

    fn unavailable(&self, why: &str) -> RepositoryError {
        RepositoryError::Unavailable { location: self.location(), why: why.to_owned() }
    }

    fn denied(&self, what: impl ToString) -> RepositoryError {
        RepositoryError::Denied { location: self.location(), what: what.to_string() }
    }

    fn not_found(&self, what: impl ToString) -> RepositoryError {
        RepositoryError::NotFound { location: self.location(), what: what.to_string() }
    }

    /// Counts an operation and lets the replica's faults have their say.
    fn begin(&self) -> Result<Operation<'_>, RepositoryError> {
        let mut world = self.repository.world();
        world.operations += 1;
        if let Replication::Every(n) = world.replication
            && world.operations.is_multiple_of(n.max(1))
        {
            world.replicate();
        }
        let Some(store) = world.stores.get_mut(self.number) else {
            return Err(self.unavailable("it is gone"));
        };
        let mut answer_lost = false;
        match &mut store.faults.cut_off_after {
            Some(0) => return Err(self.unavailable("the client is cut off")),
            Some(left) => {
                *left -= 1;
                answer_lost = *left == 0 && store.faults.answer_lost;
            }
            None => {}
        }
        if store.faults.unreachable {
            return Err(self.unavailable("it does not answer"));
        }
        if store.faults.denied {
            return Err(self.denied("the replica"));
        }
        Ok(Operation { connection: self, world, answer_lost })
    }
}

/// One operation, with the world held.
struct Operation<'a> {
    connection: &'a MemoryReplica,
    world: MutexGuard<'a, World>,
    answer_lost: bool,
}

impl Operation<'_> {
    fn end<T>(self, value: T) -> Result<T, RepositoryError> {
        if self.answer_lost { Err(self.connection.unavailable("the answer was lost")) } else { Ok(value) }
    }

    fn store(&mut self) -> Result<&mut Store, RepositoryError> {
        let connection = self.connection;
        self.world.stores.get_mut(connection.number).ok_or_else(|| connection.unavailable("it is gone"))
    }

    /// The group, if the account may know of it here.
    fn place(&mut self, group: GroupId) -> Result<&mut Place, RepositoryError> {
        let connection = self.connection;
        let account = &*connection.repository.account;
        let founder = self.world.rules.get(&group).is_some_and(|rules| rules.founder == account);
        let rights = rights_of(self.world.rules.get(&group), account);
        let place = self.store()?.groups.get_mut(&group);
        let place = place.filter(|place| place.announced || founder);
        let place = place.ok_or_else(|| connection.not_found(format!("group {group}")))?;
        if sees(rights) { Ok(place) } else { Err(connection.denied(format!("group {group}"))) }
    }

    fn rights(&self, group: GroupId) -> Rights {
        rights_of(self.world.rules.get(&group), &self.connection.repository.account)
    }

    fn refuse_changes(&mut self) -> Result<(), RepositoryError> {
        let location = self.connection.location();
        if self.store()?.faults.read_only { Err(RepositoryError::ReadOnly { location }) } else { Ok(()) }
    }
}

fn rights_of(rules: Option<&Rules>, account: &str) -> Rights {
    let Some(rules) = rules else { return Rights { read: true, create: true, own: true } };
    let read = rules.readers.contains(account);
    Rights { read, create: read && rules.creators.contains(account), own: rules.owners.contains(account) }
}

/// Whether these rights are enough to know of a group.
const fn sees(rights: Rights) -> bool {
    rights.read || rights.own
}

impl Replica for MemoryReplica {
    fn repository(&self) -> RepositoryId {
        self.repository_id
    }

    fn id(&self) -> ReplicaId {
        self.id
    }

    fn clock(&mut self) -> Result<Option<Timestamp>, RepositoryError> {
        let mut op = self.begin()?;
        let time = op.world.now(self.number);
        let none = op.store()?.faults.no_clock;
        op.end((!none).then_some(time))
    }

    fn groups(&mut self) -> Result<Vec<GroupId>, RepositoryError> {
        let mut op = self.begin()?;
        let all: Vec<GroupId> =
            op.store()?.groups.iter().filter(|(_, place)| place.announced).map(|(group, _)| *group).collect();
        let seen = all.into_iter().filter(|group| sees(op.rights(*group))).collect();
        op.end(seen)
    }

    fn rights(&mut self, group: GroupId) -> Result<Rights, RepositoryError> {
        let mut op = self.begin()?;
        op.place(group)?;
        let rights = op.rights(group);
        op.end(rights)
    }

    fn author(&mut self, _group: GroupId, _room: Room) -> Result<Option<Principal>, RepositoryError> {
        Ok(Some(Principal(self.repository.account.to_string())))
    }

    fn list(&mut self, group: GroupId, room: Room) -> Result<Vec<Entry>, RepositoryError> {
        let mut op = self.begin()?;
        op.place(group)?;
        let store = op.store()?;
        let (faults, frozen_at) = (store.faults.clone(), store.frozen_at);
        let rooms = &op.place(group)?.rooms;
        let entries = rooms
            .iter()
            .filter(|((of, name), _)| *of == room && !faults.withheld.contains(&(room, name.clone())))
            .flat_map(|((_, name), held)| held.iter().map(move |held| (name, held)))
            .filter(|(_, held)| !faults.frozen || held.stamp <= frozen_at)
            .map(|(name, held)| Entry { name: name.clone(), stamp: stamp_bytes(held) })
            .collect();
        op.end(entries)
    }

    /// The mark is the list itself, so that what holds the same is known to.
    fn changes(
        &mut self,
        group: GroupId,
        room: Room,
        since: Option<&[u8]>,
    ) -> Result<Changes, RepositoryError> {
        let entries = self.list(group, room)?;
        let bytes = entries.iter().flat_map(|entry| [entry.name.as_str().as_bytes(), &entry.stamp].concat());
        let mark = Digest::of(&bytes.collect::<Vec<u8>>()).0.to_vec();
        let listing = if since == Some(&mark) {
            Listing::Since { entries: Vec::new(), object_len: usize::MAX }
        } else {
            Listing::Whole(entries)
        };
        Ok(Changes { listing, mark: Some(mark) })
    }

    fn get(&mut self, group: GroupId, room: Room, entry: &Entry) -> Result<Stored, RepositoryError> {
        let mut op = self.begin()?;
        let gone = self.not_found(format!("record {}", entry.name));
        let hidden = op.store()?.faults.withheld.contains(&(room, entry.name.clone()));
        let held = op.place(group)?.rooms.get(&(room, entry.name.clone()));
        let found = held.and_then(|held| held.iter().find(|held| stamp_bytes(held) == entry.stamp));
        let stored = found
            .filter(|_| !hidden)
            .map(|held| Stored {
                bytes: held.bytes.clone(),
                attested: held.attested.clone(),
                public: PublicPart::NotKept,
            })
            .ok_or(gone)?;
        // An owner who reads no keys sees of them what is no secret.
        let reads = op.rights(group).read;
        let stored = match public_part(&stored.bytes).filter(|_| room == Room::Keys) {
            Some(public) if !reads => {
                Stored { bytes: Zeroizing::new(public), public: PublicPart::Alone, ..stored }
            }
            Some(_) => Stored { public: PublicPart::Agrees, ..stored },
            None => stored,
        };
        op.end(stored)
    }

    fn put(
        &mut self,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError> {
        let mut op = self.begin()?;
        if bytes.is_empty() || bytes.len() > RECORD_LEN_MAX {
            return Err(RepositoryError::Invalid(format!(
                "a record has 1 to {RECORD_LEN_MAX} bytes, not {}",
                bytes.len()
            )));
        }
        op.place(group)?;
        let rights = op.rights(group);
        if !(match room {
            Room::Control => rights.own,
            Room::Keys => rights.create,
        }) {
            return Err(self.denied(format!("adding to {room} of group {group}")));
        }
        op.refuse_changes()?;
        if room == Room::Keys
            && let Some(key) = key_of(group, bytes)
            && op.place(group)?.is_buried(group, key)
        {
            return op.end(Put::Tombstoned);
        }
        if op.place(group)?.rooms.contains_key(&(room, name.clone())) {
            return op.end(Put::Taken);
        }
        if op.store()?.faults.no_space {
            return Err(RepositoryError::NoSpace { location: self.location() });
        }
        let stamp = op.world.next_stamp();
        let attested = op.world.attest(self.number, &self.repository.account);
        let held = Held { bytes: Zeroizing::new(bytes.to_vec()), attested, stamp };
        op.place(group)?.rooms.insert((room, name.clone()), vec![held]);
        if op.world.replication == Replication::AtOnce {
            op.world.spread(self.number, group, room, name);
        }
        op.end(Put::Created)
    }

    fn shred(&mut self, group: GroupId, entry: &Entry) -> Result<(), RepositoryError> {
        let mut op = self.begin()?;
        op.place(group)?;
        op.refuse_changes()?;
        let rights = op.rights(group);
        let at = (Room::Keys, entry.name.clone());
        let place = op.place(group)?;
        let found =
            place.rooms.get(&at).and_then(|held| held.iter().find(|held| stamp_bytes(held) == entry.stamp));
        let Some(held) = found else { return op.end(()) };
        if !key_of(group, &held.bytes).is_some_and(|key: KeyId| place.is_buried(group, key)) {
            let (location, name) = (self.location(), entry.name.to_string());
            return Err(RepositoryError::NotTombstoned { location, name });
        }
        if !rights.own && held.attested.creator.0 != *self.repository.account {
            return Err(self.denied(format!("erasing record {}", entry.name)));
        }
        let stamp = held.stamp;
        if let Some(held) = place.rooms.get_mut(&at) {
            held.retain(|held| held.stamp != stamp);
            if held.is_empty() {
                place.rooms.remove(&at);
            }
        }
        op.end(())
    }

    fn create_group(&mut self, group: GroupId, access: &GroupAccess) -> Result<(), RepositoryError> {
        let mut op = self.begin()?;
        op.refuse_changes()?;
        let founder = self.repository.account.to_string();
        if op.store()?.groups.get(&group).is_some_and(|place| place.announced) {
            return Err(RepositoryError::Invalid(format!("group {group} is there already")));
        }
        let or_else = |names: &[String], default: &BTreeSet<String>| {
            if names.is_empty() { default.clone() } else { names.iter().cloned().collect() }
        };
        let alone = BTreeSet::from([founder.clone()]);
        let readers = or_else(&access.readers, &alone);
        let creators = or_else(&access.creators, &readers);
        let owners = or_else(&access.owners, &alone);
        // Create implies read, and who makes a group writes its first records.
        let readers = readers.union(&creators).chain(&alone).cloned().collect();
        let creators = creators.union(&alone).cloned().collect();
        op.world.rules.insert(group, Rules { founder, readers, creators, owners });
        op.store()?.groups.entry(group).or_default();
        op.end(())
    }

    fn announce_group(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        let mut op = self.begin()?;
        op.refuse_changes()?;
        op.place(group)?.announced = true;
        if op.world.replication == Replication::AtOnce {
            op.world.replicate();
        }
        op.end(())
    }

    fn describe_access(&mut self, group: GroupId) -> Result<Vec<AccessLine>, RepositoryError> {
        let mut op = self.begin()?;
        op.place(group)?;
        let rules = op.world.rules.get(&group);
        let roles = rules.map(|r| [("read", &r.readers), ("add keys", &r.creators), ("own", &r.owners)]);
        let lines = roles
            .into_iter()
            .flatten()
            .flat_map(|(may, who)| {
                who.iter().map(move |who| AccessLine {
                    who: who.clone(),
                    may: may.to_owned(),
                    alarming: false,
                })
            })
            .collect();
        op.end(lines)
    }
}
