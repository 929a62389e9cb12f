//! The layout of docs/windows-dkm.md written out, for bytes that the product refuses to make.

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use dkm_core::kdf;

use super::super::fixed::{self, KEY_GUID};

pub(super) const SHA_256: [u8; 11] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
pub(super) const AES_128_CBC: [u8; 11] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
/// Windows tells the derivation how many bytes it wants.
pub(super) const LEN_IN_BYTES: u32 = 48;
/// The standard tells it how many bits.
pub(super) const LEN_IN_BITS: u32 = 384;

/// What is derived for one blob.
pub(super) struct Derived {
    /// The bytes behind each counter.
    pub(super) fixed_input: Vec<u8>,
    pub(super) aes: [u8; 16],
    pub(super) mac: [u8; 32],
}

pub(super) fn label() -> Vec<u8> {
    [AES_128_CBC, SHA_256].concat()
}

pub(super) fn derive(material: &[u8; 32], label: &[u8], nonce: &[u8; 32], len: u32) -> Derived {
    let fixed_input = [label, &[0], nonce, &len.to_be_bytes()].concat();
    let mut all = [0u8; 48];
    kdf::derive(&hmac::Key::new(hmac::HMAC_SHA256, material), &fixed_input, &mut all);
    let (mut aes, mut mac) = ([0; 16], [0; 32]);
    aes.copy_from_slice(&all[..16]);
    mac.copy_from_slice(&all[16..]);
    Derived { fixed_input, aes, mac }
}

/// PKCS #7: as many bytes as a block lacks, each telling how many.
pub(super) fn padded(plaintext: &[u8]) -> Vec<u8> {
    let lacking = 16 - plaintext.len() % 16;
    let byte = u8::try_from(lacking).unwrap_or(16);
    [plaintext, &vec![byte; lacking]].concat()
}

/// AES-128-CBC of whole blocks.
pub(super) fn cbc(key: &[u8; 16], iv: [u8; 16], blocks: &[u8]) -> Vec<u8> {
    let mut out = blocks.to_vec();
    let key = UnboundCipherKey::new(&AES_128, key).and_then(EncryptingKey::cbc);
    let done = key.and_then(|key| {
        key.less_safe_encrypt(&mut out, EncryptionContext::Iv128(FixedLength::from(iv))).map(drop)
    });
    // A programmer's error: the cases are whole blocks.
    #[allow(clippy::expect_used)]
    done.expect("whole blocks encrypt");
    out
}

pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
}

/// An octet string shorter than 128 bytes.
pub(super) fn octets(content: &[u8]) -> Vec<u8> {
    [&[0x04, u8::try_from(content.len()).unwrap_or(0x7f)], content].concat()
}

/// A length in its shortest form.
pub(super) fn length(len: usize) -> Vec<u8> {
    let bytes = len.to_be_bytes();
    match bytes {
        [.., last] if len < 0x80 => vec![last],
        [.., last] if len < 0x100 => vec![0x81, last],
        [.., a, b] if len < 0x1_0000 => vec![0x82, a, b],
        [.., a, b, c] => vec![0x83, a, b, c],
    }
}

/// A GUID as Windows lays it out: the first three numbers little-endian.
pub(super) fn guid_bytes(text_order: [u8; 16]) -> [u8; 16] {
    let mut out = text_order;
    out[0..4].reverse();
    out[4..6].reverse();
    out[6..8].reverse();
    out
}

/// A blob in parts, in their order, each of which can be made wrong.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) version: Vec<u8>,
    pub(super) method: Vec<u8>,
    pub(super) guid: Vec<u8>,
    pub(super) hash: Vec<u8>,
    pub(super) mac_algorithm: Vec<u8>,
    pub(super) cipher: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    pub(super) iv: Vec<u8>,
    pub(super) mac_len: Vec<u8>,
    pub(super) len: Vec<u8>,
    pub(super) ciphertext: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

impl Parts {
    /// A sound blob; nonce and IV belong to its name.
    pub(super) fn of(name: &str, plaintext: &[u8]) -> Self {
        let keys = derive(&fixed::material(), &label(), &super::nonce(name), LEN_IN_BYTES);
        Self::with(name, &keys, &padded(plaintext))
    }

    /// A blob of these blocks, with these keys.
    pub(super) fn with(name: &str, keys: &Derived, blocks: &[u8]) -> Self {
        let iv = super::iv(name);
        let ciphertext = cbc(&keys.aes, iv, blocks);
        Self {
            version: vec![0, 0, 0, 1],
            method: vec![0; 4],
            guid: octets(&guid_bytes(KEY_GUID.0)),
            hash: SHA_256.into(),
            mac_algorithm: SHA_256.into(),
            cipher: AES_128_CBC.into(),
            nonce: octets(&super::nonce(name)),
            iv: octets(&iv),
            mac_len: vec![32],
            len: length(ciphertext.len() + 32),
            mac: mac(&keys.mac, &[&iv, &ciphertext]),
            ciphertext,
        }
    }

    pub(super) fn list(&self) -> [(&'static str, &Vec<u8>); 12] {
        [
            ("version", &self.version),
            ("method", &self.method),
            ("guid", &self.guid),
            ("hash", &self.hash),
            ("mac-algorithm", &self.mac_algorithm),
            ("cipher", &self.cipher),
            ("nonce", &self.nonce),
            ("iv", &self.iv),
            ("mac-length", &self.mac_len),
            ("length", &self.len),
            ("ciphertext", &self.ciphertext),
            ("mac", &self.mac),
        ]
    }

    pub(super) fn join(&self) -> Vec<u8> {
        self.list().iter().flat_map(|(_, part)| part.iter().copied()).collect()
    }
}
