//! The audit log's entries, notes, tiles and proofs, and what other systems have recorded.

use dkm_audit::entry::Entry;
use dkm_audit::ingest::{Accounts, Records, read, record_of, unreadable};
use dkm_audit::merkle::{
    Frontier, leaf_hash, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
use dkm_audit::note::{Note, VerifierKey};
use dkm_audit::proof::{ConsistencyProof, InclusionProof};
use dkm_audit::tile::{decode_bundle, decode_hashes, push_entry};
use dkm_audit::{Checkpoint, LogKey};
use dkm_core::{Digest, Timestamp};

/// What is read is written back as the same bytes, and exported as one line of JSON.
pub(crate) fn entry(input: &[u8]) {
    let Ok(entry) = Entry::decode(input) else { return };
    assert_eq!(entry.encode().as_deref(), Ok(input), "an entry has one encoding");
    let line = entry.to_ocsf("example.com/log", 0, &leaf_hash(input));
    assert!(!line.contains('\n'));
    serde_json::from_str::<serde_json::Value>(&line).expect("an export is JSON");
}

/// Notes, checkpoints, keys and bundles: what is read is written back as the same bytes.
pub(crate) fn note(input: &[u8]) {
    if let Ok(note) = Note::parse(input) {
        assert_eq!(note.encode(), input, "a note has one encoding");
        assert_eq!(Note::new(note.text().to_owned(), note.signatures().to_vec()), Ok(note.clone()));
        if let Ok(checkpoint) = note.text().parse::<Checkpoint>() {
            assert_eq!(checkpoint.text(), note.text(), "a checkpoint has one encoding");
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(key) = text.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), text, "a key has one encoding");
        }
        if let Ok(key) = LogKey::from_text(text) {
            assert_eq!(key.to_text().as_str(), text, "a secret key has one encoding");
        }
    }
    if let Ok(proof) = InclusionProof::parse(input) {
        assert_eq!(proof.encode(), input, "a proof of an entry has one encoding");
    }
    if let Ok(proof) = ConsistencyProof::parse(input) {
        assert_eq!(proof.encode(), input, "a proof from a checkpoint has one encoding");
    }
}

/// Tiles and bundles: what is read is written back as the same bytes.
pub(crate) fn tile(input: &[u8]) {
    if let Some(entries) = decode_bundle(input) {
        let mut bundle = Vec::new();
        assert!(entries.iter().all(|entry| push_entry(&mut bundle, entry)));
        assert_eq!(bundle, input, "a bundle has one encoding");
    }
    if let Some(hashes) = decode_hashes(input) {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        assert_eq!(bytes, input, "a tile has one encoding");
    }
}

/// Whatever comes in is cut into records without a byte lost, and each is an entry or told as unreadable.
pub(crate) fn ingest(input: &[u8]) {
    let mut records = Records::new(input);
    let mut len = 0;
    while let Some(raw) = records.next_record().expect("memory can be read") {
        len += raw.len;
        let found = match &raw.text {
            Ok(text) => read(text),
            Err(why) => vec![Err(why.clone())],
        };
        for record in found {
            let entry = match record {
                Ok(record) => {
                    let entry = record.entry(Timestamp(7), &Accounts::default());
                    assert_eq!(record_of(&entry), Some(&*record.id), "a record is known again");
                    entry
                }
                Err(why) => unreadable(Timestamp(7), "a file", &raw, &why),
            };
            let bytes = entry.encode().expect("an entry of a record has an encoding");
            assert_eq!(Entry::decode(&bytes).as_ref(), Ok(&entry));
        }
    }
    let total = u64::try_from(input.len()).expect("a length");
    assert!(len <= total, "no byte is in two records");
}

/// A proof is believed if it is the one that the tree gives, and otherwise not. The first two bytes choose tree and leaf,
/// the rest is the proof.
pub(crate) fn proof(input: &[u8]) {
    let Some((&[size, index], rest)) = input.split_first_chunk() else { return };
    let size = size % 65;
    let (claimed, _) = rest.as_chunks::<32>();
    let claimed: Vec<Digest> = claimed.iter().map(|hash| Digest(*hash)).collect();
    let leaves: Vec<Digest> = (0..size).map(|leaf| leaf_hash(&[leaf])).collect();
    let root = |size: u8| {
        let mut frontier = Frontier::new();
        leaves.iter().take(size.into()).for_each(|leaf| assert!(frontier.push(*leaf, |_, _, _| {})));
        frontier.root()
    };
    let leaf = leaf_hash(&[index]);
    let included = verify_inclusion(&leaf, index.into(), size.into(), &root(size), &claimed);
    let truth = prove_inclusion(leaves.as_slice(), index.into(), size.into());
    assert_eq!(included.is_ok(), truth.as_ref() == Ok(&claimed));
    let earlier = (u64::from(index), &root(index.min(size)));
    let extended = verify_consistency(earlier, (size.into(), &root(size)), &claimed);
    let truth = prove_consistency(leaves.as_slice(), index.into(), size.into());
    assert_eq!(extended.is_ok(), truth.as_ref() == Ok(&claimed));
}
