//! contexts.json and contexts-refused.json: pairs and their one encoding.

use anyhow::Result;
use dkm_core::Context;
use dkm_core::context::{CONTEXT_LEN_MAX, CONTEXT_PAIRS_MAX};

use super::json::Json;
use super::{Topic, fixed};

fn numbered(count: usize) -> Result<Context> {
    (0..count).try_fold(Context::new(), |context, i| Ok(context.with(format!("key-{i:02}"), format!("{i}"))?))
}

pub(crate) fn topic() -> Result<Topic> {
    let long = CONTEXT_LEN_MAX - 2 - 4 - 1;
    let cases = [
        ("without-pairs", Context::new()),
        ("one-pair", Context::new().with("account", "alice@example.org")?),
        ("two-pairs", fixed::context()?),
        (
            "sorted-by-bytes-not-by-alphabet",
            ["a", "B", "ab", "_", "z", "Z"].iter().try_fold(Context::new(), |c, k| c.with(k, "1"))?,
        ),
        (
            "a-key-that-begins-another-comes-first",
            Context::new().with("ab", "2")?.with("a", "1")?.with("a\0", "3")?,
        ),
        ("empty-value", Context::new().with("flag", "")?),
        ("utf-8-is-not-normalised", Context::new().with("name", "Zo\u{eb}")?.with("nom", "Zoe\u{308}")?),
        (
            "binary-keys-and-values",
            Context::new().with([0x00], [0xff, 0x00])?.with([0xff, 0xfe], [0x80])?.with([0x7f], [0; 3])?,
        ),
        ("most-pairs", numbered(CONTEXT_PAIRS_MAX)?),
        ("longest", Context::new().with("k", vec![0; long])?),
    ]
    .into_iter()
    .map(|(name, context)| {
        Json::object([
            ("name", Json::text(name)),
            ("pairs", fixed::pairs(&context)),
            ("encoding", Json::bytes(context.encode())),
            ("hash", Json::hex(context.hash().as_bytes())),
        ])
    })
    .collect();
    Ok(Topic { name: "contexts", about: "Contexts and their encodings (docs/format.md 3)", cases })
}

pub(crate) fn refused() -> Result<Topic> {
    let mut too_many = numbered(CONTEXT_PAIRS_MAX)?.encode();
    too_many[1] = 65;
    too_many.extend_from_slice(b"\0\x04more\0\0");
    let mut too_long = Context::new().with("k", vec![0; CONTEXT_LEN_MAX - 7])?.encode();
    too_long.push(0);
    let encodings: [(&str, &str, Vec<u8>); 16] = [
        ("no-bytes", "not-canonical", vec![]),
        ("half-a-count", "not-canonical", vec![0]),
        ("count-without-pairs", "not-canonical", vec![0, 1]),
        ("fewer-pairs-than-counted", "not-canonical", b"\0\x02\0\x01a\0\x011".to_vec()),
        ("bytes-left-over", "not-canonical", b"\0\x01\0\x01a\0\x011\0".to_vec()),
        ("a-pair-left-over", "not-canonical", b"\0\x01\0\x01a\0\x011\0\x01b\0\x012".to_vec()),
        ("key-cut-off", "not-canonical", b"\0\x01\0\x05ab".to_vec()),
        ("value-cut-off", "not-canonical", b"\0\x01\0\x01a\0\x05xy".to_vec()),
        ("length-of-value-missing", "not-canonical", b"\0\x01\0\x01a\0".to_vec()),
        ("unsorted", "not-canonical", b"\0\x02\0\x01b\0\x012\0\x01a\0\x011".to_vec()),
        ("longer-key-before-its-beginning", "not-canonical", b"\0\x02\0\x02ab\0\0\0\x01a\0\0".to_vec()),
        ("key-twice", "duplicate-key", b"\0\x02\0\x01a\0\x011\0\x01a\0\x012".to_vec()),
        ("pair-twice", "duplicate-key", b"\0\x02\0\x01a\0\x011\0\x01a\0\x011".to_vec()),
        ("empty-key", "empty-key", b"\0\x01\0\0\0\x011".to_vec()),
        ("too-many-pairs", "too-many-pairs", too_many),
        ("too-long", "too-long", too_long),
    ];
    let mut cases: Vec<Json> = encodings
        .into_iter()
        .map(|(name, error, bytes)| {
            Json::object([
                ("name", Json::text(format!("encoding-{name}"))),
                ("encoding", Json::bytes(bytes)),
                ("error", Json::text(error)),
            ])
        })
        .collect();
    let pair = |key: &[u8], value: &[u8]| Json::List(vec![Json::bytes(key), Json::bytes(value)]);
    let many = (0..=64u8).map(|i| pair(&[b'k', i], b"")).collect();
    let pairs: [(&str, &str, Vec<Json>); 4] = [
        ("empty-key", "empty-key", vec![pair(b"", b"1")]),
        ("key-twice", "duplicate-key", vec![pair(b"a", b"1"), pair(b"b", b"2"), pair(b"a", b"3")]),
        ("too-many", "too-many-pairs", many),
        ("too-long", "too-long", vec![pair(b"k", &vec![0; CONTEXT_LEN_MAX - 6])]),
    ];
    cases.extend(pairs.into_iter().map(|(name, error, pairs)| {
        Json::object([
            ("name", Json::text(format!("pairs-{name}"))),
            ("pairs", Json::List(pairs)),
            ("error", Json::text(error)),
        ])
    }));
    Ok(Topic {
        name: "contexts-refused",
        about: "Encodings and pairs that are no context (docs/format.md 3)",
        cases,
    })
}
