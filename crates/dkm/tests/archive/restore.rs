//! What comes back, and what does not.

use dkm::archive::{self, RestoreOptions};
use dkm::blocking::Group;
use dkm::core::archive::{Archive, RestoreSkip};
use dkm::core::member::UnprotectRefusal;
use dkm::core::record::{Family, GroupRecord, KeyRecord, Material, Origin, PolicyRecord, Record};
use dkm::core::ring::KeyState;
use dkm::journal::EventKind;
use dkm::repository::GroupAccess;
use dkm::{Error, ErrorKind, KeyId, Policy};

use crate::sealed::holder;
use crate::world::{World, context, protecting};

fn archive_of(group: &Group) -> Archive {
    let holder = holder();
    let mut sealed = Vec::new();
    archive::export(group, &[holder.recipient], &mut sealed).unwrap();
    archive::open(sealed.as_slice(), &holder.identities).unwrap()
}

fn state(group: &Group, key: KeyId) -> KeyState {
    let view = group.view().unwrap();
    view.ring.key(key).unwrap().state(view.now)
}

fn because(reason: &str) -> RestoreOptions {
    RestoreOptions { reason: reason.to_owned(), ..RestoreOptions::default() }
}

fn access() -> GroupAccess {
    GroupAccess::default()
}

/// A repository that has lost everything, a blob, and an archive of the group that protected it.
fn lost() -> (World, Archive, Vec<u8>, KeyId) {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"old").unwrap();
    let key = protecting(&group);
    world.work(&group, 100);
    assert_ne!(protecting(&group), key);
    let archive = archive_of(&group);
    (World::new(1), archive, blob, key)
}

#[test]
fn a_lost_group_comes_back_under_its_id_and_opens_old_blobs() {
    let (world, archive, blob, key) = lost();
    let (group, summary) =
        archive::restore_group(&world.client(), &archive, &access(), &because("the disk died")).unwrap();
    assert_eq!((group.id(), group.name().as_str()), (archive.group, "tokens"));
    assert_eq!(summary.keys, archive.observed().iter().filter(|o| o.record.kind_name() == "key").count());
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"old");
    assert_eq!(state(&group, key), KeyState::Deactivated);
    // What protects now is a key that is in no archive.
    let now = protecting(&group);
    assert!(archive.observed().iter().all(|o| !matches!(&o.record, Record::Key(k) if k.id == now)));
    assert_eq!(world.ledger.count(EventKind::ArchiveRestored), 1);
    let fresh = world.fresh("uid:0");
    assert_eq!(&*fresh.unprotect(&context(), &blob).unwrap(), b"old");

    let again = archive::restore_group(&world.client(), &archive, &access(), &because("again"));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Refused);
    let summary = archive::restore(&group, &archive, &because("again")).unwrap();
    assert_eq!((summary.keys, summary.control, summary.rolled), (0, 0, None));
}

/// What lies in a slot of the first room, as `uid:0` or somebody else left it.
fn left_behind(world: &World, account: &str, group: dkm::GroupId, record: &Record) {
    let slot = record.slot(group, 0);
    let bytes = record.encode(group);
    world.repository.seen_by(account).plant(0, group, record.room(), &slot, &bytes, None);
}

#[test]
fn rooms_that_somebody_else_has_filled_are_not_taken_over() {
    let policy = |policy| {
        let previous = Vec::new();
        Record::Policy(PolicyRecord { version: 1, previous, created_at_ms: 0, policy })
    };
    let (_, archive, ..) = lost();
    let group = |name: &str| {
        Record::Group(GroupRecord {
            name: name.to_owned(),
            created_at_ms: 0,
            repository: archive.repository,
            roster_genesis: None,
            description: None,
        })
    };
    let lax = Policy { overdue_refuse_after_ms: Some(1), ..Policy::for_directory() };
    let material = zeroize::Zeroizing::new([7; 32]);
    let planted = Record::Key(KeyRecord {
        id: dkm::core::kdf::key_id(archive.group, Family::Native, &material),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 0,
        activates_at_ms: 0,
        predecessor: None,
        attempt: 0,
        guid: None,
        material: Material::Plain(material),
    });
    for (record, why) in
        [(group("other"), "a group other"), (policy(lax), "another policy"), (planted, "that uid:1 made")]
    {
        let world = World::new(1);
        left_behind(&world, "uid:1", archive.group, &record);
        let error = archive::restore_group(&world.client(), &archive, &access(), &because("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains(why), "{error}");
        assert!(world.client().groups().unwrap().is_empty());
    }
    // What an earlier run of the same has left is no hindrance.
    let world = World::new(1);
    left_behind(&world, "uid:0", archive.group, &group("tokens"));
    left_behind(&world, "uid:0", archive.group, &policy(Policy::for_directory()));
    archive::restore_group(&world.client(), &archive, &access(), &because("x")).unwrap();
}

#[test]
fn the_policy_comes_back_by_consent_only() {
    let world = World::new(1);
    let theirs = Policy { chunk_size: 4096, ..Policy::for_directory() };
    let archive = archive_of(&world.group_with(theirs.clone()));
    for take_policy in [false, true] {
        let options = RestoreOptions { take_policy, ..because("test") };
        let (group, _) =
            archive::restore_group(&World::new(1).client(), &archive, &access(), &options).unwrap();
        let expected = if take_policy { theirs.clone() } else { Policy::for_directory() };
        assert_eq!(group.policy().unwrap(), expected);
    }
}

#[test]
fn keys_missing_from_a_living_group_come_back_and_it_rolls() {
    // The same group in two repositories: the one that goes on lost what the other has.
    let (world, archive, blob, key) = lost();
    let (group, _) = archive::restore_group(&world.client(), &archive, &access(), &because("one")).unwrap();
    let whole = archive_of(&group);
    let empty = Archive { entries: Vec::new(), ..archive.clone() };
    let second = World::new(1);
    let (other, _) = archive::restore_group(&second.client(), &empty, &access(), &because("two")).unwrap();
    assert!(matches!(
        other.unprotect(&context(), &blob).unwrap_err(),
        Error::Unprotect(UnprotectRefusal::UnknownKey { .. })
    ));
    let before = protecting(&other);
    let summary = archive::restore(&other, &whole, &because("found the other")).unwrap();
    assert!(summary.keys >= 2, "{summary:?}");
    assert_eq!(&*other.unprotect(&context(), &blob).unwrap(), b"old");
    assert_eq!(state(&other, key), KeyState::Deactivated);
    let rolled = summary.rolled.unwrap();
    assert!(!rolled.was_there && rolled.key != before);
    assert_eq!(protecting(&other), before, "the new key waits for its activation");
}

#[test]
fn a_destroyed_key_does_not_come_back() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"gone").unwrap();
    let key = protecting(&group);
    world.work(&group, 100);
    let archive = archive_of(&group);
    group.destroy_now(key, &key.to_string(), "test").unwrap();
    let summary = archive::restore(&group, &archive, &because("test")).unwrap();
    assert_eq!(summary.keys, 0);
    assert!(summary.skipped.contains(&RestoreSkip::KeyDestroyed { key }));
    assert!(group.unprotect(&context(), &blob).is_err());

    // Nor where only the archive knows of its destruction.
    let later = archive_of(&group);
    let second = World::new(1);
    let (elsewhere, summary) =
        archive::restore_group(&second.client(), &later, &access(), &because("test")).unwrap();
    assert!(summary.control >= 1);
    assert!(elsewhere.unprotect(&context(), &blob).is_err());
    let summary = archive::restore(&elsewhere, &archive, &because("test")).unwrap();
    assert_eq!(summary.keys, 0, "the older archive holds the key, and the tombstone is back");
    assert!(elsewhere.unprotect(&context(), &blob).is_err());
}

#[test]
fn a_compromised_key_comes_back_compromised() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"forged?").unwrap();
    let key = protecting(&group);
    group.compromise(key, "test").unwrap();
    let archive = archive_of(&group);
    let second = World::new(1);
    let (elsewhere, _) =
        archive::restore_group(&second.client(), &archive, &access(), &because("test")).unwrap();
    assert_eq!(state(&elsewhere, key), KeyState::Compromised);
    let error = elsewhere.unprotect(&context(), &blob).unwrap_err();
    assert!(matches!(error, Error::Unprotect(UnprotectRefusal::Compromised { .. })), "{error}");
}

#[test]
fn the_wrong_group_a_missing_right_and_a_broken_journal_end_it() {
    let (world, archive, ..) = lost();
    let other = world.group();
    assert_eq!(archive::restore(&other, &archive, &because("test")).unwrap_err().kind(), ErrorKind::Usage);
    let taken = archive::restore_group(&world.client(), &archive, &access(), &because("test"));
    assert!(matches!(taken, Err(Error::GroupExists { .. })), "another group has the name");

    let (world, archive, ..) = lost();
    archive::restore_group(
        &world.client(),
        &Archive { entries: Vec::new(), ..archive.clone() },
        &access(),
        &because("x"),
    )
    .unwrap();
    *world.ledger.broken.lock().unwrap() = true;
    let group = world.fresh("uid:0");
    assert!(matches!(archive::restore(&group, &archive, &because("x")), Err(Error::Journal { .. })));
    *world.ledger.broken.lock().unwrap() = false;
    let before = group.view().unwrap().ring.keys.len();
    assert_eq!(before, 1, "nothing was put back unrecorded");
}

#[test]
fn a_group_that_lost_its_root_keys_is_restored_in_place() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"old").unwrap();
    world.work(&group, 100);
    let archive = archive_of(&group);
    world.lose_root_keys();
    let group = world.fresh("uid:0");
    assert!(group.unprotect(&context(), &blob).is_err());
    let left_out = archive::export(&group, &[holder().recipient], Vec::new()).unwrap().left_out;
    assert_eq!(left_out.len(), group.view().unwrap().ring.keys.len(), "an export says what is not in it");
    let error = archive::restore(&group, &archive, &because("root keys lost")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.advice().unwrap().contains("--readers"));

    let options = RestoreOptions { access: Some(GroupAccess::default()), ..because("root keys lost") };
    let summary = archive::restore(&group, &archive, &options).unwrap();
    assert!(summary.keys >= 2);
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"old");
    // The group begins anew with a key that is in no archive.
    assert_eq!(summary.rolled.map(|key| key.key), Some(protecting(&group)));
    let again = group.protect(&context(), b"new").unwrap();
    assert_eq!(&*world.fresh("uid:0").unprotect(&context(), &again).unwrap(), b"new");
}

#[test]
fn a_restore_that_was_cut_off_is_run_again() {
    let (_, archive, blob, _) = lost();
    let empty = Archive { entries: Vec::new(), ..archive.clone() };
    for operations in 0.. {
        let world = World::new(1);
        let (group, _) =
            archive::restore_group(&world.client(), &empty, &access(), &because("test")).unwrap();
        world.repository.faults(0, |faults| faults.cut_off_after = Some(operations));
        let first = archive::restore(&group, &archive, &because("test"));
        world.repository.heal();
        let group = world.fresh("uid:0");
        archive::restore(&group, &archive, &because("test")).unwrap();
        assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"old", "after {operations} operations");
        assert_eq!(archive::restore(&group, &archive, &because("test")).unwrap().keys, 0);
        if first.is_ok() {
            assert!(operations > 10);
            return;
        }
    }
}

#[test]
fn the_restore_of_a_lost_group_that_was_cut_off_is_run_again() {
    let (_, archive, blob, _) = lost();
    for operations in 0.. {
        let world = World::new(1);
        world.repository.faults(0, |faults| faults.cut_off_after = Some(operations));
        let first = archive::restore_group(&world.client(), &archive, &access(), &because("test"));
        world.repository.heal();
        if let Ok((group, _)) = first {
            assert!(operations > 10);
            assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"old");
            return;
        }
        assert!(world.client().groups().unwrap().is_empty(), "not announced before it is whole");
        let (group, _) = archive::restore_group(&world.client(), &archive, &access(), &because("test"))
            .unwrap_or_else(|error| panic!("after {operations} operations: {error}"));
        assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"old", "after {operations} operations");
        assert!(group.protect(&context(), b"x").is_ok());
    }
}

#[test]
fn a_key_that_waits_and_lies_in_the_archive_never_protects() {
    let world = World::new(1);
    let group = world.group();
    let waiting = group.roll("before the export").unwrap();
    let archive = archive_of(&group);
    let rolled = archive::restore(&group, &archive, &because("a rehearsal")).unwrap().rolled.unwrap();
    assert_ne!(rolled.key, waiting.key, "whoever opened the archive knows the key that waited");
    assert_eq!(state(&group, waiting.key), KeyState::Deactivated);
    world.work(&group, 1);
    assert_eq!(protecting(&group), rolled.key);
}

#[test]
fn keys_of_windows_come_back_with_their_name_and_stay_what_they_were() {
    let (world, second) = (World::new(1), World::new(1));
    let group = world.group();
    let guid = dkm::KeyGuid([7; 16]);
    let key = dkm::windows::WindowsKey::new(guid, &[8; 32]).unwrap();
    let blob = dkm::core::windows::seal(&key, &[1; 32], &[2; 16], b"secret").unwrap();
    group.import_windows(vec![key.clone()], "test").unwrap();
    let archive = archive_of(&group);
    let (restored, _) =
        archive::restore_group(&second.client(), &archive, &access(), &because("lost")).unwrap();
    assert_eq!(&*restored.unprotect_windows(&blob).unwrap(), b"secret");
    assert_eq!(state(&restored, key.id(group.id())), KeyState::Deactivated);
    assert_eq!(restored.view().unwrap().ring.findings, []);
    let again = restored.import_windows(vec![key], "test").unwrap();
    assert_eq!((again.imported.len(), again.present.len()), (0, 1));
}
