//! What creators who mean ill and owners who err must not bring about.

use dkm::core::kdf::key_id;
use dkm::core::record::{
    Change, Family, KeyRecord, Material, Origin, PolicyRecord, Purpose, Record, StatusRecord,
};
use dkm::core::ring::KeyState;
use dkm::core::{Digest, Room, SlotName};
use dkm::journal::EventKind;
use dkm::{Destruction, Error, Policy};

use crate::world::{DAY_MS, T0, World, context, protecting};

fn keys(group: &dkm::blocking::Group) -> usize {
    group.view().unwrap().ring.keys.len()
}

#[test]
fn rubbish_in_the_slots_of_successors_does_not_stop_rolling() {
    for squatted in [1, 3] {
        let world = World::new(2);
        let group = world.group();
        let key = protecting(&group);
        for attempt in 0..squatted {
            let slot = SlotName::for_key(Some(key), attempt);
            for replica in 0..2 {
                world.repository.seen_by("uid:1").plant(
                    replica,
                    group.id(),
                    Room::Keys,
                    &slot,
                    b"\xff",
                    None,
                );
            }
        }
        world.work(&group, 100);
        assert_ne!(protecting(&group), key, "rolled on time");
        assert_eq!(keys(&group), 2);
    }
    let world = World::new(1);
    let group = world.group();
    let key = protecting(&group);
    world.repository.plant(0, group.id(), Room::Keys, &SlotName::for_key(Some(key), 0), b"\xff", None);
    let new = group.compromise(key, "known to others").unwrap().replacement.expect("a replacement");
    assert_eq!(protecting(&group), new.key);
}

#[test]
fn a_member_whom_policy_names_no_creator_makes_no_keys() {
    let world = World::new(1);
    let creators = Some(vec!["uid:0".to_owned()]);
    let group = world.group_with(Policy { creators, ..Policy::for_directory() });
    let member = world.fresh("uid:1");
    world.clock.advance(120 * DAY_MS);
    for _ in 0..10 {
        world.clock.advance(DAY_MS);
        member.protect(&context(), b"x").unwrap();
    }
    assert_eq!(keys(&member), 1);
    assert!(matches!(member.roll("x"), Err(Error::NoRight { .. })));
    group.refresh().unwrap();
    world.work(&group, 2);
    assert_eq!(keys(&group), 2, "a creator makes it");
}

#[test]
fn an_owner_whom_policy_does_not_name_is_told_so_and_changes_nothing() {
    let world = World::new(1);
    let owners = Some(vec!["uid:9".to_owned()]);
    let group = world.group_with(Policy { owners, ..Policy::for_directory() });
    let key = protecting(&group);
    assert!(matches!(group.suspend(key, "x"), Err(Error::NoRight { .. })));
    assert!(matches!(group.compromise(key, "x"), Err(Error::NoRight { .. })));
    assert!(matches!(group.destroy_now(key, &key.to_string(), "x"), Err(Error::NoRight { .. })));
    assert_eq!(world.ledger.count(EventKind::KeySuspended), 0);
    assert!(group.protect(&context(), b"x").is_ok());
}

#[test]
fn a_policy_that_does_not_count_does_not_keep_the_next_one_out() {
    let world = World::new(1);
    let owners = Some(vec!["uid:0".to_owned()]);
    let group = world.group_with(Policy { owners, ..Policy::for_directory() });
    let view = group.view().unwrap();
    let previous = view.ring.policies.heads().to_vec();
    let stray = Record::Policy(PolicyRecord {
        version: 2,
        previous: previous.clone(),
        created_at_ms: 0,
        policy: Policy { chunk_size: 4096, ..view.policy.clone() },
    });
    let slot = SlotName::for_chained("policy", &previous, 0);
    let bytes = stray.encode(group.id());
    world.repository.seen_by("uid:9").plant(0, group.id(), Room::Control, &slot, &bytes, None);
    assert_eq!(group.set_policy(Policy { chunk_size: 16 << 10, ..view.policy }).unwrap(), 2);
    assert_eq!(group.policy().unwrap().chunk_size, 16 << 10);
}

/// A group whose first key is archived, with a blob of it.
fn archived(world: &World) -> (dkm::blocking::Group, dkm::KeyId, Vec<u8>) {
    let group = world.group();
    let key = protecting(&group);
    let blob = group.protect(&context(), b"secret").unwrap();
    let new = group.roll("test").unwrap();
    world.clock.advance(new.activates_at.since(dkm::Timestamp(T0)));
    world.clock.advance(group.policy().unwrap().destroy_after_ms());
    (group, key, blob)
}

#[test]
fn the_use_of_a_compromised_key_calls_its_destruction_off_too() {
    let world = World::new(1);
    let (group, key, blob) = archived(&world);
    group.compromise(key, "known to others").unwrap();
    assert!(matches!(group.destroy(key, "not needed").unwrap(), Destruction::CoolingOff { .. }));
    let overriding = group.overriding("one mailbox is still under it").unwrap();
    assert_eq!(&*overriding.unprotect(&context(), &blob).unwrap(), b"secret");
    assert_eq!(world.ledger.count(EventKind::DestructionAborted), 1);
    world.clock.advance(group.policy().unwrap().cooling_off_ms + 1);
    assert!(matches!(group.destroy(key, "once more").unwrap(), Destruction::CoolingOff { .. }));
}

#[test]
fn a_destruction_is_called_off_although_the_journal_is_broken() {
    let world = World::new(1);
    let (group, key, blob) = archived(&world);
    assert!(matches!(group.destroy(key, "not needed").unwrap(), Destruction::CoolingOff { .. }));
    *world.ledger.broken.lock().unwrap() = true;
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
    *world.ledger.broken.lock().unwrap() = false;
    assert!(group.view().unwrap().ring.key(key).unwrap().status.use_noticed);
}

#[test]
fn a_key_is_not_destroyed_while_a_replica_that_may_hold_a_notice_of_its_use_is_out_of_reach() {
    let world = World::new(2);
    let (group, key, _) = archived(&world);
    let Destruction::CoolingOff { until } = group.destroy(key, "not needed").unwrap() else { panic!() };
    let cooling = group.view().unwrap().ring.key(key).unwrap().status.suspensions.clone();
    let notice = Record::Status(StatusRecord {
        key,
        change: Change::Resumed,
        purpose: Purpose::InUse,
        reason: String::new(),
        epoch: 2,
        answers: cooling,
        when_ms: 0,
    });
    let bytes = notice.encode(group.id());
    let slot = SlotName::for_content("status", Digest::of(&bytes));
    world.repository.seen_by("uid:1").plant(1, group.id(), Room::Keys, &slot, &bytes, None);
    world.repository.faults(1, |f| f.unreachable = true);
    world.clock.advance(until.since(dkm::clock::Clock::now(world.clock.as_ref())));
    assert!(matches!(group.destroy(key, "now"), Err(Error::Refused { .. })));
    world.repository.heal();
    assert!(matches!(group.destroy(key, "now").unwrap(), Destruction::CoolingOff { .. }), "it begins anew");
    let view = group.view().unwrap();
    assert_eq!(view.ring.key(key).unwrap().state(view.now), KeyState::Deactivated);
}

#[test]
fn a_roll_does_not_wait_for_a_key_that_was_made_for_much_later() {
    let world = World::new(1);
    let group = world.group();
    let first = protecting(&group);
    world.clock.advance(DAY_MS);
    // As made on time for the end of the first key's term, weeks ahead; or in advance, by somebody who has left.
    let material = [5; 32];
    let waiting = KeyRecord {
        id: key_id(group.id(), Family::Native, &material),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: T0,
        activates_at_ms: T0 + 90 * DAY_MS,
        predecessor: Some(first),
        attempt: 0,
        material: Material::Plain(material.into()),
        guid: None,
    };
    let (slot, bytes) = (waiting.slot(), Record::Key(waiting).encode(group.id()));
    world.repository.seen_by("uid:1").plant(0, group.id(), Room::Keys, &slot, &bytes, None);
    group.refresh().unwrap();
    assert_eq!(group.view().unwrap().ring.keys[1].distrust, None);
    let new = group.roll("a member has left").unwrap();
    assert!(!new.was_there);
    world.clock.advance(new.activates_at.since(dkm::Timestamp(T0 + DAY_MS)));
    assert_eq!(protecting(&group), new.key);
    assert!(new.activates_at < dkm::Timestamp(T0 + 2 * DAY_MS));
}

#[test]
fn rubbish_is_read_once_and_reported_each_time() {
    let world = World::new(1);
    let group = world.group();
    for n in 0..50 {
        let slot = format!("rubbish-{n}").parse().unwrap();
        world.repository.seen_by("uid:1").plant(0, group.id(), Room::Keys, &slot, b"\xff", None);
    }
    let cost = || {
        let before = world.repository.operations();
        group.refresh().unwrap();
        assert_eq!(group.view().unwrap().unread.len(), 50);
        world.repository.operations() - before
    };
    let first = cost();
    assert!(cost() + 50 <= first, "not read again");
}
