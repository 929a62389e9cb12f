//! What owners do.

use dkm::core::ring::KeyState;
use dkm::journal::EventKind;
use dkm::{Error, ErrorKind, Policy};

use crate::world::{World, context, protecting};

fn state(group: &dkm::blocking::Group, key: dkm::KeyId) -> KeyState {
    let view = group.view().unwrap();
    view.ring.key(key).unwrap().state(view.now)
}

#[test]
fn a_suspended_key_does_not_protect_and_still_opens() {
    let world = World::new(1);
    let group = world.group();
    let key = protecting(&group);
    let blob = group.protect(&context(), b"secret").unwrap();
    group.suspend(key, "looking into it").unwrap();
    assert_eq!(state(&group, key), KeyState::Suspended);
    assert_eq!(group.protect(&context(), b"x").unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
    assert!(matches!(group.suspend(key, "again"), Err(Error::Refused { .. })));
    group.resume(key, "all is well").unwrap();
    assert_eq!(state(&group, key), KeyState::Active);
    assert!(group.protect(&context(), b"x").is_ok());
    assert!(matches!(group.resume(key, "again"), Err(Error::Refused { .. })));
}

#[test]
fn a_compromised_key_is_replaced_at_once_and_opens_only_by_a_recorded_override() {
    let world = World::new(2);
    let group = world.group();
    let old = protecting(&group);
    let blob = group.protect(&context(), b"secret").unwrap();
    let other = world.fresh("uid:1");
    let new = group.compromise(old, "seen on the internet").unwrap().replacement.expect("it protected");
    assert_eq!(protecting(&group), new.key);
    assert_eq!(state(&group, old), KeyState::Compromised);
    other.refresh().unwrap();
    assert_eq!(protecting(&other), new.key, "at once for all, without the activation delay");
    let error = group.unprotect(&context(), &blob).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.advice().unwrap().contains("--allow-compromised"));
    assert!(group.reprotect(&context(), &blob).is_err(), "it may be forged");

    let overriding = group.overriding("incident 7: the mailbox must be read").unwrap();
    assert_eq!(world.ledger.count(EventKind::OverrideUsed), 0);
    assert_eq!(&*overriding.unprotect(&context(), &blob).unwrap(), b"secret");
    assert_eq!(world.ledger.count(EventKind::OverrideUsed), 1);
    *world.ledger.broken.lock().unwrap() = true;
    assert!(
        matches!(overriding.unprotect(&context(), &blob), Err(Error::Journal { .. })),
        "unrecorded: not done"
    );
    assert!(group.overriding(" ").is_err());
    // A second report changes nothing and makes no further key.
    *world.ledger.broken.lock().unwrap() = false;
    assert_eq!(group.compromise(old, "again").unwrap().replacement, None);
}

#[test]
fn members_who_are_not_owners_may_not() {
    let world = World::new(1);
    let group = world.group();
    let key = protecting(&group);
    let member = world.fresh("uid:1");
    for error in [
        member.suspend(key, "x").unwrap_err(),
        member.resume(key, "x").unwrap_err(),
        member.compromise(key, "x").map(|_| ()).unwrap_err(),
        member.destroy(key, "x").map(|_| ()).unwrap_err(),
        member.set_policy(Policy::for_directory()).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.advice().is_some());
    }
    assert!(member.roll("members may").is_ok());
    assert!(matches!(group.suspend(dkm::KeyId([9; 16]), "x"), Err(Error::NoKey { .. })));
}

#[test]
fn a_policy_that_forbids_a_suite_closes_its_blobs() {
    let world = World::new(1);
    let group = world.group_with(Policy { suite: 2, ..Policy::for_directory() });
    let blob = group.protect(&context(), b"secret").unwrap();
    let policy = Policy { suite: 1, unprotect_suites: vec![1], ..group.policy().unwrap() };
    assert_eq!(group.set_policy(policy).unwrap(), 2);
    assert!(matches!(group.unprotect(&context(), &blob), Err(Error::SuiteForbidden { .. })));
    let policy = Policy { unprotect_suites: vec![1, 2], ..group.policy().unwrap() };
    assert_eq!(group.set_policy(policy).unwrap(), 3);
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
    let wrong = Policy { activation_delay_ms: 1, ..group.policy().unwrap() };
    assert!(matches!(group.set_policy(wrong), Err(Error::Policy(_))));
}

#[test]
fn archive_before_use_makes_no_key_that_is_not_kept_first() {
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let policy =
        Policy { archive_before_use: true, archive_recipients: vec![recipient], ..Policy::for_directory() };
    let mut world = World::new(1);
    let new = |policy| dkm::blocking::NewGroup {
        name: "kept".into(),
        description: None,
        policy,
        access: dkm::repository::GroupAccess::default(),
    };
    assert!(matches!(world.client().create_group(new(policy.clone())), Err(Error::Refused { .. })));
    assert!(world.client().groups().unwrap().is_empty(), "what was not finished is not announced");
    let folder = tempfile::tempdir().unwrap();
    world.escrow = Some(std::sync::Arc::new(dkm::FolderEscrow::new(folder.path())));
    let group = world.client().create_group(new(policy)).unwrap();
    let kept = folder.path().join(group.id().to_string()).join(format!("{}.age", protecting(&group)));
    assert!(std::fs::read(kept).unwrap().starts_with(b"age-encryption.org/v1"));
}
