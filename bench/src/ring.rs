//! Opening a long ring of archived keys, and unprotecting with it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use dkm_core::blob::{BlobKey, Header, open, seal};
use dkm_core::kdf::key_id;
use dkm_core::member::{Member, Reading, Rights};
use dkm_core::policy::Policy;
use dkm_core::record::{Family, KeyRecord, Material, Origin, PolicyRecord, Record};
use dkm_core::ring::Observed;
use dkm_core::safeguards::Safeguards;
use dkm_core::{
    Attestation, Context, Digest, GroupId, KeyId, Principal, ReplicaId, Room, SlotName, Suite, Timestamp,
};

use crate::measure::{Effort, compare, plain};
use crate::report::{Limit, Section, spread, spread_time};

const GROUP: GroupId = GroupId([1; 16]);
const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 1_000_000_000_000;

/// A client's view after reading, and its keys made ready.
struct Opened {
    member: Member,
    keys: HashMap<KeyId, Arc<BlobKey>>,
}

pub(crate) fn ring(effort: Effort) -> Result<Section> {
    let short = tempfile::tempdir()?;
    let long = tempfile::tempdir()?;
    write_ring(short.path(), 1)?;
    let oldest = write_ring(long.path(), 10_000)?;
    let now = Timestamp(START_MS + 10_001 * DAY_MS);

    let [parse, opening] = compare(
        effort,
        [
            plain(|| read_and_parse(long.path()).expect("the files are there")),
            plain(|| open_ring(long.path(), now).expect("the files are there")),
        ],
    );
    let mut section = Section::new(
        "A ring of 10 000 archived keys",
        "The reference reads the 10 000 files, which lie in the system's cache, and parses each as a record. Opening the \
         ring also verifies the id of every key, prepares it, follows the chain of policies and derives every key's \
         state. Unprotect opens 1 KiB with the oldest key of a ring of one key and of 10 000.",
        ["operation", "time", "reference", "ratio"],
    );
    let ratio = opening.per(&parse);
    section.row(["open the ring".into(), spread_time(&opening), spread_time(&parse), spread(ratio)]);
    section.target("opening 10 000 keys, times reading and parsing", Limit::Most(2.0), ratio.median, "×");

    let mut small = open_ring(short.path(), now)?;
    let mut large = open_ring(long.path(), now)?;
    ensure!(large.keys.len() == 10_000, "the ring has {} keys", large.keys.len());
    let blob = |opened: &Opened, id: KeyId| -> Result<Vec<u8>> {
        let key = opened.keys.get(&id).context("the ring lacks its oldest key")?;
        let header = Header::new(Suite::Aes256Gcm, GROUP, id, [3; 32], 65_536)?;
        Ok(seal(key, &header, &Context::new(), &[b'x'; 1024])?)
    };
    let blob = blob(&large, oldest)?;
    let [one, many] = compare(
        effort,
        [
            plain(|| unprotect(&mut small, &blob, now).expect("it opens")),
            plain(|| unprotect(&mut large, &blob, now).expect("it opens")),
        ],
    );
    let ratio = many.per(&one);
    section.row(["unprotect with it".into(), spread_time(&many), spread_time(&one), spread(ratio)]);
    section.target("unprotect in a ring of 10 000 keys, times one key", Limit::Most(1.1), ratio.median, "×");
    Ok(section)
}

fn material(number: u64) -> [u8; 32] {
    *Digest::of(&number.to_be_bytes()).as_bytes()
}

/// A policy and a chain of keys, a day apart, one file each; returns the oldest key's id.
fn write_ring(folder: &Path, keys: u64) -> Result<KeyId> {
    let policy = Record::Policy(PolicyRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: START_MS,
        policy: Policy::for_directory(),
    });
    fs::create_dir(folder.join("control"))?;
    fs::create_dir(folder.join("keys"))?;
    fs::write(folder.join("control").join(policy.slot(GROUP, 0).as_str()), policy.encode(GROUP))?;
    let mut predecessor = None;
    for number in 0..keys {
        let material = material(number);
        let created_at_ms = START_MS + number * DAY_MS;
        let record = KeyRecord {
            id: key_id(GROUP, Family::Native, &material),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms,
            activates_at_ms: created_at_ms + DAY_MS,
            predecessor,
            attempt: 0,
            material: Material::Plain(material.into()),
        };
        predecessor = Some(record.id);
        fs::write(folder.join("keys").join(record.slot().as_str()), Record::Key(record).encode(GROUP))?;
    }
    Ok(key_id(GROUP, Family::Native, &material(0)))
}

/// Every record of a folder with its bytes and name.
fn records(folder: &Path) -> Result<Vec<(Room, SlotName, Vec<u8>, Record)>> {
    let mut all = Vec::new();
    for room in [Room::Control, Room::Keys] {
        for entry in fs::read_dir(folder.join(room.as_str()))? {
            let entry = entry?;
            let bytes = fs::read(entry.path())?;
            let (_, record) = Record::decode(&bytes)?;
            let name = entry.file_name().to_string_lossy().parse()?;
            all.push((room, name, bytes, record));
        }
    }
    Ok(all)
}

fn read_and_parse(folder: &Path) -> Result<usize> {
    Ok(records(folder)?.len())
}

/// What a client does with what it read.
fn open_ring(folder: &Path, now: Timestamp) -> Result<Opened> {
    let mut keys = HashMap::new();
    let mut present = Vec::new();
    for (room, name, bytes, mut record) in records(folder)? {
        let digest = Digest::of(&bytes);
        let mut created = Timestamp(START_MS);
        let mut verified = true;
        if let Record::Key(key) = &mut record {
            created = Timestamp(key.created_at_ms);
            if let Material::Plain(material) = std::mem::replace(&mut key.material, Material::None) {
                // Preparing a key derives its id.
                let ready = BlobKey::new(GROUP, key.family, &material);
                verified = ready.id() == key.id;
                keys.insert(key.id, Arc::new(ready));
            }
        }
        let attested = Attestation { creator: Principal("uid:0".to_owned()), created, template_ok: true };
        present.push(Arc::new(Observed { room, name, digest, record, attested, verified }));
    }
    let mut member = Member::new([1; 16], 1, None, Safeguards::ALL);
    member.set_rights(Rights { read: true, create: false, ..Rights::default() });
    member.observe(now, &Reading { replica: ReplicaId([1; 16]), clock: Some(now), present });
    Ok(Opened { member, keys })
}

fn unprotect(opened: &mut Opened, blob: &[u8], now: Timestamp) -> Result<dkm_core::Plaintext> {
    let header = Header::parse(blob)?;
    let id = header.key();
    opened.member.unprotect_leave(now, id, false)?;
    let key = opened.keys.get(&id).context("no such key")?;
    Ok(open(key, &Context::new(), blob)?)
}
