//! Each case holds for a repository that does what it must, and fails for one that is broken on purpose.

mod broken;

use broken::{Break, Broken};

use super::*;

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
            ..GroupAccess::default()
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
