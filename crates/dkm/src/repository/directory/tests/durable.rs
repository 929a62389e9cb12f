//! The order in which things become durable, erasure, leftovers and stamps.

use std::thread;

use dkm_core::KeyId;
use dkm_core::kdf::key_id;
use dkm_core::record::{Change, Family, KeyRecord, Material, Origin, Purpose, StatusRecord};
use zeroize::Zeroizing;

use super::super::step::testing;
use super::*;

fn key(n: u8) -> (KeyId, Record) {
    let id = key_id(GROUP, Family::Native, &[n; 32]);
    let record = KeyRecord {
        id,
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1,
        activates_at_ms: 2,
        predecessor: Some(KeyId([n; 16])),
        attempt: 0,
        material: Material::Plain(Zeroizing::new([n; 32])),
        guid: None,
    };
    (id, Record::Key(record))
}

fn tombstone(key: KeyId) -> Record {
    Record::Status(StatusRecord {
        key,
        change: Change::Destroyed,
        purpose: Purpose::Ordinary,
        reason: String::new(),
        epoch: 0,
        answers: Vec::new(),
        when_ms: 1,
    })
}

#[test]
fn erasing_overwrites_what_other_names_still_show() {
    let mut fixture = Fixture::new();
    let (id, record) = key(1);
    let name = record.slot(GROUP, 0);
    fixture.put(name.as_str(), &record.encode(GROUP));
    let other_name = fixture.folder.path().join("elsewhere");
    fs::hard_link(fixture.file(name.as_str()), &other_name).unwrap();
    let grave = tombstone(id);
    fixture.connection.put(GROUP, Room::Control, &grave.slot(GROUP, 0), &grave.encode(GROUP)).unwrap();
    fixture.connection.shred(GROUP, &Entry { name, stamp: Vec::new() }).unwrap();
    assert!(fixture.listed().is_empty());
    let left = fs::read(other_name).unwrap();
    assert!(!left.windows(8).any(|bytes| bytes == [1; 8]), "material is still on the disk");
    assert!(left.starts_with(b"dkm erased\n"));
}

#[test]
fn the_mark_of_an_erased_record_is_no_record() {
    let mut fixture = Fixture::new();
    let put = fixture.connection.put(GROUP, Room::Keys, &slot("mark"), b"dkm erased\n and more");
    assert!(matches!(put, Err(RepositoryError::Invalid(_))), "{put:?}");
    // An erasure that a crash interrupted: not served, but listed, so that somebody finishes it.
    fs::write(fixture.file("half"), b"dkm erased\n\0\0\0 rest of a key").unwrap();
    assert_eq!(fixture.listed(), ["half"]);
    assert!(matches!(fixture.get("half"), Err(RepositoryError::NotFound { .. })));
    fixture.connection.shred(GROUP, &Entry { name: slot("half"), stamp: Vec::new() }).unwrap();
    assert!(fixture.listed().is_empty());
}

#[test]
fn a_put_that_races_with_a_destruction_leaves_nothing() {
    let fixture = Fixture::new();
    for n in 0..60 {
        let (id, record) = key(n);
        let name = record.slot(GROUP, 0);
        let bytes = record.encode(GROUP);
        let grave = tombstone(id);
        thread::scope(|scope| {
            scope.spawn(|| {
                fixture.repository.connect(0).unwrap().put(GROUP, Room::Keys, &name, &bytes).unwrap()
            });
            scope.spawn(|| {
                let mut connection = fixture.repository.connect(0).unwrap();
                connection.put(GROUP, Room::Control, &grave.slot(GROUP, 0), &grave.encode(GROUP)).unwrap();
                let listed = connection.list(GROUP, Room::Keys).unwrap();
                for entry in listed.iter().filter(|entry| entry.name == name) {
                    connection.shred(GROUP, entry).unwrap();
                }
            });
        });
        let mut connection = fixture.repository.connect(0).unwrap();
        let left = connection.list(GROUP, Room::Keys).unwrap();
        assert!(left.is_empty(), "round {n}: a destroyed key is there after both have ended");
    }
}

#[test]
fn leftovers_of_dead_writers_go_and_live_ones_stay() {
    let mut fixture = Fixture::new();
    let (dead, live) = (fixture.file(".tmp-dead"), fixture.file(".tmp-live"));
    fs::write(&dead, b"half").unwrap();
    fs::write(&live, b"half").unwrap();
    let two_hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    fs::File::open(&dead).unwrap().set_modified(two_hours_ago).unwrap();
    fixture.put("key", b"key");
    assert!(!dead.exists());
    assert!(live.exists());
}

#[test]
fn settled_records_keep_their_stamps() {
    let mut fixture = Fixture::new();
    fixture.put("key", b"key");
    let file = fs::File::open(fixture.file("key")).unwrap();
    let listing = |ms| record::Listing::at(dkm_core::Timestamp(ms));
    let stat = rustix::fs::fstat(&file).unwrap();
    let now = record::written(&stat).0;
    let settled = record::stamp(&stat, &listing(now + 60_000));
    assert_eq!(settled, record::stamp(&stat, &listing(now + 90_000)));
    // Just changed: never the same twice, because a further change might not show in the times.
    assert_ne!(record::stamp(&stat, &listing(now)), record::stamp(&stat, &listing(now)));
    set_mode(&fixture.file("key"), 0o444);
    let stat = rustix::fs::fstat(&file).unwrap();
    assert_ne!(settled, record::stamp(&stat, &listing(now + 120_000)));
}

fn put_with(
    fixture: &mut Fixture,
    fail: Option<(usize, Errno)>,
) -> (Result<Put, RepositoryError>, Vec<&'static str>) {
    let name = slot("key");
    testing::run(fail, || fixture.connection.put(GROUP, Room::Keys, &name, &[b'k'; 100]))
}

#[test]
fn a_record_is_durable_before_it_has_its_name_and_its_name_before_it_is_acknowledged() {
    let mut fixture = Fixture::new();
    let (put, steps) = put_with(&mut fixture, None);
    assert_eq!(put, Ok(Put::Created));
    let written = [
        "create a temporary file",
        "write a piece",
        "write a piece",
        "set a file's mode",
        "sync a file",
        "rename",
        "sync a folder",
    ];
    assert_eq!(steps, written);
    // Nor is anything shown that might still go: a reader may act on it at once.
    let (_, steps) = testing::run(None, || fixture.connection.list(GROUP, Room::Keys).unwrap());
    assert_eq!(steps, ["sync a folder"]);
    let (_, steps) = testing::run(None, || fixture.connection.groups().unwrap());
    assert_eq!(steps, ["sync a folder"]);
}

#[test]
fn whatever_fails_on_the_way_leaves_a_free_slot_or_a_whole_record() {
    let (_, steps) = put_with(&mut Fixture::new(), None);
    type Kind = fn(&RepositoryError) -> bool;
    let kinds: [(Errno, Kind); 4] = [
        (Errno::IO, |e| matches!(e, RepositoryError::Unavailable { .. })),
        (Errno::NOSPC, |e| matches!(e, RepositoryError::NoSpace { .. })),
        (Errno::DQUOT, |e| matches!(e, RepositoryError::NoSpace { .. })),
        (Errno::ROFS, |e| matches!(e, RepositoryError::ReadOnly { .. })),
    ];
    for n in 1..=steps.len() {
        for (errno, is_kind) in kinds {
            let mut fixture = Fixture::new();
            let (put, _) = put_with(&mut fixture, Some((n, errno)));
            let error = put.unwrap_err();
            assert!(is_kind(&error), "{}: {error:?}", steps[n - 1]);
            let names = fs::read_dir(fixture.group().join("keys")).unwrap().count();
            // Only the last step comes after the rename: then the record is there, and nobody was told so.
            assert_eq!(names, usize::from(n == steps.len()), "{}", steps[n - 1]);
            let (again, _) = put_with(&mut fixture, None);
            assert_eq!(again, Ok(if n == steps.len() { Put::Taken } else { Put::Created }));
            assert_eq!(fixture.get("key").unwrap().bytes.as_slice(), [b'k'; 100]);
        }
    }
}

#[test]
fn an_erasure_that_fails_on_the_way_is_finished_by_the_next() {
    let (id, record) = key(1);
    let (name, grave) = (record.slot(GROUP, 0), tombstone(id));
    let entry = Entry { name: name.clone(), stamp: Vec::new() };
    let prepared = || {
        let mut fixture = Fixture::new();
        fixture.put(name.as_str(), &record.encode(GROUP));
        fixture.connection.put(GROUP, Room::Control, &grave.slot(GROUP, 0), &grave.encode(GROUP)).unwrap();
        fixture
    };
    let mut fixture = prepared();
    let (shred, steps) = testing::run(None, || fixture.connection.shred(GROUP, &entry));
    assert_eq!(shred, Ok(()));
    for n in 1..=steps.len() {
        let mut fixture = prepared();
        let (shred, _) = testing::run(Some((n, Errno::IO)), || fixture.connection.shred(GROUP, &entry));
        assert!(matches!(shred, Err(RepositoryError::Unavailable { .. })), "{}: {shred:?}", steps[n - 1]);
        fixture.connection.shred(GROUP, &entry).unwrap();
        assert!(fixture.listed().is_empty());
    }
}
