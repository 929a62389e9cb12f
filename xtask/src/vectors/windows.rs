//! testdata/windows: blobs of Windows DKM, the keys derived for them, and what must be refused.

mod raw;
mod refused;

use anyhow::{Result, ensure};
use dkm_core::windows::{self, WindowsKey};

use super::Topic;
use super::fixed::{self, KEY_GUID};
use super::json::Json;
use raw::{LEN_IN_BITS, LEN_IN_BYTES, Parts};

pub(crate) use refused::topic as refused;

/// What is derived from a key and a nonce, with the length in bytes as Windows has it; beside it what the standard's
/// length in bits would give, so that a reader sees which one it has.
pub(crate) fn derivations() -> Result<Topic> {
    let all = [
        ("keys-of-a-blob", fixed::material(), nonce("keys of a blob")),
        ("keys-of-another-nonce", fixed::material(), nonce("another nonce")),
        ("keys-of-other-material", fixed::other_material(), nonce("keys of a blob")),
        ("keys-of-zeros", [0; 32], [0; 32]),
        ("keys-of-ones", [0xff; 32], [0xff; 32]),
    ];
    let cases = all.map(|(name, material, nonce)| {
        let bytes = raw::derive(&material, &raw::label(), &nonce, LEN_IN_BYTES);
        let bits = raw::derive(&material, &raw::label(), &nonce, LEN_IN_BITS);
        Json::object([
            ("name", Json::text(name)),
            ("material", Json::hex(material)),
            ("nonce", Json::hex(nonce)),
            ("fixed_input", Json::hex(bytes.fixed_input)),
            ("aes_key", Json::hex(bytes.aes)),
            ("mac_key", Json::hex(bytes.mac)),
            ("not_aes_key", Json::hex(bits.aes)),
            ("not_mac_key", Json::hex(bits.mac)),
        ])
    });
    Ok(Topic {
        name: "derivations",
        about: "The keys of a blob by SP 800-108, its length in bytes; not_aes_key and not_mac_key are what a length \
                in bits gives",
        cases: cases.into(),
    })
}

/// Blobs that open.
pub(crate) fn blobs() -> Result<Topic> {
    let mut cases = Vec::new();
    // At the bounds of blocks, and where the length of ciphertext and MAC takes another form: 128, 256, 65 536.
    for len in [0, 1, 15, 16, 17, 79, 80, 207, 208, 3000, 65_487, 65_488, 65_503] {
        cases.push(blob(&format!("plaintext-of-{len}"), &fixed::counting(len))?);
    }
    cases.push(blob("text", b"correct horse battery staple")?);
    let mut parts = Parts::of("guid-in-the-order-of-its-text", b"another order");
    parts.guid = raw::octets(&KEY_GUID.0);
    cases.push(case("guid-in-the-order-of-its-text", &parts, b"another order", Some("text")));
    Ok(Topic {
        name: "blobs",
        about: "Blobs of Windows DKM that open; with nonce and IV given, making them is deterministic",
        cases,
    })
}

pub(super) fn nonce(name: &str) -> [u8; 32] {
    fixed::bytes32(&format!("windows nonce of {name}"))
}

pub(super) fn iv(name: &str) -> [u8; 16] {
    let mut iv = [0; 16];
    iv.copy_from_slice(&fixed::bytes32(&format!("windows IV of {name}"))[..16]);
    iv
}

/// The blob that the product makes, which must be the one written out by hand.
fn blob(name: &str, plaintext: &[u8]) -> Result<Json> {
    let parts = Parts::of(name, plaintext);
    let key = WindowsKey::new(KEY_GUID, &fixed::material())?;
    let made = windows::seal(&key, &nonce(name), &iv(name), plaintext)?;
    ensure!(made == parts.join(), "{name}: two constructions disagree");
    Ok(case(name, &parts, plaintext, None))
}

fn case(name: &str, parts: &Parts, plaintext: &[u8], guid_order: Option<&str>) -> Json {
    let blob = parts.join();
    let mut fields = vec![
        ("name", Json::text(name)),
        ("guid", Json::text(KEY_GUID.to_string())),
        ("material", Json::hex(fixed::material())),
        ("nonce", Json::hex(nonce(name))),
        ("iv", Json::hex(iv(name))),
    ];
    let counting = !plaintext.is_empty() && plaintext == fixed::counting(plaintext.len());
    fields
        .push(("plaintext", if counting { Json::counting(plaintext.len()) } else { Json::bytes(plaintext) }));
    fields.extend(guid_order.map(|order| ("guid_order", Json::text(order))));
    if blob.len() <= 4096 {
        fields.push(("blob", Json::bytes(&blob)));
    } else {
        fields.push(("blob_prefix", Json::hex(&blob[..120])));
        fields.push(("blob_len", Json::from(blob.len())));
        fields.push(("blob_sha256", Json::hex(dkm_core::Digest::of(&blob).0)));
    }
    Json::Object(fields)
}
