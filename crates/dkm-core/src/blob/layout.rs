//! Lengths: where chunks lie in a blob of a given length.

use super::{BLOB_LEN_MAX, BlobError, PREFIX_LEN, TAG_LEN, to_u64};
use crate::policy::CHUNK_SIZES;

/// Whether a chunk size is one that blobs may have: 4, 16, 64, 256 KiB or 1 MiB.
#[must_use]
pub fn chunk_size_fits(size: u32) -> bool {
    CHUNK_SIZES.contains(&size)
}

/// How a plaintext of some length lies in its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    plaintext_len: u64,
    chunk_size: u64,
}

impl Layout {
    /// The layout of a plaintext.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] if the blob would be longer than [`BLOB_LEN_MAX`].
    pub fn of_plaintext(plaintext_len: u64, chunk_size: usize) -> Result<Self, BlobError> {
        let layout = Self { plaintext_len, chunk_size: to_u64(chunk_size).max(1) };
        if plaintext_len > BLOB_LEN_MAX || layout.blob_len() > BLOB_LEN_MAX {
            return Err(BlobError::TooLarge);
        }
        Ok(layout)
    }

    /// The layout of a blob of `blob_len` bytes.
    ///
    /// # Errors
    /// [`BlobError::Truncated`] for a length that no blob has, [`BlobError::TooLarge`] beyond the limit.
    pub fn of_blob(blob_len: u64, chunk_size: usize) -> Result<Self, BlobError> {
        if blob_len > BLOB_LEN_MAX {
            return Err(BlobError::TooLarge);
        }
        let tag = to_u64(TAG_LEN);
        let sealed = blob_len.checked_sub(to_u64(PREFIX_LEN)).ok_or(BlobError::Truncated)?;
        let full = to_u64(chunk_size).max(1) + tag;
        let chunks = sealed.div_ceil(full);
        let rest = sealed - chunks.saturating_sub(1) * full;
        // The last chunk has its tag, and at least one byte unless it is the only chunk.
        let least = if chunks == 1 { tag } else { tag + 1 };
        if chunks == 0 || rest < least {
            return Err(BlobError::Truncated);
        }
        Ok(Self { plaintext_len: sealed - chunks * tag, chunk_size: to_u64(chunk_size).max(1) })
    }

    /// Plaintext bytes.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Number of chunks, at least 1.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        let chunks = self.plaintext_len.div_ceil(self.chunk_size);
        if chunks == 0 { 1 } else { chunks }
    }

    /// Blob bytes.
    #[must_use]
    pub fn blob_len(&self) -> u64 {
        to_u64(PREFIX_LEN) + self.plaintext_len + self.chunks() * to_u64(TAG_LEN)
    }

    /// Where a chunk's ciphertext begins in the blob, and how long it is with its tag; none beyond the last chunk.
    #[must_use]
    pub fn chunk(&self, index: u64) -> Option<(u64, usize)> {
        let last = self.chunks() - 1;
        let full = self.chunk_size + to_u64(TAG_LEN);
        let len = match index.cmp(&last) {
            std::cmp::Ordering::Less => full,
            std::cmp::Ordering::Equal => self.plaintext_len - last * self.chunk_size + to_u64(TAG_LEN),
            std::cmp::Ordering::Greater => return None,
        };
        Some((to_u64(PREFIX_LEN) + index * full, usize::try_from(len).ok()?))
    }

    /// The chunk in which the plaintext byte at `offset` lies, and where in it.
    #[must_use]
    pub const fn locate(&self, offset: u64) -> (u64, u64) {
        (offset / self.chunk_size, offset % self.chunk_size)
    }
}
