//! Vectors of Windows DKM blobs, in testdata/windows.

use dkm_core::windows::{WindowsBlob, WindowsBlobError, WindowsKey, open, seal};
use dkm_core::{Digest, KeyGuid};
use serde_json::Value;

use crate::cases::{Outcome, array, bytes, each, number, refused, same, text};

fn class(error: &WindowsBlobError) -> &'static str {
    use WindowsBlobError as E;
    match error {
        E::NotAWindowsBlob => "not-a-windows-blob",
        E::TooLarge { .. } => "too-large",
        E::Truncated => "truncated",
        E::UnknownVersion { .. } => "unknown-version",
        E::UnknownMethod { .. } => "unknown-method",
        E::Malformed { .. } => "malformed",
        E::UnknownAlgorithm { .. } => "unknown-algorithm",
        E::TrailingBytes { .. } => "trailing-bytes",
        E::WrongKey { .. } => "wrong-key",
        E::WrongMac => "wrong-mac",
        E::BadPadding => "bad-padding",
        other => panic!("{other} is no class of the vectors"),
    }
}

fn key(case: &Value) -> WindowsKey {
    WindowsKey::new(text(&case["guid"]).parse().unwrap(), &bytes(&case["material"])).unwrap()
}

/// A blob in which the bytes of the GUID stand in the order of the text.
fn in_text_order(mut blob: Vec<u8>, guid: KeyGuid) -> Vec<u8> {
    blob[10..26].copy_from_slice(guid.as_bytes());
    blob
}

#[test]
fn windows_blobs_are_made_and_opened() {
    each("../windows/blobs", 15, |case| -> Outcome {
        let (key, plaintext) = (key(case), bytes(&case["plaintext"]));
        let mut blob = seal(&key, &array(&case["nonce"]), &array(&case["iv"]), &plaintext).unwrap();
        if case["guid_order"] == "text" {
            blob = in_text_order(blob, key.guid);
        }
        if case["blob"].is_null() {
            same("prefix", &blob[..120], &case["blob_prefix"])?;
            if blob.len() as u64 != number(&case["blob_len"]) {
                return Err(format!("length is {}", blob.len()));
            }
            same("SHA-256", Digest::of(&blob).as_bytes(), &case["blob_sha256"])?;
        } else {
            same("blob", &blob, &case["blob"])?;
        }
        let opened = open(&key, &blob).map_err(|error| error.to_string())?;
        if *opened == *plaintext { Ok(()) } else { Err("another plaintext".to_owned()) }
    });
}

#[test]
fn windows_blobs_are_refused() {
    each("../windows/blobs-refused", 400, |case| {
        let (blob, expected) = (bytes(&case["blob"]), text(&case["error"]));
        refused("open", open(&key(case), &blob).err().as_ref().map(class), expected)?;
        // What only the key can tell, the parts do not.
        let parsed = WindowsBlob::parse(&blob).err().as_ref().map(class);
        match expected {
            "wrong-key" | "wrong-mac" | "bad-padding" if parsed.is_none() => Ok(()),
            other => refused("parse", parsed, other),
        }
    });
}

/// Keys that are derived with the length in bytes, and not with the length in bits, authenticate what is sealed.
#[test]
fn windows_keys_are_derived_with_the_length_in_bytes() {
    use aws_lc_rs::hmac;
    each("../windows/derivations", 5, |case| {
        let key = WindowsKey { guid: KeyGuid([1; 16]), material: array::<32>(&case["material"]).into() };
        let blob = seal(&key, &array(&case["nonce"]), &[2; 16], b"secret").unwrap();
        let parts = WindowsBlob::parse(&blob).unwrap();
        let fits = |mac_key: &Value| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes(mac_key));
            hmac::verify(&key, &[parts.iv, parts.ciphertext].concat(), parts.mac).is_ok()
        };
        match (fits(&case["mac_key"]), fits(&case["not_mac_key"])) {
            (true, false) => Ok(()),
            found => Err(format!("MAC key fits, and the one of bits: {found:?}")),
        }
    });
}
