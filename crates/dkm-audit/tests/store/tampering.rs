//! Whatever is changed in a log is found, and where.

use std::fs;
use std::path::Path;

use dkm_audit::Log;
use dkm_audit::entry::Phase;
use dkm_audit::merkle::ProofError;
use dkm_audit::tree::{Tree, TreeError};
use dkm_audit::verify::{FAULTS_MAX, Fault, verify, verify_each};

use super::common::{Place, batch, by, copy, entry, files, key, trust};

/// Six entries, the fourth of which changes the key.
fn small() -> Place {
    let place = Place::new();
    let log = place.create();
    for n in 0..3 {
        log.append(&entry(n)).unwrap();
    }
    log.rotate(key(2), by()).unwrap();
    batch(&log, [entry(5)].into_iter());
    place
}

fn content(place: &Place) -> Vec<String> {
    files(&place.log()).into_iter().filter(|file| file != "lock").collect()
}

#[test]
fn every_byte_that_is_flipped_is_found() {
    let place = small();
    place.verify().unwrap();
    let files = content(&place);
    assert_eq!(files.len(), 2 + 2 * 6);
    let mut flipped = 0;
    for file in files {
        let path = place.log().join(&file);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                fs::write(&path, bad).unwrap();
                assert!(place.verify().is_err(), "{file}, byte {at} ^ {bit:#x}");
                flipped += 1;
            }
        }
        fs::write(&path, good).unwrap();
    }
    place.verify().unwrap();
    assert!(flipped > 5_000);
}

#[test]
fn every_truncation_and_extension_is_found() {
    let place = small();
    for file in content(&place) {
        let path = place.log().join(&file);
        let good = fs::read(&path).unwrap();
        for len in 0..good.len() {
            fs::write(&path, &good[..len]).unwrap();
            assert!(place.verify().is_err(), "{file} cut to {len}");
        }
        for more in [&b"\n"[..], &[0; 2], &[0; 32], &good] {
            fs::write(&path, [&good, more].concat()).unwrap();
            assert!(place.verify().is_err(), "{file} with more");
        }
        fs::write(&path, good).unwrap();
    }
    place.verify().unwrap();
}

#[test]
fn every_file_that_is_missing_or_in_anothers_place_is_found() {
    let place = small();
    let files = content(&place);
    // Earlier partial tiles may go; nothing needs them.
    let may_go = |file: &str| file.contains(".p/") && !file.ends_with("/6");
    for file in &files {
        let path = place.log().join(file);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(place.verify().is_ok(), may_go(file), "{file}");
        fs::create_dir(&path).unwrap();
        assert!(place.verify().is_err(), "a folder in place of {file}");
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(place.verify().is_err(), "a link in place of {file}");
        fs::remove_file(&path).unwrap();
        for other in files.iter().filter(|other| *other != file) {
            fs::copy(place.log().join(other), &path).unwrap();
            // The checkpoint of a handover is a good one of a smaller log, beyond which there is more.
            let in_order = place.verify().is_ok_and(|report| report.leftovers == 0);
            assert!(!in_order, "{other} in place of {file}");
        }
        fs::write(&path, good).unwrap();
    }
    place.verify().unwrap();
}

/// What is wrong with a log of 600 entries after a change to one of its files.
fn after(change: impl FnOnce(&Path)) -> Vec<String> {
    let place = Place::new();
    let log = place.create();
    batch(&log, (1..600).map(entry));
    drop(log);
    change(&place.log());
    place.verify().unwrap_err().list().iter().map(ToString::to_string).collect()
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn faults_say_what_is_wrong_and_where() {
    let found = after(|log| edit(&log.join("tile/0/001"), |tile| tile[32 * 7] ^= 1));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("entry 263: its hash ") && found[0].ends_with("is not the one in tile/0/001"),
        "{found:?}"
    );

    let found = after(|log| edit(&log.join("tile/1/000.p/2"), |tile| tile[40] ^= 1));
    assert_eq!(found, ["tile/1/000.p/2: hash 1 is not that of the tile below it"]);

    // An entry that is changed gives itself away in its tile, in the tile above, and in the root.
    let found = after(|log| {
        edit(&log.join("tile/entries/000"), |bundle| {
            let at = bundle.windows(6).position(|text| text == b"uid:77").unwrap();
            bundle[at + 4] = b'8';
        });
    });
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("entry 77: its hash "), "{found:?}");
    assert_eq!(found[1], "tile/1/000.p/2: hash 0 is not that of the tile below it");
    assert!(found[2].starts_with("checkpoint: the entries have the root "), "{found:?}");

    let found = after(|log| fs::remove_file(log.join("tile/entries/001")).unwrap());
    assert_eq!(found, ["the log's file tile/entries/001 is missing"]);
    let found = after(|log| fs::remove_dir_all(log.join("tile/0")).unwrap());
    assert_eq!(found[0], "the log's file tile/0/000 is missing");
    let found = after(|log| edit(&log.join("tile/entries/000"), |bundle| bundle.truncate(400)));
    assert_eq!(found, ["the log's file tile/entries/000 is damaged"]);
    let found = after(|log| {
        edit(&log.join("tile/entries/002.p/88"), |bundle| {
            let entry = entry(9).encode().unwrap();
            bundle.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
            bundle.extend_from_slice(&entry);
        })
    });
    assert_eq!(found, ["tile/entries/002.p/88: 89 items where the log has 88"]);

    let found = after(|log| fs::remove_file(log.join("checkpoint")).unwrap());
    assert_eq!(found, ["the log's file checkpoint is missing"]);
    let found = after(|log| fs::write(log.join("checkpoint"), "x").unwrap());
    assert_eq!(found, ["checkpoint: the note has no text that ends with a newline and an empty line"]);

    // The list ends somewhere.
    let found = after(|log| edit(&log.join("tile/0/000"), |tile| tile.fill(0)));
    assert_eq!(found.len(), FAULTS_MAX);
}

#[test]
fn a_forged_size_costs_no_more_than_the_files_that_are_there() {
    let place = small();
    let path = place.log().join("checkpoint");
    let text = fs::read_to_string(&path).unwrap();
    for size in ["18446744073709551615", "9007199254740992", "7", "5", "1"] {
        fs::write(&path, text.replacen("\n6\n", &format!("\n{size}\n"), 1)).unwrap();
        assert!(place.verify().is_err(), "{size}");
        assert!(place.open(2).is_err(), "{size}");
    }
}

#[test]
fn a_log_that_was_rolled_back_is_found_by_who_has_kept_a_checkpoint() {
    let place = Place::new();
    let log = place.create();
    log.append(&entry(0)).unwrap();
    copy(&place.log(), &place.folder().join("old"));
    let kept = log.append(&entry(1)).unwrap().checkpoint;
    let old = dkm_audit::source::DirectorySource::new(&place.folder().join("old"));
    verify(&old, &trust(1), None).unwrap();
    let faults = verify(&old, &trust(1), Some(&kept)).unwrap_err();
    assert_eq!(faults.to_string(), "rolled back: the log has 1 entries, and had 2 at the earlier checkpoint");
    verify(&place.source(), &trust(1), Some(&kept)).unwrap();
    for bad in [&b"garbage"[..], b""] {
        let faults = verify(&place.source(), &trust(1), Some(bad)).unwrap_err();
        assert!(matches!(faults.list(), [Fault::Earlier(_)]), "{faults}");
    }
    // Somebody else's checkpoint proves nothing against this log.
    let other = Place::new();
    let theirs = Log::create(&other.log(), key(7), other.anchor()).unwrap();
    let theirs = theirs.append(&entry(5)).unwrap().checkpoint;
    let faults = verify(&place.source(), &trust(1), Some(&theirs)).unwrap_err();
    assert!(matches!(faults.list(), [Fault::Earlier(_)]), "{faults}");
}

#[test]
fn two_forks_shown_to_two_readers_are_caught_by_their_checkpoints() {
    let place = Place::new();
    let log = place.create();
    for n in 0..3 {
        log.append(&entry(n)).unwrap();
    }
    drop(log);
    let fork = Place::new();
    copy(place.folder(), fork.folder());
    let continued = |place: &Place, from: u64, many: u64| {
        let log = place.open(1).unwrap();
        let mut last = log.append(&entry(from)).unwrap();
        for n in from + 1..from + many {
            last = log.append(&entry(n)).unwrap();
        }
        trust(1)
            .verify(&last.checkpoint)
            .map(|verified| (last.checkpoint.clone(), verified.checkpoint))
            .unwrap()
    };
    let (one_note, one) = continued(&place, 10, 4);
    let (other_note, other) = continued(&fork, 20, 6);
    // Both are in order by themselves.
    place.verify().unwrap();
    fork.verify().unwrap();
    // Neither log can prove that it contains what the other has shown.
    let source = fork.source();
    let refused = Tree::new(&source, &other).prove_extends(&one);
    assert!(matches!(refused, Err(TreeError::Proof(ProofError::WrongRoot))), "{refused:?}");
    let own = Tree::new(&source, &other);
    let common = trust(1).verify(&one_note).unwrap().checkpoint;
    assert_eq!(common, one);
    let faults = verify(&source, &trust(1), Some(&one_note)).unwrap_err();
    assert!(matches!(faults.list(), [Fault::Forked { earlier, .. }] if earlier.size == 7), "{faults}");
    // Of one size, the checkpoints alone are the proof.
    let (_, third) = continued(&place, 30, 2);
    assert_eq!(third.size, other.size);
    assert_eq!(third.verify_extends(&other, &[]), Err(ProofError::WrongRoot));
    // And a proof of what is true goes through.
    let (_, later) = continued(&fork, 40, 5);
    let proof = Tree::new(&fork.source(), &later).prove_extends(&other).unwrap();
    assert_eq!(later.verify_extends(&trust(1).verify(&other_note).unwrap().checkpoint, &proof), Ok(()));
    assert!(own.prove(other.size).is_err());
}

#[test]
fn every_entry_is_shown_and_what_is_open_is_counted() {
    let place = Place::new();
    let log = place.create();
    let phases = [
        Phase::Intent,
        Phase::Intent,
        Phase::Success { intent: 0 },
        Phase::Denied,
        Phase::Success { intent: 0 },
        Phase::Failure { intent: 3 },
        Phase::Recorded,
    ];
    for phase in phases {
        log.append(&dkm_audit::Entry { phase, ..entry(1) }).unwrap();
    }
    let mut shown = Vec::new();
    let report = verify_each(&place.source(), &trust(1), None, |index, leaf, entry| {
        shown.push((index, entry.phase));
        assert!(entry.to_ocsf("o", index, leaf).contains(&leaf.to_string()));
    })
    .unwrap();
    assert_eq!(shown, (0..).zip(phases).collect::<Vec<_>>());
    assert_eq!((report.open_intents, report.stray_outcomes, report.denied, report.leftovers), (1, 2, 1, 0));
}

/// A log's files, of which some are the attacker's.
struct Forged<'a> {
    place: &'a Place,
    files: std::collections::BTreeMap<String, Vec<u8>>,
}

impl dkm_audit::source::Source for Forged<'_> {
    fn read(&self, path: &str, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
        match self.files.get(path) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => self.place.source().read(path, limit),
        }
    }

    fn names(&self, path: &str) -> std::io::Result<Vec<String>> {
        self.place.source().names(path)
    }
}

#[test]
fn a_bundle_is_believed_only_if_every_leaf_in_it_is_in_the_tree() {
    for size in [1u64, 2, 3, 6, 255, 256, 257, 258, 511, 513, 600] {
        let place = Place::new();
        let log = place.create();
        batch(&log, (1..size).map(entry));
        drop(log);
        let checkpoint = place.verify().unwrap().checkpoint;
        assert_eq!(checkpoint.size, size);
        let source = place.source();
        let tree = Tree::new(&source, &checkpoint);
        for bundle in 0..size.div_ceil(256) {
            let leaves = tree.bundle(bundle).unwrap();
            let expected: Vec<u64> = (bundle * 256..size.min(bundle * 256 + 256)).collect();
            assert_eq!(leaves.iter().map(|leaf| leaf.index).collect::<Vec<_>>(), expected);
            for leaf in &leaves {
                assert_eq!(tree.prove(leaf.index).unwrap().0, leaf.bytes);
            }
            // Whoever writes the folder changes one entry, and its hash in the tile beside it.
            let many = u64::try_from(leaves.len()).unwrap();
            for at in [0, 1, many / 2, many.saturating_sub(2), many - 1].into_iter().filter(|at| *at < many) {
                let mut forged = Forged { place: &place, files: std::collections::BTreeMap::new() };
                let (mut entries, mut hashes) = (Vec::new(), Vec::new());
                for leaf in &leaves {
                    let is_it = leaf.index == bundle * 256 + at;
                    let bytes = if is_it { b"{\"forged\":1}".to_vec() } else { leaf.bytes.clone() };
                    hashes.extend(dkm_audit::merkle::leaf_hash(&bytes).0);
                    assert!(dkm_audit::tile::push_entry(&mut entries, &bytes));
                }
                let tile = dkm_audit::tile::Tile::of(None, bundle * 256, size).unwrap();
                forged.files.insert(tile.path(), entries);
                // Without the hash, and then with it.
                assert!(Tree::new(&forged, &checkpoint).bundle(bundle).is_err(), "{size}, {bundle}, {at}");
                forged.files.insert(dkm_audit::tile::Tile { level: Some(0), ..tile }.path(), hashes);
                let error = Tree::new(&forged, &checkpoint).bundle(bundle).unwrap_err();
                assert!(
                    matches!(error, TreeError::Proof(ProofError::WrongRoot)),
                    "{size}, {bundle}, {at}: {error}"
                );
            }
        }
        assert!(tree.bundle(size.div_ceil(256)).is_err());
    }
}
