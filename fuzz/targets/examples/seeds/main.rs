//! Writes the seeds that are made from the product's own encoders: `cargo run -p dkm-fuzz-targets --example seeds`.

// A developer's tool: it stops at the first fault.
#![allow(clippy::unwrap_used)]

mod audit;
mod directory;
mod library;
mod windows;

use std::fs;
use std::path::{Path, PathBuf};

use dkm_core::archive::{Archive, ArchiveEntry, ArchivedRecord};
use dkm_core::blob::{BlobKey, Header, seal};
use dkm_core::policy::Policy;
use dkm_core::record::{
    ApprovalLevel, Change, ExposedRecord, Family, GroupRecord, KeyRecord, Material, Origin, Person,
    PolicyRecord, Purpose, Record, RosterRecord, RosterSignature, StatusRecord, WrappedMaterial,
};
use dkm_core::{
    Attestation, Context, Digest, GroupId, KeyGuid, KeyId, Principal, RepositoryId, RootKeyId, Suite,
    Timestamp,
};

const GROUP: GroupId = GroupId([0x47; 16]);

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(target)
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = folder(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn main() {
    archives();
    audit::all();
    blobs();
    contexts();
    records();
    names();
    library::all();
    directory::all();
    windows::windows();
}

fn archives() {
    let attested = Attestation {
        creator: Principal("uid:1000".into()),
        created: Timestamp(1_700_000_000_000),
        template_ok: true,
    };
    let entry = |record: Record| ArchiveEntry {
        room: record.room(),
        slot: record.slot(GROUP, 0),
        attested: attested.clone(),
        record: ArchivedRecord::Known(record),
    };
    let key = |family, origin| {
        let material = [0x4d; 32];
        KeyRecord {
            id: dkm_core::kdf::key_id(GROUP, family, &material),
            family,
            origin,
            created_at_ms: 1_700_000_000_000,
            activates_at_ms: 1_700_000_000_000,
            predecessor: None,
            attempt: 0,
            material: Material::Plain(material.into()),
            guid: guid_of(family),
        }
    };
    let rolled = key(Family::Native, Origin::Rolled);
    let repository = RepositoryId([4; 16]);
    let escrow = Archive::escrow(repository, GROUP, "mail-tokens", rolled.clone(), attested.clone());
    let archive = |entries| Archive { entries, ..escrow.clone() };
    let status = |change| {
        Record::Status(StatusRecord {
            key: rolled.id,
            change,
            purpose: Purpose::Ordinary,
            reason: "left the company".into(),
            epoch: 0,
            answers: Vec::new(),
            when_ms: 1_700_000_000_000,
        })
    };
    let policy = PolicyRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: 1_700_000_000_000,
        policy: Policy::for_directory(),
    };
    let exposed = ExposedRecord { from_ms: 1, until_ms: 2, who: "alice".into(), grant: "g-17".into() };
    let full = vec![
        entry(Record::Policy(policy)),
        entry(Record::Exposed(exposed)),
        entry(status(Change::Compromised)),
        entry(Record::Key(rolled.clone())),
        entry(Record::Key(key(Family::Windows, Origin::Imported))),
    ];
    let destroyed = vec![entry(Record::Key(rolled.clone())), entry(status(Change::Destroyed))];
    let mut unknown = entry(Record::Key(rolled.clone()));
    let bytes = vec![0x82, 2, 0];
    let why = Record::decode(&bytes).unwrap_err();
    unknown.record = ArchivedRecord::Unknown { bytes: bytes.into(), why };
    for (name, archive) in [
        ("escrow", escrow.clone()),
        ("empty", archive(Vec::new())),
        ("full", archive(full)),
        ("destroyed", archive(destroyed)),
        ("unknown", archive(vec![unknown])),
    ] {
        write("archive", name, &archive.encode().unwrap());
    }
}

fn blobs() {
    let key = BlobKey::new(GROUP, Family::Native, &[0x4d; 32]);
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305, Suite::Aes256GcmSiv] {
        for len in [0usize, 1, 32, 4096, 4097, 8192] {
            let header = Header::new(suite, GROUP, key.id(), [0x5a; 32], 4096).unwrap();
            let blob = seal(&key, &header, &Context::new(), &vec![b'x'; len]).unwrap();
            write("blob_open", &format!("suite-{}-{len}", suite.number()), &blob);
            if len == 0 {
                write("blob_header", &format!("suite-{}", suite.number()), &blob[..76]);
            }
        }
    }
    // Suite, chunk size, edit, two places, length; then the plaintext's pattern.
    for edit in 0u8..8 {
        for (suite, place) in [(0u8, 0u8), (1, 80), (2, 120)] {
            let mut input = vec![suite, 1, edit, 0, 0, 0, place, 0, 0, 0x10, place, 0x20, 1];
            input.extend_from_slice(b"secret");
            write("blob_edit", &format!("edit-{edit}-suite-{suite}"), &input);
        }
    }
}

fn contexts() {
    let with = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(Context::new(), |context, (key, value)| context.with(key, value).unwrap())
    };
    write("context", "empty", &Context::new().encode());
    write("context", "one", &with(&[("account", "alice@example.org")]).encode());
    write("context", "three", &with(&[("a", ""), ("ab", "1"), ("b", "\u{e9}")]).encode());
    let many = (0..64u8).fold(Context::new(), |context, i| context.with([b'k', i], [i; 20]).unwrap());
    write("context", "full", &many.encode());
    write("context", "twice", b"\x00\x02\x00\x01a\x00\x00\x00\x01a\x00\x00");
    write("context", "unsorted", b"\x00\x02\x00\x01b\x00\x00\x00\x01a\x00\x00");
}

/// Keys of Windows have a GUID, and only they.
fn guid_of(family: Family) -> Option<KeyGuid> {
    (family == Family::Windows).then_some(KeyGuid([6; 16]))
}

fn key_record(family: Family, origin: Origin, predecessor: Option<KeyId>, material: Material) -> Record {
    Record::Key(KeyRecord {
        id: KeyId([9; 16]),
        family,
        origin,
        created_at_ms: 1_700_000_000_000,
        activates_at_ms: 1_700_086_400_000,
        predecessor,
        attempt: 0,
        material,
        guid: guid_of(family),
    })
}

fn records() {
    let wrapped = WrappedMaterial { root: RootKeyId([3; 16]), nonce: vec![1; 12], ciphertext: vec![2; 48] };
    let mut all = vec![
        ("key-plain", key_record(Family::Native, Origin::Rolled, None, Material::Plain([7; 32].into()))),
        (
            "key-wrapped",
            key_record(Family::Native, Origin::Rolled, Some(KeyId([8; 16])), Material::Wrapped(wrapped)),
        ),
        (
            "key-imported",
            key_record(Family::Windows, Origin::Imported, None, Material::Plain([7; 32].into())),
        ),
        (
            "group",
            Record::Group(GroupRecord {
                name: "mail-tokens".into(),
                created_at_ms: 1_700_000_000_000,
                repository: RepositoryId([4; 16]),
                roster_genesis: Some(Digest([5; 32])),
                description: Some("refresh tokens".into()),
            }),
        ),
        (
            "exposed",
            Record::Exposed(ExposedRecord {
                from_ms: 1_700_000_000_000,
                until_ms: 1_700_003_600_000,
                who: "alice".into(),
                grant: "g-17".into(),
            }),
        ),
        (
            "roster",
            Record::Roster(RosterRecord {
                version: 2,
                previous: vec![Digest([6; 32])],
                created_at_ms: 1_700_000_000_000,
                persons: vec![Person {
                    id: "alice".into(),
                    keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA alice".into()],
                    accounts: vec!["uid:1000".into()],
                }],
                levels: vec![ApprovalLevel {
                    name: "security".into(),
                    approvers: vec!["alice".into()],
                    quorum: 1,
                }],
                change_delay_ms: 86_400_000,
                signatures: vec![RosterSignature { person: "alice".into(), signature: "S".into() }],
                elevation: None,
            }),
        ),
    ];
    for (name, version, previous) in [("policy-first", 1, vec![]), ("policy-next", 2, vec![Digest([1; 32])])]
    {
        let policy = Policy::for_directory();
        all.push((
            name,
            Record::Policy(PolicyRecord { version, previous, created_at_ms: 1_700_000_000_000, policy }),
        ));
    }
    for (name, change, purpose) in [
        ("status-suspended", Change::Suspended, Purpose::Ordinary),
        ("status-in-use", Change::Resumed, Purpose::InUse),
        ("status-destroyed", Change::Destroyed, Purpose::Ordinary),
    ] {
        all.push((
            name,
            Record::Status(StatusRecord {
                key: KeyId([9; 16]),
                change,
                purpose,
                reason: "left the company".into(),
                epoch: 3,
                answers: vec![Digest([1; 32]), Digest([2; 32])],
                when_ms: 1_700_000_000_000,
            }),
        ));
    }
    for (name, record) in all {
        write("record", name, &record.encode(GROUP));
    }
}

fn names() {
    for (i, text) in [
        "key-0123456789abcdef0123456789abcdef",
        "mail-tokens",
        "a",
        "47474747-4747-4747-4747-474747474747",
        "4747474747474747474747474747474747474747474747474747474747474747",
        "aes-256-gcm",
        "../control",
        "UPPER",
    ]
    .into_iter()
    .enumerate()
    {
        write("names", &format!("text-{i}"), text.as_bytes());
    }
}
