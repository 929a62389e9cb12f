//! Replicas that lose, change, withhold or cannot write, clocks that lie, and groups that are never finished.

use dkm::core::Room;
use dkm::core::member::ProtectRefusal;
use dkm::core::record::Record;
use dkm::journal::EventKind;
use dkm::repository::memory::Replication;
use dkm::repository::{GroupAccess, RepositoryError};
use dkm::root_key::RootKeyError;
use dkm::{Error, ErrorKind, Policy};

use crate::world::{World, context, protecting};

fn key_slot(world: &World, group: dkm::GroupId) -> (dkm::core::SlotName, Vec<u8>) {
    let held = world.repository.held(0, group);
    let (_, name, bytes) = held.into_iter().find(|(room, ..)| *room == Room::Keys).unwrap();
    (name, bytes)
}

#[test]
fn a_key_that_disappears_raises_an_alarm_opens_and_does_not_protect() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    let (name, bytes) = key_slot(&world, group.id());
    world.repository.remove(0, group.id(), Room::Keys, &name);
    group.refresh().unwrap();
    let view = group.view().unwrap();
    assert_eq!(view.alarms.len(), 1);
    assert!(matches!(
        group.protect(&context(), b"x"),
        Err(Error::Protect(ProtectRefusal::NotUsable { doubted: true, .. }))
    ));
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
    world.repository.plant(0, group.id(), Room::Keys, &name, &bytes, None);
    group.refresh().unwrap();
    assert!(group.protect(&context(), b"x").is_ok(), "it is back");
}

#[test]
fn a_record_that_changes_is_noticed_and_garbage_is_reported_not_fatal() {
    let world = World::new(1);
    let group = world.group();
    world.repository.plant(
        0,
        group.id(),
        Room::Control,
        &"status-rubbish".parse().unwrap(),
        b"\xff\x00",
        None,
    );
    world.repository.plant(
        0,
        group.id(),
        Room::Control,
        &"future".parse().unwrap(),
        &[0x82, 0x02, 0x00],
        None,
    );
    group.refresh().unwrap();
    let view = group.view().unwrap();
    assert_eq!(view.unread.len(), 2, "{:?}", view.unread);
    assert!(group.protect(&context(), b"x").is_ok());
    let (name, mut bytes) = key_slot(&world, group.id());
    world.repository.remove(0, group.id(), Room::Keys, &name);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    world.repository.plant(0, group.id(), Room::Keys, &name, &bytes, None);
    group.refresh().unwrap();
    let view = group.view().unwrap();
    assert!(view.alarms.iter().any(|alarm| alarm.changed), "{:?}", view.alarms);
    assert!(group.protect(&context(), b"x").is_err());
}

#[test]
fn no_space_and_read_only_are_clear_and_lose_nothing() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    for (fault, kind) in [(true, ErrorKind::Unavailable), (false, ErrorKind::Unavailable)] {
        world.repository.faults(0, |f| {
            f.no_space = fault;
            f.read_only = !fault;
        });
        let error = group.roll("x").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.advice().is_some());
        assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
        assert!(group.protect(&context(), b"x").is_ok());
    }
    world.repository.heal();
    assert!(group.roll("x").is_ok());
}

#[test]
fn a_group_that_the_first_replica_lacks_is_found_and_worked_with() {
    let mut world = World::new(2);
    world.repository = world.repository.with_replication(Replication::ByHand);
    world.repository.faults(0, |f| f.unreachable = true);
    let group = world.group_with(Policy { min_replicas: 1, ..Policy::for_directory() });
    let blob = group.protect(&context(), b"secret").unwrap();
    world.repository.heal();
    let group = world.fresh("uid:0");
    assert_eq!(world.client().groups().unwrap().len(), 1);
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
    group.roll("x").unwrap();
    assert!(world.repository.held(0, group.id()).is_empty());
    let view = group.view().unwrap();
    assert_eq!(view.ring.keys.len(), 2);
    assert!(matches!(view.replicas[0].error, Some(RepositoryError::NotFound { .. })), "{:?}", view.replicas);
    // With nobody left who holds it, that is what is told, and not that there were no such group.
    world.repository.faults(1, |f| f.unreachable = true);
    for kind in [group.roll("x").unwrap_err().kind(), group.refresh().unwrap_err().kind()] {
        assert_eq!(kind, ErrorKind::Unavailable);
    }
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
}

#[test]
fn a_group_is_made_when_both_replicas_show_it() {
    for every in [1, 3, 7, 11, 13, 17, 23] {
        let mut world = World::new(2);
        world.repository = world.repository.with_replication(Replication::Every(every));
        let new = dkm::blocking::NewGroup {
            name: "tokens".into(),
            description: None,
            policy: Policy { min_replicas: 2, ..Policy::for_directory() },
            access: GroupAccess::default(),
        };
        world.client().create_group(new).unwrap();
        world.repository.lose(0);
        world.repository.faults(0, |f| f.unreachable = true);
        assert!(world.client().group("tokens").is_ok(), "{every}");
    }
}

#[test]
fn rooms_are_not_made_on_a_second_replica_when_the_first_may_have_made_them() {
    let mut in_doubt = 0;
    for after in 0..40 {
        let world = World::new(2);
        world.repository.faults(0, |f| {
            f.cut_off_after = Some(after);
            f.answer_lost = true;
        });
        let new = || dkm::blocking::NewGroup {
            name: "tokens".into(),
            description: None,
            policy: Policy { min_replicas: 1, ..Policy::for_directory() },
            access: GroupAccess::default(),
        };
        let Err(error) = world.client().create_group(new()) else { continue };
        in_doubt += 1;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(world.client().groups().unwrap().is_empty());
        world.repository.heal();
        assert!(world.client().create_group(new()).unwrap().protect(&context(), b"x").is_ok());
    }
    // The making, which was not carried out or not answered, and the two questions about what was made.
    assert_eq!(in_doubt, 4);
}

#[test]
fn a_client_whose_clock_is_off_neither_makes_keys_nor_protects_and_still_opens() {
    let world = World::new(2);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    for replica in 0..2 {
        world.repository.faults(replica, |f| f.clock_off_ms = 365 * 86_400_000);
    }
    group.refresh().unwrap();
    assert!(matches!(group.protect(&context(), b"x"), Err(Error::Protect(ProtectRefusal::ClockOff { .. }))));
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
    let before = world.repository.held(0, group.id()).len();
    assert!(group.roll("x").is_err());
    assert!(group.compromise(protecting_anyway(&group), "x").is_err());
    group.refresh().unwrap();
    assert_eq!(world.repository.held(0, group.id()).len(), before);
}

fn protecting_anyway(group: &dkm::blocking::Group) -> dkm::KeyId {
    group.view().unwrap().ring.keys[0].id()
}

#[test]
fn a_group_that_was_not_finished_is_never_seen() {
    for after in 0..40 {
        let world = World::new(1);
        world.repository.faults(0, |f| f.cut_off_after = Some(after));
        let made = world.client().create_group(dkm::blocking::NewGroup {
            name: "tokens".into(),
            description: None,
            policy: Policy::for_directory(),
            access: GroupAccess::default(),
        });
        world.repository.heal();
        let groups = world.client().groups().unwrap();
        if made.is_err() && groups.is_empty() {
            continue;
        }
        // The answer to the announcement may be all that was lost.
        let group = world.client().group("tokens").unwrap();
        assert!(group.protect(&context(), b"x").is_ok());
        return;
    }
    panic!("it is never finished");
}

#[test]
fn a_group_that_may_not_be_made_is_not_recorded_and_one_that_is_not_recorded_is_not_made() {
    let world = World::new(1);
    let new = || dkm::blocking::NewGroup {
        name: "tokens".into(),
        description: None,
        policy: Policy::for_directory(),
        access: GroupAccess::default(),
    };
    world.repository.faults(0, |f| f.read_only = true);
    assert!(world.client().create_group(new()).is_err());
    assert_eq!(world.ledger.count(EventKind::GroupCreated), 0);
    world.repository.heal();
    *world.ledger.broken.lock().unwrap() = true;
    assert!(matches!(world.client().create_group(new()), Err(Error::Journal { .. })));
    assert!(world.client().groups().unwrap().is_empty());
    *world.ledger.broken.lock().unwrap() = false;
    world.client().create_group(new()).unwrap();
    assert_eq!(world.ledger.count(EventKind::GroupCreated), 1);
}

#[test]
fn the_records_that_a_client_reads_hold_no_key_in_clear_under_a_root_key() {
    let world = World::new(1);
    let group = world.group();
    let (_, bytes) = key_slot(&world, group.id());
    let Ok((_, Record::Key(key))) = Record::decode(&bytes) else { panic!("a key") };
    assert!(matches!(key.material, dkm::core::record::Material::Wrapped(_)));
    assert_eq!(key.id, protecting(&group));
}

#[test]
fn a_lost_root_key_is_said_and_its_return_heals() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    let mut other = World::new(1);
    other.repository = world.repository.clone();
    other.clock = world.clock.clone();
    let blind = other.client().group("tokens").unwrap();
    let view = blind.view().unwrap();
    assert_eq!(view.key_faults.len(), 1);
    // Neither is a refusal by policy: somebody has to put the root key back.
    let mut stream = Vec::new();
    for error in [
        blind.protect(&context(), b"x").unwrap_err(),
        blind.protect_stream(&context(), &b"x"[..], &mut stream).map(drop).unwrap_err(),
        blind.unprotect(&context(), &blob).map(drop).unwrap_err(),
        view.why_not_protecting().unwrap(),
    ] {
        assert!(matches!(error, Error::RootKey(RootKeyError::NotFound { .. })), "{error}");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.advice().unwrap().contains("put the root key file back"), "{error}");
    }
    // A key that an owner has stopped is not waited for.
    let key = protecting(&group);
    group.suspend(key, "x").unwrap();
    blind.refresh().unwrap();
    assert_eq!(blind.protect(&context(), b"x").unwrap_err().kind(), ErrorKind::Refused);
    assert!(group.view().unwrap().why_not_protecting().is_some());
    group.resume(key, "x").unwrap();
    assert!(group.view().unwrap().why_not_protecting().is_none());
}

/// Two replicas that exchange nothing by themselves, and a policy under which nobody waits long for that.
fn two_apart() -> (World, Policy) {
    let mut world = World::new(2);
    world.repository = world.repository.with_replication(Replication::ByHand);
    let policy = Policy { min_replicas: 1, replication_bound_ms: 100, ..Policy::for_directory() };
    (world, policy)
}

#[test]
fn what_an_owner_decides_is_on_every_replica_that_answers() {
    let (world, policy) = two_apart();
    let group = world.group_with(policy.clone());
    world.repository.replicate();
    let key = protecting(&group);
    group.suspend(key, "why").unwrap();
    group.set_policy(Policy { refresh_interval_ms: policy.refresh_interval_ms + 1, ..policy }).unwrap();
    let control = |replica| {
        let held = world.repository.held(replica, group.id());
        let mut control: Vec<_> = held.into_iter().filter(|(room, ..)| *room == Room::Control).collect();
        control.sort();
        control
    };
    assert_eq!(control(0).len(), 4, "group, two policies, a status");
    assert_eq!(control(0), control(1));
    // When they meet, it is one record, and nothing to report.
    world.repository.replicate();
    group.refresh().unwrap();
    let view = group.view().unwrap();
    assert!(view.ring.findings.is_empty(), "{:?}", view.ring.findings);
    assert!(view.ring.key(key).unwrap().status.heads.len() == 1);
    world.repository.lose(0);
    world.repository.faults(0, |f| f.unreachable = true);
    let fresh = world.fresh("uid:1");
    assert!(fresh.protect(&context(), b"x").is_err(), "the one that is left knows of the suspension");
}

#[test]
fn a_replica_that_does_not_answer_does_not_keep_an_owner_from_deciding() {
    let (world, policy) = two_apart();
    let group = world.group_with(policy);
    world.repository.replicate();
    world.repository.faults(1, |f| f.unreachable = true);
    let key = protecting(&group);
    group.suspend(key, "why").unwrap();
    world
        .repository
        .faults(1, |f| *f = dkm::repository::memory::Faults { read_only: true, ..Default::default() });
    group.resume(key, "why").unwrap();
    assert!(group.protect(&context(), b"x").is_ok());
}

#[test]
fn a_group_that_wants_more_replicas_than_answer_is_not_begun() {
    let world = World::new(2);
    world.repository.faults(1, |f| f.unreachable = true);
    let new = |min_replicas| dkm::blocking::NewGroup {
        name: "tokens".into(),
        description: None,
        policy: Policy { min_replicas, ..Policy::for_directory() },
        access: GroupAccess::default(),
    };
    let error = world.client().create_group(new(2)).unwrap_err();
    assert!(error.to_string().contains("1 of 2 replicas answer"), "{error}");
    assert!(world.client().groups().unwrap().is_empty());
    assert!(world.client().create_group(new(1)).is_ok());
}
