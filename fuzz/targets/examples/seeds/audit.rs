//! Seeds of the audit log.

use dkm_audit::entry::{ContextKey, Entry, Phase};
use dkm_audit::merkle::{leaf_hash, prove_consistency, prove_inclusion};
use dkm_audit::note::{Note, WitnessKey};
use dkm_audit::proof::{ConsistencyProof, InclusionProof};
use dkm_audit::tile::push_entry;
use dkm_audit::{Checkpoint, LogKey};
use dkm_core::{Context, Digest, KeyId, Timestamp};

use super::{GROUP, write};

pub(super) fn all() {
    let key = LogKey::from_seed("audit.example.com/log".parse().unwrap(), &[1; 32]).unwrap();
    entries(&key);
    notes(&key);
    proofs();
    records();
}

/// The files that the tests of the log read too.
fn records() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/dkm-audit/testdata/ingest");
    for name in [
        "samba-changes.json",
        "samba-logons.json",
        "windows-events.xml",
        "windows-powershell.json",
        "windows-winlogbeat.json",
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        // Few lines, so that a mutation is likely to hit one.
        let some: Vec<&str> = text.lines().take(6).collect();
        write("audit_ingest", name, some.join("\n").as_bytes());
    }
    write(
        "audit_ingest",
        "enclosed",
        b"<?xml version='1.0'?>\n<Events>\n<Event/>\n<Event x\n{\"a\":1}\n</Events>\n",
    );
}

fn entries(key: &LogKey) {
    let entry = |action: &str, phase| {
        let time = Timestamp(1_790_000_000_000);
        Entry::new(time, "uid:1000".parse().unwrap(), action.parse().unwrap(), phase)
    };
    let full = Entry {
        grant: Some("grant-7".parse().unwrap()),
        group: Some(GROUP),
        key: Some(KeyId([2; 16])),
        blob: Some(Digest([3; 32])),
        context: Some(ContextKey::from_bytes(&[4; 32]).mac(GROUP, &Context::new())),
        size: Some(4096),
        reason: Some("a \"reason\"\nin two lines".parse().unwrap()),
        detail: Some("\u{fc}ber".parse().unwrap()),
        ..entry("unprotect", Phase::Success { intent: 12 })
    };
    let rotated = Entry { next_key: Some(key.public().clone()), ..entry("log-key-rotated", Phase::Recorded) };
    let denied = entry("unprotect", Phase::Denied);
    for (name, entry) in [("full", &full), ("rotated", &rotated), ("denied", &denied)] {
        write("audit_entry", name, &entry.encode().unwrap());
    }
    let mut bundle = Vec::new();
    assert!([&full, &denied].iter().all(|entry| push_entry(&mut bundle, &entry.encode().unwrap())));
    write("audit_tile", "bundle", &bundle);
    write("audit_tile", "hashes", &[7; 96]);
}

fn notes(key: &LogKey) {
    let checkpoint = Checkpoint {
        origin: "audit.example.com/log".to_owned(),
        size: 70_000,
        root: Digest([5; 32]),
        extensions: Vec::new(),
    };
    let text = checkpoint.text();
    let signed = Note::new(text.clone(), vec![key.sign(&text)]).unwrap();
    write("audit_note", "checkpoint", &signed.encode());
    // The same at every run: a cosignature that need not verify to be read.
    let witness = WitnessKey::generate("witness.example.com".parse().unwrap()).unwrap();
    let mut cosignature = witness.cosign(&checkpoint, 1_790_000_000);
    cosignature.id.0 = 7;
    cosignature.signature[8..].fill(6);
    let cosigned = Note::new(text.clone(), vec![key.sign(&text), cosignature]).unwrap();
    write("audit_note", "cosigned", &cosigned.encode());
    let hashes = vec![Digest([8; 32]), Digest([9; 32])];
    let included = InclusionProof {
        leaf: Some(b"{}".to_vec()),
        index: 7,
        hashes: hashes.clone(),
        checkpoint: signed.encode(),
    };
    write("audit_note", "inclusion", &included.encode());
    let grown = ConsistencyProof { old_size: 60_000, hashes, checkpoint: signed.encode() };
    write("audit_note", "consistency", &grown.encode());
    write("audit_note", "verifier-key", key.public().to_string().as_bytes());
    write("audit_note", "secret-key", key.to_text().as_bytes());
}

fn proofs() {
    let leaves: Vec<Digest> = (0..64u8).map(|leaf| leaf_hash(&[leaf])).collect();
    for (size, index) in [(1u8, 0u8), (7, 3), (64, 33), (50, 49)] {
        let leaves = &leaves[..size.into()];
        let seed =
            |proof: Vec<Digest>| [vec![size, index], proof.iter().flat_map(|hash| hash.0).collect()].concat();
        let included = prove_inclusion(leaves, index.into(), size.into()).unwrap();
        write("audit_proof", &format!("inclusion-{size}-{index}"), &seed(included));
        if let Ok(extended) = prove_consistency(leaves, index.into(), size.into()) {
            write("audit_proof", &format!("consistency-{size}-{index}"), &seed(extended));
        }
    }
}
