//! The product as measured: a key in the cache, a fresh salt from the generator for every blob.

use anyhow::{Result, anyhow};
use dkm_core::blob::{BlobKey, ChunkCipher, Header, open, seal};
use dkm_core::record::Family;
use dkm_core::{Context, GroupId, Suite};

/// The default of policies, in bytes.
const CHUNK: u32 = 64 * 1024;

pub(crate) struct Product {
    key: BlobKey,
    context: Context,
}

impl Product {
    pub(crate) fn new() -> Result<Self> {
        let context = Context::new().with("account", "alice@example.org")?;
        Ok(Self { key: BlobKey::new(GroupId([1; 16]), Family::Native, &[7; 32]), context })
    }

    fn header(&self) -> Result<Header> {
        let mut salt = [0; 32];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| anyhow!("no randomness"))?;
        Ok(Header::new(Suite::Aes256Gcm, self.key.group(), self.key.id(), salt, CHUNK)?)
    }

    pub(crate) fn protect(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        Ok(seal(&self.key, &self.header()?, &self.context, plaintext)?)
    }

    /// As streams do it: chunks are sealed where they lie.
    pub(crate) fn protect_in_place(&self, buffer: &mut [u8]) -> Result<[u8; 16]> {
        let cipher = ChunkCipher::sealing(&self.key, &self.header()?, &self.context)?;
        let last = buffer.len().div_ceil(cipher.chunk_size()).saturating_sub(1);
        let mut tag = [0; 16];
        for (index, chunk) in buffer.chunks_mut(cipher.chunk_size()).enumerate() {
            tag = cipher.seal_chunk(index.try_into()?, index == last, chunk)?;
        }
        Ok(tag)
    }

    pub(crate) fn unprotect(&self, blob: &[u8]) -> Result<dkm_core::Plaintext> {
        Ok(open(&self.key, &self.context, blob)?)
    }
}
