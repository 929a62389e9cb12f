//! Blobs on readers and writers, one chunk in memory at a time.

use std::io::{ErrorKind, Read, Write};

use super::{BlobError, ChunkCipher, TAG_LEN, to_u64};
use crate::plaintext::Plaintext;

fn io(error: &std::io::Error) -> BlobError {
    BlobError::Io(error.to_string())
}

/// Reads until `buffer` is full or the reader ends; how much was read.
///
/// # Errors
/// [`BlobError::Io`] as the reader says.
pub fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, BlobError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(io(&e)),
        }
    }
    Ok(filled)
}

/// Protects everything that `reader` gives; returns the number of plaintext bytes.
///
/// # Errors
/// [`BlobError::Io`], [`BlobError::TooLarge`]. What was written by then is no blob and opens nowhere.
pub fn seal_stream(
    cipher: &ChunkCipher,
    reader: &mut impl Read,
    writer: &mut impl Write,
) -> Result<u64, BlobError> {
    writer.write_all(cipher.prefix()).map_err(|e| io(&e))?;
    let mut chunk = Plaintext::zeroed(cipher.chunk_size());
    let mut next = Plaintext::zeroed(cipher.chunk_size());
    let mut len = read_full(reader, &mut chunk)?;
    let mut total = 0u64;
    for index in 0u64.. {
        // Whether a chunk is the last is known only after looking behind it.
        let next_len = if len == chunk.len() { read_full(reader, &mut next)? } else { 0 };
        let tag = cipher.seal_chunk(index, next_len == 0, &mut chunk[..len])?;
        writer.write_all(&chunk[..len]).and_then(|()| writer.write_all(&tag)).map_err(|e| io(&e))?;
        total += to_u64(len);
        if next_len == 0 {
            break;
        }
        std::mem::swap(&mut chunk, &mut next);
        len = next_len;
    }
    writer.flush().map_err(|e| io(&e))?;
    Ok(total)
}

/// Opens the chunks behind a blob's prefix, which was read to make `cipher`; returns the number of plaintext bytes.
///
/// Each chunk is written as soon as it is authentic: a blob cut off at a chunk's end is noticed only there. A caller
/// that gets an error must let go of what was written.
///
/// # Errors
/// [`BlobError::Corrupt`], [`BlobError::Truncated`], [`BlobError::TooLarge`], [`BlobError::Io`].
pub fn open_stream(
    cipher: &ChunkCipher,
    reader: &mut impl Read,
    writer: &mut impl Write,
) -> Result<u64, BlobError> {
    let full = cipher.chunk_size() + TAG_LEN;
    let mut chunk = vec![0u8; full];
    let mut next = vec![0u8; full];
    let mut plain = Plaintext::zeroed(cipher.chunk_size());
    let mut len = read_full(reader, &mut chunk)?;
    let mut total = 0u64;
    for index in 0u64.. {
        let next_len = if len == full { read_full(reader, &mut next)? } else { 0 };
        let plain_len = len.checked_sub(TAG_LEN).ok_or(BlobError::Truncated)?;
        cipher.open_chunk(index, next_len == 0, &chunk[..len], &mut plain[..plain_len])?;
        writer.write_all(&plain[..plain_len]).map_err(|e| io(&e))?;
        total += to_u64(plain_len);
        if next_len == 0 {
            break;
        }
        std::mem::swap(&mut chunk, &mut next);
        len = next_len;
    }
    writer.flush().map_err(|e| io(&e))?;
    Ok(total)
}
