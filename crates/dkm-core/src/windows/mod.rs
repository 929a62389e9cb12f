//! Windows DKM blobs, version 1, as AD FS stores them (`EncryptedPfx`), for those who move away from it.
//!
//! They have neither context nor group: nothing but their key binds them, and nothing binds the key's name in them. So
//! they have functions of their own, take keys of the Windows family only, and such a key opens no blob of [`crate::blob`].
//!
//! What DKM writes for itself is [`crate::blob`]; this is written only for programs that read nothing else.

mod der;
mod error;
mod layout;

use std::fmt;

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use crate::id::{GroupId, KeyGuid, KeyId};
use crate::kdf;
use crate::plaintext::Plaintext;
use crate::record::Family;

pub use error::{Fault, WindowsBlobError};
pub use layout::{
    IV_LEN, MAC_LEN, NONCE_LEN, WINDOWS_BLOB_LEN_MAX, WINDOWS_PLAINTEXT_LEN_MAX, WindowsBlob, is_windows_blob,
};

/// What the key derivation is told of its output's length. SP 800-108 counts bits; Windows, and whoever reads its
/// blobs, counts bytes here.
const DERIVED_LEN: u32 = 48;
const BLOCK_LEN: usize = 16;

/// A key of Windows DKM: what Windows calls it, and its 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct WindowsKey {
    /// What Windows calls it.
    pub guid: KeyGuid,
    /// The secret.
    pub material: Zeroizing<[u8; 32]>,
}

impl WindowsKey {
    /// A key whose bytes were read from elsewhere.
    ///
    /// # Errors
    /// [`WindowsBlobError::KeyLength`]: it does not have 32 bytes.
    pub fn new(guid: KeyGuid, material: &[u8]) -> Result<Self, WindowsBlobError> {
        let len = material.len();
        let mut bytes = Zeroizing::new([0u8; 32]);
        if len != bytes.len() {
            return Err(WindowsBlobError::KeyLength { guid, len });
        }
        bytes.copy_from_slice(material);
        Ok(Self { guid, material: bytes })
    }

    /// Its id on the ring of a group.
    #[must_use]
    pub fn id(&self, group: GroupId) -> KeyId {
        kdf::key_id(group, Family::Windows, &self.material)
    }

    /// The keys of one blob.
    fn derive(&self, nonce: &[u8; NONCE_LEN]) -> Result<BlobKeys, WindowsBlobError> {
        let label = [layout::AES_128_CBC, layout::SHA_256].concat();
        let mut out = Zeroizing::new([0u8; 48]);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.material.as_slice());
        kdf::derive(&key, &kdf::fixed_input(&label, nonce, DERIVED_LEN), out.as_mut_slice());
        let (aes, mac) = out.split_at(16);
        let aes = UnboundCipherKey::new(&AES_128, aes).map_err(|_| WindowsBlobError::Cryptography)?;
        Ok(BlobKeys { aes, mac: hmac::Key::new(hmac::HMAC_SHA256, mac) })
    }
}

impl fmt::Debug for WindowsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowsKey({})", self.guid)
    }
}

struct BlobKeys {
    aes: UnboundCipherKey,
    mac: hmac::Key,
}

/// Makes a blob. `nonce` and `iv` must be random and never used before.
///
/// # Errors
/// [`WindowsBlobError::TooLarge`].
pub fn seal(
    key: &WindowsKey,
    nonce: &[u8; NONCE_LEN],
    iv: &[u8; IV_LEN],
    plaintext: &[u8],
) -> Result<Vec<u8>, WindowsBlobError> {
    if plaintext.len() > WINDOWS_PLAINTEXT_LEN_MAX {
        return Err(WindowsBlobError::TooLarge { len: plaintext.len() });
    }
    let keys = key.derive(nonce)?;
    // Room for the padding from the start: a buffer that grows leaves a copy of the plaintext behind.
    let mut ciphertext = Zeroizing::new(Vec::with_capacity(plaintext.len() + BLOCK_LEN));
    ciphertext.extend_from_slice(plaintext);
    PaddedBlockEncryptingKey::cbc_pkcs7(keys.aes)
        .and_then(|aes| {
            aes.less_safe_encrypt(&mut *ciphertext, EncryptionContext::Iv128(FixedLength::from(iv)))
        })
        .map_err(|_| WindowsBlobError::Cryptography)?;
    let mac = kdf::prf(&keys.mac, &[iv, &ciphertext]);
    Ok(WindowsBlob { guid: key.guid, nonce, iv, ciphertext: &ciphertext, mac: &mac }.encode())
}

/// Opens a blob. Nothing is decrypted before the whole of it was found authentic.
///
/// # Errors
/// [`WindowsBlobError`]: it is none, is damaged, or was made with another key.
pub fn open(key: &WindowsKey, blob: &[u8]) -> Result<Plaintext, WindowsBlobError> {
    let blob = WindowsBlob::parse(blob)?;
    if !blob.names(key.guid) {
        return Err(WindowsBlobError::WrongKey { found: blob.guid, expected: key.guid });
    }
    let keys = key.derive(blob.nonce)?;
    let mac = kdf::prf(&keys.mac, &[blob.iv, blob.ciphertext]);
    aws_lc_rs::constant_time::verify_slices_are_equal(&mac, blob.mac)
        .map_err(|_| WindowsBlobError::WrongMac)?;
    let mut buffer = Plaintext::from(blob.ciphertext.to_vec());
    let len = PaddedBlockDecryptingKey::cbc_pkcs7(keys.aes)
        .and_then(|aes| aes.decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::from(blob.iv))))
        .map_err(|_| WindowsBlobError::BadPadding)?
        .len();
    buffer.resize(len);
    Ok(buffer)
}

#[cfg(test)]
mod tests;
