//! What the repository has lost comes back from memory, on an operator's word, and nothing that must not.

use dkm::blocking::Group;
use dkm::core::member::UnprotectRefusal;
use dkm::core::record::{Change, Origin, Record};
use dkm::core::ring::KeyState;
use dkm::core::{Room, SlotName};
use dkm::journal::EventKind;
use dkm::repository::memory::Replication;
use dkm::repository::{GroupAccess, RepositoryError};
use dkm::{Error, ErrorKind, KeyFate, KeyId, Republished};

use crate::world::{DAY_MS, World, context, protecting};

type Held = Vec<(Room, SlotName, Vec<u8>)>;

/// The records of a replica about a key: its own, copies of it, and its statuses.
fn about(world: &World, replica: usize, group: &Group, key: KeyId) -> Held {
    let is_about = |bytes: &[u8]| match Record::decode(bytes).unwrap().1 {
        Record::Key(record) => record.id == key,
        Record::Status(status) => status.key == key,
        _ => false,
    };
    world.repository.held(replica, group.id()).into_iter().filter(|(.., bytes)| is_about(bytes)).collect()
}

/// A replica is set back to before it heard of a key; what it held of it.
fn set_back(world: &World, replica: usize, group: &Group, key: KeyId) -> Held {
    let held = about(world, replica, group, key);
    for (room, name, _) in &held {
        world.repository.remove(replica, group.id(), *room, name);
    }
    held
}

fn fates(done: &Republished) -> Vec<(KeyId, KeyFate)> {
    done.keys.iter().map(|key| (key.key, key.fate.clone())).collect()
}

fn put_back(world: &World) -> usize {
    world.ledger.count(EventKind::KeyRepublished)
}

/// A world whose group has rolled once: a blob of each key, and the two keys.
fn rolled(replicas: usize) -> (World, Group, [Vec<u8>; 2], [KeyId; 2]) {
    let world = World::new(replicas);
    let group = world.group();
    let (old, first) = (group.protect(&context(), b"old").unwrap(), protecting(&group));
    world.work(&group, 100);
    let (new, second) = (group.protect(&context(), b"new").unwrap(), protecting(&group));
    assert_ne!(first, second);
    (world, group, [old, new], [first, second])
}

#[test]
fn keys_that_every_replica_has_lost_come_back_from_the_memory_of_a_creator() {
    let (world, owner, [_, blob], [_, lost]) = rolled(2);
    let member = world.fresh("uid:1");
    for replica in 0..2 {
        assert_eq!(set_back(&world, replica, &owner, lost).len(), 1);
    }
    let stranger = world.fresh("uid:2");
    assert!(matches!(
        stranger.unprotect(&context(), &blob),
        Err(Error::Unprotect(UnprotectRefusal::UnknownKey { .. }))
    ));

    let found = member.find_lost(&[]).unwrap();
    assert_eq!(fates(&found), [(lost, KeyFate::Missing)]);
    assert_eq!((found.keys[0].was_on, found.replicas, put_back(&world)), (0, 2, 0));
    assert!(about(&world, 0, &owner, lost).is_empty(), "only looked");

    let done = member.republish(&[], "the backup was old").unwrap();
    assert_eq!(fates(&done), [(lost, KeyFate::PutBack)]);
    assert_eq!(done.keys[0].on, [0], "replication brings it to the other");
    assert_eq!(put_back(&world), 1);
    assert!(world.ledger.events.lock().unwrap().iter().any(|(kind, why)| {
        *kind == EventKind::KeyRepublished && why.as_deref() == Some("the backup was old")
    }));
    // A copy, archived, in a slot of its own; and what takes over is a key that nobody has lost.
    let fresh = world.fresh("uid:2");
    assert_eq!(&*fresh.unprotect(&context(), &blob).unwrap(), b"new");
    let view = fresh.view().unwrap();
    let key = view.ring.key(lost).unwrap();
    assert_eq!((key.record.origin, key.state(view.now)), (Origin::Restored, KeyState::Deactivated));
    let new = done.rolled.unwrap();
    assert!(new.key != lost && view.ring.key(new.key).is_some_and(|key| key.may_ever_protect()));
    world.clock.advance(new.activates_at.0.saturating_sub(world.now_ms()) + 1);
    for group in [&owner, &member, &stranger, &fresh] {
        group.refresh().unwrap();
        assert_eq!(protecting(group), new.key);
        assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"new");
    }
    // Again, there is nothing to do.
    let again = member.republish(&[], "again").unwrap();
    assert_eq!((again.keys.len(), again.rolled, put_back(&world)), (0, None, 1));
    assert_eq!(fates(&member.republish(&[lost], "again").unwrap()), [(lost, KeyFate::Everywhere)]);
}

#[test]
fn an_archived_key_comes_back_and_nothing_rolls() {
    let (world, owner, [blob, _], [lost, protects]) = rolled(1);
    let member = world.fresh("uid:1");
    set_back(&world, 0, &owner, lost);
    let done = member.republish(&[], "").unwrap();
    assert_eq!((fates(&done), done.rolled), (vec![(lost, KeyFate::PutBack)], None));
    let fresh = world.fresh("uid:2");
    assert_eq!(&*fresh.unprotect(&context(), &blob).unwrap(), b"old");
    assert_eq!(protecting(&fresh), protects);
}

#[test]
fn what_one_replica_has_is_put_where_replication_does_not_bring_it() {
    let (mut world, owner, _, [_, lost]) = rolled(2);
    world.repository = world.repository.with_replication(Replication::ByHand);
    set_back(&world, 1, &owner, lost);
    // A process that has nothing in memory but what it reads.
    let done = world.fresh("uid:1").republish(&[], "").unwrap();
    assert_eq!(fates(&done), [(lost, KeyFate::PutBack)]);
    assert_eq!((done.keys[0].was_on, done.keys[0].on.as_slice()), (1, &[1][..]));
    assert_eq!(about(&world, 1, &owner, lost).len(), 1);
    world.repository.replicate();
    assert_eq!(about(&world, 0, &owner, lost).len(), 2, "the copy beside the key");
    assert!(done.rolled.is_some(), "it protected, and is not on two replicas as what it was");
}

#[test]
fn what_is_younger_than_the_replication_bound_is_left_to_replication_unless_it_is_named() {
    let (mut world, owner, ..) = rolled(2);
    world.repository = world.repository.with_replication(Replication::ByHand);
    let young = owner.roll("now").unwrap().key;
    let on = |replica| about(&world, replica, &owner, young).len();
    assert_eq!((on(0), on(1)), (1, 0));
    let client = world.fresh("uid:1");
    assert_eq!(fates(&client.republish(&[], "").unwrap()), [(young, KeyFate::OnItsWay)]);
    assert_eq!(on(1), 0);
    assert_eq!(fates(&client.republish(&[young], "").unwrap()), [(young, KeyFate::PutBack)]);
    assert_eq!(on(1), 1);
}

#[test]
fn a_destroyed_key_does_not_come_back_and_an_owner_puts_its_tombstone_back() {
    let (world, owner, _, [gone, _]) = rolled(1);
    let member = world.fresh("uid:1");
    let before = about(&world, 0, &owner, gone);
    owner.destroy_now(gone, &gone.to_string(), "retention").unwrap();
    member.refresh().unwrap();
    // The replica is set back to before the destruction: the key is there again, and the tombstone is not.
    set_back(&world, 0, &owner, gone);
    for (room, name, bytes) in before {
        world.repository.plant(0, owner.id(), room, &name, &bytes, None);
    }
    // Who remembers the destruction neither opens with it nor puts it anywhere.
    let done = member.republish(&[gone], "").unwrap();
    assert_eq!(fates(&done), [(gone, KeyFate::Destroyed)]);
    assert_eq!((done.control, done.control_left, put_back(&world)), (0, 1, 0));
    assert!(about(&world, 0, &owner, gone).iter().all(|(room, ..)| *room == Room::Keys));

    let done = owner.republish(&[], "set back").unwrap();
    assert_eq!((done.control, done.control_left), (1, 0));
    let held = about(&world, 0, &owner, gone);
    assert!(held.iter().all(|(room, ..)| *room == Room::Control), "erased again");
    assert!(held.iter().any(|(.., bytes)| matches!(
        Record::decode(bytes).unwrap().1,
        Record::Status(status) if status.change == Change::Destroyed
    )));
    assert!(world.fresh("uid:2").view().unwrap().ring.is_destroyed(gone));
}

#[test]
fn a_creator_does_not_bring_a_key_back_that_another_has_destroyed_meanwhile() {
    let (world, owner, _, [gone, _]) = rolled(2);
    let creator = world.fresh("uid:1");
    // The creator has the key in memory and has not heard of its end.
    owner.destroy_now(gone, &gone.to_string(), "retention").unwrap();
    assert_eq!(fates(&creator.republish(&[gone], "").unwrap()), [(gone, KeyFate::Destroyed)]);
    // Nor where the replica that it reaches has only the tombstone of it.
    let late = world.fresh("uid:2");
    world.repository.faults(0, |f| f.unreachable = true);
    let done = late.republish(&[], "").unwrap();
    assert_eq!((done.keys.len(), done.unread.len()), (0, 1));
    for replica in 0..2 {
        assert!(about(&world, replica, &owner, gone).iter().all(|(room, ..)| *room == Room::Control));
    }
}

#[test]
fn a_key_whose_compromise_is_lost_too_comes_back_with_it_or_not_at_all() {
    let (world, owner, [blob, _], [known, _]) = rolled(1);
    owner.compromise(known, "in a core dump").unwrap();
    let member = world.fresh("uid:1");
    assert_eq!(set_back(&world, 0, &owner, known).len(), 2);
    let done = member.republish(&[], "").unwrap();
    assert_eq!(fates(&done), [(known, KeyFate::NeedsOwner)]);
    assert_eq!((done.control_left, put_back(&world)), (1, 0));
    assert!(about(&world, 0, &owner, known).is_empty());

    let done = owner.republish(&[], "").unwrap();
    assert_eq!((fates(&done), done.control), (vec![(known, KeyFate::PutBack)], 1));
    assert!(matches!(
        world.fresh("uid:2").unprotect(&context(), &blob),
        Err(Error::Unprotect(UnprotectRefusal::Compromised { .. }))
    ));
}

#[test]
fn who_was_removed_or_may_not_add_keys_puts_nothing_back() {
    let (world, owner, _, [lost, _]) = rolled(1);
    let (removed, reader) = (world.fresh("uid:1"), world.fresh("uid:2"));
    set_back(&world, 0, &owner, lost);
    let access = GroupAccess {
        readers: vec!["uid:0".to_owned(), "uid:2".to_owned()],
        creators: vec!["uid:0".to_owned()],
        owners: vec!["uid:0".to_owned()],
        ..GroupAccess::default()
    };
    world.repository.set_access(owner.id(), &access);
    for _ in 0..2 {
        let error = removed.republish(&[], "").unwrap_err();
        assert!(matches!(error, Error::Repository(RepositoryError::Denied { .. })), "{error}");
    }
    let error = reader.republish(&[], "").unwrap_err();
    assert!(matches!(error, Error::NoRight { .. }), "{error}");
    assert_eq!(fates(&reader.find_lost(&[]).unwrap()), [(lost, KeyFate::Missing)], "it may look");
    assert_eq!((about(&world, 0, &owner, lost).len(), put_back(&world)), (0, 0));
}

#[test]
fn a_key_that_nobody_has_is_not_found() {
    let (world, owner, ..) = rolled(1);
    let never = KeyId([9; 16]);
    let error = owner.republish(&[never], "").unwrap_err();
    assert!(matches!(error, Error::NoKey { key } if key == never), "{error}");
    // Lost, and this process was started afterwards.
    let (world, owner, _, [_, lost]) = {
        drop(world);
        rolled(1)
    };
    set_back(&world, 0, &owner, lost);
    let error = world.fresh("uid:1").republish(&[lost], "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(put_back(&world), 0);
}

#[test]
fn without_a_journal_a_right_clock_a_root_key_or_space_nothing_is_put_and_it_can_be_run_again() {
    let (world, owner, [_, blob], [_, lost]) = rolled(1);
    set_back(&world, 0, &owner, lost);
    *world.ledger.broken.lock().unwrap() = true;
    assert!(matches!(owner.republish(&[], ""), Err(Error::Journal { .. })));
    *world.ledger.broken.lock().unwrap() = false;

    world.repository.faults(0, |f| f.clock_off_ms = 3_600_000);
    assert_eq!(owner.republish(&[], "").unwrap_err().kind(), ErrorKind::Refused);
    for fault in [true, false] {
        world.repository.heal();
        world.repository.faults(0, |f| (f.no_space, f.read_only) = (fault, !fault));
        let done = owner.republish(&[], "").unwrap();
        assert!(
            matches!(&done.keys[0].fate, KeyFate::Failed { kind: ErrorKind::Unavailable, .. }),
            "{done:?}"
        );
        assert_eq!((done.keys[0].on.len(), done.rolled), (0, None));
    }
    world.repository.heal();
    assert!(about(&world, 0, &owner, lost).is_empty());
    let done = owner.republish(&[], "").unwrap();
    assert_eq!(fates(&done), [(lost, KeyFate::PutBack)]);
    assert_eq!(&*world.fresh("uid:2").unprotect(&context(), &blob).unwrap(), b"new");

    let (world, owner, ..) = {
        drop(world);
        rolled(1)
    };
    let lost = protecting(&owner);
    set_back(&world, 0, &owner, lost);
    world.lose_root_keys();
    assert!(matches!(owner.republish(&[], ""), Err(Error::RootKey(_))));
    assert_eq!(put_back(&world), 0);
}

#[test]
fn a_slot_that_somebody_has_filled_is_told_and_kept() {
    let (world, owner, _, [lost, _]) = rolled(1);
    set_back(&world, 0, &owner, lost);
    let slot = SlotName::for_restored_key(lost);
    world.repository.seen_by("uid:2").plant(0, owner.id(), Room::Keys, &slot, b"\xff", None);
    // Rubbish is no record of a ring: it is noticed when it is read back.
    let done = owner.republish(&[], "").unwrap();
    assert!(matches!(&done.keys[0].fate, KeyFate::SlotTaken { name } if *name == slot), "{done:?}");
    assert!(about_slot(&world, &owner, &slot) == b"\xff");
    world.repository.remove(0, owner.id(), Room::Keys, &slot);
    assert_eq!(fates(&owner.republish(&[], "").unwrap()), [(lost, KeyFate::PutBack)]);
}

fn about_slot(world: &World, group: &Group, slot: &SlotName) -> Vec<u8> {
    world.repository.held(0, group.id()).into_iter().find(|(_, name, _)| name == slot).unwrap().2
}

#[test]
fn cut_off_anywhere_it_is_run_again_and_comes_to_the_same() {
    for (after, answer_lost) in (0..).map(|n| (n / 2, n % 2 == 1)) {
        let (world, owner, [_, blob], [first, second]) = rolled(2);
        let member = world.fresh("uid:1");
        for replica in 0..2 {
            set_back(&world, replica, &owner, first);
            set_back(&world, replica, &owner, second);
        }
        for replica in 0..2 {
            world.repository.faults(replica, |f| {
                f.cut_off_after = Some(after);
                f.answer_lost = answer_lost;
            });
        }
        let whole = |done: &dkm::Result<Republished>| {
            done.as_ref().is_ok_and(|done| done.unread.is_empty() && done.rolled.is_some())
        };
        let finished = whole(&member.republish(&[], ""));
        world.repository.heal();
        if !finished {
            let done = member.republish(&[], "").unwrap();
            let fine = |fate: &KeyFate| matches!(fate, KeyFate::PutBack | KeyFate::OnItsWay);
            assert!(done.keys.iter().all(|key| fine(&key.fate)), "{after}: {done:?}");
        }
        world.repository.replicate();
        let fresh = world.fresh("uid:2");
        assert_eq!(&*fresh.unprotect(&context(), &blob).unwrap(), b"new");
        for key in [first, second] {
            assert!(fresh.view().unwrap().ring.key(key).is_some_and(|key| key.verified));
        }
        if finished {
            assert!(after > 10, "only {after} operations");
            return;
        }
    }
}

#[test]
fn two_members_at_once_come_to_one_copy() {
    let (world, owner, [blob, _], [lost, _]) = rolled(1);
    let members = [world.fresh("uid:1"), world.fresh("uid:2")];
    set_back(&world, 0, &owner, lost);
    std::thread::scope(|scope| {
        for member in &members {
            scope.spawn(|| {
                let done = member.republish(&[lost], "").unwrap();
                assert!(matches!(done.keys[0].fate, KeyFate::PutBack | KeyFate::Everywhere), "{done:?}");
            });
        }
    });
    assert_eq!(about(&world, 0, &owner, lost).len(), 1);
    assert_eq!(&*world.fresh("uid:0").unprotect(&context(), &blob).unwrap(), b"old");
}

#[test]
fn a_lost_key_that_waited_is_not_waited_for() {
    let (world, owner, ..) = rolled(1);
    let waiting = owner.roll("soon").unwrap().key;
    set_back(&world, 0, &owner, waiting);
    let done = owner.republish(&[], "").unwrap();
    assert_eq!(fates(&done), [(waiting, KeyFate::PutBack)]);
    let new = done.rolled.unwrap().key;
    assert_ne!(new, waiting);
    world.clock.advance(DAY_MS);
    assert_eq!(protecting(&world.fresh("uid:2")), new);
}

#[test]
fn where_what_is_left_is_not_believed_without_what_was_lost_another_key_is_made() {
    let world = World::new(1);
    let owner = world.group();
    let first = protecting(&owner);
    let blob = owner.protect(&context(), b"old").unwrap();
    // The replacement was used at once, for which the compromise was the reason.
    let replacement = owner.compromise(first, "in a core dump").unwrap().replacement.unwrap().key;
    assert_eq!(set_back(&world, 0, &owner, first).len(), 2);
    assert!(world.fresh("uid:2").view().unwrap().protecting.is_err());
    let done = owner.republish(&[], "").unwrap();
    assert_eq!((fates(&done), done.control), (vec![(first, KeyFate::PutBack)], 1));
    let new = done.rolled.unwrap().key;
    assert!(new != first && new != replacement);
    world.clock.advance(DAY_MS);
    let fresh = world.fresh("uid:2");
    assert_eq!(protecting(&fresh), new);
    assert!(fresh.unprotect(&context(), &blob).is_err(), "still compromised");
    let opened = fresh.overriding("looking").unwrap().unprotect(&context(), &blob).unwrap();
    assert_eq!(&*opened, b"old");
}
