//! archives.json and archives-refused.json: what lies inside an `age` file.

use anyhow::{Context as _, Result, ensure};
use dkm_core::archive::{Archive, ArchiveEntry, ArchivedRecord};
use dkm_core::record::{Change, Family, KeyRecord, Material, Origin, Purpose, Record, WrappedMaterial};
use dkm_core::{Attestation, Digest, Principal, RootKeyId, SlotName, Timestamp};

use super::fixed::{self, GROUP, OTHER_GROUP, REPOSITORY, WHEN_MS};
use super::json::Json;
use super::raw::cbor;
use super::{Topic, records};

fn attested() -> Attestation {
    Attestation { creator: Principal("uid:0".into()), created: Timestamp(WHEN_MS), template_ok: true }
}

fn entry(record: Record) -> ArchiveEntry {
    let (room, slot) = (record.room(), record.slot(GROUP, 0));
    ArchiveEntry { room, slot, attested: attested(), record: ArchivedRecord::Known(record) }
}

fn archive(entries: Vec<ArchiveEntry>) -> Archive {
    Archive {
        repository: REPOSITORY,
        group: GROUP,
        name: "mail-tokens".into(),
        exported_at_ms: WHEN_MS,
        entries,
    }
}

fn full() -> Archive {
    let loose = Attestation { creator: Principal(String::new()), created: Timestamp(0), template_ok: false };
    let windows = KeyRecord {
        id: dkm_core::kdf::key_id(GROUP, Family::Windows, &fixed::material()),
        family: Family::Windows,
        origin: Origin::Imported,
        guid: Some(fixed::KEY_GUID),
        ..records::key()
    };
    archive(vec![
        entry(Record::Group(records::group())),
        entry(Record::Policy(records::policy(1, Vec::new()))),
        entry(Record::Roster(records::roster())),
        entry(Record::Key(records::key())),
        ArchiveEntry { attested: loose, ..entry(Record::Key(records::successor())) },
        entry(Record::Key(windows)),
        entry(Record::Status(records::status(Change::Deactivated, Purpose::Ordinary))),
        entry(Record::Status(records::status(Change::Resumed, Purpose::InUse))),
        entry(Record::Exposed(records::exposed())),
    ])
}

fn unknown() -> Vec<Vec<u8>> {
    let later = |version: u64, kind: u64| {
        let body = cbor::map(&[(99, cbor::text("from a newer program"))]);
        cbor::array(&[cbor::number(version), cbor::number(kind), cbor::bytes(GROUP.as_bytes()), body])
    };
    let mut records = vec![later(2, 4), later(1, 7)];
    records.sort_by_key(|record| Digest::of(record));
    records
}

pub(crate) fn topic() -> Result<Topic> {
    let twins = vec![
        entry(Record::Key(records::key())),
        ArchiveEntry {
            slot: SlotName::for_restored_key(records::key().id),
            ..entry(Record::Key(records::key()))
        },
        ArchiveEntry { slot: records::key().slot(), ..entry(Record::Key(records::successor())) },
    ];
    let escrow = Archive::escrow(REPOSITORY, GROUP, "mail-tokens", records::successor(), attested());
    let mut cases = Vec::new();
    for (name, archive) in [
        ("archive-empty", archive(Vec::new())),
        ("archive-escrow", escrow),
        ("archive-full", full()),
        ("archive-one-key-in-two-slots-two-keys-in-one", archive(twins)),
    ] {
        let bytes = archive.encode().with_context(|| name.to_owned())?;
        cases.push(sound(name, &bytes)?);
    }
    let bytes = by_hand(&Parts {
        entries: unknown().iter().map(|record| raw_entry(record)).collect(),
        ..Parts::sound()
    });
    cases.push(sound("archive-with-records-of-newer-programs", &bytes)?);
    Ok(Topic {
        name: "archives",
        about: "Payloads of archives, as `age -d` gives them out (docs/format.md 10)",
        cases,
    })
}

fn sound(name: &str, bytes: &[u8]) -> Result<Json> {
    let archive = Archive::decode(bytes).with_context(|| name.to_owned())?;
    ensure!(archive.encode()?.as_slice() == bytes, "{name} does not encode back");
    let mut entries = Vec::new();
    for entry in &archive.entries {
        let (kind, record) = match &entry.record {
            ArchivedRecord::Known(record) => (record.kind_name(), record.encode(GROUP)),
            ArchivedRecord::Unknown { bytes, .. } => ("unknown", bytes.to_vec()),
        };
        entries.push(Json::object([
            ("room", Json::text(entry.room.as_str())),
            ("slot", Json::text(entry.slot.as_str())),
            ("creator", Json::text(&entry.attested.creator.0)),
            ("created_ms", Json::from(entry.attested.created.0)),
            ("template_ok", Json::Bool(entry.attested.template_ok)),
            ("kind", Json::text(kind)),
            ("digest", Json::hex(Digest::of(&record).as_bytes())),
        ]));
    }
    Ok(Json::object([
        ("name", Json::text(name)),
        ("repository", Json::hex(archive.repository.as_bytes())),
        ("group", Json::hex(archive.group.as_bytes())),
        ("group_name", Json::text(&archive.name)),
        ("exported_at_ms", Json::from(archive.exported_at_ms)),
        ("entries", Json::List(entries)),
        ("payload", Json::bytes(bytes)),
    ]))
}

/// An archive in parts, so that each can be wrong.
struct Parts {
    format: Vec<u8>,
    version: Vec<u8>,
    name: Vec<u8>,
    entries: Vec<Vec<u8>>,
}

impl Parts {
    fn sound() -> Self {
        Self {
            format: cbor::text("dkm archive"),
            version: cbor::number(1),
            name: cbor::text("mail-tokens"),
            entries: Vec::new(),
        }
    }

    fn with(record: &Record) -> Self {
        Self { entries: vec![raw_entry(&record.encode(GROUP))], ..Self::sound() }
    }
}

fn by_hand(parts: &Parts) -> Vec<u8> {
    cbor::array(&[
        parts.format.clone(),
        parts.version.clone(),
        cbor::bytes(REPOSITORY.as_bytes()),
        cbor::bytes(GROUP.as_bytes()),
        parts.name.clone(),
        cbor::number(WHEN_MS),
        cbor::array(&parts.entries),
    ])
}

fn raw_entry(record: &[u8]) -> Vec<u8> {
    entry_of(&cbor::number(1), &cbor::text("key-0"), "uid:0", record)
}

fn entry_of(room: &[u8], slot: &[u8], creator: &str, record: &[u8]) -> Vec<u8> {
    cbor::array(&[
        room.to_vec(),
        slot.to_vec(),
        cbor::text(creator),
        cbor::number(WHEN_MS),
        vec![0xf5],
        cbor::bytes(record),
    ])
}

pub(crate) fn refused() -> Result<Topic> {
    let whole = full().encode()?.to_vec();
    let cut = whole[..whole.len() - 1].to_vec();
    let key = Record::Key(records::key()).encode(GROUP);
    let other = Record::Key(records::successor()).encode(GROUP);
    let with = |entries: Vec<Vec<u8>>| by_hand(&Parts { entries, ..Parts::sound() });
    let mut pair = [raw_entry(&key), raw_entry(&other)];
    pair.sort_by_key(|entry| Digest::of(if entry.ends_with(&key) { &key } else { &other }));
    pair.reverse();
    let mut mismatch = records::key();
    mismatch.id.0[0] ^= 1;
    let wrapped = Material::Wrapped(WrappedMaterial {
        root: RootKeyId([7; 16]),
        nonce: vec![7; 12],
        ciphertext: vec![7; 48],
    });
    let wrapped = Record::Key(KeyRecord { material: wrapped, ..records::key() });
    let head = b"age-encryption.org/v1\n-> X25519 ";
    let six = {
        let bytes = by_hand(&Parts::sound());
        [&[0x86], &bytes[1..bytes.len() - 1]].concat()
    };
    let text = |name: &str| by_hand(&Parts { name: cbor::text(name), ..Parts::sound() });
    let bad_slot = entry_of(&cbor::number(1), &cbor::text("Key/0"), "uid:0", &key);
    let bad_room = entry_of(&cbor::number(2), &cbor::text("key-0"), "uid:0", &key);
    let long_creator = entry_of(&cbor::number(1), &cbor::text("key-0"), &"c".repeat(1025), &key);
    let foreign = Record::Key(records::key()).encode(OTHER_GROUP);
    let cases = [
        ("archive-nothing", Vec::new(), "not-an-archive"),
        ("archive-still-sealed", head.to_vec(), "not-an-archive"),
        ("archive-is-a-record", key.clone(), "not-an-archive"),
        (
            "archive-other-format",
            by_hand(&Parts { format: cbor::text("dkm Archive"), ..Parts::sound() }),
            "not-an-archive",
        ),
        (
            "archive-version-0",
            by_hand(&Parts { version: cbor::number(0), ..Parts::sound() }),
            "unknown-version",
        ),
        (
            "archive-version-2",
            by_hand(&Parts { version: cbor::number(2), ..Parts::sound() }),
            "unknown-version",
        ),
        ("archive-of-six-items", six, "malformed"),
        ("archive-cut-off", cut, "malformed"),
        (
            "archive-name-is-bytes",
            by_hand(&Parts { name: cbor::bytes(b"mail"), ..Parts::sound() }),
            "malformed",
        ),
        ("archive-slot-with-separator", with(vec![bad_slot]), "malformed"),
        ("archive-room-2", with(vec![bad_room]), "malformed"),
        ("archive-name-empty", text(""), "invalid"),
        ("archive-name-in-upper-case", text("Mail"), "invalid"),
        ("archive-creator-of-1025-bytes", with(vec![long_creator]), "invalid"),
        (
            "archive-longer-version",
            by_hand(&Parts { version: vec![0x18, 1], ..Parts::sound() }),
            "not-canonical",
        ),
        ("archive-byte-behind", [by_hand(&Parts::sound()), vec![0]].concat(), "not-canonical"),
        ("archive-entries-unsorted", with(pair.to_vec()), "not-canonical"),
        ("archive-entry-twice", with(vec![raw_entry(&key), raw_entry(&key)]), "not-canonical"),
        ("archive-record-damaged", with(vec![raw_entry(&key[..key.len() - 1])]), "bad-record"),
        (
            "archive-record-not-canonical",
            with(vec![raw_entry(&[key.as_slice(), &[0]].concat())]),
            "bad-record",
        ),
        ("archive-record-of-another-group", with(vec![raw_entry(&foreign)]), "wrong-group"),
        ("archive-key-still-wrapped", by_hand(&Parts::with(&wrapped)), "key-not-plain"),
        ("archive-key-with-another-id", by_hand(&Parts::with(&Record::Key(mismatch))), "key-id-mismatch"),
    ]
    .into_iter()
    .map(|(name, bytes, error)| {
        Json::object([
            ("name", Json::text(name)),
            ("payload", Json::bytes(bytes)),
            ("error", Json::text(error)),
        ])
    })
    .collect();
    Ok(Topic {
        name: "archives-refused",
        about: "Payloads that are no archive, and why (docs/format.md 10)",
        cases,
    })
}
