//! A log to try things with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dkm_audit::entry::{Actor, Phase, Reason};
use dkm_audit::source::DirectorySource;
use dkm_audit::store::{Anchor, Error, FileAnchor, Receipt};
use dkm_audit::verify::{Faults, Report, verify};
use dkm_audit::{Entry, Log, LogKey, Trust};
use dkm_core::Timestamp;

pub(crate) const ORIGIN: &str = "audit.example.com/log";

pub(crate) fn key(seed: u8) -> LogKey {
    LogKey::from_seed(ORIGIN.parse().unwrap(), &[seed; 32]).unwrap()
}

pub(crate) fn trust(seed: u8) -> Trust {
    Trust::log(key(seed).public().clone()).unwrap()
}

pub(crate) fn entry(n: u64) -> Entry {
    Entry::new(Timestamp(n), format!("uid:{n}").parse().unwrap(), "unprotect".parse().unwrap(), Phase::Intent)
}

pub(crate) fn by() -> (Timestamp, Actor, Reason) {
    (Timestamp(1), "uid:0".parse().unwrap(), "because".parse().unwrap())
}

/// Folders for a log and its anchor.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join("log")
    }

    pub(crate) fn anchor_path(&self) -> PathBuf {
        self.folder().join("anchor")
    }

    pub(crate) fn anchor(&self) -> Box<dyn Anchor> {
        Box::new(FileAnchor::new(&self.anchor_path()))
    }

    pub(crate) fn create(&self) -> Log {
        Log::create(&self.log(), key(1), self.anchor()).unwrap()
    }

    /// Opens it. A process that another test starts holds the lock of a log that was just closed until it has become that
    /// other program, so that is tried again for a while.
    pub(crate) fn open(&self, seed: u8) -> Result<Log, Error> {
        for _ in 0..100 {
            match Log::open(&self.log(), key(seed), self.anchor()) {
                Err(Error::InUse { .. }) => std::thread::sleep(std::time::Duration::from_millis(20)),
                opened => return opened,
            }
        }
        Log::open(&self.log(), key(seed), self.anchor())
    }

    pub(crate) fn source(&self) -> DirectorySource {
        DirectorySource::new(&self.log())
    }

    pub(crate) fn verify(&self) -> Result<Report, Faults> {
        verify(&self.source(), &trust(1), None)
    }
}

/// Appends entries in one batch: the sequencer is held until all of them wait.
pub(crate) fn batch(log: &Log, entries: impl Iterator<Item = Entry>) -> Vec<Result<Receipt, Error>> {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (started, start) = std::sync::mpsc::channel();
    log.submit(&entry(0), move |_| {
        started.send(()).unwrap();
        let _ = held.recv();
    })
    .unwrap();
    start.recv().unwrap();
    let receipts = Arc::new(Mutex::new(Vec::new()));
    let (sender, done) = std::sync::mpsc::channel();
    let mut waiting = 0;
    for entry in entries {
        let (receipts, sender) = (Arc::clone(&receipts), sender.clone());
        waiting += 1;
        log.submit(&entry, move |receipt| {
            receipts.lock().unwrap().push(receipt);
            sender.send(()).unwrap();
        })
        .unwrap();
    }
    drop(hold);
    (0..waiting).for_each(|_| done.recv().unwrap());
    std::mem::take(&mut *receipts.lock().unwrap())
}

/// Every file below a folder, with its path relative to it.
pub(crate) fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), target).unwrap();
    }
}
