//! Repositories that are broken on purpose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dkm_core::member::Rights;
use dkm_core::record::RECORD_LEN_MAX;
use dkm_core::{GroupId, ReplicaId, RepositoryId, Room, SlotName, Timestamp};

use crate::repository::memory::{MemoryRepository, Replication};
use crate::repository::{AccessLine, Entry, GroupAccess, Put, Replica, Repository, RepositoryError, Stored};

/// What a broken repository does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    Nothing,
    NewIdOnEveryConnection,
    SameIdOnAllReplicas,
    AnyReplicaNumber,
    UnknownGroupsAreEmpty,
    ListsUnannouncedGroups,
    ForgetsAnnouncements,
    MakesGroupsAgain,
    OneRoomForAllGroups,
    OneRoomForBoth,
    FoundersDoNotOwn,
    EverybodyReads,
    ReadersCreate,
    ReadersMayOwn,
    SaysNothingOfAccess,
    AlarmsAtEverything,
    PutsReplace,
    SaysCreatedToEverybody,
    CutsNamesShort,
    TakesRecordsOfAnyLength,
    CutsRecordsShort,
    HidesTwins,
    ListsLate,
    ListsOnlyOwnPuts,
    ServesHalfOfWhatIsNew,
    SameStampForAll,
    ServesOldBytes,
    InventsRecords,
    AttestsNobody,
    AttestsLooseAccess,
    AttestsTheRecordsOwnTime,
    ListsAThousand,
    DoesNotSpread,
    ErasesAnything,
    ErasesOnAnyStatus,
    ErasesNothing,
    BelievesTombstonesAmongKeys,
    TakesDestroyedKeys,
    KeepsWhatReturns,
    GoneIsAnError,
}

use Break::*;

/// A repository in memory that does one thing wrong.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) inner: MemoryRepository,
    pub(super) how: Break,
    staged: Arc<Mutex<Vec<GroupId>>>,
    served: Arc<Mutex<BTreeMap<SlotName, Stored>>>,
    reads: Arc<AtomicU64>,
}

impl Broken {
    pub(super) fn new(how: Break) -> Self {
        let replication = if how == DoesNotSpread { Replication::ByHand } else { Replication::AtOnce };
        Self {
            inner: MemoryRepository::new(2).with_replication(replication),
            how,
            staged: Arc::default(),
            served: Arc::default(),
            reads: Arc::default(),
        }
    }

    pub(super) fn seen_by(&self, account: &str) -> Self {
        Self { inner: self.inner.seen_by(account), ..self.clone() }
    }
}

impl Repository for Broken {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn replicas(&self) -> usize {
        self.inner.replicas()
    }

    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        let number = if self.how == AnyReplicaNumber { replica.min(1) } else { replica };
        let inner = self.inner.connect(number)?;
        let root = self.inner.seen_by("uid:0").connect(number)?;
        Ok(Box::new(BrokenReplica { of: self.clone(), inner, root, number, own: Vec::new() }))
    }
}

/// A connection to a broken repository. `root` may everything.
#[derive(Debug)]
struct BrokenReplica {
    of: Broken,
    inner: Box<dyn Replica>,
    root: Box<dyn Replica>,
    number: usize,
    own: Vec<SlotName>,
}

const ONE_GROUP: GroupId = GroupId([1; 16]);

impl BrokenReplica {
    fn is(&self, how: Break) -> bool {
        self.of.how == how
    }

    fn group(&mut self, group: GroupId) -> GroupId {
        if self.is(OneRoomForAllGroups) {
            // Made by whoever comes first.
            let _ = self.inner.create_group(ONE_GROUP, &GroupAccess::default());
            let _ = self.inner.announce_group(ONE_GROUP);
            return ONE_GROUP;
        }
        group
    }

    fn room(&self, room: Room) -> Room {
        if self.is(OneRoomForBoth) { Room::Keys } else { room }
    }

    fn name(&self, name: &SlotName) -> SlotName {
        let text = name.as_str();
        if self.is(CutsNamesShort) { text.get(..63).unwrap_or(text).parse().unwrap() } else { name.clone() }
    }

    fn reader(&mut self) -> &mut dyn Replica {
        if self.is(EverybodyReads) { self.root.as_mut() } else { self.inner.as_mut() }
    }

    fn remove(&self, group: GroupId, name: &SlotName) {
        for replica in 0..self.of.inner.replicas() {
            self.of.inner.remove(replica, group, Room::Keys, name);
        }
    }
}

impl Replica for BrokenReplica {
    fn repository(&self) -> RepositoryId {
        self.inner.repository()
    }

    fn id(&self) -> ReplicaId {
        match self.of.how {
            NewIdOnEveryConnection => {
                let n = self.of.reads.fetch_add(1, Ordering::SeqCst);
                ReplicaId(u128::from(n).to_be_bytes())
            }
            SameIdOnAllReplicas => ReplicaId([1; 16]),
            _ => self.inner.id(),
        }
    }

    fn clock(&mut self) -> Result<Option<Timestamp>, RepositoryError> {
        self.inner.clock()
    }

    fn groups(&mut self) -> Result<Vec<GroupId>, RepositoryError> {
        let mut groups = self.inner.groups()?;
        match self.of.how {
            ListsUnannouncedGroups => groups.extend(self.of.staged.lock().unwrap().iter()),
            ForgetsAnnouncements => groups.clear(),
            _ => {}
        }
        Ok(groups)
    }

    fn rights(&mut self, group: GroupId) -> Result<Rights, RepositoryError> {
        let mut rights = self.reader().rights(group)?;
        match self.of.how {
            FoundersDoNotOwn => rights.own = false,
            ReadersMayOwn => rights.own = true,
            _ => {}
        }
        Ok(rights)
    }

    fn list(&mut self, group: GroupId, room: Room) -> Result<Vec<Entry>, RepositoryError> {
        let (at, room) = (self.group(group), self.room(room));
        let how = self.of.how;
        let own = self.own.clone();
        let mut entries = match self.reader().list(at, room) {
            Err(RepositoryError::NotFound { .. }) if how == UnknownGroupsAreEmpty => Vec::new(),
            other => other?,
        };
        match how {
            HidesTwins => entries.dedup_by(|a, b| a.name == b.name),
            ListsLate => _ = entries.pop(),
            ListsOnlyOwnPuts => entries.retain(|entry| own.contains(&entry.name)),
            ListsAThousand => entries.truncate(1_000),
            SameStampForAll => entries.iter_mut().for_each(|entry| entry.stamp.clear()),
            _ => {}
        }
        Ok(entries)
    }

    fn get(&mut self, group: GroupId, room: Room, entry: &Entry) -> Result<Stored, RepositoryError> {
        let (at, room) = (self.group(group), self.room(room));
        let how = self.of.how;
        let mut stored = if how == SameStampForAll {
            let listed = self.inner.list(at, room)?;
            let found = listed.into_iter().find(|listed| listed.name == entry.name);
            self.inner.get(at, room, &found.unwrap_or_else(|| entry.clone()))?
        } else {
            match self.reader().get(at, room, entry) {
                Err(RepositoryError::NotFound { .. }) if how == InventsRecords => {
                    let any = self.inner.list(at, Room::Control)?.remove(0);
                    self.inner.get(at, Room::Control, &any)?
                }
                other => other?,
            }
        };
        match how {
            ServesOldBytes => {
                let mut served = self.of.served.lock().unwrap();
                stored = served.entry(entry.name.clone()).or_insert(stored).clone();
            }
            CutsRecordsShort => stored.bytes.truncate(60_000),
            ServesHalfOfWhatIsNew if self.of.reads.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) => {
                let half = stored.bytes.len() / 2;
                stored.bytes.truncate(half);
            }
            AttestsNobody => stored.attested.creator.0.clear(),
            AttestsLooseAccess => stored.attested.template_ok = false,
            AttestsTheRecordsOwnTime => stored.attested.created = Timestamp(1_000),
            _ => {}
        }
        Ok(stored)
    }

    fn put(
        &mut self,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError> {
        let (at, room, name) = (self.group(group), self.room(room), self.name(name));
        self.own.push(name.clone());
        let how = self.of.how;
        if how == TakesRecordsOfAnyLength && (bytes.is_empty() || bytes.len() > RECORD_LEN_MAX) {
            self.of.inner.plant(self.number, at, room, &name, bytes, None);
            return Ok(Put::Created);
        }
        let put = match how {
            ReadersCreate => self.root.put(at, room, &name, bytes)?,
            _ => self.inner.put(at, room, &name, bytes)?,
        };
        match (how, put) {
            (PutsReplace, Put::Taken) => {
                self.of.inner.remove(self.number, at, room, &name);
                self.of.inner.plant(self.number, at, room, &name, bytes, None);
                Ok(Put::Created)
            }
            (SaysCreatedToEverybody, Put::Taken) => Ok(Put::Created),
            (TakesDestroyedKeys, Put::Tombstoned) => {
                self.of.inner.plant(self.number, at, room, &name, bytes, None);
                Ok(Put::Created)
            }
            (_, put) => Ok(put),
        }
    }

    fn shred(&mut self, group: GroupId, entry: &Entry) -> Result<(), RepositoryError> {
        let how = self.of.how;
        let status = |name: &SlotName| name.as_str().starts_with("status-");
        let gone = !self.inner.list(group, Room::Keys)?.iter().any(|listed| listed.name == entry.name);
        match how {
            ErasesAnything => self.remove(group, &entry.name),
            ErasesOnAnyStatus if self.inner.list(group, Room::Control)?.iter().any(|e| status(&e.name)) => {
                self.remove(group, &entry.name);
            }
            BelievesTombstonesAmongKeys
                if self.inner.list(group, Room::Keys)?.iter().any(|e| status(&e.name)) =>
            {
                self.remove(group, &entry.name);
            }
            ErasesNothing => {}
            // It remembers what it has erased, and does not look again.
            KeepsWhatReturns => {
                let erased = SlotName::for_content(
                    "erased",
                    dkm_core::Digest::of(format!("{} on {}", entry.name, self.number).as_bytes()),
                );
                if self.root.put(group, Room::Control, &erased, b"x")? == Put::Created {
                    self.inner.shred(group, entry)?;
                }
            }
            GoneIsAnError if gone => {
                let (location, what) = ("memory".to_owned(), "the record".to_owned());
                return Err(RepositoryError::NotFound { location, what });
            }
            _ => return self.inner.shred(group, entry),
        }
        Ok(())
    }

    fn create_group(&mut self, group: GroupId, access: &GroupAccess) -> Result<(), RepositoryError> {
        match self.inner.create_group(group, access) {
            Err(RepositoryError::Invalid(_)) if self.is(MakesGroupsAgain) => Ok(()),
            Ok(()) => {
                self.of.staged.lock().unwrap().push(group);
                Ok(())
            }
            other => other,
        }
    }

    fn announce_group(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        self.inner.announce_group(group)
    }

    fn describe_access(&mut self, group: GroupId) -> Result<Vec<AccessLine>, RepositoryError> {
        let mut lines = self.reader().describe_access(group)?;
        match self.of.how {
            SaysNothingOfAccess => lines.clear(),
            AlarmsAtEverything => lines.iter_mut().for_each(|line| line.alarming = true),
            _ => {}
        }
        Ok(lines)
    }
}
