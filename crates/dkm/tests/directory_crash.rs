//! kill -9 at every step of the directory repository: nothing acknowledged is lost, nothing half-written is served.
//!
//! A child runs a scenario and is killed at its k-th step, for k from 1 until it comes to its end. It notes each
//! acknowledgement in a file. Then this process looks at what is there, and carries the scenario through.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::repository::{GroupAccess, Put, Replica, Repository, RepositoryError};
use dkm_core::kdf::key_id;
use dkm_core::record::{
    Change, Family, KeyRecord, Material, Origin, Purpose, Record, StatusRecord, WrappedMaterial,
};
use dkm_core::{Digest, GroupId, KeyId, Room, RootKeyId, SlotName};

const GROUP: GroupId = GroupId([0x5a; 16]);
const LATER: GroupId = GroupId([0x5b; 16]);

/// What a child does in one run.
#[derive(Debug, Clone, Copy)]
enum Scenario {
    /// A repository is made.
    Init,
    /// A group is made, filled and announced.
    Group,
    /// Records are added to both rooms, some beside leftovers.
    Put,
    /// Keys are destroyed.
    Shred,
}

const SCENARIOS: [(&str, Scenario); 4] = [
    ("init", Scenario::Init),
    ("group", Scenario::Group),
    ("put", Scenario::Put),
    ("shred", Scenario::Shred),
];

/// The n-th key of the tests, always the same. Its record is written in several pieces.
fn key(n: u8) -> (KeyId, Record) {
    let id = key_id(GROUP, Family::Native, &[n; 32]);
    let wrapped = WrappedMaterial {
        root: RootKeyId([n; 16]),
        nonce: vec![n; 12],
        ciphertext: vec![n; 320 + usize::from(n)],
    };
    let record = KeyRecord {
        id,
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1_000,
        activates_at_ms: 2_000,
        predecessor: Some(KeyId([n; 16])),
        attempt: 0,
        material: Material::Wrapped(wrapped),
        guid: None,
    };
    (id, Record::Key(record))
}

fn status(n: u8, change: Change) -> Record {
    Record::Status(StatusRecord {
        key: key(n).0,
        change,
        purpose: Purpose::Ordinary,
        reason: "r".repeat(100),
        epoch: 0,
        answers: vec![Digest([n; 32])],
        when_ms: 3_000,
    })
}

/// Every record that any scenario writes.
fn all_records() -> Vec<Record> {
    let mut records: Vec<Record> = (0..12).map(|n| key(n).1).collect();
    for n in 0..12 {
        records.extend([status(n, Change::Suspended), status(n, Change::Destroyed)]);
    }
    records
}

fn put(connection: &mut dyn Replica, record: &Record, ack: &mut dyn FnMut(String)) {
    let name = record.slot(GROUP, 0);
    let put = connection.put(GROUP, record.room(), &name, &record.encode(GROUP)).unwrap();
    assert_ne!(put, Put::Tombstoned);
    ack(format!("put {} {name}", record.room()));
}

fn connect(path: &Path) -> Box<dyn Replica> {
    DirectoryRepository::open(path).unwrap().connect(0).unwrap()
}

fn shared() -> GroupAccess {
    GroupAccess { readers: vec![rustix::process::getegid().as_raw().to_string()], ..GroupAccess::default() }
}

fn keys_folder(path: &Path) -> PathBuf {
    path.join("groups").join(GROUP.to_string()).join("keys")
}

/// Keys that are there before a scenario.
const PREPARED: u8 = 5;
/// Keys that are destroyed, the first of them.
const DESTROYED: u8 = 4;

/// What was there before.
fn prepare(scenario: Scenario, path: &Path) {
    if matches!(scenario, Scenario::Init) {
        return;
    }
    DirectoryRepository::create(path, &CreateOptions::default()).unwrap();
    if matches!(scenario, Scenario::Group) {
        return;
    }
    let mut connection = connect(path);
    connection.create_group(GROUP, &shared()).unwrap();
    for n in 0..PREPARED {
        put(connection.as_mut(), &key(n).1, &mut |_| {});
    }
    connection.announce_group(GROUP).unwrap();
    if matches!(scenario, Scenario::Shred) {
        // A writer that died and had written a key whole, but not yet under its name.
        fs::write(keys_folder(path).join(".tmp-whole"), key(0).1.encode(GROUP)).unwrap();
    }
    if matches!(scenario, Scenario::Put) {
        // A writer that died a day ago, and one whose record was linked to its slot.
        let keys = keys_folder(path);
        fs::write(keys.join(".tmp-dead"), b"half").unwrap();
        let day_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
        fs::File::open(keys.join(".tmp-dead")).unwrap().set_modified(day_ago).unwrap();
        fs::hard_link(keys.join(key(0).1.slot(GROUP, 0).as_str()), keys.join(".tmp-linked")).unwrap();
    }
}

fn play(scenario: Scenario, path: &Path, ack: &mut dyn FnMut(String)) {
    match scenario {
        Scenario::Init => {
            DirectoryRepository::create(path, &CreateOptions::default()).unwrap();
            ack("init".into());
        }
        Scenario::Group => {
            let mut connection = connect(path);
            if !connection.groups().unwrap().contains(&GROUP) {
                connection.create_group(GROUP, &shared()).unwrap();
            }
            ack("made".into());
            for record in [status(0, Change::Suspended), key(0).1] {
                put(connection.as_mut(), &record, ack);
            }
            connection.announce_group(GROUP).unwrap();
            ack("announced".into());
        }
        Scenario::Put => {
            let mut connection = connect(path);
            for n in PREPARED..11 {
                put(connection.as_mut(), &key(n).1, ack);
            }
            put(connection.as_mut(), &status(5, Change::Suspended), ack);
        }
        Scenario::Shred => {
            let mut connection = connect(path);
            for n in 0..DESTROYED {
                put(connection.as_mut(), &status(n, Change::Destroyed), ack);
                let name = key(n).1.slot(GROUP, 0);
                let listed = connection.list(GROUP, Room::Keys).unwrap();
                if let Some(entry) = listed.iter().find(|entry| entry.name == name) {
                    connection.shred(GROUP, entry).unwrap();
                }
                ack(format!("shred {name}"));
            }
        }
    }
}

/// Everything that is served: each entry must be a whole record of the test's, in its slot.
fn served(connection: &mut dyn Replica) -> BTreeSet<(Room, SlotName)> {
    let mut found = BTreeSet::new();
    for room in Room::ALL {
        for entry in connection.list(GROUP, room).unwrap() {
            let stored = match connection.get(GROUP, room, &entry) {
                Ok(stored) => stored,
                // Its erasure had begun.
                Err(RepositoryError::NotFound { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            let whole = all_records()
                .iter()
                .any(|r| r.slot(GROUP, 0) == entry.name && r.encode(GROUP) == *stored.bytes);
            assert!(whole, "slot {} of {room} holds {} bytes of no record", entry.name, stored.bytes.len());
            found.insert((room, entry.name));
        }
    }
    found
}

/// What a run that was killed has left is right.
fn check(scenario: Scenario, path: &Path, acks: &[String]) {
    if matches!(scenario, Scenario::Init) {
        let opened = DirectoryRepository::open(path);
        match &opened {
            Ok(_) => {}
            Err(RepositoryError::NotARepository { .. }) => assert!(acks.is_empty(), "{acks:?}"),
            Err(error) => panic!("{error}"),
        }
        if opened.is_err() {
            play(scenario, path, &mut |_| {});
        }
        connect(path).create_group(GROUP, &shared()).unwrap();
        return;
    }
    let mut connection = connect(path);
    let announced = connection.groups().unwrap().contains(&GROUP);
    assert!(announced || matches!(scenario, Scenario::Group), "the group is gone");
    assert!(announced || !acks.iter().any(|ack| ack == "announced"), "an announced group is hidden");
    if announced || acks.iter().any(|ack| ack == "made") {
        let found = served(connection.as_mut());
        for ack in acks {
            let words: Vec<&str> = ack.split(' ').collect();
            let holds = |room, name: &str| found.contains(&(room, name.parse().unwrap()));
            match words[..] {
                ["put", "control", name] => assert!(holds(Room::Control, name), "{ack} was lost"),
                ["put", _, name] => assert!(holds(Room::Keys, name), "{ack} was lost"),
                ["shred", name] => assert!(!holds(Room::Keys, name), "{ack} was undone"),
                _ => {}
            }
        }
    }
    // Who comes next carries it through, and can go on.
    play(scenario, path, &mut |_| {});
    put(connection.as_mut(), &key(11).1, &mut |_| {});
    put(connection.as_mut(), &status(11, Change::Suspended), &mut |_| {});
    let found = served(connection.as_mut());
    for room in Room::ALL {
        for entry in connect(path).list(GROUP, room).unwrap() {
            let stored = connection.get(GROUP, room, &entry).unwrap();
            assert!(stored.attested.template_ok, "{} would not protect", entry.name);
        }
    }
    let keys = found.iter().filter(|(room, _)| *room == Room::Keys).count();
    let expected = match scenario {
        Scenario::Init | Scenario::Group => 2,
        Scenario::Put => 11 + 1,
        Scenario::Shred => usize::from(PREPARED - DESTROYED) + 1,
    };
    assert_eq!(keys, expected);
    if matches!(scenario, Scenario::Shred) {
        for file in fs::read_dir(keys_folder(path)).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            let is_destroyed = (0..DESTROYED).any(|n| bytes == key(n).1.encode(GROUP));
            assert!(!is_destroyed, "a destroyed key's bytes are still in the folder");
        }
    }
    connection.create_group(LATER, &shared()).unwrap();
}

/// The child's part: plays the scenario that the environment names, until it is killed.
fn be_the_child() -> bool {
    let Ok(name) = std::env::var("DKM_CRASH_SCENARIO") else { return false };
    let (_, scenario) = SCENARIOS.into_iter().find(|(known, _)| *known == name).unwrap();
    let folder = PathBuf::from(std::env::var_os("DKM_CRASH_FOLDER").unwrap());
    let mut acks = OpenOptions::new().append(true).create(true).open(folder.join("acks")).unwrap();
    play(scenario, &folder.join("repository"), &mut |ack| writeln!(acks, "{ack}").unwrap());
    true
}

/// One run that is killed at a step; false when the scenario came to its end before.
fn kill_at(test: &str, name: &str, scenario: Scenario, step: u32, without_rename: bool) -> bool {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("repository");
    prepare(scenario, &path);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--test-threads=1"]);
    child.env("DKM_CRASH_SCENARIO", name).env("DKM_CRASH_FOLDER", folder.path());
    child.env("DKM_FAULT_STEP", step.to_string());
    if without_rename {
        child.env("DKM_FAULT_NO_RENAME", "1");
    }
    let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success() || status.signal() == Some(9), "{name} ended with {status} before step {step}");
    let acks = fs::read_to_string(folder.path().join("acks")).unwrap_or_default();
    let acks: Vec<String> = acks.lines().map(str::to_owned).collect();
    let checked = std::panic::catch_unwind(|| check(scenario, &path, &acks));
    if let Err(panic) = checked {
        eprintln!("{name} killed at step {step} (without rename: {without_rename}), after {acks:?}:");
        std::panic::resume_unwind(panic);
    }
    !status.success()
}

/// Kills every scenario at each of its steps; returns how often.
fn kill_everywhere(test: &str, without_rename: bool) -> u32 {
    let points = AtomicU32::new(0);
    for (name, scenario) in SCENARIOS {
        let next = AtomicU32::new(1);
        let end = AtomicU32::new(u32::MAX);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let step = next.fetch_add(1, Ordering::SeqCst);
                        if step >= end.load(Ordering::SeqCst) {
                            return;
                        }
                        if kill_at(test, name, scenario, step, without_rename) {
                            points.fetch_add(1, Ordering::SeqCst);
                        } else {
                            end.fetch_min(step, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(end.load(Ordering::SeqCst) > 5, "{name} has hardly a step: is fault injection compiled in?");
    }
    points.into_inner()
}

#[test]
fn killed_at_every_step() {
    if be_the_child() {
        return;
    }
    let points = kill_everywhere("killed_at_every_step", false);
    println!("killed at {points} points");
    assert!(points >= 190, "{points}");
}

#[test]
fn killed_at_every_step_where_rename_replaces() {
    if be_the_child() {
        return;
    }
    let points = kill_everywhere("killed_at_every_step_where_rename_replaces", true);
    println!("killed at {points} points");
    assert!(points >= 200, "{points}");
}
