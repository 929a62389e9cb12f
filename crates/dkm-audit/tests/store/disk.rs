//! A full disk, with real file systems: nothing is acknowledged, nothing is lost, and the log goes on afterwards.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use dkm_audit::Log;
use dkm_audit::store::{Error, FileAnchor, Receipt};

use super::common::{batch, copy, entry, key, trust};

/// A small file system in memory.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// None where this process may not mount.
    fn mount(options: &str) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "dkm-test"]).arg(disk.folder.path());
        if mount.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(disk);
        }
        let _ = writeln!(std::io::stderr(), "SKIPPED: full disks are tested only where mount works (root)");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// Appends until there is no space, frees some, and goes on; twice.
fn fills_up(disk: &Disk, ballast: &[PathBuf], many: u64) {
    let outside = tempfile::tempdir().unwrap();
    let anchor = || Box::new(FileAnchor::new(&outside.path().join("anchor")));
    let log = Log::create(&disk.path("log"), key(1), anchor()).unwrap();
    let mut acknowledged: Vec<Receipt> = Vec::new();
    for ballast in ballast {
        let error = loop {
            let receipts = batch(&log, (0..many).map(entry));
            let failed = receipts.iter().find_map(|receipt| receipt.as_ref().err().cloned());
            acknowledged.extend(receipts.into_iter().flatten());
            if let Some(error) = failed {
                break error;
            }
            assert!(acknowledged.len() < 200_000, "the disk was never full");
        };
        assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
        assert!(
            error.to_string().contains("no space left")
                && error.advice().unwrap().contains("nothing was acknowledged")
        );
        // It goes on refusing, and what is there stays in order.
        while let Ok(receipt) = log.append(&entry(1)) {
            acknowledged.push(receipt);
        }
        assert!(matches!(log.append(&entry(1)), Err(Error::NoSpace { .. })));
        let source = log.source();
        dkm_audit::verify::verify(&source, &trust(1), Some(&log.checkpoint())).unwrap();
        fs::remove_file(ballast).unwrap();
        acknowledged.push(log.append(&entry(2)).unwrap());
    }
    let source = log.source();
    drop(log);
    let report = dkm_audit::verify::verify(&source, &trust(1), None).unwrap();
    let now = report.checkpoint;
    let tree = dkm_audit::tree::Tree::new(&source, &now);
    for receipt in acknowledged.iter().rev().take(500) {
        let (leaf, _) = tree.prove(receipt.index).unwrap();
        assert_eq!(dkm_audit::merkle::leaf_hash(&leaf), receipt.leaf);
    }
    // A copy elsewhere opens like the log itself.
    let moved = outside.path().join("moved");
    copy(&disk.path("log"), &moved);
    let log = Log::open(&moved, key(1), anchor()).unwrap();
    assert_eq!(log.append(&entry(3)).unwrap().index, now.size);
}

#[test]
fn a_disk_without_space() {
    let Some(disk) = Disk::mount("size=2m") else { return };
    let ballast = [disk.path("ballast-1"), disk.path("ballast-2")];
    for file in &ballast {
        fs::write(file, vec![0; 256 * 1024]).unwrap();
    }
    fills_up(&disk, &ballast, 40);
}

#[test]
fn a_disk_without_inodes() {
    let Some(disk) = Disk::mount("size=8m,nr_inodes=80") else { return };
    let ballast: Vec<PathBuf> = (0..2).map(|n| disk.path(&format!("ballast-{n}"))).collect();
    for file in &ballast {
        fs::write(file, b"x").unwrap();
    }
    fills_up_inodes(&disk, &ballast);
}

/// With an inode or two more there is room for a temporary file, but not for a batch: the log refuses, whole.
fn fills_up_inodes(disk: &Disk, ballast: &[PathBuf]) {
    let outside = tempfile::tempdir().unwrap();
    let log =
        Log::create(&disk.path("log"), key(1), Box::new(FileAnchor::new(&outside.path().join("anchor"))))
            .unwrap();
    let mut taken = 0;
    while log.append(&entry(taken)).is_ok() {
        taken += 1;
    }
    for file in ballast {
        fs::remove_file(file).unwrap();
        while log.append(&entry(taken)).is_ok() {
            taken += 1;
        }
        assert!(matches!(log.append(&entry(1)), Err(Error::NoSpace { .. })));
        dkm_audit::verify::verify(&log.source(), &trust(1), Some(&log.checkpoint())).unwrap();
    }
    // Partial tiles of earlier checkpoints are what takes the inodes; they may go.
    for kind in ["0", "entries"] {
        let folder = disk.path("log").join(format!("tile/{kind}/000.p"));
        for width in 1..taken.min(10) {
            fs::remove_file(folder.join(width.to_string())).unwrap();
        }
    }
    let receipt = log.append(&entry(taken)).unwrap();
    assert!(receipt.index >= taken);
    receipt.verify(&trust(1), &entry(taken)).unwrap();
}
