//! wrapping.json and wrapping-refused.json: key material under a root key that we hold ourselves.

use anyhow::Result;
use dkm_core::record::{KeyRecord, Material, Record, WrappedMaterial, wrap_aad};
use dkm_core::{GroupId, RepositoryId, Suite, kdf};

use super::fixed::{self, GROUP, OTHER_GROUP, REPOSITORY};
use super::json::Json;
use super::{Topic, raw, records};

fn root() -> [u8; 32] {
    fixed::bytes32("root key")
}

/// A key record with its material wrapped.
fn wrapped(name: &str, bare: &KeyRecord, material: &[u8; 32]) -> Result<KeyRecord> {
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&fixed::bytes32(&format!("nonce of {name}"))[..12]);
    let aad = wrap_aad(REPOSITORY, GROUP, bare);
    let ciphertext = raw::seal(Suite::Aes256Gcm, &root(), nonce, &aad, material)?;
    let root = kdf::root_key_id(GROUP, &root());
    let material = Material::Wrapped(WrappedMaterial { root, nonce: nonce.to_vec(), ciphertext });
    Ok(KeyRecord { material, ..bare.clone() })
}

fn samples() -> Result<[(&'static str, KeyRecord, [u8; 32]); 3]> {
    let restored = KeyRecord { origin: dkm_core::record::Origin::Restored, ..records::successor() };
    Ok([
        ("wrapped-first-key", wrapped("first", &records::key(), &fixed::material())?, fixed::material()),
        (
            "wrapped-successor",
            wrapped("successor", &records::successor(), &fixed::other_material())?,
            fixed::other_material(),
        ),
        (
            "wrapped-restored-key",
            wrapped("restored", &restored, &fixed::other_material())?,
            fixed::other_material(),
        ),
    ])
}

pub(crate) fn topic() -> Result<Topic> {
    let mut cases = Vec::new();
    for (name, record, material) in samples()? {
        cases.push(Json::object([
            ("name", Json::text(name)),
            ("repository", Json::hex(REPOSITORY.as_bytes())),
            ("root_key", Json::hex(root())),
            ("root_key_id", Json::hex(kdf::root_key_id(GROUP, &root()).as_bytes())),
            ("record", Json::bytes(Record::Key(record.clone()).encode(GROUP))),
            ("aad", Json::bytes(wrap_aad(REPOSITORY, GROUP, &record))),
            ("material", Json::hex(material)),
        ]));
    }
    Ok(Topic {
        name: "wrapping",
        about: "Key records whose material opens under a root key, and what the root key authenticates (docs/format.md 8)",
        cases,
    })
}

pub(crate) fn refused() -> Result<Topic> {
    let [_, (_, record, _), _] = samples()?;
    let changed = |change: &dyn Fn(&mut KeyRecord)| {
        let mut record = record.clone();
        change(&mut record);
        record
    };
    let damaged = |change: &dyn Fn(&mut WrappedMaterial)| {
        changed(&|record| {
            if let Material::Wrapped(wrapped) = &mut record.material {
                change(wrapped);
            }
        })
    };
    let cases = [
        ("other-repository", record.clone(), GROUP, RepositoryId([9; 16]), root()),
        ("other-group", record.clone(), OTHER_GROUP, REPOSITORY, root()),
        ("other-root-key", record.clone(), GROUP, REPOSITORY, fixed::bytes32("other root key")),
        ("other-key-id", changed(&|r| r.id.0[0] ^= 1), GROUP, REPOSITORY, root()),
        (
            "other-origin",
            changed(&|r| r.origin = dkm_core::record::Origin::Restored),
            GROUP,
            REPOSITORY,
            root(),
        ),
        ("other-creation-time", changed(&|r| r.created_at_ms += 1), GROUP, REPOSITORY, root()),
        ("other-activation-time", changed(&|r| r.activates_at_ms -= 1), GROUP, REPOSITORY, root()),
        ("other-attempt", changed(&|r| r.attempt += 1), GROUP, REPOSITORY, root()),
        ("predecessor-left-out", changed(&|r| r.predecessor = None), GROUP, REPOSITORY, root()),
        ("nonce-bit", damaged(&|w| w.nonce[0] ^= 1), GROUP, REPOSITORY, root()),
        ("ciphertext-bit", damaged(&|w| w.ciphertext[0] ^= 1), GROUP, REPOSITORY, root()),
        ("tag-bit", damaged(&|w| w.ciphertext[47] ^= 1), GROUP, REPOSITORY, root()),
        ("tag-cut-off", damaged(&|w| w.ciphertext.truncate(32)), GROUP, REPOSITORY, root()),
        ("nonce-of-13-bytes", damaged(&|w| w.nonce.push(0)), GROUP, REPOSITORY, root()),
    ]
    .into_iter()
    .map(|(name, record, group, repository, root)| refused_case(name, record, group, repository, &root))
    .collect();
    Ok(Topic {
        name: "wrapping-refused",
        about: "Key records whose material must not open: moved, changed or damaged (docs/format.md 8)",
        cases,
    })
}

fn refused_case(
    name: &str,
    record: KeyRecord,
    group: GroupId,
    repository: RepositoryId,
    root: &[u8; 32],
) -> Json {
    Json::object([
        ("name", Json::text(name)),
        ("repository", Json::hex(repository.as_bytes())),
        ("root_key", Json::hex(root)),
        ("record", Json::bytes(Record::Key(record).encode(group))),
        ("error", Json::text("wrap-mismatch")),
    ])
}
