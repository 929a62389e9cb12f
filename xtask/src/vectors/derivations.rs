//! derivations.json: ids of keys and root keys, and what is derived for a blob, step by step.

use anyhow::{Result, ensure};
use dkm_core::blob::{ChunkCipher, blob_id};
use dkm_core::record::Family;
use dkm_core::{Context, GroupId, Suite, kdf};

use super::fixed::{self, GROUP, OTHER_GROUP};
use super::json::Json;
use super::{Topic, raw};

pub(crate) fn topic() -> Result<Topic> {
    let counting = {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&fixed::counting(32));
        bytes
    };
    let mut cases = vec![
        key_id("key-id-native", GROUP, Family::Native, fixed::material()),
        key_id("key-id-windows-family-of-the-same-material", GROUP, Family::Windows, fixed::material()),
        key_id("key-id-other-group-of-the-same-material", OTHER_GROUP, Family::Native, fixed::material()),
        key_id("key-id-other-material", GROUP, Family::Native, fixed::other_material()),
        key_id("key-id-all-zero", GroupId([0; 16]), Family::Native, [0; 32]),
        key_id("key-id-all-ones", GroupId([0xff; 16]), Family::Windows, [0xff; 32]),
        key_id("key-id-counting-material", GROUP, Family::Native, counting),
        root_key_id("root-key-id", GROUP, fixed::bytes32("root key")),
        root_key_id("root-key-id-other-group", OTHER_GROUP, fixed::bytes32("root key")),
        root_key_id("root-key-id-of-a-keys-material-is-not-its-key-id", GROUP, fixed::material()),
        mismatch("key-id-with-one-bit-changed", GROUP, Family::Native, 0x01),
        mismatch("key-id-of-another-group", OTHER_GROUP, Family::Native, 0),
        mismatch("key-id-of-the-other-family", GROUP, Family::Windows, 0),
    ];
    for suite in Suite::ALL {
        cases.push(blob(&format!("blob-keys-suite-{}", suite.number()), suite, &fixed::context()?)?);
    }
    cases.push(blob("blob-keys-without-context", Suite::Aes256Gcm, &Context::new())?);
    Ok(Topic {
        name: "derivations",
        about: "Ids of keys and root keys, and the keys of blobs, by SP 800-108 (docs/format.md 2.1, 4.3, 5)",
        cases,
    })
}

fn key_id(name: &str, group: GroupId, family: Family, material: [u8; 32]) -> Json {
    Json::object([
        ("name", Json::text(name)),
        ("of", Json::text("key-id")),
        ("group", Json::hex(group.as_bytes())),
        ("family", Json::text(fixed::family(family))),
        ("material", Json::hex(material)),
        ("id", Json::hex(kdf::key_id(group, family, &material).as_bytes())),
    ])
}

/// An id that belongs to the usual group, family and material, up to some bits, and is claimed for others.
fn mismatch(name: &str, group: GroupId, family: Family, flip: u8) -> Json {
    let mut id = kdf::key_id(GROUP, Family::Native, &fixed::material());
    id.0[15] ^= flip;
    Json::object([
        ("name", Json::text(name)),
        ("of", Json::text("key-id")),
        ("group", Json::hex(group.as_bytes())),
        ("family", Json::text(fixed::family(family))),
        ("material", Json::hex(fixed::material())),
        ("id", Json::hex(id.as_bytes())),
        ("error", Json::text("key-id-mismatch")),
    ])
}

fn root_key_id(name: &str, group: GroupId, root: [u8; 32]) -> Json {
    Json::object([
        ("name", Json::text(name)),
        ("of", Json::text("root-key-id")),
        ("group", Json::hex(group.as_bytes())),
        ("root_key", Json::hex(root)),
        ("id", Json::hex(kdf::root_key_id(group, &root).as_bytes())),
    ])
}

fn blob(name: &str, suite: Suite, context: &Context) -> Result<Json> {
    let header = fixed::header(name, suite, 4096)?;
    let bytes = header.encode();
    let derived = raw::derive(&fixed::material(), suite.number(), &bytes, context.hash());
    let cipher = ChunkCipher::sealing(&fixed::key(), &header, context)?;
    ensure!(cipher.prefix().ends_with(&derived.commitment), "{name}: two derivations disagree");
    Ok(Json::object([
        ("name", Json::text(name)),
        ("of", Json::text("blob")),
        ("material", Json::hex(fixed::material())),
        ("suite", Json::from(u32::from(suite.number()))),
        ("header", Json::hex(bytes)),
        ("context_hash", Json::hex(context.hash().as_bytes())),
        ("fixed_input", Json::hex(&derived.fixed_input)),
        ("aead_key", Json::hex(derived.aead_key)),
        ("commitment", Json::hex(derived.commitment)),
        ("blob_id", Json::hex(blob_id(cipher.prefix()).as_bytes())),
    ]))
}
