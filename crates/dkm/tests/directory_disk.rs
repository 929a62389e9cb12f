//! A full disk and a read-only disk, with real file systems: clear errors, nothing lost, and on it goes afterwards.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::repository::{GroupAccess, Put, Replica, Repository, RepositoryError};
use dkm_core::record::RECORD_LEN_MAX;
use dkm_core::{GroupId, Room, SlotName};

const GROUP: GroupId = GroupId([0x6a; 16]);
const OTHER: GroupId = GroupId([0x6b; 16]);

/// A small file system in memory.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// None where this process may not mount.
    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Self { folder };
        if disk.run("mount", &["-t", "tmpfs", "-o", options, "dkm-test"]) {
            return Some(disk);
        }
        // Past the test harness, which swallows what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: full and read-only disks are tested only where mount works (root)"
        );
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, program: &str, args: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(args).arg(self.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn remount(&self, options: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{options}")]));
    }

    fn repository(&self) -> DirectoryRepository {
        let path = self.path().join("repository");
        let repository = DirectoryRepository::create(&path, &CreateOptions::default()).unwrap();
        let mut connection = repository.connect(0).unwrap();
        connection.create_group(GROUP, &GroupAccess::default()).unwrap();
        connection.announce_group(GROUP).unwrap();
        repository
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

fn slot(n: usize) -> SlotName {
    format!("record-{n}").parse().unwrap()
}

/// Puts records until there is no space; what was acknowledged.
fn fill(connection: &mut dyn Replica, len: usize) -> BTreeMap<SlotName, Vec<u8>> {
    let mut acknowledged = BTreeMap::new();
    for n in 0..10_000 {
        let bytes: Vec<u8> = n.to_string().bytes().cycle().take(len).collect();
        match connection.put(GROUP, Room::Keys, &slot(n), &bytes) {
            Ok(put) => {
                assert_eq!(put, Put::Created);
                acknowledged.insert(slot(n), bytes);
            }
            Err(error) => {
                assert!(matches!(error, RepositoryError::NoSpace { .. }), "{error:?}");
                assert!(error.to_string().contains("no space left in dir:/"), "{error}");
                assert!(error.advice().unwrap().contains("nothing was lost"));
                return acknowledged;
            }
        }
    }
    panic!("the disk was never full");
}

/// Everything acknowledged is whole, and there is nothing else.
fn check(repository: &DirectoryRepository, acknowledged: &BTreeMap<SlotName, Vec<u8>>) {
    let mut connection = repository.connect(0).unwrap();
    let entries = connection.list(GROUP, Room::Keys).unwrap();
    let found: BTreeMap<SlotName, Vec<u8>> = entries
        .into_iter()
        .map(|entry| {
            let stored = connection.get(GROUP, Room::Keys, &entry).unwrap();
            assert!(stored.attested.template_ok);
            (entry.name, stored.bytes.to_vec())
        })
        .collect();
    assert_eq!(&found, acknowledged);
    let keys = repository.path().join("groups").join(GROUP.to_string()).join("keys");
    assert_eq!(fs::read_dir(keys).unwrap().count(), acknowledged.len(), "something was left behind");
}

/// Fills a disk, sees that making a group fails cleanly too, frees space and goes on.
fn fills_up(disk: &Disk, ballast: &[PathBuf], len: usize) {
    let repository = disk.repository();
    let mut connection = repository.connect(0).unwrap();
    let mut acknowledged = fill(connection.as_mut(), len);
    assert!(!acknowledged.is_empty());
    check(&repository, &acknowledged);
    let first = connection.put(GROUP, Room::Keys, &slot(0), b"x").unwrap();
    assert_eq!(first, Put::Taken, "a full disk changes nothing about what is there");

    for file in ballast {
        fs::remove_file(file).unwrap();
    }
    let name = slot(20_000);
    let bytes = vec![b'n'; len];
    assert_eq!(connection.put(GROUP, Room::Keys, &name, &bytes).unwrap(), Put::Created);
    acknowledged.insert(name, bytes);
    check(&repository, &acknowledged);
}

#[test]
fn a_disk_without_space() {
    let Some(disk) = Disk::mount("size=512k") else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 128 * 1024]).unwrap();
    fills_up(&disk, &[ballast], 3_000);
}

#[test]
fn a_disk_on_which_half_a_record_fits() {
    let Some(disk) = Disk::mount("size=512k") else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 128 * 1024]).unwrap();
    fills_up(&disk, &[ballast], RECORD_LEN_MAX);
}

#[test]
fn a_disk_without_inodes() {
    let Some(disk) = Disk::mount("size=4m,nr_inodes=40") else { return };
    let ballast: Vec<PathBuf> = (0..4).map(|n| disk.path().join(format!("ballast-{n}"))).collect();
    for file in &ballast {
        fs::write(file, b"x").unwrap();
    }
    fills_up(&disk, &ballast, 100);
}

#[test]
fn no_group_and_no_repository_is_half_made_on_a_full_disk() {
    let Some(disk) = Disk::mount("size=4m,nr_inodes=40") else { return };
    let repository = disk.repository();
    let mut connection = repository.connect(0).unwrap();
    let groups = || fs::read_dir(repository.path().join("groups")).unwrap().count();
    let ballast = |n: usize| disk.path().join(format!("ballast-{n}"));
    let mut n = 0;
    while fs::write(ballast(n), b"").is_ok() {
        n += 1;
    }
    // A group takes three inodes, a repository more: each attempt gets one step farther.
    for free in 0..3 {
        let error = connection.create_group(OTHER, &GroupAccess::default()).unwrap_err();
        assert!(matches!(error, RepositoryError::NoSpace { .. }), "{error:?}");
        assert_eq!(groups(), 1, "half a group was left behind");
        let second = DirectoryRepository::create(&disk.path().join("second"), &CreateOptions::default());
        assert!(matches!(second, Err(RepositoryError::NoSpace { .. })), "{second:?}");
        // What there is of it is no repository, and does not stand in the way of another attempt.
        assert!(DirectoryRepository::open(&disk.path().join("second")).is_err());
        let _ = fs::remove_dir_all(disk.path().join("second"));
        fs::remove_file(ballast(free)).unwrap();
    }
    connection.create_group(OTHER, &GroupAccess::default()).unwrap();
    connection.announce_group(OTHER).unwrap();
    assert_eq!(groups(), 2);
    for free in 3..9 {
        fs::remove_file(ballast(free)).unwrap();
    }
    fs::create_dir(disk.path().join("second")).unwrap();
    fs::create_dir(disk.path().join("second").join("groups")).unwrap();
    DirectoryRepository::create(&disk.path().join("second"), &CreateOptions::default()).unwrap();
}

#[test]
fn a_read_only_disk() {
    let Some(disk) = Disk::mount("size=1m") else { return };
    let repository = disk.repository();
    let mut connection = repository.connect(0).unwrap();
    let name = slot(1);
    connection.put(GROUP, Room::Keys, &name, b"before").unwrap();
    // A descriptor that is open for writing would forbid the remount.
    disk.remount("ro");

    let read_only = |error: RepositoryError| {
        assert!(matches!(error, RepositoryError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("is read-only") && error.advice().is_some());
    };
    let mut connection = repository.connect(0).unwrap();
    read_only(connection.put(GROUP, Room::Keys, &slot(2), b"x").unwrap_err());
    read_only(connection.put(GROUP, Room::Control, &slot(2), b"x").unwrap_err());
    read_only(connection.create_group(OTHER, &GroupAccess::default()).unwrap_err());
    read_only(DirectoryRepository::create(&disk.path().join("new"), &CreateOptions::default()).unwrap_err());
    assert_eq!(connection.put(GROUP, Room::Keys, &name, b"x").unwrap(), Put::Taken);
    let rights = connection.rights(GROUP).unwrap();
    assert!(rights.read && !rights.create && !rights.own, "{rights:?}");
    assert_eq!(connection.groups().unwrap(), [GROUP]);
    check(&repository, &BTreeMap::from([(name.clone(), b"before".to_vec())]));

    disk.remount("rw");
    let mut connection = repository.connect(0).unwrap();
    assert_eq!(connection.put(GROUP, Room::Keys, &slot(2), b"after").unwrap(), Put::Created);
    check(&repository, &BTreeMap::from([(name, b"before".to_vec()), (slot(2), b"after".to_vec())]));
}
