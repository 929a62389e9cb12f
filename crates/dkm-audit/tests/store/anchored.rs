//! The last checkpoint outside the log.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dkm_audit::store::{Anchor, Error};
use dkm_audit::verify::{Fault, verify};
use dkm_audit::{Entry, Log};

use super::common::{Place, by, copy, entry, key, trust};

/// A log of five entries; its state at three is in `old`, with the anchor's in `old-anchor`.
fn rolled() -> Place {
    let place = Place::new();
    let log = place.create();
    for n in 0..5 {
        if n == 3 {
            copy(&place.log(), &place.folder().join("old"));
            fs::copy(place.anchor_path(), place.folder().join("old-anchor")).unwrap();
        }
        log.append(&entry(n)).unwrap();
    }
    drop(log);
    place
}

fn roll_back(place: &Place) {
    fs::remove_dir_all(place.log()).unwrap();
    copy(&place.folder().join("old"), &place.log());
}

fn last_entry(place: &Place) -> Entry {
    let checkpoint = trust(1).verify(&fs::read(place.log().join("checkpoint")).unwrap()).unwrap().checkpoint;
    let source = place.source();
    let (leaf, _) = dkm_audit::tree::Tree::new(&source, &checkpoint).prove(checkpoint.size - 1).unwrap();
    Entry::decode(&leaf).unwrap()
}

fn recover(place: &Place) -> Result<Log, Error> {
    Log::recover(&place.log(), key(1), place.anchor(), by())
}

#[test]
fn a_log_that_was_rolled_back_opens_only_by_a_recovery_that_is_on_record() {
    let place = rolled();
    let kept = fs::read(place.anchor_path()).unwrap();
    roll_back(&place);
    let error = place.open(1).unwrap_err();
    assert!(matches!(&error, Error::Behind { size: 3, last } if last.size == 5), "{error}");
    assert!(error.advice().unwrap().contains("recover"));
    assert_eq!(fs::read(place.anchor_path()).unwrap(), kept, "who cannot open it changes nothing");

    let log = recover(&place).unwrap();
    let recorded = last_entry(&place);
    assert_eq!(recorded.action.as_str(), "log-recovered");
    assert_eq!(recorded.actor.as_str(), "uid:0");
    let detail = recorded.detail.unwrap();
    let last = trust(1).verify(&kept).unwrap().checkpoint;
    assert!(
        detail.as_str().contains("rolled back") && detail.as_str().contains(&last.to_string()),
        "{detail}"
    );
    log.append(&entry(9)).unwrap();
    log.append(&entry(10)).unwrap();
    drop(log);
    drop(place.open(1).unwrap());
    place.verify().unwrap();
    // Who has kept the lost checkpoint can prove that it was lost.
    let faults = verify(&place.source(), &trust(1), Some(&kept)).unwrap_err();
    assert!(matches!(faults.list(), [Fault::Forked { .. }]), "{faults}");
}

#[test]
fn a_checkpoint_that_alone_was_rolled_back_costs_no_entry() {
    let place = rolled();
    let newest = fs::read(place.log().join("checkpoint")).unwrap();
    fs::copy(place.folder().join("old/checkpoint"), place.log().join("checkpoint")).unwrap();
    assert!(matches!(place.open(1), Err(Error::Behind { .. })));
    fs::write(place.log().join("checkpoint"), newest).unwrap();
    assert_eq!(place.open(1).unwrap().append(&entry(5)).unwrap().index, 5);
    assert_eq!(place.verify().unwrap().checkpoint.size, 6);
}

#[test]
fn a_log_that_was_rewritten_is_refused() {
    let place = rolled();
    // Somebody with the key continues the old state otherwise, and further than the log ever was.
    roll_back(&place);
    fs::copy(place.folder().join("old-anchor"), place.folder().join("their-anchor")).unwrap();
    let theirs = Box::new(dkm_audit::store::FileAnchor::new(&place.folder().join("their-anchor")));
    let log = Log::open(&place.log(), key(1), theirs).unwrap();
    for n in 100..104 {
        log.append(&entry(n)).unwrap();
    }
    drop(log);
    let error = place.open(1).unwrap_err();
    assert!(matches!(&error, Error::Forked { last } if last.size == 5), "{error}");
    drop(recover(&place).unwrap());
    assert!(last_entry(&place).detail.unwrap().as_str().contains("rewritten"));
    place.open(1).unwrap();
}

#[test]
fn a_log_without_its_anchor_is_refused() {
    for kept in [
        None,
        Some(""),
        Some("garbage"),
        Some(
            "other.example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u{2014} a AAAAAAA=\n",
        ),
    ] {
        let place = rolled();
        match kept {
            None => fs::remove_file(place.anchor_path()).unwrap(),
            Some(text) => fs::write(place.anchor_path(), text).unwrap(),
        }
        assert!(matches!(place.open(1), Err(Error::NoAnchor { .. })), "{kept:?}");
        drop(recover(&place).unwrap());
        assert_eq!(last_entry(&place).action.as_str(), "log-recovered");
        place.open(1).unwrap();
    }
}

#[test]
fn a_recovery_of_a_log_in_order_records_nothing() {
    let place = rolled();
    let before = fs::read(place.log().join("checkpoint")).unwrap();
    drop(recover(&place).unwrap());
    assert_eq!(fs::read(place.log().join("checkpoint")).unwrap(), before);
    // An anchor that is merely older is brought up to date.
    fs::copy(place.folder().join("old-anchor"), place.anchor_path()).unwrap();
    drop(place.open(1).unwrap());
    assert_eq!(fs::read(place.anchor_path()).unwrap(), before);
}

#[derive(Debug)]
struct Failing {
    broken: Arc<AtomicBool>,
    inner: Box<dyn Anchor>,
}

impl Anchor for Failing {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.inner.load()
    }

    fn keep(&mut self, checkpoint: &[u8]) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            Err(io::Error::other("out of reach"))
        } else {
            self.inner.keep(checkpoint)
        }
    }
}

#[test]
fn a_change_of_key_that_the_anchor_does_not_know_is_finished_with_the_next_entry() {
    let place = Place::new();
    let broken = Arc::new(AtomicBool::new(false));
    let anchor = Box::new(Failing { broken: Arc::clone(&broken), inner: place.anchor() });
    let log = Log::create(&place.log(), key(1), anchor).unwrap();
    log.append(&entry(0)).unwrap();
    broken.store(true, Ordering::SeqCst);
    assert!(matches!(log.rotate(key(2), by()), Err(Error::Anchor { .. })));
    assert!(matches!(log.append(&entry(1)), Err(Error::Anchor { .. })));
    broken.store(false, Ordering::SeqCst);
    // Whether it has happened, the next call finds out; it does not happen twice.
    assert!(matches!(log.rotate(key(2), by()), Err(Error::BadNextKey { .. })));
    log.append(&entry(2)).unwrap().verify(&trust(2), &entry(2)).unwrap();
    assert_eq!(log.key(), *key(2).public());
    drop(log);
    assert_eq!(place.verify().unwrap().key_changes, 1);
    place.open(2).unwrap();

    // One that failed before anything was signed has not happened.
    let place = Place::new();
    let log = place.create();
    log.append(&entry(0)).unwrap();
    let away = place.folder().join("away");
    fs::rename(place.log().join("checkpoint"), &away).unwrap();
    assert!(matches!(log.rotate(key(2), by()), Err(Error::Changed { .. })));
    fs::rename(&away, place.log().join("checkpoint")).unwrap();
    log.append(&entry(1)).unwrap().verify(&trust(1), &entry(1)).unwrap();
    assert_eq!(log.rotate(key(2), by()).unwrap().index, 2);
    drop(log);
    assert_eq!(place.verify().unwrap().key, *key(2).public());
}

#[test]
fn nothing_is_acknowledged_that_the_anchor_does_not_know() {
    let place = Place::new();
    let broken = Arc::new(AtomicBool::new(false));
    let anchor = Box::new(Failing { broken: Arc::clone(&broken), inner: place.anchor() });
    let log = Log::create(&place.log(), key(1), anchor).unwrap();
    let first = log.append(&entry(0)).unwrap();
    broken.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = log.append(&entry(1)).unwrap_err();
        assert!(matches!(error, Error::Anchor { .. }), "{error}");
        assert!(error.advice().unwrap().contains("nothing was acknowledged"));
        assert_eq!(*log.checkpoint(), *first.checkpoint);
    }
    broken.store(false, Ordering::SeqCst);
    let receipt = log.append(&entry(2)).unwrap();
    assert!(receipt.index <= 2, "what was refused may be in the log, once");
    receipt.verify(&trust(1), &entry(2)).unwrap();
    drop(log);
    assert_eq!(place.verify().unwrap().checkpoint.size, receipt.index + 1);
    assert_eq!(fs::read(place.anchor_path()).unwrap(), *receipt.checkpoint);
}
