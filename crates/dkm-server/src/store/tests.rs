use std::collections::BTreeSet;

use dkm_core::record::{Change, Purpose, StatusRecord};
use dkm_core::{GroupId, KeyId, Room, SlotName};

use super::records::{get, list, mark, put, shred};
use super::*;
use crate::account::Account;
use crate::catalog::{Catalog, Role};

const GROUP: GroupId = GroupId([7; 16]);

struct Place {
    _folder: tempfile::TempDir,
    store: Arc<Store>,
}

fn account() -> Account {
    "service:mail".parse().unwrap()
}

fn with_group() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    store
        .change(0, |tx| {
            directory::put_principal(tx, &account(), &[1000], (false, false))?;
            let roles = BTreeSet::from([(Role::Creator, crate::account::Name::Account(account()))]);
            groups::put_group(tx, GROUP, &account(), &roles)?;
            groups::announce_group(tx, GROUP)
        })
        .unwrap();
    Place { _folder: folder, store }
}

fn slot(text: &str) -> SlotName {
    text.parse().unwrap()
}

fn added(store: &Store, room: Room, name: &str, bytes: &[u8]) -> Put {
    store.change(1, |tx| put(tx, GROUP, room, &slot(name), bytes, ("service:mail", 5))).unwrap()
}

#[test]
fn records_are_created_once_and_listed_from_a_mark_on() {
    let Place { store, .. } = &with_group();
    let marked = |after| {
        store.read(|c| Ok((mark(c, GROUP, Room::Keys)?, list(c, GROUP, Room::Keys, after)?))).unwrap()
    };
    assert_eq!(marked(0), (Mark { seq: 0, erased: 0 }, vec![]));
    assert_eq!(added(store, Room::Keys, "a", b"one"), Put::Created);
    assert_eq!(added(store, Room::Keys, "a", b"other"), Put::Taken);
    assert_eq!(added(store, Room::Control, "a", b"elsewhere"), Put::Created);
    let (first, listed) = marked(0);
    assert_eq!(listed.len(), 1);
    let read = store.read(|c| get(c, GROUP, Room::Keys, &slot("a"), &listed[0].stamp)).unwrap().unwrap();
    assert_eq!((&read.bytes[..], &*read.creator, read.created_ms), (&b"one"[..], "service:mail", 5));
    assert_eq!(store.read(|c| get(c, GROUP, Room::Keys, &slot("a"), &[0; 16])).unwrap(), None);
    assert_eq!(added(store, Room::Keys, "b", b"two"), Put::Created);
    let (second, listed) = marked(first.seq);
    assert!(second.seq > first.seq);
    assert_eq!(listed.iter().map(|l| l.slot.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(store.last_leaf().unwrap(), Some(1));
}

#[test]
fn only_records_of_destroyed_keys_are_erased_and_nothing_of_them_stays() {
    let Place { store, _folder: folder } = &with_group();
    let marker = [0x5a; 32];
    let (bytes, key) = key_record(&marker);
    assert_eq!(added(store, Room::Keys, "k", &bytes), Put::Created);
    assert_eq!(added(store, Room::Keys, "x", b"no key"), Put::Created);
    let listed = store.read(|c| list(c, GROUP, Room::Keys, 0)).unwrap();
    let erase = |slot_name: &str, stamp: &[u8]| {
        store.change(2, |tx| shred(tx, GROUP, &slot(slot_name), stamp)).unwrap()
    };
    assert!(!erase("k", &listed[0].stamp) && !erase("x", &listed[1].stamp));
    assert_eq!(added(store, Room::Control, "t", &tombstone(key)), Put::Created);
    assert!(erase("k", &listed[0].stamp) && erase("k", &listed[0].stamp), "erasing twice is success");
    assert!(!erase("x", &listed[1].stamp));
    assert_eq!(added(store, Room::Keys, "k2", &bytes), Put::Tombstoned);
    assert_eq!(store.read(|c| mark(c, GROUP, Room::Keys)).unwrap().erased, 1);
    store.settle();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let found = std::fs::read(&path).unwrap().windows(32).any(|w| w == marker);
        assert!(!found, "the erased key's material is still in {}", path.display());
    }
}

fn key_record(material: &[u8; 32]) -> (Vec<u8>, KeyId) {
    use dkm_core::record::{Family, KeyRecord, Material, Origin, Record as CoreRecord};
    let id = dkm_core::kdf::key_id(GROUP, Family::Native, material);
    let record = KeyRecord {
        id,
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1,
        activates_at_ms: 1,
        predecessor: None,
        attempt: 0,
        material: Material::Plain(zeroize::Zeroizing::new(*material)),
        guid: None,
    };
    (CoreRecord::Key(record).encode(GROUP), id)
}

fn tombstone(key: KeyId) -> Vec<u8> {
    dkm_core::record::Record::Status(StatusRecord {
        key,
        change: Change::Destroyed,
        purpose: Purpose::Ordinary,
        reason: "test".to_owned(),
        epoch: 0,
        answers: Vec::new(),
        when_ms: 2,
    })
    .encode(GROUP)
}

#[test]
fn what_is_refused_in_the_middle_has_changed_nothing() {
    let Place { store, .. } = &with_group();
    let refused: Result<(), rusqlite::Error> = store.change(9, |tx| {
        put(tx, GROUP, Room::Keys, &slot("a"), b"one", ("service:mail", 5))?;
        Err(rusqlite::Error::InvalidQuery)
    });
    assert!(refused.is_err());
    assert!(store.read(|c| list(c, GROUP, Room::Keys, 0)).unwrap().is_empty());
    assert_eq!(store.last_leaf().unwrap(), Some(0));
}

#[test]
fn what_decides_reads_back_as_it_was_written() {
    let Place { store, .. } = &with_group();
    let alice: Account = "person:alice".parse().unwrap();
    store
        .change(1, |tx| {
            directory::put_principal(tx, &alice, &[1001, 1002], (true, false))?;
            directory::put_directory_group(tx, "robots", dkm_remote::wire::Kind::Service)?;
            directory::add_member(tx, "robots", &"service:mail".parse().unwrap())
        })
        .unwrap();
    let catalog = store.read(Catalog::load).unwrap();
    assert_eq!(catalog.account_of_uid(1002), Some(&alice));
    assert!(catalog.principals[&alice].administrator);
    assert!(catalog.groups_of(&account()).contains("robots"));
    assert!(catalog.groups[&GROUP].announced);
    store.change(2, |tx| directory::disable_principal(tx, &alice)).unwrap();
    assert!(!store.read(Catalog::load).unwrap().principals[&alice].enabled);
}

#[test]
fn a_service_is_no_administrator_whatever_the_database_says() {
    let Place { store, .. } = &with_group();
    store.change(1, |tx| tx.execute("UPDATE principals SET administrator = 1", [])).unwrap();
    assert!(!store.read(Catalog::load).unwrap().principals[&account()].administrator);
}

#[test]
fn a_database_is_made_once_and_a_newer_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::None(_))));
    let store = Store::create(folder.path()).unwrap();
    assert!(matches!(Store::create(folder.path()), Err(StoreError::Exists(_))));
    let identity = store.identity();
    store.change(1, |tx| tx.execute("UPDATE meta SET version = 5", [])).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Version { version: 5, .. })));
    store.change(1, |tx| tx.execute("UPDATE meta SET version = 4", [])).unwrap();
    store.recover(4).unwrap();
    drop(store);
    let again = Store::open(folder.path()).unwrap();
    assert_eq!(again.identity().repository, identity.repository);
    assert_ne!(again.identity().epoch, identity.epoch);
    assert_eq!(again.last_leaf().unwrap(), Some(4));
}

#[test]
fn a_database_of_version_1_is_taken_over() {
    let Place { _folder: folder, store } = with_group();
    let before = store.identity();
    drop(store);
    let old = "ALTER TABLE principals DROP COLUMN sid; ALTER TABLE directory_groups DROP COLUMN sid;
               ALTER TABLE principals DROP COLUMN auditor; DROP TABLE grant_certificates; UPDATE meta SET version = 1;";
    Connection::open(folder.path().join(FILE)).unwrap().execute_batch(old).unwrap();
    for _ in 0..2 {
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.identity(), before);
        let catalog = store.read(Catalog::load).unwrap();
        assert!(catalog.principals.values().all(|principal| !principal.auditor && principal.sid.is_none()));
    }
}
