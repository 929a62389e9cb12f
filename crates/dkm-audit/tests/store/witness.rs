//! Logs whose checkpoints witnesses cosign: small ones of these tests' own, over HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dkm_audit::http::{HttpOptions, HttpWitness};
use dkm_audit::note::{Note, WitnessKey};
use dkm_audit::proof::ConsistencyProof;
use dkm_audit::store::{Error, FileAnchor, PUBLISHED};
use dkm_audit::trust::TrustError;
use dkm_audit::verify::{Fault, verify};
use dkm_audit::witness::{When, Witness, Witnesses};
use dkm_audit::{Checkpoint, Log, Trust, VerifierKey};

use super::common::{Place, by, copy, entry, key, trust};
use super::server::{Request, Response, serve, silent};

/// How a witness behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Honest,
    Gone,
    Broken,
    /// Cosigns with another key.
    Impostor,
    /// Cosigns another checkpoint.
    Elsewhere,
    /// Claims to have seen far more.
    Boaster,
    /// Tells another last size each time.
    Fickle,
}

/// A witness that keeps, for each origin, the last checkpoint that it has cosigned.
struct Small {
    key: WitnessKey,
    other: WitnessKey,
    seen: Mutex<BTreeMap<String, Checkpoint>>,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

impl Small {
    fn answer(&self, request: &Request) -> Option<Response> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/w/add-checkpoint"));
        let size = |size: u64| Response {
            status: 409,
            headers: vec![("Content-Type", "text/x.tlog.size".to_owned())],
            body: format!("{size}\n").into_bytes(),
        };
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Gone => return None,
            Mood::Broken => return Some(Response::new(500, "out of order")),
            Mood::Boaster => return Some(size(1_000_000)),
            Mood::Fickle => return Some(size(1 + u64::try_from(asked % 2).unwrap())),
            _ => {}
        }
        let Ok(request) = ConsistencyProof::parse(&request.body) else { return Some(Response::new(400, "")) };
        let note = Note::parse(&request.checkpoint).unwrap();
        let checkpoint: Checkpoint = note.text().parse().unwrap();
        if [1, 2].iter().all(|seed| trust(*seed).verify(&request.checkpoint).is_err()) {
            return Some(Response::new(403, ""));
        }
        let mut seen = self.seen.lock().unwrap();
        let last = seen.get(&checkpoint.origin);
        let last_size = last.map_or(0, |last| last.size);
        if request.old_size > checkpoint.size {
            return Some(Response::new(400, ""));
        }
        if request.old_size != last_size {
            return Some(size(last_size));
        }
        if let Some(last) = last {
            if checkpoint.size == last.size && checkpoint.root != last.root {
                return Some(size(last_size));
            }
            if checkpoint.verify_extends(last, &request.hashes).is_err() {
                return Some(Response::new(422, ""));
            }
        }
        seen.insert(checkpoint.origin.clone(), checkpoint.clone());
        let cosigned = match mood {
            Mood::Impostor => self.other.cosign(&checkpoint, 1),
            Mood::Elsewhere => self.key.cosign(&Checkpoint { size: checkpoint.size + 1, ..checkpoint }, 1),
            _ => self.key.cosign(&checkpoint, 1_767_225_600),
        };
        // One line for each signature of a note, as it stands there.
        let text = Note::new("x\n".to_owned(), vec![cosigned]).unwrap().encode();
        Some(Response::new(200, &text[3..]))
    }
}

/// Witnesses that run.
struct Bench {
    small: Vec<(Arc<Small>, SocketAddr)>,
}

impl Bench {
    fn new(many: usize) -> Self {
        let one = |n| {
            let name = |what: &str| format!("w{n}.example.com/{what}").parse().unwrap();
            let small = Arc::new(Small {
                key: WitnessKey::generate(name("w")).unwrap(),
                other: WitnessKey::generate(name("other")).unwrap(),
                seen: Mutex::default(),
                mood: Mutex::new(Mood::Honest),
                asked: AtomicUsize::new(0),
            });
            let serving = Arc::clone(&small);
            let address = serve(None, Arc::new(move |request| serving.answer(&request)));
            (small, address)
        };
        Self { small: (0..many).map(one).collect() }
    }

    fn witness(key: &VerifierKey, address: SocketAddr) -> Witness {
        let options = HttpOptions::default().with_timeout(Duration::from_secs(2));
        let transport = HttpWitness::new(&format!("http://{address}/w"), &options).unwrap();
        Witness::new(key.clone(), Box::new(transport)).unwrap()
    }

    fn witnesses(&self, quorum: usize, when: When) -> Witnesses {
        let all = self.small.iter().map(|(small, address)| Self::witness(small.key.public(), *address));
        Witnesses::new(all.collect(), quorum, when).unwrap()
    }

    fn trust(&self, seed: u8, quorum: usize) -> Trust {
        self.witnesses(quorum, When::BeforeRelease).trust(trust(seed)).unwrap()
    }

    fn mood(&self, n: usize, mood: Mood) {
        *self.small[n].0.mood.lock().unwrap() = mood;
    }

    fn asked(&self, n: usize) -> usize {
        self.small[n].0.asked.load(Ordering::SeqCst)
    }
}

fn read(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.log().join(name)).unwrap()
}

#[test]
fn nothing_is_acknowledged_before_enough_witnesses_have_cosigned() {
    let (place, bench) = (Place::new(), Bench::new(3));
    let log = place.create();
    log.witness(bench.witnesses(2, When::BeforeRelease)).unwrap();
    let receipt = log.append(&entry(0)).unwrap();
    let trust = bench.trust(1, 2);
    assert_eq!(receipt.verify(&trust, &entry(0)).unwrap().cosigned.len(), 3);
    assert_eq!(*log.checkpoint(), *receipt.checkpoint);
    assert_eq!(read(&place, PUBLISHED), *receipt.checkpoint);
    // The log's own checkpoint is what it can always go on from; it is no published one.
    assert!(matches!(
        trust.verify(&read(&place, "checkpoint")),
        Err(TrustError::TooFewWitnesses { found: 0, needed: 2 })
    ));

    // One is enough to be missing, in whatever way.
    for mood in [Mood::Gone, Mood::Broken, Mood::Impostor, Mood::Elsewhere, Mood::Boaster, Mood::Fickle] {
        bench.mood(0, mood);
        let receipt = log.append(&entry(1)).unwrap();
        assert_eq!(receipt.verify(&trust, &entry(1)).unwrap().cosigned.len(), 2, "{mood:?}");
        bench.mood(1, mood);
        let error = log.append(&entry(2)).unwrap_err();
        assert!(matches!(error, Error::Witnesses { found: 1, needed: 2, .. }), "{mood:?}: {error}");
        assert!(error.advice().unwrap().contains("nothing was acknowledged"));
        assert_eq!(*log.checkpoint(), *receipt.checkpoint, "{mood:?}");
        assert_eq!(read(&place, PUBLISHED), *receipt.checkpoint, "{mood:?}");
        bench.mood(0, Mood::Honest);
        bench.mood(1, Mood::Honest);
        log.append(&entry(3)).unwrap().verify(&trust, &entry(3)).unwrap();
    }
    let size = trust.verify(&log.checkpoint()).unwrap().checkpoint.size;
    assert_eq!(size, 1 + 6 * 3, "what was refused is in the log, whole");
    drop(log);
    assert_eq!(verify(&place.source(), &trust, None).unwrap().checkpoint.size, size);
    place.verify().unwrap();
}

#[test]
fn a_witness_that_never_answers_holds_nobody_up_for_ever() {
    let (place, bench) = (Place::new(), Bench::new(2));
    let log = place.create();
    let mute = WitnessKey::generate("mute.example.com/w".parse().unwrap()).unwrap();
    let witnesses = bench.small.iter().map(|(small, address)| Bench::witness(small.key.public(), *address));
    let witnesses = witnesses.chain([Bench::witness(mute.public(), silent())]).collect();
    log.witness(Witnesses::new(witnesses, 2, When::BeforeRelease).unwrap()).unwrap();
    for n in 0..3 {
        log.append(&entry(n)).unwrap().verify(&bench.trust(1, 2), &entry(n)).unwrap();
    }
    assert!(matches!(log.witness(bench.witnesses(1, When::BeforeRelease)), Err(Error::Witnessed)));
}

#[test]
fn a_witness_tells_what_it_has_seen_and_is_asked_again_from_there() {
    let (place, bench) = (Place::new(), Bench::new(1));
    let log = place.create();
    log.witness(bench.witnesses(1, When::BeforeRelease)).unwrap();
    for n in 0..3 {
        log.append(&entry(n)).unwrap();
    }
    assert_eq!(bench.asked(0), 3, "the log knows what its witness has seen");
    drop(log);
    let log = place.open(1).unwrap();
    log.witness(bench.witnesses(1, When::BeforeRelease)).unwrap();
    log.append(&entry(3)).unwrap().verify(&bench.trust(1, 1), &entry(3)).unwrap();
    assert_eq!(bench.asked(0), 5, "one conflict, one answer");
    // A change of key: the witness knows both keys.
    log.rotate(key(2), by()).unwrap();
    log.append(&entry(5)).unwrap().verify(&bench.trust(2, 1), &entry(5)).unwrap();
    drop(log);
    let report = verify(&place.source(), &bench.trust(1, 1), None).unwrap();
    assert_eq!((report.checkpoint.size, report.cosigned.len(), report.key_changes), (6, 1, 1));
}

#[test]
fn two_forks_that_are_shown_to_two_readers_are_caught() {
    let (place, bench) = (Place::new(), Bench::new(3));
    let log = place.create();
    log.witness(bench.witnesses(2, When::BeforeRelease)).unwrap();
    log.append(&entry(0)).unwrap();
    log.append(&entry(1)).unwrap();
    drop(log);
    // Whoever has the log's key goes on in two ways.
    let fork = place.folder().join("fork");
    copy(&place.log(), &fork);
    let fork_anchor = place.folder().join("fork-anchor");
    fs::copy(place.anchor_path(), &fork_anchor).unwrap();
    let log = place.open(1).unwrap();
    log.witness(bench.witnesses(2, When::BeforeRelease)).unwrap();
    log.append(&entry(2)).unwrap();
    let first = log.append(&entry(3)).unwrap();

    let other = Log::open(&fork, key(1), Box::new(FileAnchor::new(&fork_anchor))).unwrap();
    other.witness(bench.witnesses(2, When::BeforeRelease)).unwrap();
    // Behind the first fork, as long as it, and beyond it.
    for n in 10..13 {
        let error = other.append(&entry(n)).unwrap_err();
        assert!(
            matches!(&error, Error::Witnesses { found: 0, reason, .. } if reason.contains("has cosigned")),
            "{error}"
        );
    }
    drop(other);
    let shown = dkm_audit::source::DirectorySource::new(&fork);
    // A reader who needs witnesses is shown no fork: what was published there ends where both are the same.
    let reader = bench.trust(1, 2);
    assert_eq!(verify(&shown, &reader, None).unwrap().checkpoint.size, 2);
    fs::copy(fork.join("checkpoint"), fork.join(PUBLISHED)).unwrap();
    let faults = verify(&shown, &reader, None).unwrap_err();
    assert!(matches!(faults.list(), [Fault::Checkpoint(TrustError::TooFewWitnesses { .. })]), "{faults}");
    // Two readers without witnesses are shown a fork each; whoever compares has the proof.
    let report = verify(&shown, &trust(1), None).unwrap();
    assert_eq!(report.checkpoint.size, 5);
    verify(&place.source(), &trust(1), None).unwrap();
    let faults = verify(&shown, &trust(1), Some(&first.checkpoint)).unwrap_err();
    assert!(matches!(faults.list(), [Fault::Forked { earlier, .. }] if earlier.size == 4), "{faults}");
}

#[test]
fn witnesses_that_come_after_hold_back_the_publication_alone() {
    let (place, bench) = (Place::new(), Bench::new(2));
    let log = place.create();
    bench.mood(0, Mood::Gone);
    log.witness(bench.witnesses(2, When::BeforePublication)).unwrap();
    let receipt = log.append(&entry(0)).unwrap();
    receipt.verify(&trust(1), &entry(0)).unwrap();
    assert!(log.published_checkpoint().is_none() && !place.log().join(PUBLISHED).exists());
    bench.mood(0, Mood::Honest);
    let deadline = Instant::now() + Duration::from_secs(300);
    let (mut n, reader) = (1, bench.trust(1, 2));
    let published = loop {
        if let Some(published) = log.published_checkpoint() {
            break published;
        }
        assert!(Instant::now() < deadline, "nothing is ever published");
        log.append(&entry(n)).unwrap();
        n += 1;
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(reader.verify(&published).unwrap().cosigned.len(), 2);
    drop(log);
    // What was acknowledged last may not have been published.
    let report = verify(&place.source(), &reader, None).unwrap();
    assert!(report.checkpoint.size >= 1 && report.checkpoint.size <= n);
    assert_eq!(place.verify().unwrap().checkpoint.size, n);
}

#[test]
fn a_rule_that_does_not_hold_together_is_refused() {
    let bench = Bench::new(2);
    let one = || Bench::witness(bench.small[0].0.key.public(), bench.small[0].1);
    let rule = |witnesses, quorum| Witnesses::new(witnesses, quorum, When::BeforeRelease).map(|_| ());
    assert_eq!(rule(vec![one()], 0), Err(TrustError::BadRule));
    assert_eq!(rule(vec![one()], 2), Err(TrustError::BadRule));
    assert_eq!(rule(vec![one(), one()], 1), Err(TrustError::BadRule));
    assert_eq!(rule(vec![one()], 1), Ok(()));
    let options = HttpOptions::default();
    let transport = Box::new(HttpWitness::new("http://127.0.0.1:1", &options).unwrap());
    assert!(matches!(Witness::new(key(1).public().clone(), transport), Err(TrustError::BadRule)));
}
