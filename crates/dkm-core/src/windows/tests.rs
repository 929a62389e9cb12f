use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use proptest::prelude::*;

use super::*;

const GUID: KeyGuid = KeyGuid(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef");

fn key() -> WindowsKey {
    WindowsKey::new(GUID, &[9; 32]).unwrap()
}

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    seal(&key(), &[1; 32], &[2; 16], plaintext).unwrap()
}

proptest! {
    #[test]
    fn what_is_sealed_opens(
        guid in any::<[u8; 16]>(),
        material in any::<[u8; 32]>(),
        nonce in any::<[u8; 32]>(),
        iv in any::<[u8; 16]>(),
        plaintext in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let key = WindowsKey::new(KeyGuid(guid), &material).unwrap();
        let blob = seal(&key, &nonce, &iv, &plaintext).unwrap();
        prop_assert!(is_windows_blob(&blob));
        let parts = WindowsBlob::parse(&blob).unwrap();
        prop_assert_eq!((parts.guid, parts.nonce, parts.iv), (key.guid, &nonce, &iv));
        prop_assert_eq!(parts.ciphertext.len(), (plaintext.len() / 16 + 1) * 16);
        prop_assert_eq!(parts.encode(), blob.clone());
        prop_assert_eq!(open(&key, &blob), Ok(Plaintext::from(plaintext)));
    }

    #[test]
    fn no_bytes_panic_and_what_reads_has_one_form(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(blob) = WindowsBlob::parse(&bytes) {
            prop_assert_eq!(blob.encode(), bytes);
        }
    }

    #[test]
    fn bytes_that_begin_like_a_blob_neither(bytes in proptest::collection::vec(any::<u8>(), 0..300), keep in 10usize..180) {
        let blob = sealed(&[7; 40]);
        let bytes = [&blob[..keep.min(blob.len())], &bytes].concat();
        if let Ok(blob) = WindowsBlob::parse(&bytes) {
            prop_assert_eq!(blob.encode(), bytes.clone());
        }
        prop_assert!(bytes == blob || open(&key(), &bytes).is_err());
    }

    /// The key's GUID only finds the key; all the rest is authenticated, or has one value.
    #[test]
    fn a_changed_byte_never_opens(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut blob = sealed(&[7; 40]);
        let at = at.index(blob.len());
        blob[at] ^= 1 << bit;
        prop_assert!(open(&key(), &blob).is_err());
    }
}

#[test]
fn every_truncation_and_every_addition_is_an_error() {
    let blob = sealed(&[7; 200]);
    for len in 0..blob.len() {
        assert_eq!(WindowsBlob::parse(&blob[..len]), Err(WindowsBlobError::Truncated), "{len}");
    }
    let longer = [&blob[..], &[0, 0]].concat();
    assert_eq!(WindowsBlob::parse(&longer), Err(WindowsBlobError::TrailingBytes { extra: 2 }));
}

#[test]
fn each_field_has_its_error() {
    // Where the fields begin: version 0, method 4, GUID 8, OIDs 26, 37, 48, nonce 59, vector 93, lengths 111 and 112.
    let blob = sealed(&[7; 40]);
    assert_eq!(blob.len(), 113 + 48 + 32);
    let changed = |at: usize, value: &[u8]| {
        let mut blob = blob.clone();
        blob[at..at + value.len()].copy_from_slice(value);
        open(&key(), &blob).unwrap_err()
    };
    let malformed = |field, fault| WindowsBlobError::Malformed { field, fault };
    assert_eq!(changed(0, b"DKM1"), WindowsBlobError::NotAWindowsBlob);
    assert_eq!(changed(3, &[2]), WindowsBlobError::UnknownVersion { version: 2 });
    assert_eq!(changed(7, &[1]), WindowsBlobError::UnknownMethod { method: 1 });
    assert_eq!(changed(8, &[6]), malformed("key GUID", Fault::Tag { found: 6, expected: 4 }));
    assert_eq!(changed(9, &[15]), malformed("key GUID", Fault::Size { found: 15, expected: 16 }));
    assert!(matches!(changed(10, &[0]), WindowsBlobError::WrongKey { expected: GUID, .. }));
    let hash = changed(36, &[2]);
    assert!(
        matches!(&hash, WindowsBlobError::UnknownAlgorithm { found, .. } if found == "2.16.840.1.101.3.4.2.2")
    );
    assert!(matches!(changed(47, &[2]), WindowsBlobError::UnknownAlgorithm { field: "MAC algorithm", .. }));
    assert!(matches!(changed(58, &[42]), WindowsBlobError::UnknownAlgorithm { field: "cipher", .. }));
    assert_eq!(changed(60, &[31]), malformed("nonce", Fault::Size { found: 31, expected: 32 }));
    assert_eq!(changed(61, &[0]), WindowsBlobError::WrongMac);
    assert_eq!(
        changed(94, &[17]),
        malformed("initialization vector", Fault::Size { found: 17, expected: 16 })
    );
    assert_eq!(changed(95, &[0]), WindowsBlobError::WrongMac);
    assert_eq!(changed(111, &[16]), malformed("MAC", Fault::Size { found: 16, expected: 32 }));
    assert_eq!(changed(112, &[32]), malformed("ciphertext", Fault::Blocks));
    assert_eq!(changed(112, &[79]), malformed("ciphertext", Fault::Blocks));
    assert_eq!(changed(112, &[0x80]), malformed("ciphertext's length", Fault::Length));
    assert_eq!(changed(112, &[0x60]), WindowsBlobError::Truncated);
    assert_eq!(changed(112, &[0x40]), WindowsBlobError::TrailingBytes { extra: 16 });
    assert_eq!(changed(113, &[0]), WindowsBlobError::WrongMac);
    assert_eq!(changed(blob.len() - 1, &[0]), WindowsBlobError::WrongMac);
    let other = WindowsKey::new(GUID, &[8; 32]).unwrap();
    assert_eq!(open(&other, &blob), Err(WindowsBlobError::WrongMac));
}

#[test]
fn both_orders_of_a_guid_find_the_key() {
    let blob = sealed(b"secret");
    assert_eq!(blob[10..26], *b"\x67\x45\x23\x01\xab\x89\xef\xcd\x01\x23\x45\x67\x89\xab\xcd\xef");
    let mut text_order = blob.clone();
    text_order[10..26].copy_from_slice(&GUID.0);
    assert_eq!(&*open(&key(), &text_order).unwrap(), b"secret");
    let other = WindowsKey { guid: KeyGuid([7; 16]), ..key() };
    assert_eq!(open(&other, &blob), Err(WindowsBlobError::WrongKey { found: GUID, expected: other.guid }));
}

/// The standard's own KDF, told the length as Windows tells it: in bytes.
#[test]
fn the_derivation_is_the_standards_but_for_the_unit_of_the_length() {
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).unwrap();
    let blob = sealed(b"secret");
    let parts = WindowsBlob::parse(&blob).unwrap();
    let fits = |len: u32| {
        let label = [layout::AES_128_CBC, layout::SHA_256].concat();
        let fixed = [&label, &[0][..], &[1; 32], &len.to_be_bytes()].concat();
        let mut derived = [0u8; 48];
        kbkdf_ctr_hmac(algorithm, &[9; 32], &fixed, &mut derived).unwrap();
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &derived[16..]);
        hmac::verify(&mac, &[&[2; 16], parts.ciphertext].concat(), parts.mac).is_ok()
    };
    assert!(fits(48), "bytes");
    assert!(!fits(384), "bits");
}

#[test]
fn authentic_blobs_without_padding_are_refused() {
    use aws_lc_rs::cipher::EncryptingKey;
    let keys = key().derive(&[1; 32]).unwrap();
    // The last byte says how many are padding: none, and more than a block, cannot be.
    for last in [0, 17, 0xff] {
        let mut ciphertext = [last; 16];
        let aes = EncryptingKey::cbc(key().derive(&[1; 32]).unwrap().aes).unwrap();
        aes.less_safe_encrypt(&mut ciphertext, EncryptionContext::Iv128(FixedLength::from([2; 16]))).unwrap();
        let mac = kdf::prf(&keys.mac, &[&[2; 16], &ciphertext]);
        let blob =
            WindowsBlob { guid: GUID, nonce: &[1; 32], iv: &[2; 16], ciphertext: &ciphertext, mac: &mac };
        assert_eq!(open(&key(), &blob.encode()), Err(WindowsBlobError::BadPadding), "{last}");
    }
}

#[test]
fn limits_are_checked_before_work() {
    let most = vec![7; WINDOWS_PLAINTEXT_LEN_MAX];
    let blob = sealed(&most);
    assert!(blob.len() <= WINDOWS_BLOB_LEN_MAX);
    assert_eq!(&*open(&key(), &blob).unwrap(), &most);
    let more = vec![7; WINDOWS_PLAINTEXT_LEN_MAX + 1];
    let refused = seal(&key(), &[1; 32], &[2; 16], &more);
    assert_eq!(refused, Err(WindowsBlobError::TooLarge { len: more.len() }));
    let blob = vec![0; WINDOWS_BLOB_LEN_MAX + 1];
    assert_eq!(WindowsBlob::parse(&blob), Err(WindowsBlobError::TooLarge { len: blob.len() }));
    assert_eq!(WindowsKey::new(GUID, &[7; 31]), Err(WindowsBlobError::KeyLength { guid: GUID, len: 31 }));
}

#[test]
fn a_key_shows_its_guid_only() {
    assert_eq!(format!("{:?}", key()), "WindowsKey(01234567-89ab-cdef-0123-456789abcdef)");
}
