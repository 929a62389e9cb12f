//! The raw primitive: AES-256-GCM of aws-lc-rs under a ready key, in a buffer that is there already.

use anyhow::{Result, anyhow};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

pub(crate) struct Raw {
    key: LessSafeKey,
    buffer: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(len: usize) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| anyhow!("aws-lc-rs refuses a key"))?;
        Ok(Self { key: LessSafeKey::new(key), buffer: vec![b'x'; len] })
    }

    /// Nothing but the primitive: no fresh nonce, no allocation, no copy.
    pub(crate) fn seal(&mut self) -> Result<[u8; 16]> {
        let nonce = Nonce::assume_unique_for_key([1; 12]);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut self.buffer)
            .map_err(|_| anyhow!("aws-lc-rs refuses to seal"))?;
        Ok(tag.as_ref().try_into()?)
    }

    /// The least that a call which returns a new blob must do: memory, a copy, the primitive.
    pub(crate) fn seal_new(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let nonce = Nonce::assume_unique_for_key([1; 12]);
        let mut out = Vec::with_capacity(plaintext.len() + 16);
        out.extend_from_slice(plaintext);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut out)
            .map_err(|_| anyhow!("aws-lc-rs refuses to seal"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }
}
