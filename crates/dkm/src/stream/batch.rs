//! A batch of chunks, sealed or opened from one buffer into another.

use dkm_core::Plaintext;
use dkm_core::blob::{BlobError, ChunkCipher, TAG_LEN};

/// Bytes that a batch strives for: fewer would be spent on handing over, more on memory.
const BATCH_LEN: usize = 256 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Seal,
    Open,
}

/// How chunks lie in a batch: one behind the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Bytes of a full chunk as it is read.
    pub(super) read: usize,
    /// Bytes of a buffer that holds a batch, read or written.
    pub(super) buffer: usize,
    /// Most chunks of a batch.
    pub(super) chunks: usize,
}

impl Direction {
    pub(super) fn shape(self, chunk_size: usize) -> Shape {
        let sealed = chunk_size + TAG_LEN;
        let chunks = (BATCH_LEN / chunk_size).max(1);
        let read = match self {
            Self::Seal => chunk_size,
            Self::Open => sealed,
        };
        Shape { read, chunks, buffer: sealed * chunks }
    }
}

/// Chunks as read.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) buffer: Plaintext,
    /// Index of the first chunk.
    pub(super) first: u64,
    /// Bytes read; all chunks but the last are full.
    pub(super) filled: usize,
    /// Whether the last chunk of this batch is the last of all.
    pub(super) last: bool,
}

/// What comes after a batch.
#[derive(Debug)]
pub(super) enum Next {
    More,
    End,
    Fault(BlobError),
}

/// Chunks to be written.
#[derive(Debug)]
pub(super) struct Done {
    buffer: Plaintext,
    ready: usize,
    plaintext_len: u64,
    next: Next,
}

impl Batch {
    pub(super) const fn is_last(&self) -> bool {
        self.last
    }

    /// Seals or opens all chunks into `spare`, up to the first fault; what was read lies in `spare` then.
    pub(super) fn work(self, cipher: &ChunkCipher, direction: Direction, spare: &mut Plaintext) -> Done {
        let mut done = Done { buffer: self.buffer, ready: 0, plaintext_len: 0, next: Next::More };
        std::mem::swap(&mut done.buffer, spare);
        let mut rest = &spare[..self.filled];
        for index in self.first.. {
            let (chunk, behind) = rest.split_at(rest.len().min(direction.shape(cipher.chunk_size()).read));
            rest = behind;
            let last = self.last && rest.is_empty();
            let out = &mut done.buffer[done.ready..];
            let result = match direction {
                Direction::Seal => seal_chunk(cipher, index, last, chunk, out),
                Direction::Open => open_chunk(cipher, index, last, chunk, out),
            };
            match result {
                Ok((plaintext_len, written)) => {
                    done.plaintext_len += u64::try_from(plaintext_len).unwrap_or(u64::MAX);
                    done.ready += written;
                }
                Err(fault) => {
                    done.next = Next::Fault(fault);
                    return done;
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        if self.last {
            done.next = Next::End;
        }
        done
    }
}

/// Lengths of the plaintext and of what was written to the start of `out`.
type Lengths = (usize, usize);

fn seal_chunk(
    cipher: &ChunkCipher,
    index: u64,
    last: bool,
    plain: &[u8],
    out: &mut [u8],
) -> Result<Lengths, BlobError> {
    let len = plain.len() + TAG_LEN;
    cipher.seal_chunk_to(index, last, plain, &mut out[..len])?;
    Ok((plain.len(), len))
}

fn open_chunk(
    cipher: &ChunkCipher,
    index: u64,
    last: bool,
    sealed: &[u8],
    out: &mut [u8],
) -> Result<Lengths, BlobError> {
    let len = sealed.len().checked_sub(TAG_LEN).ok_or(BlobError::Truncated)?;
    cipher.open_chunk(index, last, sealed, &mut out[..len])?;
    Ok((len, len))
}

impl Done {
    /// What may be written.
    pub(super) fn ready(&self) -> &[u8] {
        &self.buffer[..self.ready]
    }

    /// Plaintext bytes that it stands for.
    pub(super) const fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The buffer, to be used again, and what comes next.
    pub(super) fn end(self) -> (Plaintext, Next) {
        (self.buffer, self.next)
    }
}
