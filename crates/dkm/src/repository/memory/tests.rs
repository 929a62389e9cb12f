use super::*;
use crate::repository::{Entry, Put};

const GROUP: GroupId = GroupId([7; 16]);

fn slot(n: u8) -> SlotName {
    format!("slot-{n}").parse().unwrap()
}

fn with_group(replicas: usize, replication: Replication) -> MemoryRepository {
    let repository = MemoryRepository::new(replicas).with_replication(replication);
    for replica in 0..replicas {
        repository.connect(replica).unwrap().create_group(GROUP, &GroupAccess::default()).unwrap();
    }
    repository
}

fn names(repository: &MemoryRepository, replica: usize) -> Vec<String> {
    let entries = repository.connect(replica).unwrap().list(GROUP, Room::Control).unwrap();
    entries.into_iter().map(|entry| entry.name.to_string()).collect()
}

fn put(repository: &MemoryRepository, replica: usize, n: u8, bytes: &[u8]) -> Result<Put, RepositoryError> {
    repository.connect(replica)?.put(GROUP, Room::Control, &slot(n), bytes)
}

#[test]
fn records_spread_at_once_by_hand_or_after_some_operations() {
    let at_once = with_group(2, Replication::AtOnce);
    put(&at_once, 0, 1, b"x").unwrap();
    assert_eq!(names(&at_once, 1), ["slot-1"]);

    let by_hand = with_group(2, Replication::ByHand);
    put(&by_hand, 0, 1, b"x").unwrap();
    assert!(names(&by_hand, 1).is_empty());
    by_hand.replicate();
    assert_eq!(names(&by_hand, 1), ["slot-1"]);

    let slow = with_group(2, Replication::Every(100));
    put(&slow, 0, 1, b"x").unwrap();
    assert!(names(&slow, 1).is_empty());
    for _ in 0..100 {
        slow.connect(0).unwrap();
    }
    assert_eq!(names(&slow, 1), ["slot-1"]);
}

#[test]
fn writers_on_two_sides_of_a_partition_leave_twins() {
    let repository = with_group(2, Replication::ByHand);
    assert_eq!(put(&repository, 0, 1, b"left").unwrap(), Put::Created);
    assert_eq!(put(&repository, 1, 1, b"right").unwrap(), Put::Created);
    repository.replicate();
    for replica in 0..2 {
        let mut connection = repository.connect(replica).unwrap();
        let entries = connection.list(GROUP, Room::Control).unwrap();
        let mut bytes: Vec<Vec<u8>> = entries
            .iter()
            .map(|entry| connection.get(GROUP, Room::Control, entry).unwrap().bytes.to_vec())
            .collect();
        bytes.sort();
        assert_eq!(bytes, [b"left".to_vec(), b"right".to_vec()]);
    }
}

#[test]
fn every_fault_shows_and_goes_away() {
    let repository = with_group(1, Replication::AtOnce);
    put(&repository, 0, 1, b"x").unwrap();
    let kind = |result: Result<Put, RepositoryError>| std::mem::discriminant(&result.unwrap_err());
    let location = String::new;

    repository.faults(0, |f| f.unreachable = true);
    let unavailable =
        std::mem::discriminant(&RepositoryError::Unavailable { location: location(), why: location() });
    assert_eq!(kind(put(&repository, 0, 2, b"x")), unavailable);
    repository.heal();
    repository.faults(0, |f| f.denied = true);
    let denied = std::mem::discriminant(&RepositoryError::Denied { location: location(), what: location() });
    assert_eq!(kind(put(&repository, 0, 2, b"x")), denied);
    repository.heal();
    repository.faults(0, |f| f.no_space = true);
    let no_space = std::mem::discriminant(&RepositoryError::NoSpace { location: location() });
    assert_eq!(kind(put(&repository, 0, 2, b"x")), no_space);
    repository.heal();
    repository.faults(0, |f| f.read_only = true);
    let read_only = std::mem::discriminant(&RepositoryError::ReadOnly { location: location() });
    assert_eq!(kind(put(&repository, 0, 2, b"x")), read_only);
    repository.heal();

    repository.faults(0, |f| _ = f.withheld.insert((Room::Control, slot(1))));
    assert!(names(&repository, 0).is_empty());
    repository.heal();
    repository.faults(0, |f| f.frozen = true);
    assert_eq!(put(&repository, 0, 3, b"x").unwrap(), Put::Created);
    assert_eq!(names(&repository, 0), ["slot-1"]);
    repository.heal();
    assert_eq!(names(&repository, 0), ["slot-1", "slot-3"]);
    repository.lose(0);
    assert!(repository.connect(0).unwrap().list(GROUP, Room::Control).is_err());
}

#[test]
fn a_client_is_cut_off_before_or_after_the_operation() {
    for (answer_lost, after, held) in [(false, 1, 0), (true, 2, 1)] {
        let repository = with_group(1, Replication::AtOnce);
        repository.faults(0, |f| (f.cut_off_after, f.answer_lost) = (Some(after), answer_lost));
        let mut connection = repository.connect(0).unwrap();
        connection.put(GROUP, Room::Control, &slot(1), b"x").unwrap_err();
        connection.groups().unwrap_err();
        assert_eq!(repository.held(0, GROUP).len(), held);
    }
}

#[test]
fn clocks_are_off_or_missing() {
    let repository = with_group(1, Replication::AtOnce).with_time(|| Timestamp(10_000));
    let clock = || repository.connect(0).unwrap().clock().unwrap();
    assert_eq!(clock(), Some(Timestamp(10_000)));
    repository.faults(0, |f| f.clock_off_ms = -4_000);
    assert_eq!(clock(), Some(Timestamp(6_000)));
    put(&repository, 0, 1, b"x").unwrap();
    let mut connection = repository.connect(0).unwrap();
    let entry: Entry = connection.list(GROUP, Room::Control).unwrap().remove(0);
    let stored = connection.get(GROUP, Room::Control, &entry).unwrap();
    assert_eq!(stored.attested.created, Timestamp(6_000));
    repository.faults(0, |f| f.no_clock = true);
    assert_eq!(clock(), None);
}

#[test]
fn accounts_see_what_their_groups_let_them_see() {
    let root = MemoryRepository::new(1);
    let access = GroupAccess { readers: vec!["uid:1".into()], ..GroupAccess::default() };
    root.connect(0).unwrap().create_group(GROUP, &access).unwrap();
    let member = root.seen_by("uid:1");
    let hidden = member.connect(0).unwrap().rights(GROUP).unwrap_err();
    assert!(matches!(hidden, RepositoryError::NotFound { .. }));
    root.connect(0).unwrap().announce_group(GROUP).unwrap();
    let rights = member.connect(0).unwrap().rights(GROUP).unwrap();
    assert!(rights.read && rights.create && !rights.own);
    let stranger = root.seen_by("uid:2");
    assert!(matches!(
        stranger.connect(0).unwrap().list(GROUP, Room::Keys),
        Err(RepositoryError::Denied { .. })
    ));
    root.set_access(GROUP, &GroupAccess { owners: vec!["uid:0".into()], ..GroupAccess::default() });
    assert!(matches!(
        member.connect(0).unwrap().list(GROUP, Room::Keys),
        Err(RepositoryError::Denied { .. })
    ));
}
