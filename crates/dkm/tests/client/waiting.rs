//! Keys that wait for their activation when somebody leaves: he could read them, so they must not take over.

use dkm::blocking::Group;
use dkm::core::ring::KeyState;
use dkm::journal::EventKind;
use dkm::repository::GroupAccess;
use dkm::{ErrorKind, KeyId, NewKey};

use crate::world::{DAY_MS, World, context, protecting};

/// `uid:2` could read the key that protects and the one that waits, and is a member no more.
fn somebody_has_left(world: &World) -> (Group, KeyId, NewKey) {
    let group = world.group();
    let old = protecting(&group);
    let waiting = group.roll("as usual").unwrap();
    world.fresh("uid:2").refresh().unwrap();
    let remaining = || ["uid:0", "uid:1"].map(str::to_owned).to_vec();
    let access = GroupAccess {
        readers: remaining(),
        creators: remaining(),
        owners: vec!["uid:0".to_owned()],
        ..GroupAccess::default()
    };
    world.repository.set_access(group.id(), &access);
    (group, old, waiting)
}

fn state(group: &Group, key: KeyId) -> KeyState {
    let view = group.view().unwrap();
    view.ring.key(key).unwrap().state(view.now)
}

#[test]
fn a_compromise_does_not_hand_over_to_a_key_that_the_same_person_knows() {
    let world = World::new(2);
    let (group, old, waiting) = somebody_has_left(&world);
    let done = group.compromise(old, "uid:2 has left with it").unwrap();
    let new = done.replacement.unwrap();
    assert_eq!((done.also, done.left), (vec![waiting.key], vec![]));
    assert_eq!(world.ledger.count(EventKind::KeyCompromised), 2, "each is recorded");
    assert_eq!(state(&group, waiting.key), KeyState::Compromised);
    world.clock.advance(2 * DAY_MS);
    for reader in [group, world.fresh("uid:1")] {
        reader.refresh().unwrap();
        assert_eq!(protecting(&reader), new.key);
        let view = reader.view().unwrap();
        assert_eq!(view.ring.key(new.key).unwrap().state(view.now), KeyState::Active);
    }
}

#[test]
fn who_knows_better_keeps_what_waits_and_is_told() {
    let world = World::new(1);
    let (group, old, waiting) = somebody_has_left(&world);
    let done = group.compromise_alone(old, "seen on a screen").unwrap();
    assert_eq!((done.also, done.left), (vec![], vec![waiting.key]));
    world.clock.advance(2 * DAY_MS);
    group.refresh().unwrap();
    assert_eq!(protecting(&group), waiting.key);
}

#[test]
fn an_archived_key_that_becomes_known_says_nothing_of_keys_made_since() {
    let world = World::new(1);
    let group = world.group();
    let old = protecting(&group);
    group.roll("as usual").unwrap();
    world.clock.advance(DAY_MS);
    let waiting = group.roll("again").unwrap();
    let done = group.compromise(old, "an old backup").unwrap();
    assert_eq!((done.replacement, done.also, done.left), (None, vec![], vec![waiting.key]));
    assert_eq!(state(&group, waiting.key), KeyState::PreActive);
}

#[test]
fn a_fresh_roll_archives_what_waits_and_only_the_new_key_takes_over() {
    let world = World::new(1);
    let (group, old, waiting) = somebody_has_left(&world);
    assert!(group.roll("not enough").unwrap().was_there, "what waits would do");
    let rolled = group.roll_fresh("uid:2 has left").unwrap();
    assert_eq!(rolled.archived, [waiting.key]);
    assert!(!rolled.key.was_there && rolled.key.key != waiting.key);
    assert_eq!(world.ledger.count(EventKind::KeyDeactivated), 1);
    assert_eq!(protecting(&group), old, "until the new one is known to all");
    assert!(group.protect(&context(), b"x").is_ok());
    world.clock.advance(2 * DAY_MS);
    group.refresh().unwrap();
    assert_eq!(protecting(&group), rolled.key.key);
    assert_eq!(state(&group, waiting.key), KeyState::Deactivated);
    // Archiving is for owners; nothing is made before that is known.
    let member = world.fresh("uid:1");
    let before = member.view().unwrap().ring.keys.len();
    assert_eq!(member.roll_fresh("x").unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(world.fresh("uid:1").view().unwrap().ring.keys.len(), before);
}
