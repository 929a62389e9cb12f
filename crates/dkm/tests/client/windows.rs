//! Keys and blobs of Windows DKM beside a group's own.

use dkm::core::blob::BlobError;
use dkm::core::member::UnprotectRefusal;
use dkm::core::plan::Plan;
use dkm::core::record::{Family, Material, Origin, Record};
use dkm::core::ring::KeyState;
use dkm::journal::EventKind;
use dkm::windows::{WindowsBlob, WindowsBlobError, WindowsKey};
use dkm::{Error, ErrorKind, KeyGuid, Policy};

use crate::world::{DAY_MS, World, context, protecting};

const GUID: KeyGuid = KeyGuid(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef");

fn key(number: u8) -> WindowsKey {
    let guid = KeyGuid(GUID.0.map(|byte| byte.wrapping_add(number)));
    WindowsKey::new(guid, &[number; 32]).unwrap()
}

/// A blob as Windows made it.
fn foreign(key: &WindowsKey, plaintext: &[u8]) -> Vec<u8> {
    dkm::core::windows::seal(key, &[3; 32], &[4; 16], plaintext).unwrap()
}

#[test]
fn imported_keys_open_windows_blobs_and_protect_nothing_of_the_groups_own() {
    let world = World::new(2);
    let group = world.group();
    let own = protecting(&group);
    let import = group.import_windows(vec![key(1), key(2)], "moving away").unwrap();
    assert_eq!(import.imported.len(), 2);
    assert_eq!(world.ledger.count(EventKind::KeyImported), 2);

    let view = group.view().unwrap();
    for (guid, id) in &import.imported {
        let ring_key = view.ring.key(*id).unwrap();
        assert_eq!(ring_key.state(view.now), KeyState::Deactivated);
        assert_eq!((ring_key.record.family, ring_key.record.origin), (Family::Windows, Origin::Imported));
        assert_eq!(ring_key.record.guid, Some(*guid));
        assert!(!ring_key.may_ever_protect());
    }
    assert_eq!(view.ring.findings, [], "an import is nothing to report");
    assert_eq!(protecting(&group), own);
    assert!(matches!(view.plan, Plan::Nothing { .. }), "{:?}", view.plan);

    // Another member finds them on the ring.
    let reader = world.fresh("uid:1");
    for number in [1, 2] {
        let blob = foreign(&key(number), b"secret");
        assert_eq!(&*reader.unprotect_windows(&blob).unwrap(), b"secret");
    }
    let renewed = reader.reprotect_windows(&context(), &foreign(&key(1), b"secret")).unwrap();
    assert_eq!(&*reader.unprotect(&context(), &renewed).unwrap(), b"secret");

    // And the group's keys go on as ever.
    world.work(&group, 100);
    let rolled = protecting(&group);
    assert_ne!(rolled, own);
    assert_eq!(group.view().unwrap().ring.key(rolled).unwrap().record.family, Family::Native);
    assert_eq!(&*group.unprotect_windows(&foreign(&key(2), b"old")).unwrap(), b"old");
}

#[test]
fn neither_call_opens_the_others_blobs() {
    let world = World::new(1);
    let group = world.group();
    let import = group.import_windows(vec![key(1)], "test").unwrap();
    let error = group.unprotect(&context(), &foreign(&key(1), b"secret")).unwrap_err();
    assert!(matches!(error, Error::Blob(BlobError::NotABlob)), "{error}");
    let own = group.protect(&context(), b"secret").unwrap();
    let error = group.unprotect_windows(&own).unwrap_err();
    assert!(matches!(error, Error::Windows(WindowsBlobError::NotAWindowsBlob)), "{error}");
    // A blob of the group's own form that names an imported key.
    let (_, id) = import.imported[0];
    let header = dkm::core::blob::Header::new(dkm::Suite::Aes256Gcm, group.id(), id, [1; 32], 4096).unwrap();
    let mut forged = header.encode().to_vec();
    forged.resize(200, 0);
    let error = group.unprotect(&context(), &forged).unwrap_err();
    assert!(matches!(error, Error::Blob(BlobError::ForeignFamily { key }) if key == id), "{error}");
}

#[test]
fn an_import_is_run_again_without_harm() {
    let world = World::new(2);
    let group = world.group();
    let first = group.import_windows(vec![key(1)], "").unwrap();
    let again = group.import_windows(vec![key(2), key(1), key(1)], "").unwrap();
    assert_eq!(again.present, first.imported);
    assert_eq!(again.imported.len(), 1);
    let third = world.fresh("uid:1").import_windows(vec![key(1), key(2)], "").unwrap();
    assert_eq!((third.imported.len(), third.present.len()), (0, 2));
    assert_eq!(world.ledger.count(EventKind::KeyImported), 2);
    assert_eq!(group.import_windows(Vec::new(), "").unwrap(), dkm::WindowsImport::default());
}

#[test]
fn what_must_be_recorded_is_not_imported_unrecorded() {
    let world = World::new(1);
    let group = world.group();
    *world.ledger.broken.lock().unwrap() = true;
    let error = group.import_windows(vec![key(1)], "test").unwrap_err();
    assert!(matches!(error, Error::Journal { .. }), "{error}");
    *world.ledger.broken.lock().unwrap() = false;
    let error = group.unprotect_windows(&foreign(&key(1), b"secret")).unwrap_err();
    assert!(matches!(error, Error::NoWindowsKey { .. }), "{error}");
}

#[test]
fn only_the_repository_decides_who_imports() {
    let world = World::new(1);
    let group = world.group();
    let access = dkm::repository::GroupAccess {
        readers: vec!["uid:0".to_owned(), "uid:5".to_owned()],
        creators: vec!["uid:0".to_owned()],
        owners: vec!["uid:0".to_owned()],
        ..dkm::repository::GroupAccess::default()
    };
    world.repository.set_access(group.id(), &access);
    let reader = world.fresh("uid:5");
    let error = reader.import_windows(vec![key(1)], "test").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert_eq!(group.import_windows(vec![key(1)], "test").unwrap().imported.len(), 1);
    assert_eq!(&*reader.unprotect_windows(&foreign(&key(1), b"x")).unwrap(), b"x");
}

#[test]
fn keys_that_contradict_each_other_or_the_ring_are_refused_before_any_is_written() {
    let world = World::new(1);
    let group = world.group();
    let same_name = WindowsKey { guid: key(1).guid, ..key(2) };
    let same_key = WindowsKey { guid: key(2).guid, ..key(1) };
    for other in [&same_name, &same_key] {
        let error = group.import_windows(vec![key(1), other.clone()], "test").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    let many = (0..=1000u16).map(|n| {
        let mut material = [9; 32];
        material[..2].copy_from_slice(&n.to_be_bytes());
        let mut guid = GUID;
        guid.0[..2].copy_from_slice(&n.to_be_bytes());
        WindowsKey::new(guid, &material).unwrap()
    });
    assert_eq!(group.import_windows(many.collect(), "test").unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(world.ledger.count(EventKind::KeyImported), 0);

    group.import_windows(vec![key(1)], "test").unwrap();
    for other in [same_name, same_key] {
        let error = group.import_windows(vec![key(3), other], "test").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    assert_eq!(world.ledger.count(EventKind::KeyImported), 1, "key 3 neither");
}

#[test]
fn windows_blobs_are_made_with_a_key_that_is_named() {
    let world = World::new(1);
    let group = world.group();
    let missing = group.protect_windows(GUID, b"secret").unwrap_err();
    assert!(matches!(missing, Error::NoWindowsKey { guid: GUID }), "{missing}");
    let import = group.import_windows(vec![key(1)], "test").unwrap();
    let (guid, id) = import.imported[0];
    let (one, two) =
        (group.protect_windows(guid, b"secret").unwrap(), group.protect_windows(guid, b"secret").unwrap());
    assert_ne!(one, two);
    assert_ne!(WindowsBlob::parse(&one).unwrap().nonce, WindowsBlob::parse(&two).unwrap().nonce);
    // Whoever has the key reads it, without DKM's ring.
    assert_eq!(&*dkm::core::windows::open(&key(1), &one).unwrap(), b"secret");

    group.suspend(id, "test").unwrap();
    let error = group.protect_windows(guid, b"secret").unwrap_err();
    assert!(error.to_string().contains("suspended"), "{error}");
    assert_eq!(&*group.unprotect_windows(&one).unwrap(), b"secret");
    group.resume(id, "test").unwrap();
    group.protect_windows(guid, b"secret").unwrap();

    let too_long = vec![0; dkm::core::windows::WINDOWS_PLAINTEXT_LEN_MAX + 1];
    assert_eq!(group.protect_windows(guid, &too_long).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_compromised_windows_key_opens_only_for_whoever_overrides() {
    let world = World::new(1);
    let group = world.group();
    let (guid, id) = group.import_windows(vec![key(1)], "test").unwrap().imported[0];
    let own = protecting(&group);
    assert_eq!(group.compromise(id, "seen elsewhere").unwrap().replacement, None);
    assert_eq!(protecting(&group), own, "it never protected");
    let blob = foreign(&key(1), b"secret");
    let error = group.unprotect_windows(&blob).unwrap_err();
    assert!(matches!(error, Error::Unprotect(UnprotectRefusal::Compromised { key }) if key == id), "{error}");
    assert_eq!(group.protect_windows(guid, b"x").unwrap_err().kind(), ErrorKind::Refused);
    let overriding = group.overriding("incident 7").unwrap();
    assert_eq!(&*overriding.unprotect_windows(&blob).unwrap(), b"secret");
    assert_eq!(world.ledger.count(EventKind::OverrideUsed), 1);
    // A forged blob is no use of the override.
    let mut forged = blob.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(overriding.unprotect_windows(&forged).is_err());
    assert_eq!(world.ledger.count(EventKind::OverrideUsed), 1);
    *world.ledger.broken.lock().unwrap() = true;
    assert!(matches!(overriding.unprotect_windows(&blob), Err(Error::Journal { .. })));
}

#[test]
fn a_destroyed_windows_key_does_not_come_back() {
    let world = World::new(1);
    let group = world.group();
    let (_, id) = group.import_windows(vec![key(1)], "test").unwrap().imported[0];
    let blob = foreign(&key(1), b"secret");
    // Needed while it cools off: its destruction is called off.
    world.clock.advance(40 * DAY_MS);
    group.refresh().unwrap();
    group.destroy(id, "done").unwrap();
    assert_eq!(&*group.unprotect_windows(&blob).unwrap(), b"secret");
    assert_eq!(world.ledger.count(EventKind::DestructionAborted), 1);

    group.destroy_now(id, &id.to_string(), "done").unwrap();
    let error = group.unprotect_windows(&blob).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotFound), "{error}");
    let again = group.import_windows(vec![key(1)], "test").unwrap();
    assert_eq!((again.imported.len(), again.destroyed.len()), (0, 1));
    assert!(group.unprotect_windows(&blob).is_err());
}

#[test]
fn a_planted_key_of_the_same_name_hides_nothing_and_is_not_protected_with() {
    let world = World::new(1);
    let group = world.group();
    let (guid, _) = group.import_windows(vec![key(1)], "test").unwrap().imported[0];
    let planted = WindowsKey { guid, ..key(9) };
    let record = Record::Key(dkm::core::record::KeyRecord {
        id: planted.id(group.id()),
        family: Family::Windows,
        origin: Origin::Imported,
        created_at_ms: 1,
        activates_at_ms: 1,
        predecessor: None,
        attempt: 0,
        material: Material::Plain(planted.material.clone()),
        guid: Some(guid),
    });
    let slot = record.slot(group.id(), 0);
    let creator = world.repository.seen_by("uid:2");
    let mut replica = dkm::repository::Repository::connect(&creator, 0).unwrap();
    replica.put(group.id(), dkm::core::Room::Keys, &slot, &record.encode(group.id())).unwrap();
    group.refresh().unwrap();
    assert_eq!(&*group.unprotect_windows(&foreign(&key(1), b"secret")).unwrap(), b"secret");
    let error = group.protect_windows(guid, b"secret").unwrap_err();
    assert!(error.to_string().contains("2 keys"), "{error}");
    // A blob that is damaged is so with either.
    let mut damaged = foreign(&key(1), b"secret");
    *damaged.last_mut().unwrap() ^= 1;
    let error = group.unprotect_windows(&damaged).unwrap_err();
    assert!(matches!(error, Error::Windows(WindowsBlobError::WrongMac)), "{error}");
}

#[test]
fn a_flood_of_unknown_guids_reads_the_repository_a_few_times() {
    let world = World::new(1);
    let group = world.group();
    let before = world.repository.operations();
    group.refresh().unwrap();
    let one = world.repository.operations() - before;
    let before = world.repository.operations();
    for number in 0..200 {
        let error = group.unprotect_windows(&foreign(&key(number), b"x")).unwrap_err();
        assert!(matches!(error, Error::NoWindowsKey { .. }), "{error}");
    }
    assert!(world.repository.operations() - before <= 8 * one);
}

#[test]
fn windows_keys_lie_in_the_repository_as_policy_says() {
    let world = World::new(1);
    let group = world.group_with(Policy { wrap: dkm::core::policy::Wrap::None, ..Policy::for_directory() });
    let import = group.import_windows(vec![key(1)], "test").unwrap();
    assert_eq!(&*world.fresh("uid:1").unprotect_windows(&foreign(&key(1), b"secret")).unwrap(), b"secret");
    assert_eq!(import.imported.len(), 1);
}

#[test]
fn who_is_denied_opens_nothing() {
    let world = World::new(1);
    let group = world.group();
    group.import_windows(vec![key(1)], "test").unwrap();
    let reader = world.fresh("uid:1");
    world.repository.set_access(group.id(), &dkm::repository::GroupAccess::default());
    assert!(reader.refresh().is_err());
    let error = reader.unprotect_windows(&foreign(&key(1), b"secret")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}
