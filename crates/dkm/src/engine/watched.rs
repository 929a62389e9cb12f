//! Streams and ranges in progress, which end when this account is turned away.

use std::fmt;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

use dkm_core::blob::SeekingReader;

use super::Engine;
use crate::{Error, Result};

/// Bytes that are read of a range before it is asked again whether this account may go on.
const PIECE_LEN: usize = 1 << 20;

impl Engine {
    /// Whether blobs are opened for this account still.
    pub(super) fn may_open(&self) -> Result<()> {
        let snapshot = self.current(self.parts.clock.now());
        snapshot.closed.as_ref().map_or(Ok(()), |refusal| Err(refusal.clone().into()))
    }

    /// Whether a blob that was begun may be gone on with. A key that is archived meanwhile is no reason to stop.
    pub(super) fn may_protect(&self) -> Result<()> {
        let snapshot = self.current(self.parts.clock.now());
        match &snapshot.protecting {
            Err(refusal) if snapshot.closed.is_some() => Err(refusal.clone().into()),
            _ => Ok(()),
        }
    }
}

/// A writer that takes nothing more once `may_go_on` says no.
pub(super) struct Watched<W, F> {
    writer: W,
    may_go_on: F,
    refusal: Option<Error>,
}

impl<W: Write, F: Fn() -> Result<()>> Watched<W, F> {
    pub(super) const fn new(writer: W, may_go_on: F) -> Self {
        Self { writer, may_go_on, refusal: None }
    }

    /// Why a stream ended, in better words than a writer has.
    pub(super) fn cause(&mut self, error: impl Into<Error>) -> Error {
        self.refusal.take().unwrap_or_else(|| error.into())
    }
}

impl<W: Write, F: Fn() -> Result<()>> Write for Watched<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(refusal) = (self.may_go_on)() {
            let error = io::Error::other(refusal.to_string());
            self.refusal = Some(refusal);
            return Err(error);
        }
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Reads ranges of a blob's plaintext. The last chunk was authenticated before anything is returned, so that a blob
/// that was cut off is noticed whatever range is asked for.
pub struct Ranges<R> {
    reader: SeekingReader<R>,
    engine: Arc<Engine>,
}

impl<R: Read + Seek> Ranges<R> {
    pub(crate) const fn new(reader: SeekingReader<R>, engine: Arc<Engine>) -> Self {
        Self { reader, engine }
    }

    /// Length of the plaintext, in bytes.
    #[must_use]
    pub const fn plaintext_len(&self) -> u64 {
        self.reader.plaintext_len()
    }

    /// Fills `out` from the plaintext at `offset`; returns how much there was, less than asked for only at the end.
    ///
    /// # Errors
    /// [`Error::Blob`] for a chunk of the range that is not authentic; then nothing of `out` may be used.
    /// [`Error::Unprotect`] if this account was turned away, or is out of reach for too long, since the blob was opened.
    pub fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        for piece in out.chunks_mut(PIECE_LEN) {
            self.engine.may_open()?;
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            let read = self.reader.read_at(at, piece)?;
            done += read;
            if read < piece.len() {
                break;
            }
        }
        Ok(done)
    }
}

impl<R> fmt::Debug for Ranges<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranges").finish_non_exhaustive()
    }
}
