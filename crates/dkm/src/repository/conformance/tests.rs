//! Each case holds for a repository that does what it must, and fails for one that is broken on purpose.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dkm_core::member::Rights;
use dkm_core::record::RECORD_LEN_MAX;
use dkm_core::{ReplicaId, RepositoryId, Timestamp};

use super::*;
use crate::repository::memory::{MemoryRepository, Replication};
use crate::repository::{AccessLine, Entry, Put, Replica, Stored};

/// What a broken repository does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
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

/// Which breaks make which case fail. Every case has at least one.
const SHOWN_BY: &[(&str, &[Break])] = &[
    ("ids_stay_the_same", &[NewIdOnEveryConnection, SameIdOnAllReplicas, AnyReplicaNumber]),
    ("unknown_groups_are_refused", &[UnknownGroupsAreEmpty]),
    ("groups_are_hidden_until_announced", &[ListsUnannouncedGroups, ForgetsAnnouncements]),
    ("groups_are_made_once", &[MakesGroupsAgain]),
    ("groups_and_rooms_are_apart", &[OneRoomForAllGroups, OneRoomForBoth]),
    ("founders_have_all_rights", &[FoundersDoNotOwn]),
    ("outsiders_are_refused", &[EverybodyReads]),
    ("readers_only_read", &[ReadersCreate, ReadersMayOwn]),
    ("access_is_described", &[SaysNothingOfAccess, AlarmsAtEverything]),
    ("puts_create_only", &[PutsReplace]),
    ("one_of_many_writers_wins", &[PutsReplace, SaysCreatedToEverybody]),
    ("names_of_all_lengths_work", &[CutsNamesShort]),
    ("records_of_all_lengths_work", &[TakesRecordsOfAnyLength, CutsRecordsShort]),
    ("twins_are_two_entries", &[HidesTwins]),
    ("acknowledged_puts_are_listed", &[ListsLate]),
    ("records_are_whole_or_not_there", &[ServesHalfOfWhatIsNew]),
    ("other_connections_see_puts", &[ListsOnlyOwnPuts]),
    ("changes_change_stamps", &[SameStampForAll, ServesOldBytes]),
    ("entries_that_are_gone_are_not_found", &[InventsRecords]),
    ("origins_are_attested", &[AttestsNobody, AttestsLooseAccess, AttestsTheRecordsOwnTime]),
    ("big_rooms_are_listed_whole", &[ListsAThousand]),
    ("records_spread", &[DoesNotSpread]),
    ("keys_without_tombstone_are_not_erased", &[ErasesAnything, ErasesOnAnyStatus]),
    ("keys_with_tombstone_are_erased", &[ErasesNothing, GoneIsAnError]),
    ("tombstones_lie_in_control_only", &[BelievesTombstonesAmongKeys]),
    ("destroyed_keys_are_not_taken_again", &[TakesDestroyedKeys]),
    ("returning_material_is_erased", &[KeepsWhatReturns]),
];

/// A repository in memory that does one thing wrong.
#[derive(Debug, Clone)]
struct Broken {
    inner: MemoryRepository,
    how: Break,
    staged: Arc<Mutex<Vec<GroupId>>>,
    served: Arc<Mutex<BTreeMap<SlotName, Stored>>>,
    reads: Arc<AtomicU64>,
}

impl Broken {
    fn new(how: Break) -> Self {
        let replication = if how == DoesNotSpread { Replication::ByHand } else { Replication::AtOnce };
        Self {
            inner: MemoryRepository::new(2).with_replication(replication),
            how,
            staged: Arc::default(),
            served: Arc::default(),
            reads: Arc::default(),
        }
    }

    fn seen_by(&self, account: &str) -> Self {
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

struct Memory(Broken);

impl Fixture for Memory {
    fn repository(&self) -> Arc<dyn Repository> {
        Arc::new(self.0.clone())
    }

    fn spread(&mut self) {
        if self.0.how != DoesNotSpread {
            self.0.inner.replicate();
        }
    }

    fn bring_back(&mut self, replica: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        self.0.inner.plant(replica, group, Room::Keys, name, bytes, None);
        true
    }

    fn change(&mut self, replica: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        self.0.inner.remove(replica, group, Room::Keys, name);
        self.0.inner.plant(replica, group, Room::Keys, name, bytes, None);
        true
    }

    fn twin(&mut self, replica: usize, group: GroupId, room: Room, name: &SlotName, bytes: &[u8]) -> bool {
        self.0.inner.plant(replica, group, room, name, bytes, None);
        true
    }

    fn outsider(&mut self) -> Option<Arc<dyn Repository>> {
        Some(Arc::new(self.0.seen_by("uid:9")))
    }

    fn reader(&mut self) -> Option<(GroupAccess, Arc<dyn Repository>)> {
        let access = GroupAccess {
            readers: vec!["uid:5".into()],
            creators: vec!["uid:0".into()],
            owners: vec!["uid:0".into()],
        };
        Some((access, Arc::new(self.0.seen_by("uid:5"))))
    }
}

#[test]
fn a_repository_in_memory_holds_every_case() {
    let report = run(&mut Memory(Broken::new(Nothing)));
    assert!(report.failed.is_empty() && report.skipped.is_empty(), "{report}");
    assert_eq!(report.held.len(), CASES.len());
}

#[test]
fn every_case_can_fail() {
    let named: Vec<&str> = SHOWN_BY.iter().map(|(name, _)| *name).collect();
    let cases: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(named, cases);
    for (case, (_, breaks)) in CASES.iter().zip(SHOWN_BY) {
        assert!(!breaks.is_empty(), "{}", case.name);
        for how in *breaks {
            let verdict = case.run(&mut Memory(Broken::new(*how)));
            assert!(verdict.is_err(), "{} holds for a repository that {how:?}", case.name);
        }
    }
}
