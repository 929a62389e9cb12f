//! A disk that is full while the server serves, with a real file system: nothing leaves and nothing is taken, `/health` says
//! so, what was acknowledged is there, and it goes on without a start once there is space.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use dkm_core::kdf::key_id;
use dkm_core::record::{Family, KeyRecord, Material, Origin, Record};
use dkm_core::{GroupId, KeyId};
use zeroize::Zeroizing;

use crate::daemon::Daemon;
use crate::people::{People, SECRET};

const MEMBER: &str = "service:member";
const STRANGER: &str = "service:stranger";

/// A small file system in memory over a folder of a server's.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// None where this process may not mount, which nobody forbids to root.
    pub(crate) fn mount(folder: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("mode=700,{options}"), "dkm-test"]).arg(folder);
        if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        assert!(!rustix::process::geteuid().is_root(), "root can't mount a file system");
        let _ = writeln!(std::io::stderr(), "SKIPPED: full disks are tested only where mount works (root)");
        None
    }

    /// Makes as many files as there is place for, in a folder of theirs.
    pub(crate) fn fill_with_files(&self) -> PathBuf {
        let folder = self.0.join("files");
        fs::create_dir(&folder).unwrap();
        let mut number = 0;
        while fs::File::create(folder.join(number.to_string())).is_ok() {
            number += 1;
        }
        folder
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
        for piece in [1 << 16, 1 << 12] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A key that anybody could make, and its place.
fn key(group: GroupId, number: u32) -> (KeyId, String, Vec<u8>) {
    let material = dkm_core::Digest::of(&number.to_be_bytes()).0;
    let record = Record::Key(KeyRecord {
        id: key_id(group, Family::Native, &material),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1,
        activates_at_ms: 1,
        predecessor: Some(KeyId(dkm_core::Digest::of(b"another").0[..16].try_into().unwrap())),
        attempt: number,
        material: Material::Plain(Zeroizing::new(material)),
        guid: None,
    });
    let slot = record.slot(group, 0).to_string();
    (key_id(group, Family::Native, &material), slot, record.encode(group))
}

/// What is asked of a server that can't write, and must be refused.
pub(crate) struct Asked {
    people: People,
    grant: dkm_core::RequestId,
    key: String,
}

impl Asked {
    pub(crate) fn new(daemon: &Daemon) -> Self {
        daemon.enrolled(MEMBER);
        daemon.enrolled(STRANGER);
        let people = People::new(daemon, MEMBER);
        let grant = people.grant().unwrap();
        let key = daemon.key_of(MEMBER, people.group);
        Self { people, grant, key }
    }

    fn opening(&self) -> String {
        format!("POST /v1/requests/{}/unprotect", self.grant)
    }

    /// All of it is done.
    pub(crate) fn is_done(&self, daemon: &Daemon) {
        let read = daemon.ask(MEMBER, &self.key, "");
        assert_eq!(read.status, 200, "{}", read.body);
        let opened = daemon.ask("person:alice", &self.opening(), &self.people.opening());
        assert_eq!(opened.status, 200, "{}", opened.body);
        assert!(opened.body.contains(&BASE64_STANDARD.encode(SECRET)));
        let denied = daemon.ask(STRANGER, &self.key, "");
        assert_eq!((denied.status, denied.code().as_str()), (403, "denied"), "{}", denied.body);
        self.people.ask(1).map(|_| ()).unwrap();
        let (status, health) = daemon.health(STRANGER);
        assert_eq!((status, health["status"].as_str()), (200, Some("ok")), "{health}");
    }

    /// All of it is refused with the same words, allow and deny alike, and nothing leaves. `part` is what `/health` blames.
    pub(crate) fn is_refused(&self, daemon: &Daemon, part: &str) {
        let ask = format!("POST /v1/groups/{}/requests", self.people.group);
        let new =
            r#"{"reason":"r","duration_s":60,"scope":{"context":{"a":"b"},"count_max":1,"bytes_max":1}}"#;
        for (account, line, body) in [
            (MEMBER, self.key.as_str(), String::new()),
            (STRANGER, self.key.as_str(), String::new()),
            ("person:alice", self.opening().as_str(), self.people.opening()),
            ("person:alice", ask.as_str(), new.to_owned()),
        ] {
            let answer = daemon.ask(account, line, &body);
            assert!((503..=507).contains(&answer.status), "{account} {line}: {answer:?}");
            let code = answer.code();
            assert!(["audit-unavailable", "unavailable", "no-space"].contains(&code.as_str()), "{answer:?}");
            assert!(!answer.body.contains("\"record\"") && !answer.body.contains("plaintext"), "{answer:?}");
            assert!(!answer.body.contains(&BASE64_STANDARD.encode(SECRET)), "{answer:?}");
        }
        let (status, health) = daemon.health(STRANGER);
        assert_eq!((status, health["status"].as_str()), (503, Some("failing")), "{health}");
        assert_eq!(health[part], "failing", "{health}");
    }
}

/// Adds keys until one is refused: those that were acknowledged.
fn add_until_refused(daemon: &Daemon, group: GroupId, numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    for number in numbers {
        let (_, slot, bytes) = key(group, number);
        let path = format!("PUT /v1/groups/{group}/rooms/keys/{slot}");
        let answer = daemon.put_bytes(MEMBER, &path, &bytes);
        if answer.status != 200 {
            assert!((503..=507).contains(&answer.status), "{answer:?}");
            return acknowledged;
        }
        assert!(answer.body.contains("created"), "{answer:?}");
        acknowledged.push(bytes);
    }
    panic!("the disk was never full");
}

fn all_there(daemon: &Daemon, group: GroupId, keys: &[Vec<u8>]) {
    use dkm::repository::Repository as _;
    let mut replica = daemon.open(&daemon.url(MEMBER)).connect(0).unwrap();
    let listed = replica.list(group, dkm_core::Room::Keys).unwrap();
    for bytes in keys {
        let slot = Record::decode(bytes).unwrap().1.slot(group, 0);
        let entry =
            listed.iter().find(|entry| entry.name == slot).unwrap_or_else(|| panic!("{slot} is lost"));
        assert_eq!(*replica.get(group, dkm_core::Room::Keys, entry).unwrap().bytes, *bytes);
    }
}

fn fills_up(daemon: &mut Daemon, disk: &Disk, what: &str) {
    let asked = Asked::new(daemon);
    let group = asked.people.group;
    asked.is_done(daemon);
    let mut acknowledged = Vec::new();
    for turn in 0..3u32 {
        // Full at once, and then filled by what is asked of the server itself.
        let ballast = disk.fill();
        let len = fs::metadata(&ballast).unwrap().len();
        let room = [0, 40_000, 200_000][turn as usize];
        fs::OpenOptions::new().write(true).open(&ballast).unwrap().set_len(len.saturating_sub(room)).unwrap();
        acknowledged.extend(add_until_refused(daemon, group, turn * 10_000..(turn + 1) * 10_000));
        disk.fill();
        asked.is_refused(daemon, "audit");
        fs::remove_file(&ballast).unwrap();
        asked.is_done(daemon);
        all_there(daemon, group, &acknowledged);
    }
    assert!(!acknowledged.is_empty(), "{what}: nothing was acknowledged before the disk was full");
    // Killed while it is full, and started again once it is not.
    let ballast = disk.fill();
    asked.is_refused(daemon, "audit");
    daemon.kill();
    fs::remove_file(&ballast).unwrap();
    let (good, said) = daemon.check();
    assert!(good, "{said}");
    daemon.serve();
    asked.is_done(daemon);
    all_there(daemon, group, &acknowledged);
    daemon.kill();
    let (good, said) = daemon.check();
    assert!(good, "{said}");
}

#[test]
fn a_full_disk_under_database_and_log() {
    let mut disk = None;
    let mut daemon = Daemon::start_on("", |folder| disk = Disk::mount(&folder.join("data"), "size=12m"));
    let Some(disk) = disk else { return };
    fills_up(&mut daemon, &disk, "data");
    daemon.kill();
    drop(disk);
}

#[test]
fn a_full_disk_under_the_last_checkpoint() {
    let mut disk = None;
    let mut daemon = Daemon::start_on("", |folder| disk = Disk::mount(&folder.join("outside"), "size=64k"));
    let Some(disk) = disk else { return };
    let asked = Asked::new(&daemon);
    asked.is_done(&daemon);
    for _ in 0..2 {
        let ballast = disk.fill();
        asked.is_refused(&daemon, "audit");
        fs::remove_file(&ballast).unwrap();
        asked.is_done(&daemon);
    }
    daemon.kill();
    let (good, said) = daemon.check();
    assert!(good, "{said}");
}
