//! Policies that must not come into force by mistake.

use dkm::blocking::NewGroup;
use dkm::repository::GroupAccess;
use dkm::{Error, ErrorKind, Policy};

use crate::world::{World, context};

fn names(who: &[&str]) -> Option<Vec<String>> {
    Some(who.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn an_owner_does_not_lock_himself_out_by_mistake() {
    let world = World::new(1);
    let group = world.group();
    let policy = group.policy().unwrap();
    // Mistyped, or meant as "this account as well".
    for owners in [names(&["0"]), names(&["uid:1"]), names(&[])] {
        let locked = Policy { owners, ..policy.clone() };
        assert!(matches!(group.check_policy(&locked), Err(Error::Refused { .. })));
        let error = group.set_policy(locked).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("uid:0"), "{error}");
        assert!(error.advice().unwrap().contains("--even-if-it-locks-me-out"));
    }
    assert_eq!(group.set_policy(Policy { owners: names(&["uid:0", "uid:1"]), ..policy.clone() }).unwrap(), 2);
    // Handed over, with open eyes.
    let handed_over = Policy { owners: names(&["uid:1"]), ..policy.clone() };
    assert_eq!(group.set_policy_even_if_locked_out(handed_over).unwrap(), 3);
    assert!(matches!(group.set_policy(policy), Err(Error::NoRight { .. })));
}

#[test]
fn the_key_that_protects_does_not_lose_its_maker_by_mistake() {
    let world = World::new(1);
    let group = world.group();
    let policy = group.policy().unwrap();
    let services = Policy { creators: names(&["uid:1"]), ..policy };
    let error = group.set_policy(services.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("who made the key"), "{error}");
    assert!(group.protect(&context(), b"x").is_ok());
    // Once a service's own key protects, the services may be all that make keys.
    let member = world.fresh("uid:1");
    let new = member.roll("take over").unwrap();
    world.clock.advance(new.activates_at.since(dkm::Timestamp(crate::world::T0)));
    group.set_policy(services).unwrap();
    member.refresh().unwrap();
    assert!(member.protect(&context(), b"x").is_ok());
}

#[test]
fn no_more_replicas_are_asked_for_than_there_are() {
    let world = World::new(2);
    let group = world.group();
    let policy = Policy { min_replicas: 3, ..group.policy().unwrap() };
    let error = group.set_policy(policy.clone()).unwrap_err();
    assert!(error.to_string().contains("min_replicas is 3; it must be at most 2"), "{error}");
    let new = NewGroup {
        name: "three".into(),
        description: None,
        policy: policy.clone(),
        access: GroupAccess::default(),
    };
    assert!(matches!(world.client().create_group(new), Err(Error::Policy(_))));
    assert_eq!(group.set_policy(Policy { min_replicas: 2, ..policy }).unwrap(), 2);
}

#[test]
fn recipients_that_are_none_are_refused_by_the_library_too() {
    let world = World::new(1);
    let group = world.group();
    let policy =
        Policy { archive_recipients: vec!["AGE-SECRET-KEY-1".to_owned()], ..group.policy().unwrap() };
    assert_eq!(group.set_policy(policy.clone()).unwrap_err().kind(), ErrorKind::Usage);
    let new = NewGroup { name: "archived".into(), description: None, policy, access: GroupAccess::default() };
    assert_eq!(world.client().create_group(new).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_group_is_not_made_under_a_policy_by_which_its_first_key_would_not_count() {
    let world = World::new(1);
    let policy = Policy { creators: names(&["uid:1"]), ..Policy::for_directory() };
    let new = NewGroup { name: "theirs".into(), description: None, policy, access: GroupAccess::default() };
    let error = world.client().create_group(new).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("uid:0"), "{error}");
    assert!(world.client().groups().unwrap().is_empty());
}
