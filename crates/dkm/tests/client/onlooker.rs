//! Owners who are no members: they are shown keys without their material, and do all that owners do.

use std::sync::atomic::{AtomicBool, Ordering};

use dkm::blocking::Group;
use dkm::core::ring::KeyState;
use dkm::repository::GroupAccess;
use dkm::{Compromise, Destruction, Error, ErrorKind, KeyFault, KeyId, Policy};

use crate::world::{DAY_MS, World, context, protecting};

/// Who reads and creates; `uid:0` and `uid:9` own.
fn set_access(world: &World, group: &Group, members: &[&str]) {
    let members = || members.iter().map(|name| (*name).to_owned()).collect();
    let access = GroupAccess {
        readers: members(),
        creators: members(),
        owners: vec!["uid:0".to_owned(), "uid:9".to_owned()],
        ..GroupAccess::default()
    };
    world.repository.set_access(group.id(), &access);
    group.refresh().unwrap();
}

/// A member's group, and the same as an owner sees it who is no member.
fn both(world: &World) -> (Group, Group, KeyId, Vec<u8>) {
    let group = world.group();
    set_access(world, &group, &["uid:0", "uid:1"]);
    let blob = group.protect(&context(), b"secret").unwrap();
    let key = protecting(&group);
    (group, world.fresh("uid:9"), key, blob)
}

fn state(group: &Group, key: KeyId) -> KeyState {
    group.refresh().unwrap();
    let view = group.view().unwrap();
    view.ring.key(key).unwrap().state(view.now)
}

#[test]
fn keys_are_judged_as_members_judge_them_and_open_nothing() {
    let world = World::new(2);
    let (group, owner, key, blob) = both(&world);
    let waiting = group.roll("as usual").unwrap();
    owner.refresh().unwrap();
    let (theirs, view) = (group.view().unwrap(), owner.view().unwrap());
    assert_eq!(view.protects_for_members(), Some(key));
    assert!(!view.rights.read && view.rights.own && view.protecting.is_err());
    for (seen, meant) in view.ring.keys.iter().zip(&theirs.ring.keys) {
        assert!(seen.is_withheld() && !seen.verified && meant.verified);
        assert_eq!((seen.id(), seen.state(view.now)), (meant.id(), meant.state(view.now)));
        assert_eq!((&seen.record, &seen.distrust), (&meant.record, &meant.distrust));
        assert_eq!(view.key_faults.get(&seen.id()), Some(&KeyFault::Withheld));
    }
    assert_eq!(view.ring.findings, theirs.ring.findings);
    assert!(view.alarms.is_empty() && view.unread.is_empty(), "{view:?}");
    let needs_reading = |error: Error| {
        assert!(matches!(&error, Error::NoRight { right, .. } if right.contains("read keys")), "{error}");
        assert_eq!(error.kind(), ErrorKind::Denied);
    };
    needs_reading(owner.protect(&context(), b"x").unwrap_err());
    needs_reading(owner.unprotect(&context(), &blob).map(drop).unwrap_err());
    needs_reading(view.why_not_protecting().unwrap());
    needs_reading(
        dkm::archive::export(&owner, &[RECIPIENT.to_owned()], std::io::sink()).map(drop).unwrap_err(),
    );
    assert!(matches!(owner.roll("x"), Err(Error::NoRight { .. })));
    // What waits takes over for both at the same time.
    world.clock.advance(waiting.activates_at.since(theirs.now));
    owner.refresh().unwrap();
    assert_eq!(owner.view().unwrap().protects_for_members(), Some(waiting.key));
    assert_eq!(protecting(&group), waiting.key);
}

/// Somebody's, for an archive that is not made.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[test]
fn states_and_policy_are_set_without_reading() {
    let world = World::new(2);
    let (group, owner, key, _) = both(&world);
    owner.suspend(key, "a drill").unwrap();
    assert_eq!(state(&group, key), KeyState::Suspended);
    assert!(group.protect(&context(), b"x").is_err());
    owner.resume(key, "over").unwrap();
    assert_eq!(state(&group, key), KeyState::Active);
    assert!(group.protect(&context(), b"x").is_ok());
    let changed = Policy { rotation_period_ms: 200 * DAY_MS, ..owner.policy().unwrap() };
    owner.set_policy(changed.clone()).unwrap();
    group.refresh().unwrap();
    assert_eq!(group.policy().unwrap(), changed);
}

#[test]
fn a_use_calls_off_what_an_owner_is_about_to_destroy() {
    let world = World::new(2);
    let (group, owner, key, blob) = both(&world);
    let new = group.roll("test").unwrap();
    world.clock.advance(new.activates_at.since(group.view().unwrap().now));
    let policy = owner.policy().unwrap();
    // The key that protects is no archived key, though this owner can't open it.
    let current = new.key;
    assert!(matches!(owner.destroy(current, "x"), Err(Error::Refused { .. })));
    assert!(matches!(owner.destroy(key, "x"), Err(Error::Refused { .. })), "not archived for long enough");
    world.clock.advance(policy.destroy_after_ms());
    assert!(matches!(owner.destroy(key, "not needed").unwrap(), Destruction::CoolingOff { .. }));
    assert_eq!(&*world.fresh("uid:1").unprotect(&context(), &blob).unwrap(), b"secret");
    world.clock.advance(policy.cooling_off_ms + 1);
    assert!(
        matches!(owner.destroy(key, "not needed").unwrap(), Destruction::CoolingOff { .. }),
        "begun anew"
    );
    world.clock.advance(policy.cooling_off_ms + 1);
    assert_eq!(owner.destroy(key, "not needed").unwrap(), Destruction::Destroyed { replicas: 2 });
    for replica in 0..2 {
        let held = world.repository.held(replica, group.id());
        let is_it = |bytes: &[u8]| {
            use dkm::core::record::Record;
            matches!(Record::decode(bytes), Ok((_, Record::Key(found))) if found.id == key)
        };
        assert!(!held.iter().any(|(.., bytes)| is_it(bytes)), "erased from replica {replica}");
    }
    assert!(group.unprotect(&context(), &blob).is_err());
}

#[test]
fn who_makes_no_keys_says_a_compromise_at_once_and_creators_replace_the_key() {
    let world = World::new(1);
    let (group, owner, key, blob) = both(&world);
    let error = owner.compromise(key, "stolen").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.advice().unwrap().contains("--at-once"), "{error}");
    assert_eq!(state(&group, key), KeyState::Active, "nothing was done");
    let at_once = Compromise { at_once: true, ..Compromise::default() };
    let done = owner.compromise_as(key, "stolen", at_once).unwrap();
    assert!(done.unreplaced && done.replacement.is_none(), "{done:?}");
    group.refresh().unwrap();
    assert!(group.protect(&context(), b"x").is_err());
    // Within two refreshes a creator's client has replaced it.
    world.clock.advance(2 * group.policy().unwrap().refresh_interval_max_ms());
    assert!(group.protect(&context(), b"x").is_ok());
    assert_ne!(protecting(&group), key);
    let member = world.fresh("uid:1");
    assert_eq!(protecting(&member), protecting(&group));
    owner.refresh().unwrap();
    assert_eq!(owner.view().unwrap().protects_for_members(), Some(protecting(&group)));
    assert!(group.unprotect(&context(), &blob).is_err(), "only with an override");
}

#[test]
fn a_creator_rolls_at_once_to_replace_what_was_compromised() {
    let world = World::new(1);
    let (group, owner, key, _) = both(&world);
    owner.compromise_as(key, "stolen", Compromise { at_once: true, ..Compromise::default() }).unwrap();
    let new = group.roll("it was stolen").unwrap();
    assert_eq!(protecting(&group), new.key, "without the activation delay");
}

#[test]
fn an_owner_who_leaves_the_members_loses_the_keys_at_once_and_goes_on_as_owner() {
    let world = World::new(2);
    let (group, _, key, blob) = both(&world);
    set_access(&world, &group, &["uid:0", "uid:1", "uid:9"]);
    let owner = world.fresh("uid:9");
    assert_eq!(&*owner.unprotect(&context(), &blob).unwrap(), b"secret");
    set_access(&world, &group, &["uid:0", "uid:1"]);
    assert_eq!(owner.refresh().unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(owner.unprotect(&context(), &blob).map(drop).unwrap_err().kind(), ErrorKind::Denied);
    owner.suspend(key, "as owner").unwrap();
    assert_eq!(owner.unprotect(&context(), &blob).map(drop).unwrap_err().kind(), ErrorKind::Denied);
    let view = owner.view().unwrap();
    assert!(view.ring.key(key).unwrap().is_withheld() && view.alarms.is_empty(), "{:?}", view.alarms);
    assert_eq!(state(&group, key), KeyState::Suspended);
}

#[test]
fn an_owner_who_becomes_a_member_reads_without_an_alarm() {
    let world = World::new(2);
    let (group, owner, key, blob) = both(&world);
    assert!(owner.unprotect(&context(), &blob).is_err());
    set_access(&world, &group, &["uid:0", "uid:1", "uid:9"]);
    owner.refresh().unwrap();
    assert_eq!(&*owner.unprotect(&context(), &blob).unwrap(), b"secret");
    let view = owner.view().unwrap();
    assert!(view.alarms.is_empty() && view.key_faults.is_empty(), "{:?} {:?}", view.alarms, view.key_faults);
    assert_eq!(view.protecting, Ok(key));
}

#[test]
fn a_compromise_that_is_repeated_takes_the_replacement_that_is_there() {
    let world = World::new(2);
    let (group, _, key, _) = both(&world);
    world.repository.faults(1, |f| f.unreachable = true);
    let ended = AtomicBool::new(false);
    let error = std::thread::scope(|scope| {
        // Time goes on while it waits for the other replica.
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                world.clock.advance(1_000);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let error = group.compromise(key, "stolen").unwrap_err();
        ended.store(true, Ordering::Relaxed);
        error
    });
    assert!(error.to_string().contains("1 of 2 replicas"), "{error}");
    assert_eq!(state(&group, key), KeyState::Active);
    let before = group.view().unwrap().ring.keys.len();
    world.repository.heal();
    world.repository.replicate();
    group.refresh().unwrap();
    let new = group.compromise(key, "stolen").unwrap().replacement.unwrap();
    assert!(new.was_there, "the first one is taken");
    let view = group.view().unwrap();
    assert_eq!(view.ring.keys.len(), before, "and no other is made");
    assert_eq!(view.protecting, Ok(new.key));
    assert!(view.ring.findings.is_empty(), "{:?}", view.ring.findings);
    assert_eq!(protecting(&world.fresh("uid:1")), new.key);
}
