//! slots.json and slots-refused.json: names of slots.

use anyhow::{Result, ensure};
use dkm_core::{Digest, SlotName};

use super::json::Json;
use super::{Topic, fixed};

pub(crate) fn topic() -> Result<Topic> {
    let key = fixed::key().id();
    let digest = |name: &str| Digest(fixed::bytes32(name));
    let mut two = [digest("policy a"), digest("policy b")];
    two.sort_unstable();
    let list = |digests: &[Digest]| Json::List(digests.iter().map(|d| Json::hex(d.as_bytes())).collect());
    let mut cases = Vec::new();
    for (name, predecessor, attempt) in [
        ("first-key", None, 0u32),
        ("first-key-second-attempt", None, 1),
        ("successor", Some(key), 0),
        ("successor-second-attempt", Some(key), 1),
        ("successor-attempt-258", Some(key), 258),
        ("successor-last-attempt", Some(key), u32::MAX),
    ] {
        cases.push(Json::object([
            ("name", Json::text(name)),
            ("of", Json::text("rolled-key")),
            ("predecessor", Json::or_null(predecessor, |k| Json::hex(k.as_bytes()))),
            ("attempt", Json::from(attempt)),
            ("slot", Json::text(SlotName::for_key(predecessor, attempt).as_str())),
        ]));
    }
    for (of, slot) in
        [("restored-key", SlotName::for_restored_key(key)), ("imported-key", SlotName::for_imported_key(key))]
    {
        cases.push(Json::object([
            ("name", Json::text(of)),
            ("of", Json::text(of)),
            ("key", Json::hex(key.as_bytes())),
            ("slot", Json::text(slot.as_str())),
        ]));
    }
    for (name, of, previous, attempt) in [
        ("group", "group", &[][..], 0u32),
        ("first-policy", "policy", &[], 0),
        ("first-roster", "roster", &[], 0),
        ("second-policy", "policy", &two[..1], 0),
        ("second-policy-second-attempt", "policy", &two[..1], 1),
        ("policy-that-follows-two", "policy", &two, 0),
        ("second-roster", "roster", &two[..1], 0),
    ] {
        let slot = SlotName::for_chained(of, previous, attempt);
        cases.push(Json::object([
            ("name", Json::text(name)),
            ("of", Json::text(of)),
            ("previous", list(previous)),
            ("attempt", Json::from(attempt)),
            ("slot", Json::text(slot.as_str())),
        ]));
    }
    for of in ["status", "exposed"] {
        let slot = SlotName::for_content(of, digest(of));
        ensure!(slot.as_str().parse() == Ok(slot.clone()), "{slot} is not the name of a slot");
        cases.push(Json::object([
            ("name", Json::text(of)),
            ("of", Json::text(of)),
            ("digest", Json::hex(digest(of).as_bytes())),
            ("slot", Json::text(slot.as_str())),
        ]));
    }
    Ok(Topic { name: "slots", about: "Names of slots (docs/format.md 7.2)", cases })
}

pub(crate) fn refused() -> Topic {
    let cases = [
        ("empty", String::new()),
        ("upper-case", "Key-1".to_owned()),
        ("point", "key.1".to_owned()),
        ("parent-folder", "..".to_owned()),
        ("separator", "a/b".to_owned()),
        ("space", "key 1".to_owned()),
        ("not-ascii", "schl\u{fc}ssel".to_owned()),
        ("zero-byte", "key\0".to_owned()),
        ("too-long", "a".repeat(65)),
    ]
    .into_iter()
    .map(|(name, slot)| {
        Json::object([
            ("name", Json::text(name)),
            ("slot", Json::text(slot)),
            ("error", Json::text("not-a-slot-name")),
        ])
    })
    .collect();
    Topic { name: "slots-refused", about: "Texts that name no slot (docs/format.md 7.2)", cases }
}
