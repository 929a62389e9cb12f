//! A suite's AEAD under one key: the only place that calls the primitives.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;

use super::Suite;

/// Length of a key, in bytes.
pub(crate) const KEY_LEN: usize = 32;
/// Length of a nonce, in bytes.
pub(crate) const NONCE_LEN: usize = 12;
/// Length of a tag, in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// An AEAD with its key. The caller never repeats a nonce.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    /// All suites take keys of the same length, so this does not fail in practice.
    pub(crate) fn new(suite: Suite, key: &[u8; KEY_LEN]) -> Result<Self, Unspecified> {
        UnboundKey::new(suite.algorithm(), key).map(|key| Self(LessSafeKey::new(key)))
    }

    /// Encrypts in place and returns the tag.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Unspecified> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out)?;
        let mut out = [0u8; TAG_LEN];
        out.copy_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Encrypts `plain` into `ciphertext`, which is just as long, and `tag`.
    pub(crate) fn seal_to(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        ciphertext: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), Unspecified> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.seal_out_of_place_scatter(nonce, Aad::from(aad), plain, ciphertext, &[], tag)
    }

    /// Decrypts into `out`, which is as long as the ciphertext. On an error `out` holds nothing that may be used.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8],
        out: &mut [u8],
    ) -> Result<(), Unspecified> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out)
    }
}

#[cfg(test)]
mod tests;
