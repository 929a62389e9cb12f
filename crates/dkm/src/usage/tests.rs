use std::fs;

use dkm_core::policy::Policy;
use dkm_core::record::{
    Change, Family, KeyRecord, Material, Origin, PolicyRecord, Purpose, Record, StatusRecord,
};
use dkm_core::ring::Observed;
use dkm_core::safeguards::Safeguards;
use dkm_core::{Attestation, Digest, Principal, Suite};

use super::*;

const GROUP: GroupId = GroupId([7; 16]);
const NOW: Timestamp = Timestamp(1_000_000);

fn key(number: u8) -> KeyId {
    KeyId([number; 16])
}

fn observed(record: Record) -> Observed {
    Observed {
        room: record.room(),
        name: record.slot(GROUP, 0),
        digest: Digest::of(&record.encode(GROUP)),
        record,
        attested: Attestation { creator: Principal::default(), created: Timestamp(1), template_ok: true },
        verified: true,
        public: dkm_core::record::PublicPart::NotKept,
    }
}

/// A ring with keys 1 and 2, and a tombstone for key 3.
fn ring() -> Ring {
    let record = |number: u8, predecessor| {
        observed(Record::Key(KeyRecord {
            id: key(number),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: 1,
            activates_at_ms: u64::from(number) * 1_000,
            predecessor,
            attempt: 0,
            material: Material::None,
            guid: None,
        }))
    };
    let tombstone = observed(Record::Status(StatusRecord {
        key: key(3),
        change: Change::Destroyed,
        purpose: Purpose::Ordinary,
        reason: String::new(),
        epoch: 1,
        answers: Vec::new(),
        when_ms: 1,
    }));
    let policy = observed(Record::Policy(PolicyRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: 1,
        policy: Policy::for_directory(),
    }));
    let records = [policy, record(1, None), record(2, Some(key(1))), tombstone];
    Ring::derive(&records, NOW, Safeguards::ALL)
}

/// What looks like a blob of so many bytes.
fn blob(group: GroupId, key: KeyId, len: usize) -> Vec<u8> {
    let header = Header::new(Suite::Aes256Gcm, group, key, [1; 32], 65_536).unwrap();
    let mut blob = header.encode().to_vec();
    blob.resize(len, 0xee);
    blob
}

fn run(sources: &[Source]) -> Usage {
    let mut told = 0;
    let usage = scan(sources, GROUP, &ring(), NOW, &mut |progress| {
        told += 1;
        assert_eq!(progress.items, told);
    });
    usage.unwrap()
}

#[test]
fn files_are_counted_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    for i in 0..5 {
        put(&format!("one-{i}"), &blob(GROUP, key(1), 200));
    }
    put("cut", &blob(GROUP, key(1), 120));
    put("lost", &blob(GROUP, key(9), 300));
    put("gone", &blob(GROUP, key(3), 300));
    put("theirs", &blob(GroupId([8; 16]), key(1), 300));
    put("text", b"no blob");
    put("empty", b"");
    let mut newer = blob(GROUP, key(1), 200);
    newer[4] = 9;
    put("newer", &newer);
    std::os::unix::fs::symlink("one-0", dir.path().join("link")).unwrap();

    let usage = run(&[Source::Files(dir.path().to_path_buf())]);
    let counted: Vec<_> = usage.keys.iter().map(|k| (k.key, k.state, k.blobs, k.bytes, k.damaged)).collect();
    let state = ring().keys[0].state(NOW);
    assert_eq!(
        counted,
        [
            (key(1), Some(state), 6, 1120, 1),
            (key(3), Some(KeyState::Destroyed), 1, 300, 0),
            (key(9), None, 1, 300, 0),
        ]
    );
    assert_eq!(usage.unused, [key(2)]);
    let example = |name: &str| dir.path().join(name).display().to_string();
    assert_eq!(usage.keys[0].examples, [example("cut"), example("one-0"), example("one-1")]);
    assert_eq!((usage.other_groups.len(), usage.other_groups[0].blobs), (1, 1));
    assert_eq!((usage.examined, usage.not_blobs), (12, 2));
    let unreadable: Vec<_> = usage.unreadable.iter().map(|u| u.place.clone()).collect();
    assert_eq!(unreadable, [example("link"), example("newer")]);
    assert_eq!(usage.unreadable_total, 2);
}

#[test]
fn json_fields_are_counted_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.jsonl");
    let one = STANDARD.encode(blob(GROUP, key(1), 200));
    let two = STANDARD.encode(blob(GROUP, key(2), 150)).replace('/', "\\/");
    let lines = [
        format!(r#"{{"id":1,"secret":"{one}","deep":{{"other":"{two}"}}}}"#),
        format!(r#"{{"id":2,"secret":"{one}"}}"#),
        r#"{"id":3,"secret":"not a blob","deep":{"other":7}}"#.to_owned(),
        String::new(),
        r#"{"id":4}"#.to_owned(),
        "broken".to_owned(),
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    let fields: Vec<JsonPointer> = ["secret", "/deep/other"].iter().map(|f| f.parse().unwrap()).collect();
    let usage = run(&[Source::JsonLines { path: path.clone(), fields }]);
    let counted: Vec<_> = usage.keys.iter().map(|k| (k.key, k.blobs, k.bytes)).collect();
    assert_eq!(counted, [(key(1), 2, 400), (key(2), 1, 150)]);
    assert_eq!(usage.keys[1].examples, [format!("{}:1#/deep/other", path.display())]);
    assert_eq!((usage.examined, usage.not_blobs), (5, 2));
    assert_eq!(usage.unreadable_total, 2, "the broken line, once for each field");
    assert!(usage.unreadable[0].place.ends_with(":6#/secret"));
}

#[test]
fn what_is_not_there_is_reported_and_a_source_without_fields_refused() {
    let usage = run(&[
        Source::Files("/no/such/folder".into()),
        Source::JsonLines { path: "/no/such/file".into(), fields: vec!["x".parse().unwrap()] },
    ]);
    assert_eq!(usage.unreadable_total, 2);
    let none = [Source::JsonLines { path: "/no/such/file".into(), fields: Vec::new() }];
    assert!(scan(&none, GROUP, &ring(), NOW, &mut |_| {}).is_err());
}

#[test]
fn the_report_says_in_json_what_it_is_worth() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("b"), blob(GROUP, key(9), 200)).unwrap();
    let usage = run(&[Source::Files(dir.path().to_path_buf())]);
    let json = serde_json::to_value(&usage).unwrap();
    assert!(json["note"].as_str().unwrap().starts_with("evidence, not proof"));
    assert_eq!(json["group"], GROUP.to_string());
    assert_eq!(json["keys"][0]["key"], key(9).to_string());
    assert_eq!(json["keys"][0]["state"], serde_json::Value::Null);
    assert_eq!(json["unused"][1], key(2).to_string());
}
