//! The blob's header: 76 bytes, all of them bound into the key derivation.

use super::BlobError;
use super::layout::chunk_size_fits;
use crate::id::{GroupId, KeyId};
use crate::suite::Suite;

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 76;
/// First four bytes of every blob; not ASCII, so that no text is taken for a blob.
pub const MAGIC: [u8; 4] = [0xd4, 0x4b, 0x4d, 0xb1];
/// The only version so far.
pub const VERSION: u8 = 1;

/// A parsed header. Whoever holds one holds valid fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    suite: Suite,
    group: GroupId,
    key: KeyId,
    salt: [u8; 32],
    chunk_size: u32,
}

impl Header {
    /// A header for a new blob. `salt` must be fresh from the system's generator for every blob.
    ///
    /// # Errors
    /// [`BlobError::BadChunkSize`].
    pub fn new(
        suite: Suite,
        group: GroupId,
        key: KeyId,
        salt: [u8; 32],
        chunk_size: u32,
    ) -> Result<Self, BlobError> {
        if !chunk_size_fits(chunk_size) {
            return Err(BlobError::BadChunkSize { size: chunk_size });
        }
        Ok(Self { suite, group, key, salt, chunk_size })
    }

    /// Reads the header at the start of a blob.
    ///
    /// # Errors
    /// In this order: too short, not a blob, unknown version, suite or flags, bad chunk size.
    pub fn parse(blob: &[u8]) -> Result<Self, BlobError> {
        let starts = blob.len().min(MAGIC.len());
        if starts == 0 || blob[..starts] != MAGIC[..starts] {
            return Err(BlobError::NotABlob);
        }
        let bytes: &[u8; HEADER_LEN] =
            blob.get(..HEADER_LEN).and_then(|h| h.try_into().ok()).ok_or(BlobError::Truncated)?;
        let [_, _, _, _, version, suite_high, suite_low, flags, ..] = *bytes;
        if version != VERSION {
            return Err(BlobError::UnknownVersion { version });
        }
        let number = u16::from_be_bytes([suite_high, suite_low]);
        let suite = Suite::from_number(number).ok_or(BlobError::UnknownSuite { suite: number })?;
        if flags != 0 {
            return Err(BlobError::UnknownFlags { flags });
        }
        let mut header = Self {
            suite,
            group: GroupId::default(),
            key: KeyId::default(),
            salt: [0; 32],
            chunk_size: u32::from_be_bytes([bytes[72], bytes[73], bytes[74], bytes[75]]),
        };
        header.group.0.copy_from_slice(&bytes[8..24]);
        header.key.0.copy_from_slice(&bytes[24..40]);
        header.salt.copy_from_slice(&bytes[40..72]);
        if !chunk_size_fits(header.chunk_size) {
            return Err(BlobError::BadChunkSize { size: header.chunk_size });
        }
        Ok(header)
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0u8; HEADER_LEN];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5..7].copy_from_slice(&self.suite.number().to_be_bytes());
        out[8..24].copy_from_slice(self.group.as_bytes());
        out[24..40].copy_from_slice(self.key.as_bytes());
        out[40..72].copy_from_slice(&self.salt);
        out[72..].copy_from_slice(&self.chunk_size.to_be_bytes());
        out
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The group.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The salt.
    #[must_use]
    pub const fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// Plaintext bytes of every chunk but the last, at most 1 MiB.
    #[must_use]
    pub fn chunk_len(&self) -> usize {
        // At most 2^20, checked when the header was made.
        usize::try_from(self.chunk_size).unwrap_or(usize::MAX)
    }
}
