//! Many writers, one sequencer.

use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc::channel;

use dkm_audit::entry::{Action, EntryError};
use dkm_audit::store::{BATCH_MAX, Error, QUEUE_MAX};
use dkm_audit::{Entry, Log};
use dkm_core::Timestamp;

use super::common::{Place, batch, copy, entry, files, key, trust};

#[test]
fn every_writer_gets_a_receipt_that_proves_its_entry() {
    let place = Place::new();
    let log = place.create();
    let receipts: Vec<(u64, _)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..16u64)
            .map(|writer| {
                let log = log.clone();
                scope.spawn(move || {
                    let append = |n| (writer * 40 + n, log.append(&entry(writer * 40 + n)).unwrap());
                    (0..40).map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let indices: BTreeSet<u64> = receipts.iter().map(|(_, receipt)| receipt.index).collect();
    assert_eq!(indices, (0..640).collect());
    for (n, receipt) in &receipts {
        assert!(receipt.verify(&trust(1), &entry(*n)).unwrap().checkpoint.size > receipt.index);
        assert!(receipt.verify(&trust(1), &entry(n + 1)).is_err());
        assert!(receipt.verify(&trust(2), &entry(*n)).is_err());
    }
    let checkpoint = log.checkpoint();
    drop(log);
    assert_eq!(fs::read(place.log().join("checkpoint")).unwrap(), *checkpoint);
    assert_eq!(fs::read(place.anchor_path()).unwrap(), *checkpoint);
    let report = place.verify().unwrap();
    assert_eq!((report.checkpoint.size, report.open_intents, report.latest), (640, 640, Timestamp(639)));
    // Opened again, it goes on where it was.
    let log = place.open(1).unwrap();
    assert_eq!(log.checkpoint(), checkpoint);
    assert_eq!(log.append(&entry(640)).unwrap().index, 640);
    assert_eq!(place.verify().unwrap().checkpoint.size, 641);
}

#[test]
fn whatever_waits_shares_one_checkpoint() {
    let place = Place::new();
    let log = place.create();
    let receipts: Vec<_> = batch(&log, (0..600).map(entry)).into_iter().map(Result::unwrap).collect();
    assert!(receipts.iter().all(|receipt| receipt.checkpoint == receipts[0].checkpoint));
    for (n, receipt) in (0..).zip(&receipts) {
        receipt.verify(&trust(1), &entry(n)).unwrap();
    }
    assert_eq!(place.verify().unwrap().checkpoint.size, 601);
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_more_later() {
    let place = Place::new();
    let log = place.create();
    let (hold, held) = channel::<()>();
    let (started, start) = channel();
    log.submit(&entry(0), move |_| {
        started.send(()).unwrap();
        let _ = held.recv();
    })
    .unwrap();
    start.recv().unwrap();
    let (done, finished) = channel();
    for n in 0..QUEUE_MAX {
        let done = done.clone();
        log.submit(&entry(u64::try_from(n).unwrap()), move |receipt| done.send(receipt.unwrap()).unwrap())
            .unwrap();
    }
    let refused = log.submit(&entry(1), |_| panic!("it was refused"));
    assert!(matches!(refused, Err(Error::Busy { waiting: QUEUE_MAX })), "{refused:?}");
    assert!(matches!(log.append(&entry(1)), Err(Error::Busy { .. })));
    drop(hold);
    let receipts: Vec<_> = (0..QUEUE_MAX).map(|_| finished.recv().unwrap()).collect();
    let checkpoints: BTreeSet<_> = receipts.iter().map(|receipt| receipt.checkpoint.clone()).collect();
    assert_eq!(checkpoints.len(), QUEUE_MAX / BATCH_MAX);
    assert_eq!(log.append(&entry(2)).unwrap().index, u64::try_from(QUEUE_MAX).unwrap() + 1);
    drop(log);
    place.verify().unwrap();
}

#[test]
fn what_waits_when_the_log_is_closed_is_written_first() {
    let place = Place::new();
    let log = place.create();
    let (done, finished) = channel();
    for n in 0..50 {
        let done = done.clone();
        log.submit(&entry(n), move |receipt| done.send(receipt.is_ok()).unwrap()).unwrap();
    }
    drop(log);
    drop(done);
    assert_eq!(finished.iter().filter(|taken| *taken).count(), 50);
    assert_eq!(place.verify().unwrap().checkpoint.size, 50);
}

#[test]
fn a_writer_that_panics_harms_nobody_else() {
    let place = Place::new();
    let log = place.create();
    log.submit(&entry(0), |_| panic!("a fault of the caller")).unwrap();
    assert_eq!(log.append(&entry(1)).unwrap().index, 1);
}

#[test]
fn a_log_whose_last_handle_is_dropped_by_the_sequencer_is_closed() {
    let place = Place::new();
    let log = place.create();
    let (done, finished) = channel();
    let (go, wait) = channel::<()>();
    let handle = log.clone();
    log.submit(&entry(0), move |_| {
        wait.recv().unwrap();
        drop(handle);
        done.send(()).unwrap();
    })
    .unwrap();
    drop(log);
    go.send(()).unwrap();
    finished.recv().unwrap();
    // The lock is given back when the sequencer has ended.
    while let Err(error) = place.open(1) {
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        std::thread::yield_now();
    }
}

#[test]
fn a_log_has_one_writer_and_is_made_once() {
    let place = Place::new();
    assert!(matches!(place.open(1), Err(Error::NotALog { .. })));
    let log = place.create();
    assert!(matches!(place.open(1), Err(Error::InUse { .. })));
    assert!(matches!(Log::create(&place.log(), key(1), place.anchor()), Err(Error::InUse { .. })));
    drop(log);
    assert!(matches!(Log::create(&place.log(), key(1), place.anchor()), Err(Error::Exists { .. })));
    assert!(matches!(place.open(2), Err(Error::Trust(_))));
    assert!(place.verify().unwrap().checkpoint.size == 0);
    let elsewhere = Log::create(&place.folder().join("other"), key(2), place.anchor());
    assert!(matches!(elsewhere, Err(Error::NoAnchor { .. })), "an anchor is one log's");
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let place = Place::new();
    let log = place.create();
    let refused = log.append(&Entry { time: Timestamp(u64::MAX), ..entry(0) });
    assert!(matches!(refused, Err(Error::Entry(EntryError::BadField { field: "time" }))));
    // Nobody but a change of key can announce one.
    let forged =
        Entry { action: Action::log_key_rotated(), next_key: Some(key(9).public().clone()), ..entry(0) };
    assert!(matches!(log.append(&forged), Err(Error::Reserved { .. })));
    assert_eq!(log.append(&entry(0)).unwrap().index, 0);
}

#[test]
fn a_log_that_is_changed_while_it_is_open_takes_nothing_until_it_is_restored() {
    let place = Place::new();
    let log = place.create();
    for n in 0..5 {
        log.append(&entry(n)).unwrap();
    }
    let copied = place.folder().join("copy");
    copy(&place.log(), &copied);
    for file in ["checkpoint", "tile/0/000.p/5", "tile/entries/000.p/5", "lock"] {
        let path = place.log().join(file);
        for change in [None, Some(b"x".to_vec()), Some(fs::read(&path).unwrap().repeat(2))] {
            let size = log.append(&entry(5)).unwrap().index + 1;
            let file = file.replace("/5", &format!("/{size}"));
            let path = place.log().join(&file);
            let before = fs::read(&path).unwrap();
            let away = place.folder().join("away");
            fs::rename(&path, &away).unwrap();
            if let Some(change) = change.filter(|change| *change != before) {
                fs::write(&path, change).unwrap();
            }
            // A lock that is another file is no lock of ours, whatever is in it.
            for _ in 0..2 {
                let error = log.append(&entry(6)).unwrap_err();
                assert!(!matches!(error, Error::Busy { .. } | Error::Closed), "{file}: {error}");
            }
            fs::rename(&away, &path).unwrap();
            assert_eq!(log.append(&entry(7)).unwrap().index, size, "{file}");
        }
    }
    place.verify().unwrap();

    // An older state of the whole log, put there while it is open.
    let newest = log.checkpoint();
    fs::rename(place.log(), place.folder().join("newest")).unwrap();
    copy(&copied, &place.log());
    assert!(matches!(log.append(&entry(8)), Err(Error::Changed { .. })));
    fs::copy(place.folder().join("newest/lock"), place.log().join("lock")).unwrap();
    assert!(matches!(log.append(&entry(8)), Err(Error::Changed { .. })));
    fs::remove_dir_all(place.log()).unwrap();
    assert!(log.append(&entry(8)).is_err(), "a log that was deleted takes nothing");
    assert!(!place.log().exists(), "and is not made anew");
    fs::rename(place.folder().join("newest"), place.log()).unwrap();
    log.append(&entry(8)).unwrap();
    assert_ne!(log.checkpoint(), newest);
    drop(log);
    place.verify().unwrap();
}

#[test]
fn partial_tiles_go_when_their_tile_is_full() {
    let place = Place::new();
    let log = place.create();
    for n in 0..3 {
        log.append(&entry(n)).unwrap();
    }
    batch(&log, (0..260).map(entry));
    drop(log);
    assert_eq!(
        files(&place.log()),
        [
            "checkpoint",
            "lock",
            "tile/0/000",
            "tile/0/001.p/8",
            "tile/1/000.p/1",
            "tile/entries/000",
            "tile/entries/001.p/8"
        ]
    );
    place.verify().unwrap();
}
