//! The product as measured: a key in the cache, a fresh salt from the generator for every blob.

use anyhow::{Result, anyhow};
use dkm_core::blob::{BlobKey, Header, open, seal};
use dkm_core::record::Family;
use dkm_core::{Context, GroupId, Suite};

pub(crate) struct Product {
    key: BlobKey,
    context: Context,
}

impl Product {
    pub(crate) fn new() -> Result<Self> {
        let context = Context::new().with("account", "alice@example.org")?;
        Ok(Self { key: BlobKey::new(GroupId([1; 16]), Family::Native, &[7; 32]), context })
    }

    pub(crate) fn protect(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut salt = [0; 32];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| anyhow!("no randomness"))?;
        let header = Header::new(Suite::Aes256Gcm, self.key.group(), self.key.id(), salt, 64 * 1024)?;
        Ok(seal(&self.key, &header, &self.context, plaintext)?)
    }

    pub(crate) fn unprotect(&self, blob: &[u8]) -> Result<dkm_core::Plaintext> {
        Ok(open(&self.key, &self.context, blob)?)
    }
}
