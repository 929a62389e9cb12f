//! Where what stands in a Windows blob.

use super::der::{OBJECT_IDENTIFIER, Reader, dotted, write_length, write_octets};
use super::error::{Fault, WindowsBlobError};
use crate::id::KeyGuid;

/// Longest Windows blob, in bytes. They hold certificates with their keys, a few KiB each.
pub const WINDOWS_BLOB_LEN_MAX: usize = 16 * 1024 * 1024;
/// Longest plaintext of a Windows blob, in bytes: so that with all that stands around it the blob keeps its limit.
pub const WINDOWS_PLAINTEXT_LEN_MAX: usize = WINDOWS_BLOB_LEN_MAX - 256;
/// Length of the nonce from which a blob's keys are derived, in bytes.
pub const NONCE_LEN: usize = 32;
/// Length of the initialization vector, in bytes.
pub const IV_LEN: usize = 16;
/// Length of the message authentication code, in bytes.
pub const MAC_LEN: usize = 32;

const VERSION: u32 = 1;
/// Encrypt, then authenticate.
const METHOD: u32 = 0;
const BLOCK_LEN: usize = 16;

/// SHA-256, 2.16.840.1.101.3.4.2.1, in DER.
pub(super) const SHA_256: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// AES-128-CBC, 2.16.840.1.101.3.4.1.2, in DER.
pub(super) const AES_128_CBC: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];

/// Whether bytes begin like a Windows blob: version, method, and a key's GUID.
#[must_use]
pub fn is_windows_blob(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 0, 1, 0, 0, 0, 0, 0x04, 0x10])
}

/// A Windows blob's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowsBlob<'a> {
    /// The key that it names. Nothing authenticates this.
    pub guid: KeyGuid,
    /// From which its keys are derived.
    pub nonce: &'a [u8; NONCE_LEN],
    /// Initialization vector.
    pub iv: &'a [u8; IV_LEN],
    /// Whole blocks, at least one.
    pub ciphertext: &'a [u8],
    /// Over the initialization vector and the ciphertext.
    pub mac: &'a [u8; MAC_LEN],
}

impl<'a> WindowsBlob<'a> {
    /// Reads a blob's parts. A blob has one form: what is read encodes back to the same bytes.
    ///
    /// # Errors
    /// [`WindowsBlobError`]: it is none, or is malformed. Whether it is authentic only its key can tell.
    pub fn parse(blob: &'a [u8]) -> Result<Self, WindowsBlobError> {
        if blob.len() > WINDOWS_BLOB_LEN_MAX {
            return Err(WindowsBlobError::TooLarge { len: blob.len() });
        }
        let mut reader = Reader::new(blob);
        let version = u32::from_be_bytes(*reader.array()?);
        if version > u32::from(u16::MAX) {
            return Err(WindowsBlobError::NotAWindowsBlob);
        }
        if version != VERSION {
            return Err(WindowsBlobError::UnknownVersion { version });
        }
        let method = u32::from_be_bytes(*reader.array()?);
        if method != METHOD {
            return Err(WindowsBlobError::UnknownMethod { method });
        }
        let guid = guid_of(*reader.octets("key GUID")?);
        algorithm(&mut reader, "hash of the key derivation", SHA_256)?;
        algorithm(&mut reader, "MAC algorithm", SHA_256)?;
        algorithm(&mut reader, "cipher", AES_128_CBC)?;
        let nonce = reader.octets("nonce")?;
        let iv = reader.octets("initialization vector")?;
        let mac_len = reader.length("MAC's length")?;
        if mac_len != MAC_LEN {
            let fault = Fault::Size { found: mac_len, expected: MAC_LEN };
            return Err(WindowsBlobError::Malformed { field: "MAC", fault });
        }
        let len = reader.length("ciphertext's length")?;
        let ciphertext_len = len.checked_sub(MAC_LEN).filter(|len| *len > 0 && len.is_multiple_of(BLOCK_LEN));
        let Some(ciphertext_len) = ciphertext_len else {
            return Err(WindowsBlobError::Malformed { field: "ciphertext", fault: Fault::Blocks });
        };
        let ciphertext = reader.take(ciphertext_len)?;
        let mac = reader.array()?;
        match reader.rest().len() {
            0 => Ok(Self { guid, nonce, iv, ciphertext, mac }),
            extra => Err(WindowsBlobError::TrailingBytes { extra }),
        }
    }

    /// The blob.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + self.ciphertext.len() + MAC_LEN);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&METHOD.to_be_bytes());
        write_octets(&mut out, &guid_bytes(self.guid));
        out.extend_from_slice(&[SHA_256, SHA_256, AES_128_CBC].concat());
        write_octets(&mut out, self.nonce);
        write_octets(&mut out, self.iv);
        write_length(&mut out, MAC_LEN);
        write_length(&mut out, self.ciphertext.len() + MAC_LEN);
        out.extend_from_slice(self.ciphertext);
        out.extend_from_slice(self.mac);
        out
    }

    /// Whether this may be the key that the blob names. Readers of these blobs disagree about the order of the bytes in
    /// a GUID, so both are taken: the authentication code decides.
    #[must_use]
    pub fn names(&self, key: KeyGuid) -> bool {
        self.guid == key || guid_of(self.guid.0) == key
    }
}

fn algorithm(
    reader: &mut Reader<'_>,
    field: &'static str,
    expected: &'static [u8],
) -> Result<(), WindowsBlobError> {
    let found = reader.value(OBJECT_IDENTIFIER, field)?;
    if expected.get(2..) == Some(found) {
        return Ok(());
    }
    Err(WindowsBlobError::UnknownAlgorithm { field, found: dotted(found) })
}

/// A GUID as Windows lays it out in memory: its first three numbers little-endian. The way back is the same.
const fn guid_of(bytes: [u8; 16]) -> KeyGuid {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    let [i, j, k, l, m, n, o, p] = rest;
    KeyGuid([d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p])
}

const fn guid_bytes(guid: KeyGuid) -> [u8; 16] {
    guid_of(guid.0).0
}
