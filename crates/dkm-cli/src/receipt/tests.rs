use std::path::Path;

use dkm_audit::entry::Actor;
use dkm_audit::store::{FileAnchor, Receipt};
use dkm_audit::{Log, LogKey};
use dkm_core::{GroupId, RequestId, Timestamp};
use dkm_lockbox::{Mode, Requester, Scope};
use zeroize::Zeroizing;

use super::*;

const BLOB: Digest = Digest([9; 32]);

fn request() -> Request {
    Request {
        id: RequestId([3; 16]),
        instance: InstanceId([4; 16]),
        group: GroupId([5; 16]),
        policy: vec![Digest([1; 32])],
        roster: vec![Digest([2; 32])],
        requester: Requester { person: "alice".into(), account: "person:alice".into() },
        reason: "x".into(),
        ticket: String::new(),
        mode: Mode::Brokered,
        scope: Some(Scope {
            blobs: vec![BLOB],
            context: dkm_core::Context::new(),
            count_max: 1,
            bytes_max: 9,
        }),
        break_glass: false,
        duration_s: 1,
        made: Timestamp(1),
        not_after: Timestamp(2),
        activation_window_s: 1,
    }
}

fn entry() -> Entry {
    let who = Actor::lossy("person:alice");
    let mut entry = Entry::new(Timestamp(7), who, ACTION.parse().unwrap(), Phase::Intent);
    entry.grant = Some(request().id.to_string().parse().unwrap());
    (entry.group, entry.blob, entry.size) = (Some(request().group), Some(BLOB), Some(3));
    entry
}

fn log(folder: &Path, name: &str) -> Log {
    let key = LogKey::generate("log.example.com/audit".parse().unwrap()).unwrap();
    let anchor = FileAnchor::new(&folder.join(format!("{name}.checkpoint")));
    Log::create(&folder.join(name), key, Box::new(anchor)).unwrap()
}

fn opened(log: &Log, receipt: &Receipt, known: Option<u64>) -> OpenedBlob {
    let texts = |hashes: &[Digest]| hashes.iter().map(|hash| BASE64_STANDARD.encode(hash.0)).collect();
    let note = String::from_utf8(receipt.checkpoint.to_vec()).unwrap();
    let checkpoint = claim(note.as_bytes()).unwrap();
    let source = log.source();
    let tree = dkm_audit::tree::Tree::new(&source, &checkpoint);
    let proof = known
        .filter(|size| *size < checkpoint.size)
        .map(|size| dkm_audit::merkle::prove_consistency(&tree, size, checkpoint.size).unwrap());
    OpenedBlob {
        plaintext: Zeroizing::new(BASE64_STANDARD.encode("abc")),
        leaf: receipt.index,
        entry: BASE64_STANDARD.encode(&receipt.entry),
        proof: texts(&receipt.proof),
        checkpoint: note,
        log_key: log.key().to_string(),
        consistency: texts(&proof.unwrap_or_default()),
    }
}

fn known(folder: &Path) -> KnownLog {
    let (key_pin, checkpoint_pin) =
        (Pin::at(folder.join("pins/key")), Pin::at(folder.join("pins/checkpoint")));
    let key = key_pin.read().unwrap().map(|text| text.parse().unwrap());
    let earlier = checkpoint_pin.read().unwrap().map(|note| claim(note.as_bytes()).unwrap());
    KnownLog { key, key_pin, checkpoint_pin, earlier }
}

fn verify(folder: &Path, opened: &OpenedBlob) -> Result<Proved> {
    let shell = Shell::new(crate::cli::Global::default(), Vec::new());
    known(folder).verify(opened, &request(), BLOB, 3, &shell)
}

#[test]
fn what_stands_in_the_log_is_believed_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), "log");
    for round in 0..5 {
        let receipt = log.append(&entry()).unwrap();
        let size = known(folder.path()).size();
        assert_eq!(size, (round > 0).then_some(round));
        let proved = verify(folder.path(), &opened(&log, &receipt, size)).unwrap();
        assert_eq!((proved.leaf, proved.size), (round, round + 1));
    }
}

#[test]
fn an_entry_about_something_else_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), "log");
    let lies: [fn(&mut Entry); 8] = [
        |entry| entry.blob = Some(Digest([8; 32])),
        |entry| entry.blob = None,
        |entry| entry.grant = Some(RequestId([8; 16]).to_string().parse().unwrap()),
        |entry| entry.group = Some(GroupId([8; 16])),
        |entry| entry.size = Some(2),
        |entry| entry.actor = Actor::lossy("person:bob"),
        |entry| entry.phase = Phase::Denied,
        |entry| entry.action = "read-key".parse().unwrap(),
    ];
    for lie in lies {
        let mut told = entry();
        lie(&mut told);
        let receipt = log.append(&told).unwrap();
        let failure = verify(folder.path(), &opened(&log, &receipt, None)).unwrap_err();
        assert!(failure.message.contains("another entry"), "{told:?}: {}", failure.message);
    }
    assert_eq!(known(folder.path()).size(), None, "nothing of it is remembered");
}

#[test]
fn a_proof_with_any_part_changed_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), "log");
    log.append(&entry()).unwrap();
    let receipt = log.append(&entry()).unwrap();
    verify(folder.path(), &opened(&log, &receipt, None)).unwrap();
    let receipt = log.append(&entry()).unwrap();
    let good = opened(&log, &receipt, known(folder.path()).size());
    let zero = BASE64_STANDARD.encode([0; 32]);
    let lies: [&dyn Fn(&mut OpenedBlob); 8] = [
        &|opened| opened.leaf = 0,
        &|opened| opened.entry = BASE64_STANDARD.encode("{}"),
        &|opened| opened.entry = "?".into(),
        &|opened| opened.proof = vec![zero.clone()],
        &|opened| opened.proof.clear(),
        &|opened| opened.consistency.clear(),
        &|opened| opened.consistency = vec!["AAAA".into()],
        &|opened| opened.checkpoint = opened.checkpoint.replacen("\n3\n", "\n4\n", 1),
    ];
    for (place, lie) in lies.iter().enumerate() {
        let mut told = good.clone();
        lie(&mut told);
        assert_eq!(verify(folder.path(), &told).unwrap_err().exit_code, 5, "{place}");
    }
    verify(folder.path(), &good).unwrap();
}

#[test]
fn another_log_and_one_that_was_rolled_back_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let (log, fork) = (log(folder.path(), "log"), log(folder.path(), "fork"));
    log.append(&entry()).unwrap();
    let old = log.append(&entry()).unwrap();
    let new = log.append(&entry()).unwrap();
    verify(folder.path(), &opened(&log, &new, None)).unwrap();
    // The server shows what it had before, as if the last entry had never been.
    let failure = verify(folder.path(), &opened(&log, &old, Some(3))).unwrap_err();
    assert!(failure.message.contains("does not begin with"), "{}", failure.message);
    // Another log under the same name signs with another key, whatever key it sends along.
    for _ in 0..4 {
        let receipt = fork.append(&entry()).unwrap();
        assert_eq!(verify(folder.path(), &opened(&fork, &receipt, Some(3))).unwrap_err().exit_code, 5);
    }
}

#[test]
fn the_entry_of_an_earlier_opening_proves_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), "log");
    let first = log.append(&entry()).unwrap();
    verify(folder.path(), &opened(&log, &first, None)).unwrap();
    // Opened again, and not recorded: the old entry, under the newest checkpoint.
    let mut other = entry();
    other.blob = None;
    let newest = log.append(&other).unwrap();
    let mut told = opened(&log, &newest, Some(1));
    let checkpoint = claim(newest.checkpoint.as_ref()).unwrap();
    let source = log.source();
    let tree = dkm_audit::tree::Tree::new(&source, &checkpoint);
    let proof = dkm_audit::merkle::prove_inclusion(&tree, 0, checkpoint.size).unwrap();
    (told.leaf, told.entry) = (0, BASE64_STANDARD.encode(&first.entry));
    told.proof = proof.iter().map(|hash| BASE64_STANDARD.encode(hash.0)).collect();
    let failure = verify(folder.path(), &told).unwrap_err();
    assert!(failure.message.contains("earlier opening"), "{}", failure.message);
}
