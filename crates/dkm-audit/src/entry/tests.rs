use dkm_core::{Context, Digest, GroupId, KeyId, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::note::{KeyKind, VerifierKey};

fn small() -> Entry {
    Entry::new(
        Timestamp(1_790_000_000_000),
        "uid:1000".parse().unwrap(),
        "unprotect".parse().unwrap(),
        Phase::Intent,
    )
}

fn full() -> Entry {
    let key = ContextKey::from_bytes(&[1; 32]);
    Entry {
        phase: Phase::Success { intent: 7 },
        grant: Some("grant-12".parse().unwrap()),
        group: Some(GroupId([2; 16])),
        key: Some(KeyId([3; 16])),
        blob: Some(Digest([4; 32])),
        context: Some(key.mac(GroupId([2; 16]), &Context::new().with("tenant", "a").unwrap())),
        size: Some(NUMBER_MAX),
        reason: Some("\u{fc}ber \"quotes\" \\ and\nlines".parse().unwrap()),
        detail: Some("more".parse().unwrap()),
        next_key: Some(VerifierKey::new("example.com/log".parse().unwrap(), KeyKind::Log, [5; 32])),
        ..small()
    }
}

/// The bytes are frozen: leaves of existing logs are hashed from them.
#[test]
fn entries_have_the_bytes_that_are_documented() {
    assert_eq!(
        String::from_utf8(small().encode().unwrap()).unwrap(),
        r#"{"version":1,"time":1790000000000,"actor":"uid:1000","action":"unprotect","phase":"intent"}"#
    );
    assert_eq!(
        String::from_utf8(full().encode().unwrap()).unwrap(),
        [
            r#"{"version":1,"time":1790000000000,"actor":"uid:1000","action":"unprotect","phase":"success","intent":7,"#,
            r#""grant":"grant-12","group":"02020202-0202-0202-0202-020202020202","#,
            r#""key":"03030303030303030303030303030303","#,
            r#""blob":"0404040404040404040404040404040404040404040404040404040404040404","#,
            &format!(r#""context":"{}","size":9007199254740991,"#, full().context.unwrap()),
            "\"reason\":\"\u{fc}ber \\\"quotes\\\" \\\\ and\\nlines\",",
            r#""detail":"more","#,
            &format!(r#""next_key":"{}"}}"#, full().next_key.unwrap()),
        ]
        .concat()
    );
    for entry in [small(), full()] {
        assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
    }
}

#[test]
fn other_ways_to_write_an_entry_are_refused() {
    let line = String::from_utf8(full().encode().unwrap()).unwrap();
    for (from, to) in [
        (r#"{"version""#, r#"{ "version""#),
        (r#""version":1,"time":1790000000000"#, r#""time":1790000000000,"version":1"#),
        ("02020202-0202", "020202020202"),
        ("\u{fc}ber", "\\u00fcber"),
        (r#""detail":"more""#, r#""detail":"\u006dore""#),
        ("040404", "04-0404"),
        ("1790000000000", "1.79e12"),
        ("1790000000000", "1790000000000.0"),
        (r#","detail":"more""#, r#","detail":null"#),
        (r#","detail":"more""#, r#","detail":"more","detail":"more""#),
        (r#","detail":"more""#, r#","detail":"more","other":1"#),
        (r#","detail":"more""#, r#","detail":"""#),
        ("more", "mo\u{202e}re"),
        (r#""phase":"success""#, r#""phase":"intent""#),
        (r#""phase":"success","intent":7"#, r#""phase":"success""#),
        (r#""phase":"success""#, r#""phase":"done""#),
        ("9007199254740991", "9007199254740992"),
        ("1790000000000", "-1"),
        ("uid:1000", ""),
        ("unprotect", "Unprotect"),
        ("example.com/log+", "example.com/lag+"),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line, "{from}");
        assert!(Entry::decode(changed.as_bytes()).is_err(), "{changed}");
    }
    let newer = line.replace(r#""version":1"#, r#""version":2"#);
    assert_eq!(Entry::decode(newer.as_bytes()), Err(EntryError::UnknownVersion { version: 2 }));
    for bytes in
        [format!("{line}\n"), format!(" {line}"), format!("{line}{line}"), String::new(), "[".repeat(10_000)]
    {
        assert_eq!(Entry::decode(bytes.as_bytes()).map_err(|_| ()), Err(()));
    }
    assert_eq!(Entry::decode(&vec![b' '; ENTRY_LEN_MAX + 1]), Err(EntryError::TooLong));
}

#[test]
fn numbers_that_json_readers_would_round_are_refused() {
    let large = NUMBER_MAX + 1;
    let refused = |entry: Entry, field| assert_eq!(entry.encode(), Err(EntryError::BadField { field }));
    refused(Entry { time: Timestamp(large), ..small() }, "time");
    refused(Entry { size: Some(large), ..small() }, "size");
    refused(Entry { phase: Phase::Failure { intent: large }, ..small() }, "intent");
}

#[test]
fn the_largest_entry_fits() {
    let quotes = |n| "\"".repeat(n);
    let entry = Entry {
        actor: quotes(Actor::LEN_MAX).parse().unwrap(),
        action: "a".repeat(Action::LEN_MAX).parse().unwrap(),
        grant: Some("g".repeat(GrantRef::LEN_MAX).parse().unwrap()),
        reason: Some(quotes(Reason::LEN_MAX).parse().unwrap()),
        detail: Some(quotes(Detail::LEN_MAX).parse().unwrap()),
        next_key: Some(VerifierKey::new(quotes(255).parse().unwrap(), KeyKind::Log, [5; 32])),
        ..full()
    };
    assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
}

#[test]
fn a_context_is_recognised_by_who_has_the_logs_key_alone() {
    let context = Context::new().with("tenant", "secret-tenant").unwrap();
    let key = ContextKey::from_bytes(&[1; 32]);
    let mac = key.mac(GroupId([2; 16]), &context);
    assert_eq!(mac, ContextKey::from_bytes(key.expose()).mac(GroupId([2; 16]), &context));
    let others = [
        ContextKey::from_bytes(&[9; 32]).mac(GroupId([2; 16]), &context),
        ContextKey::generate().unwrap().mac(GroupId([2; 16]), &context),
        key.mac(GroupId([3; 16]), &context),
        key.mac(GroupId([2; 16]), &Context::new()),
    ];
    assert!(others.iter().all(|other| *other != mac));
    assert_ne!(mac.to_string(), context.hash().to_string(), "a plain hash could be guessed");
    let entry = Entry { context: Some(mac), ..small() };
    let line = String::from_utf8(entry.encode().unwrap()).unwrap();
    assert!(!line.contains("secret-tenant") && !format!("{entry:?}{key:?}").contains("secret-tenant"));
    assert_eq!(format!("{key:?}"), "ContextKey(..)");
}

#[test]
fn texts_cannot_fake_lines_and_nothing_goes_unrecorded() {
    for text in
        ["", "a\nb", "a\u{1b}[2J", "a\u{7f}", "a\u{85}b", "a\u{2028}b", "a\u{202e}b", &"a".repeat(257)]
    {
        assert!(text.parse::<Actor>().is_err(), "{text:?}");
        let kept = Actor::lossy(text);
        assert_eq!(kept.as_str().parse(), Ok(kept.clone()), "{text:?}");
    }
    assert_eq!(Actor::lossy("a\nb").as_str(), "a\u{fffd}b");
    assert_eq!(Reason::lossy("a\nb\u{0}").as_str(), "a\nb\u{fffd}");
    assert_eq!(Detail::lossy(&"\u{1F511}".repeat(1000)).as_str().len(), 1024);
    assert_eq!(Detail::lossy("").as_str(), "\u{fffd}");
    for text in ["", "A", "a b", "a_b", "\u{e4}"] {
        assert!(text.parse::<Action>().is_err(), "{text:?}");
    }
    assert!("a/b".parse::<GrantRef>().is_err() && "A.b_c:d-9".parse::<GrantRef>().is_ok());
    let error = "x\ny".parse::<Reason>().map(|_| ()).and("\u{7}".parse::<Reason>().map(|_| ())).unwrap_err();
    assert!(error.to_string().starts_with("a reason has 1 to 4096 bytes of text"), "{error}");
}

#[test]
fn an_export_has_the_names_that_other_programs_know() {
    let leaf = Digest([6; 32]);
    let line: Value = serde_json::from_str(&full().to_ocsf("example.com/log", 12, &leaf)).unwrap();
    assert_eq!(line["class_uid"], 6003);
    assert_eq!(line["type_uid"], 600_399);
    assert_eq!(line["time"], 1_790_000_000_000u64);
    assert_eq!(line["actor"]["user"]["uid"], "uid:1000");
    assert_eq!(line["api"]["operation"], "unprotect");
    assert_eq!(
        (&line["status"], &line["status_id"], &line["action"]),
        (&"Success".into(), &1.into(), &"Allowed".into())
    );
    assert_eq!(line["metadata"]["log_name"], "example.com/log");
    assert_eq!(line["metadata"]["sequence"], 12);
    assert_eq!(line["metadata"]["uid"], leaf.to_string());
    assert_eq!(line["message"], "\u{fc}ber \"quotes\" \\ and\nlines");
    assert_eq!(line["resources"][2]["uid"], Digest([4; 32]).to_string());
    assert_eq!(line["unmapped"]["intent"], 7);
    assert_eq!(line["unmapped"]["context"], full().context.unwrap().to_string());
    let denied = Entry { phase: Phase::Denied, ..small() }.to_ocsf("o", 0, &leaf);
    assert!(!denied.contains('\n') && denied.contains(r#""action":"Denied""#), "{denied}");
    let small: Value = serde_json::from_str(&small().to_ocsf("o", 0, &leaf)).unwrap();
    assert_eq!(
        (&small["status"], small.get("message"), small.get("resources")),
        (&"Other".into(), None, None)
    );
}

prop_compose! {
    fn entries()(
        time in 0..=NUMBER_MAX,
        actor: String,
        action in "[a-z0-9-]{1,64}",
        phase in prop_oneof![
            Just(Phase::Intent), Just(Phase::Denied), Just(Phase::Recorded),
            (0..=NUMBER_MAX).prop_map(|intent| Phase::Success { intent }),
            (0..=NUMBER_MAX).prop_map(|intent| Phase::Failure { intent }),
        ],
        group: Option<[u8; 16]>,
        context: Option<[u8; 32]>,
        size in prop::option::of(0..=NUMBER_MAX),
        reason: Option<String>,
    ) -> Entry {
        Entry {
            group: group.map(GroupId),
            context: context.map(ContextMac),
            size,
            reason: reason.map(|reason| Reason::lossy(&reason)),
            ..Entry::new(Timestamp(time), Actor::lossy(&actor), action.parse().unwrap(), phase)
        }
    }
}

proptest! {
    #[test]
    fn every_entry_comes_back(entry in entries()) {
        let bytes = entry.encode().unwrap();
        prop_assert!(!bytes.contains(&b'\n'));
        prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
    }

    #[test]
    fn one_entry_has_one_encoding(entry in entries(), at: prop::sample::Index, byte: u8) {
        let mut bytes = entry.encode().unwrap();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(other) = Entry::decode(&bytes) {
            prop_assert_eq!(other.encode().unwrap(), bytes);
            prop_assert_ne!(other, entry);
        }
    }
}
