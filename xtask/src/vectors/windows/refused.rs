//! Blobs that must not open, and why.

use dkm_core::windows::WINDOWS_BLOB_LEN_MAX;

use super::super::Topic;
use super::super::fixed::{self, KEY_GUID};
use super::super::json::{Json, zeros};
use super::raw::{self, LEN_IN_BITS, LEN_IN_BYTES, Parts};

/// The blob that is changed.
const SOUND: &str = "plaintext-of-17";

pub(crate) fn topic() -> Topic {
    let cases = [truncated(), flipped(), fields(), not_canonical(), algorithms(), wrong_keys(), padding()];
    Topic {
        name: "blobs-refused",
        about: "Blobs of Windows DKM that must be refused, each with its class (docs/windows-dkm.md)",
        cases: cases.concat(),
    }
}

fn sound() -> Parts {
    Parts::of(SOUND, &fixed::counting(17))
}

fn changed(change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = sound();
    change(&mut parts);
    parts.join()
}

fn case(name: impl Into<String>, blob: &[u8], error: &str) -> Json {
    let blob = if blob.len() > 4096 { zeros(blob.len()) } else { Json::object([("hex", Json::hex(blob))]) };
    Json::object([
        ("name", Json::text(name)),
        ("guid", Json::text(KEY_GUID.to_string())),
        ("material", Json::hex(fixed::material())),
        ("blob", blob),
        ("error", Json::text(error)),
    ])
}

fn truncated() -> Vec<Json> {
    let blob = sound().join();
    (0..blob.len()).map(|len| case(format!("truncated-to-{len}"), &blob[..len], "truncated")).collect()
}

/// Each byte with its lowest bit changed.
fn flipped() -> Vec<Json> {
    let sound = sound();
    let blob = sound.join();
    let mut cases = Vec::new();
    let mut at = 0;
    for (field, part) in sound.list() {
        for i in 0..part.len() {
            let mut blob = blob.clone();
            blob[at] ^= 1;
            at += 1;
            cases.push(case(format!("{field}-byte-{i}-changed"), &blob, class_of_change(field, i)));
        }
    }
    cases
}

fn class_of_change(field: &str, i: usize) -> &'static str {
    match (field, i) {
        ("version", 0 | 1) => "not-a-windows-blob",
        ("version", _) => "unknown-version",
        ("method", _) => "unknown-method",
        ("hash" | "mac-algorithm" | "cipher", 0) => "malformed",
        ("hash" | "mac-algorithm" | "cipher", _) => "unknown-algorithm",
        ("guid" | "nonce" | "iv", 0 | 1) | ("mac-length" | "length", _) => "malformed",
        ("guid", _) => "wrong-key",
        _ => "wrong-mac",
    }
}

fn fields() -> Vec<Json> {
    let sound_blob = sound().join();
    let own = [&[0xd4, 0x4b, 0x4d, 0xb1][..], &[1; 200]].concat();
    vec![
        case("longer-than-the-limit", &vec![0; WINDOWS_BLOB_LEN_MAX + 1], "too-large"),
        case("a-blob-of-dkms-own", &own, "not-a-windows-blob"),
        case("version-2", &changed(|p| p.version = vec![0, 0, 0, 2]), "unknown-version"),
        case("version-little-endian", &changed(|p| p.version = vec![1, 0, 0, 0]), "not-a-windows-blob"),
        case("method-1", &changed(|p| p.method = vec![0, 0, 0, 1]), "unknown-method"),
        case("guid-of-15-bytes", &changed(|p| p.guid = raw::octets(&[7; 15])), "malformed"),
        case("guid-of-another-key", &changed(|p| p.guid = raw::octets(&[7; 16])), "wrong-key"),
        case(
            "guid-is-text",
            &changed(|p| p.guid = raw::octets(KEY_GUID.to_string().as_bytes())),
            "malformed",
        ),
        case("nonce-of-31-bytes", &changed(|p| p.nonce = raw::octets(&[7; 31])), "malformed"),
        case("nonce-of-33-bytes", &changed(|p| p.nonce = raw::octets(&[7; 33])), "malformed"),
        case("nonce-empty", &changed(|p| p.nonce = raw::octets(&[])), "malformed"),
        case("iv-of-12-bytes", &changed(|p| p.iv = raw::octets(&[7; 12])), "malformed"),
        case("iv-and-nonce-swapped", &changed(|p| std::mem::swap(&mut p.iv, &mut p.nonce)), "malformed"),
        case("mac-of-16-bytes", &changed(|p| p.mac_len = vec![16]), "malformed"),
        case("mac-of-no-bytes", &changed(|p| p.mac_len = vec![0]), "malformed"),
        case("length-without-mac", &changed(|p| p.len = vec![32 + 15]), "malformed"),
        case("length-of-the-mac-alone", &changed(|p| p.len = vec![32]), "malformed"),
        case("length-shorter-than-a-mac", &changed(|p| p.len = vec![16]), "malformed"),
        case("length-of-half-a-block-more", &changed(|p| p.len = vec![72]), "malformed"),
        case("length-of-a-block-more", &changed(|p| p.len = vec![80]), "truncated"),
        case("length-of-a-block-less", &changed(|p| p.len = vec![48]), "trailing-bytes"),
        case(
            "length-of-four-gibibytes",
            &changed(|p| p.len = vec![0x84, 0xff, 0xff, 0xff, 0xf0]),
            "truncated",
        ),
        case("one-byte-appended", &[&sound_blob[..], &[0]].concat(), "trailing-bytes"),
        case("a-block-appended", &[&sound_blob[..], &[0; 16]].concat(), "trailing-bytes"),
        case(
            "mac-before-ciphertext",
            &changed(|p| std::mem::swap(&mut p.mac, &mut p.ciphertext)),
            "wrong-mac",
        ),
    ]
}

/// The same lengths in other forms than the shortest.
fn not_canonical() -> Vec<Json> {
    let long = |part: &[u8]| [&part[..1], &[0x81], &part[1..]].concat();
    let mut cases = vec![
        case("guid-length-in-long-form", &changed(|p| p.guid = long(&p.guid)), "malformed"),
        case("hash-length-in-long-form", &changed(|p| p.hash = long(&p.hash)), "malformed"),
        case("cipher-length-in-long-form", &changed(|p| p.cipher = long(&p.cipher)), "malformed"),
        case("nonce-length-in-long-form", &changed(|p| p.nonce = long(&p.nonce)), "malformed"),
        case("iv-length-in-long-form", &changed(|p| p.iv = long(&p.iv)), "malformed"),
        case("mac-length-in-long-form", &changed(|p| p.mac_len = vec![0x81, 32]), "malformed"),
    ];
    let forms: [(&str, &[u8]); 7] = [
        ("long", &[0x81, 64]),
        ("long-of-two", &[0x82, 0, 64]),
        ("long-of-four", &[0x84, 0, 0, 0, 64]),
        ("indefinite", &[0x80]),
        ("long-of-five", &[0x85, 0, 0, 0, 0, 64]),
        ("reserved", &[0xff]),
        ("long-of-more-than-a-word", &[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 64]),
    ];
    for (form, bytes) in forms {
        cases.push(case(format!("length-{form}"), &changed(|p| p.len = bytes.to_vec()), "malformed"));
    }
    // A length that must be long, with a zero in front.
    let mut parts = Parts::of("plaintext-of-3000", &fixed::counting(3000));
    parts.len = [&[0x83, 0], &parts.len[1..]].concat();
    cases.push(case("length-with-a-leading-zero", &parts.join(), "malformed"));
    cases
}

fn algorithms() -> Vec<Json> {
    let oid = |content: &[u8]| [&[0x06, u8::try_from(content.len()).unwrap_or(0)], content].concat();
    let sha_1 = oid(&[0x2b, 0x0e, 0x03, 0x02, 0x1a]);
    let sha_512 = oid(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03]);
    let hmac_sha_256 = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09]);
    let aes_256_cbc = oid(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a]);
    let error = "unknown-algorithm";
    vec![
        case("hash-sha-1", &changed(|p| p.hash = sha_1.clone()), error),
        case("hash-sha-512", &changed(|p| p.hash = sha_512), error),
        case("mac-sha-1", &changed(|p| p.mac_algorithm = sha_1), error),
        case("mac-hmac-sha-256", &changed(|p| p.mac_algorithm = hmac_sha_256), error),
        case("cipher-aes-256-cbc", &changed(|p| p.cipher = aes_256_cbc), error),
        case("cipher-empty", &changed(|p| p.cipher = oid(&[])), error),
        case("algorithms-in-another-order", &changed(|p| std::mem::swap(&mut p.hash, &mut p.cipher)), error),
    ]
}

/// Sound blobs, but for one thing in what is derived or authenticated.
fn wrong_keys() -> Vec<Json> {
    let (material, nonce, iv) = (fixed::material(), super::nonce(SOUND), super::iv(SOUND));
    let with = |label: &[u8], len| {
        let keys = raw::derive(&material, label, &nonce, len);
        Parts::with(SOUND, &keys, &raw::padded(&fixed::counting(17))).join()
    };
    let keys = raw::derive(&material, &raw::label(), &nonce, LEN_IN_BYTES);
    let macced = |key: &[u8], parts: &[&[u8]]| changed(|p| p.mac = raw::mac(key, parts));
    let ciphertext = sound().ciphertext;
    let other = raw::derive(&fixed::other_material(), &raw::label(), &nonce, LEN_IN_BYTES);
    let error = "wrong-mac";
    vec![
        case("derivation-with-its-length-in-bits", &with(&raw::label(), LEN_IN_BITS), error),
        case("derivation-with-labels-swapped", &with(&[raw::SHA_256, raw::AES_128_CBC].concat(), 48), error),
        case(
            "derivation-with-labels-without-der",
            &with(&[&raw::AES_128_CBC[2..], &raw::SHA_256[2..]].concat(), 48),
            error,
        ),
        case("derivation-with-the-length-of-one-key", &with(&raw::label(), 16), error),
        case("mac-without-iv", &macced(&keys.mac, &[&ciphertext]), error),
        case("mac-with-iv-after-ciphertext", &macced(&keys.mac, &[&ciphertext, &iv]), error),
        case("mac-with-the-aes-key", &macced(&keys.aes, &[&iv, &ciphertext]), error),
        case("mac-with-the-material-itself", &macced(&material, &[&iv, &ciphertext]), error),
        case("mac-of-the-plaintext", &macced(&keys.mac, &[&iv, &raw::padded(&fixed::counting(17))]), error),
        case("another-key-of-the-same-guid", &Parts::with(SOUND, &other, &raw::padded(b"x")).join(), error),
        case("another-nonce", &changed(|p| p.nonce = raw::octets(&super::nonce("another"))), error),
        case("another-iv", &changed(|p| p.iv = raw::octets(&super::iv("another"))), error),
    ]
}

/// Authentic, but what was encrypted is not padded.
fn padding() -> Vec<Json> {
    let keys = raw::derive(&fixed::material(), &raw::label(), &super::nonce(SOUND), LEN_IN_BYTES);
    let blob = |blocks: &[u8]| Parts::with(SOUND, &keys, blocks).join();
    let mut uneven = [2; 16];
    uneven[14] = 3;
    vec![
        case("padding-of-0", &blob(&[0; 16]), "bad-padding"),
        case("padding-of-17", &blob(&[17; 32]), "bad-padding"),
        case("padding-of-255", &blob(&[0xff; 16]), "bad-padding"),
        case("padding-of-uneven-bytes", &blob(&uneven), "bad-padding"),
    ]
}
