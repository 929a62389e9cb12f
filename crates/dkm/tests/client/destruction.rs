//! Destruction: waiting times, abort on use, tombstones that win for ever.

use dkm::core::Room;
use dkm::core::member::UnprotectRefusal;
use dkm::core::record::Record;
use dkm::core::ring::KeyState;
use dkm::journal::EventKind;
use dkm::repository::GroupAccess;
use dkm::{Destruction, Error, ErrorKind, KeyId};

use crate::world::{DAY_MS, T0, World, context, protecting};

/// A group whose first key is archived and may be destroyed; with the key's blob.
fn archived(world: &World) -> (dkm::blocking::Group, KeyId, Vec<u8>) {
    let group = world.group();
    let key = protecting(&group);
    let blob = group.protect(&context(), b"secret").unwrap();
    let new = group.roll("test").unwrap();
    world.clock.advance(new.activates_at.since(dkm::Timestamp(T0)));
    assert_ne!(protecting(&group), key);
    (group, key, blob)
}

fn keys_on(world: &World, replica: usize, group: dkm::GroupId) -> usize {
    world.repository.held(replica, group).iter().filter(|(room, ..)| *room == Room::Keys).count()
}

#[test]
fn a_key_is_destroyed_after_both_waiting_times_and_stays_so() {
    let world = World::new(2);
    let (group, key, blob) = archived(&world);
    let policy = group.policy().unwrap();
    let early = group.destroy(key, "not needed").unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Refused);
    world.clock.advance(policy.destroy_after_ms());
    let Destruction::CoolingOff { until } = group.destroy(key, "not needed").unwrap() else { panic!() };
    assert_eq!(group.destroy(key, "not needed").unwrap(), Destruction::CoolingOff { until });
    world.clock.advance(policy.cooling_off_ms);
    let before: Vec<_> = world.repository.held(0, group.id());
    assert_eq!(group.destroy(key, "not needed").unwrap(), Destruction::Destroyed { replicas: 2 });
    let records_of = |replica, key| {
        let held = world.repository.held(replica, group.id());
        held.iter()
            .filter(|(_, _, bytes)| {
                matches!(Record::decode(bytes), Ok((_, Record::Key(found))) if found.id == key)
            })
            .count()
    };
    for replica in 0..2 {
        assert_eq!(records_of(replica, key), 0, "the record is gone from replica {replica}");
    }
    for reader in [group.clone(), world.fresh("uid:1")] {
        assert!(matches!(
            reader.unprotect(&context(), &blob),
            Err(Error::Unprotect(UnprotectRefusal::Destroyed { .. }))
        ));
        assert!(reader.protect(&context(), b"x").is_ok(), "the successor goes on");
    }
    assert_eq!(world.ledger.count(EventKind::KeyDestroyed), 1);

    // It comes back from a backup of a replica: nobody opens it, and it is erased again.
    let left = keys_on(&world, 0, group.id());
    for (room, name, bytes) in before {
        if room == Room::Keys {
            world.repository.plant(0, group.id(), room, &name, &bytes, None);
        }
    }
    assert!(keys_on(&world, 0, group.id()) > left);
    let reader = world.fresh("uid:0");
    assert!(reader.unprotect(&context(), &blob).is_err());
    assert_eq!(records_of(0, key), 0, "erased again");
    // Asking again only looks after what is left.
    assert_eq!(group.destroy(key, "again").unwrap(), Destruction::Destroyed { replicas: 2 });
}

#[test]
fn any_use_in_the_cooling_off_time_calls_it_off() {
    let world = World::new(1);
    let (group, key, blob) = archived(&world);
    let policy = group.policy().unwrap();
    let member = world.fresh("uid:1");
    world.clock.advance(policy.destroy_after_ms());
    assert!(matches!(group.destroy(key, "not needed").unwrap(), Destruction::CoolingOff { .. }));
    member.refresh().unwrap();
    assert_eq!(&*member.unprotect(&context(), &blob).unwrap(), b"secret");
    assert_eq!(world.ledger.count(EventKind::DestructionAborted), 1);
    world.clock.advance(policy.cooling_off_ms + 1);
    // It begins anew instead of ending.
    assert!(matches!(group.destroy(key, "once more").unwrap(), Destruction::CoolingOff { .. }));
    let view = group.view().unwrap();
    assert!(view.ring.key(key).unwrap().status.use_noticed);
    group.resume(key, "kept after all").unwrap();
    world.clock.advance(policy.cooling_off_ms + 1);
    assert!(matches!(group.destroy(key, "third").unwrap(), Destruction::CoolingOff { .. }));
}

#[test]
fn a_member_that_may_not_add_keys_gets_its_plaintext_and_raises_an_alarm() {
    let world = World::new(1);
    let (group, key, blob) = archived(&world);
    let policy = group.policy().unwrap();
    world.clock.advance(policy.destroy_after_ms());
    let access = GroupAccess {
        readers: ["uid:0", "uid:1"].map(str::to_owned).to_vec(),
        creators: vec!["uid:0".to_owned()],
        owners: vec!["uid:0".to_owned()],
        ..GroupAccess::default()
    };
    world.repository.set_access(group.id(), &access);
    assert!(matches!(group.destroy(key, "not needed").unwrap(), Destruction::CoolingOff { .. }));
    let reader = world.fresh("uid:1");
    assert!(reader.view().unwrap().uses_not_noted.is_empty());
    for _ in 0..3 {
        assert_eq!(&*reader.unprotect(&context(), &blob).unwrap(), b"secret");
    }
    let told = reader.view().unwrap().uses_not_noted;
    assert!(told[&key].contains("add keys"), "{told:?}");
    assert_eq!(world.ledger.count(EventKind::UseNotNoted), 1, "once, however many blobs are opened");
    assert_eq!(world.ledger.count(EventKind::DestructionAborted), 0, "nothing was called off");
    // The owner that is asked resumes it, and the alarm ends.
    group.resume(key, "uid:1 needs it").unwrap();
    reader.refresh().unwrap();
    assert!(reader.view().unwrap().uses_not_noted.is_empty());
    world.clock.advance(policy.cooling_off_ms + 1);
    assert!(matches!(group.destroy(key, "again").unwrap(), Destruction::CoolingOff { .. }));
}

#[test]
fn force_needs_the_whole_id_and_another_key_that_protects() {
    let world = World::new(1);
    let (group, key, blob) = archived(&world);
    for typed in ["", "yes", &key.to_string()[..8]] {
        let error = group.destroy_now(key, typed, "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.advice().unwrap().contains(&key.to_string()));
    }
    let current = protecting(&group);
    assert!(group.destroy_now(current, &current.to_string(), "x").is_err());
    assert_eq!(
        group.destroy_now(key, &key.to_string(), "x").unwrap(),
        Destruction::Destroyed { replicas: 1 }
    );
    assert!(group.unprotect(&context(), &blob).is_err());
    assert!(!Destruction::BEYOND_REACH.is_empty());
}

#[test]
fn a_replica_out_of_reach_is_named_until_it_confirms() {
    let world = World::new(2);
    let (group, key, _) = archived(&world);
    world.repository.faults(1, |f| f.unreachable = true);
    let done = group.destroy_now(key, &key.to_string(), "x").unwrap();
    assert!(
        matches!(&done, Destruction::Destroying { confirmed: 1, pending } if pending[0].contains("replica 1")),
        "{done:?}"
    );
    world.repository.heal();
    assert_eq!(group.destroy(key, "x").unwrap(), Destruction::Destroyed { replicas: 2 });
    assert_eq!(keys_on(&world, 1, group.id()), 1);
}

#[test]
fn destroying_a_compromised_key_does_not_disown_its_replacement() {
    let world = World::new(1);
    let group = world.group();
    let old = protecting(&group);
    world.clock.advance(DAY_MS);
    let new = group.compromise(old, "known to others").unwrap().replacement.unwrap();
    group.destroy_now(old, &old.to_string(), "gone").unwrap();
    for reader in [group, world.fresh("uid:1")] {
        assert_eq!(protecting(&reader), new.key);
        let view = reader.view().unwrap();
        assert_eq!(view.ring.key(new.key).unwrap().state(view.now), KeyState::Active);
    }
}
