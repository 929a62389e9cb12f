//! The blob: what `protect` returns. docs/format.md is normative.
//!
//! Header H (76 bytes), key commitment C (32 bytes), then chunks of ciphertext with a 16-byte tag each.

mod error;
mod header;
mod key;
mod layout;
mod seek;
mod stream;

pub use error::BlobError;
pub use header::{HEADER_LEN, Header, MAGIC, VERSION};
pub use key::BlobKey;
pub use layout::{Layout, chunk_size_fits};
pub use seek::SeekingReader;
pub use stream::{open_stream, read_full, seal_stream};

use crate::context::Context;
use crate::id::Digest;
use crate::plaintext::Plaintext;
use crate::suite::{self, Cipher};

/// Length of the key commitment, in bytes.
pub const COMMITMENT_LEN: usize = 32;
/// Header and commitment together, in bytes: what comes before the first chunk.
pub const PREFIX_LEN: usize = HEADER_LEN + COMMITMENT_LEN;
/// Length of a chunk's tag, in bytes.
pub const TAG_LEN: usize = suite::TAG_LEN;
/// Longest blob, in bytes.
pub const BLOB_LEN_MAX: u64 = 1 << 48;

/// The id of a blob: SHA-256 of its header and commitment. Unique, because the salt is.
#[must_use]
pub fn blob_id(prefix: &[u8; PREFIX_LEN]) -> Digest {
    Digest::of(prefix)
}

/// The cipher of one blob, bound to header, key and context: seals and opens chunks in any order and on any thread.
pub struct ChunkCipher {
    prefix: [u8; PREFIX_LEN],
    chunk_size: usize,
    aead: Cipher,
}

impl std::fmt::Debug for ChunkCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkCipher").field("chunk_size", &self.chunk_size).finish_non_exhaustive()
    }
}

impl ChunkCipher {
    /// The cipher of a new blob.
    ///
    /// # Errors
    /// The header names another group or key, or the key is not for DKM's own blobs.
    pub fn sealing(key: &BlobKey, header: &Header, context: &Context) -> Result<Self, BlobError> {
        let bytes = header.encode();
        let (aead, commitment) = key.derive(header, &bytes, context)?;
        let mut prefix = [0u8; PREFIX_LEN];
        prefix[..HEADER_LEN].copy_from_slice(&bytes);
        prefix[HEADER_LEN..].copy_from_slice(&commitment);
        Ok(Self { prefix, chunk_size: header.chunk_len(), aead })
    }

    /// The cipher of an existing blob, from its first [`PREFIX_LEN`] bytes.
    ///
    /// # Errors
    /// Any fault of the header; another group or key than the header's; a commitment that does not fit key and context.
    pub fn opening(key: &BlobKey, context: &Context, prefix: &[u8]) -> Result<Self, BlobError> {
        Self::opening_parsed(key, &Header::parse(prefix)?, context, prefix)
    }

    fn opening_parsed(
        key: &BlobKey,
        header: &Header,
        context: &Context,
        prefix: &[u8],
    ) -> Result<Self, BlobError> {
        let prefix: [u8; PREFIX_LEN] = *prefix.first_chunk().ok_or(BlobError::Truncated)?;
        let (aead, commitment) = key.derive(header, &prefix[..HEADER_LEN], context)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&commitment, &prefix[HEADER_LEN..])
            .map_err(|_| BlobError::WrongContext)?;
        Ok(Self { prefix, chunk_size: header.chunk_len(), aead })
    }

    /// Header and commitment, as the blob begins.
    #[must_use]
    pub const fn prefix(&self) -> &[u8; PREFIX_LEN] {
        &self.prefix
    }

    /// Plaintext bytes of every chunk but the last.
    #[must_use]
    pub const fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Encrypts chunk `index` in place and returns its tag.
    ///
    /// # Errors
    /// A chunk of a length that cannot stand at its place.
    pub fn seal_chunk(&self, index: u64, last: bool, in_out: &mut [u8]) -> Result<[u8; TAG_LEN], BlobError> {
        self.check_len(index, last, in_out.len())?;
        self.aead.seal(nonce(index, last), &[], in_out).map_err(|_| BlobError::TooLarge)
    }

    /// Encrypts chunk `index` from `plain` into `sealed` (ciphertext and tag), which must be just as long as both
    /// together. On an error nothing of `sealed` may be used.
    ///
    /// # Errors
    /// A chunk of a length that cannot stand at its place, or `sealed` of another length.
    pub fn seal_chunk_to(
        &self,
        index: u64,
        last: bool,
        plain: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), BlobError> {
        self.check_len(index, last, plain.len())?;
        let (ciphertext, tag) = sealed.split_at_mut_checked(plain.len()).ok_or(BlobError::Truncated)?;
        if tag.len() != TAG_LEN {
            return Err(BlobError::Truncated);
        }
        self.aead.seal_to(nonce(index, last), &[], plain, ciphertext, tag).map_err(|_| BlobError::TooLarge)
    }

    /// Decrypts chunk `index` from `sealed` (ciphertext and tag) into `out`, which must be just as long as the
    /// plaintext. On an error `out` holds nothing that may be used.
    ///
    /// # Errors
    /// [`BlobError::Corrupt`] if the chunk is not what was sealed at this place.
    pub fn open_chunk(&self, index: u64, last: bool, sealed: &[u8], out: &mut [u8]) -> Result<(), BlobError> {
        let len = sealed.len().checked_sub(TAG_LEN).ok_or(BlobError::Truncated)?;
        self.check_len(index, last, len)?;
        if out.len() != len {
            return Err(BlobError::Truncated);
        }
        let (ciphertext, tag) = sealed.split_at(len);
        self.aead
            .open(nonce(index, last), &[], ciphertext, tag, out)
            .map_err(|_| BlobError::Corrupt { chunk: index })
    }

    /// All chunks but the last are full; the last is not empty unless it is the only one; and with it the blob is not
    /// longer than a blob may be.
    fn check_len(&self, index: u64, last: bool, len: usize) -> Result<(), BlobError> {
        let fits =
            if last { len <= self.chunk_size && (len > 0 || index == 0) } else { len == self.chunk_size };
        if !fits {
            return Err(BlobError::Corrupt { chunk: index });
        }
        let before = index.checked_mul(to_u64(self.chunk_size)).ok_or(BlobError::TooLarge)?;
        Layout::of_plaintext(before.saturating_add(to_u64(len)), self.chunk_size).map(|_| ())
    }
}

/// Chunk counter in 11 bytes, big-endian, then whether the chunk is the last.
fn nonce(index: u64, last: bool) -> [u8; suite::NONCE_LEN] {
    let mut bytes = [0u8; suite::NONCE_LEN];
    bytes[3..11].copy_from_slice(&index.to_be_bytes());
    bytes[11] = u8::from(last);
    bytes
}

/// Protects a whole plaintext: one allocation, the blob.
///
/// # Errors
/// The header names another group or key than `key`, the key is not for DKM's own blobs, or the blob would be longer
/// than [`BLOB_LEN_MAX`].
pub fn seal(
    key: &BlobKey,
    header: &Header,
    context: &Context,
    plaintext: &[u8],
) -> Result<Vec<u8>, BlobError> {
    let mut out = Vec::new();
    seal_into(key, header, context, plaintext, &mut out)?;
    Ok(out)
}

/// As [`seal`], into memory that is there: `out` is overwritten, and grows only if the blob does not fit into it.
///
/// # Errors
/// As [`seal`]; then `out` is empty.
pub fn seal_into(
    key: &BlobKey,
    header: &Header,
    context: &Context,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BlobError> {
    let result =
        ChunkCipher::sealing(key, header, context).and_then(|cipher| cipher.seal_all(plaintext, out));
    if result.is_err() {
        out.clear();
    }
    result
}

/// Opens a whole blob. Nothing is returned unless every byte is authentic.
///
/// # Errors
/// [`BlobError`] says what is wrong; lengths and header are checked before any work with the key.
pub fn open(key: &BlobKey, context: &Context, blob: &[u8]) -> Result<Plaintext, BlobError> {
    let mut out = Plaintext::default();
    open_into(key, context, blob, &mut out)?;
    Ok(out)
}

/// As [`open`], into memory that is there: `out` is overwritten, and grows only if the plaintext does not fit into it.
///
/// # Errors
/// As [`open`]; then `out` is empty, and nothing of what was in it stays in memory.
pub fn open_into(
    key: &BlobKey,
    context: &Context,
    blob: &[u8],
    out: &mut Plaintext,
) -> Result<(), BlobError> {
    let result = Header::parse(blob).and_then(|header| {
        let layout = Layout::of_blob(to_u64(blob.len()), header.chunk_len())?;
        ChunkCipher::opening_parsed(key, &header, context, blob)?.open_all(layout, &blob[PREFIX_LEN..], out)
    });
    if result.is_err() {
        out.resize(0);
    }
    result
}

impl ChunkCipher {
    fn seal_all(&self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), BlobError> {
        let layout = Layout::of_plaintext(to_u64(plaintext.len()), self.chunk_size)?;
        let len = usize::try_from(layout.blob_len()).map_err(|_| BlobError::TooLarge)?;
        // What is there already need not be cleared first: all of it is overwritten.
        out.truncate(len);
        out.reserve_exact(len - out.len());
        grow(out, PREFIX_LEN).copy_from_slice(&self.prefix);
        let last = layout.chunks() - 1;
        let (mut rest, mut from) = (plaintext, PREFIX_LEN);
        for index in 0..=last {
            let (chunk, behind) = rest.split_at(rest.len().min(self.chunk_size));
            rest = behind;
            let to = from + chunk.len() + TAG_LEN;
            // Made chunk by chunk, memory is still in the processor's cache when it is overwritten.
            self.seal_chunk_to(index, index == last, chunk, &mut grow(out, to)[from..])?;
            from = to;
        }
        Ok(())
    }

    fn open_all(&self, layout: Layout, sealed: &[u8], out: &mut Plaintext) -> Result<(), BlobError> {
        out.resize(usize::try_from(layout.plaintext_len()).map_err(|_| BlobError::TooLarge)?);
        let mut rest = &mut **out;
        let last = layout.chunks() - 1;
        for (index, chunk) in (0u64..).zip(sealed.chunks(self.chunk_size + TAG_LEN)) {
            let (here, behind) = rest.split_at_mut(chunk.len().saturating_sub(TAG_LEN));
            self.open_chunk(index, index == last, chunk, here)?;
            rest = behind;
        }
        Ok(())
    }
}

/// The first `len` bytes, made if there are fewer.
fn grow(out: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if out.len() < len {
        out.resize(len, 0);
    }
    &mut out[..len]
}

fn to_u64(len: usize) -> u64 {
    // usize is at most 64 bits wide on every platform that Rust supports.
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
