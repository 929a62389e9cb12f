//! Random access into a blob.

use std::io::{Read, Seek, SeekFrom};

use super::{BlobError, BlobKey, ChunkCipher, Header, Layout, PREFIX_LEN, TAG_LEN, read_full};
use crate::context::Context;
use crate::plaintext::Plaintext;

/// Reads ranges of a blob's plaintext. The last chunk is authenticated before anything is returned, so that a blob
/// that was cut off is noticed whatever range is asked for.
pub struct SeekingReader<R> {
    reader: R,
    cipher: ChunkCipher,
    layout: Layout,
}

impl<R: Read + Seek> SeekingReader<R> {
    /// Opens a blob: reads its prefix, checks its length and authenticates its last chunk.
    ///
    /// # Errors
    /// Any fault of header, commitment, length or last chunk.
    pub fn new(mut reader: R, key: &BlobKey, context: &Context) -> Result<Self, BlobError> {
        let io = |e: std::io::Error| BlobError::Io(e.to_string());
        let len = reader.seek(SeekFrom::End(0)).map_err(io)?;
        reader.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut prefix = [0u8; PREFIX_LEN];
        let read = read_full(&mut reader, &mut prefix)?;
        let header = Header::parse(&prefix[..read])?;
        let layout = Layout::of_blob(len, header.chunk_len())?;
        let cipher = ChunkCipher::opening(key, context, &prefix[..read])?;
        let mut this = Self { reader, cipher, layout };
        this.chunk(this.layout.chunks() - 1)?;
        Ok(this)
    }

    /// Length of the plaintext, in bytes.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.layout.plaintext_len()
    }

    /// Fills `out` from the plaintext at `offset`; returns how much there was, less than asked for only at the end.
    ///
    /// # Errors
    /// [`BlobError::Corrupt`] for a chunk of the range that is not authentic; then nothing of `out` may be used.
    pub fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<usize, BlobError> {
        let mut done = 0usize;
        while done < out.len() {
            let at = offset.saturating_add(super::to_u64(done));
            if at >= self.plaintext_len() {
                break;
            }
            let (index, within) = self.layout.locate(at);
            let chunk = self.chunk(index)?;
            let from = usize::try_from(within).map_err(|_| BlobError::TooLarge)?;
            let piece = chunk.get(from..).unwrap_or_default();
            let len = piece.len().min(out.len() - done);
            out[done..done + len].copy_from_slice(&piece[..len]);
            done += len;
        }
        Ok(done)
    }

    fn chunk(&mut self, index: u64) -> Result<Plaintext, BlobError> {
        let (start, len) = self.layout.chunk(index).ok_or(BlobError::Truncated)?;
        self.reader.seek(SeekFrom::Start(start)).map_err(|e| BlobError::Io(e.to_string()))?;
        let mut sealed = vec![0u8; len];
        if read_full(&mut self.reader, &mut sealed)? != len {
            return Err(BlobError::Truncated);
        }
        let mut plain = Plaintext::zeroed(len - TAG_LEN);
        self.cipher.open_chunk(index, index == self.layout.chunks() - 1, &sealed, &mut plain)?;
        Ok(plain)
    }
}
