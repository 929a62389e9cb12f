//! Changes of the log's key.

use std::fs;

use dkm_audit::note::Note;
use dkm_audit::store::Error;
use dkm_audit::verify::{Fault, HandoverProblem, verify};
use dkm_audit::{Log, LogKey};

use super::common::{Place, by, entry, key, trust};

/// Two entries under key 1, two under key 2, one under key 3.
fn rotated() -> Place {
    let place = Place::new();
    let log = place.create();
    log.append(&entry(0)).unwrap();
    log.append(&entry(1)).unwrap();
    let receipt = log.rotate(key(2), by()).unwrap();
    assert_eq!((receipt.index, log.key()), (2, key(2).public().clone()));
    // The checkpoint of a change is signed by both keys.
    trust(1).verify(&receipt.checkpoint).unwrap();
    trust(2).verify(&receipt.checkpoint).unwrap();
    let after = log.append(&entry(3)).unwrap();
    assert!(trust(1).verify(&after.checkpoint).is_err());
    after.verify(&trust(2), &entry(3)).unwrap();
    log.append(&entry(4)).unwrap();
    log.rotate(key(3), by()).unwrap();
    log.append(&entry(6)).unwrap();
    place
}

#[test]
fn who_trusts_any_key_of_the_log_can_follow_it() {
    let place = rotated();
    for seed in [1, 2, 3] {
        let report = verify(&place.source(), &trust(seed), None).unwrap();
        assert_eq!((report.checkpoint.size, report.key_changes), (7, 2));
        assert_eq!(report.key, *key(3).public());
    }
    let faults = verify(&place.source(), &trust(4), None).unwrap_err();
    assert!(faults.to_string().starts_with("handover/3: "), "{faults}");
    // A checkpoint kept under an old key still shows that the log has only grown.
    let kept = fs::read(place.log().join("handover/3")).unwrap();
    for seed in [1, 3] {
        verify(&place.source(), &trust(seed), Some(&kept)).unwrap();
    }
}

#[test]
fn a_log_opens_with_its_present_key_alone() {
    let place = rotated();
    for seed in [1, 2] {
        assert!(place.open(seed).is_err());
    }
    let log = place.open(3).unwrap();
    log.append(&entry(7)).unwrap();
    drop(log);
    verify(&place.source(), &trust(1), None).unwrap();

    // Right after a change the checkpoint is signed by the old key too, which still opens nothing.
    let place = Place::new();
    let log = place.create();
    log.rotate(key(2), by()).unwrap();
    drop(log);
    let error = place.open(1).unwrap_err();
    assert!(matches!(&error, Error::Retired { next } if next == key(2).public()), "{error}");
    place.open(2).unwrap().append(&entry(1)).unwrap();
}

#[test]
fn a_key_of_another_log_or_the_same_key_is_no_next_key() {
    let place = Place::new();
    let log = place.create();
    let other = LogKey::from_seed("other.example.com/log".parse().unwrap(), &[9; 32]).unwrap();
    assert!(matches!(log.rotate(other, by()), Err(Error::BadNextKey { .. })));
    assert!(matches!(log.rotate(key(1), by()), Err(Error::BadNextKey { .. })));
    assert_eq!(log.append(&entry(0)).unwrap().index, 0);
    // Back to a key that was replaced: nobody can tell it from a stolen one, but it is announced and signed.
    log.rotate(key(2), by()).unwrap();
    log.rotate(key(1), by()).unwrap();
    log.append(&entry(3)).unwrap();
    drop(log);
    for seed in [1, 2] {
        verify(&place.source(), &trust(seed), None).unwrap();
    }
    place.open(1).unwrap();
}

#[test]
fn a_key_that_was_replaced_signs_nothing_more() {
    let place = rotated();
    let note = Note::parse(&fs::read(place.log().join("checkpoint")).unwrap()).unwrap();
    for seed in [1, 2] {
        let stolen = Note::new(note.text().to_owned(), vec![key(seed).sign(note.text())]).unwrap();
        fs::write(place.log().join("checkpoint"), stolen.encode()).unwrap();
        for trusted in [1, 2, 3] {
            let faults = verify(&place.source(), &trust(trusted), None).unwrap_err();
            assert!(matches!(faults.list(), [Fault::Checkpoint(_)]), "{faults}");
        }
        let opened = Log::open(&place.log(), key(seed), place.anchor());
        assert!(matches!(opened, Err(Error::Retired { .. })), "{opened:?}");
    }
}

#[test]
fn a_handover_that_is_missing_made_up_or_signed_by_one_key_is_found() {
    let handover = |change: &dyn Fn(&Place)| {
        let place = rotated();
        change(&place);
        let faults = verify(&place.source(), &trust(1), None).unwrap_err();
        let [Fault::Handover { size, problem }] = faults.list() else { panic!("{faults}") };
        (*size, problem.clone())
    };
    let resigned = |place: &Place, seeds: &[u8]| {
        let path = place.log().join("handover/3");
        let text = Note::parse(&fs::read(&path).unwrap()).unwrap().text().to_owned();
        let signatures = seeds.iter().map(|seed| key(*seed).sign(&text)).collect();
        fs::write(path, Note::new(text, signatures).unwrap().encode()).unwrap();
    };
    let remove = |place: &Place| fs::remove_file(place.log().join("handover/3")).unwrap();
    assert!(matches!(handover(&remove), (3, HandoverProblem::Missing { .. })));
    let copy = |name: &'static str| {
        move |place: &Place| {
            fs::copy(place.log().join("handover/3"), place.log().join("handover").join(name))
                .map(|_| ())
                .unwrap();
        }
    };
    assert!(matches!(handover(&copy("5")), (5, HandoverProblem::Unannounced)));
    assert!(matches!(handover(&copy("900")), (900, HandoverProblem::Beyond)));
    assert!(matches!(handover(&copy("6")), (6, HandoverProblem::WrongTree)));
    for seeds in [&[1][..], &[2], &[1, 3]] {
        let (size, problem) = handover(&|place| resigned(place, seeds));
        assert!(size == 3 && matches!(problem, HandoverProblem::NotSigned(_)), "{problem}");
    }
    let place = rotated();
    resigned(&place, &[2, 1]);
    verify(&place.source(), &trust(1), None).unwrap();
}
