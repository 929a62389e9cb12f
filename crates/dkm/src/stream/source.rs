//! From a reader to batches: which chunks are whole, and whether one is the last.

use std::io::{ErrorKind, Read};
use std::sync::mpsc::Receiver;

use dkm_core::Plaintext;
use dkm_core::blob::BlobError;

use super::batch::{Batch, Shape};

/// Buffers of one length: made when first needed, used again when they come back.
struct Pool {
    unmade: usize,
    len: usize,
    returned: Receiver<Plaintext>,
}

impl Pool {
    /// Waits for one if all are in use; none if nobody gives any back.
    fn take(&mut self) -> Option<Plaintext> {
        if let Ok(buffer) = self.returned.try_recv() {
            return Some(buffer);
        }
        match self.unmade.checked_sub(1) {
            Some(unmade) => {
                self.unmade = unmade;
                Some(Plaintext::zeroed(self.len))
            }
            None => self.returned.recv().ok(),
        }
    }
}

/// Cuts what a reader gives into batches.
///
/// A batch is complete when it is full, or when the reader gave less than asked for, which may mean that more takes its
/// time: then whole chunks do not wait for others. A chunk is given out only when a byte behind it was read, or the end.
pub(super) struct Source<R> {
    reader: R,
    shape: Shape,
    pool: Pool,
    /// What was read behind the batch given out last.
    current: Option<Batch>,
    /// The reader's error, which comes after what was read before it.
    failed: Option<BlobError>,
    ended: bool,
}

/// What one read brought.
enum Got {
    All,
    Less,
    End,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R, shape: Shape, buffers: usize, returned: Receiver<Plaintext>) -> Self {
        let pool = Pool { unmade: buffers, len: shape.buffer, returned };
        Self { reader, shape, pool, current: None, failed: None, ended: false }
    }

    /// The next batch, or the reader's error, behind which there is nothing; none too if nobody takes batches any more.
    pub(super) fn next(&mut self) -> Option<Result<Batch, BlobError>> {
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Some(Err(error));
        }
        if self.ended {
            return None;
        }
        let mut batch = match self.current.take() {
            Some(batch) => batch,
            None => self.empty(0)?,
        };
        loop {
            let full = batch.filled == self.shape.read * self.shape.chunks;
            let mut behind =
                if full { Some(self.empty(batch.first + self.chunks(batch.filled))?) } else { None };
            match self.read(behind.as_mut().unwrap_or(&mut batch)) {
                Ok(Got::End) => {
                    self.ended = true;
                    batch.last = true;
                    return Some(Ok(batch));
                }
                Ok(_) if full => {
                    self.current = behind;
                    return Some(Ok(batch));
                }
                Ok(Got::All) => {}
                Ok(Got::Less) if batch.filled > self.shape.read => return self.split(batch).map(Ok),
                Ok(Got::Less) => {}
                Err(error) if batch.filled > self.shape.read => {
                    self.failed = Some(error);
                    return self.split(batch).map(Ok);
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    fn empty(&mut self, first: u64) -> Option<Batch> {
        self.pool.take().map(|buffer| Batch { buffer, first, filled: 0, last: false })
    }

    /// How many chunks so many bytes are.
    fn chunks(&self, filled: usize) -> u64 {
        u64::try_from(filled.div_ceil(self.shape.read)).unwrap_or(u64::MAX)
    }

    /// Gives out all but the last chunk of a batch with more than one.
    fn split(&mut self, mut batch: Batch) -> Option<Batch> {
        let whole = (batch.filled - 1) / self.shape.read * self.shape.read;
        let rest = batch.filled - whole;
        let mut behind = self.empty(batch.first + self.chunks(whole))?;
        behind.buffer[..rest].copy_from_slice(&batch.buffer[whole..batch.filled]);
        behind.filled = rest;
        batch.filled = whole;
        self.current = Some(behind);
        Some(batch)
    }

    /// Reads once into a batch that is not full.
    fn read(&mut self, batch: &mut Batch) -> Result<Got, BlobError> {
        let room = &mut batch.buffer[batch.filled..self.shape.read * self.shape.chunks];
        loop {
            return match self.reader.read(room) {
                Ok(0) => Ok(Got::End),
                Ok(len) if len > room.len() => Err(BlobError::Io(
                    "the reader claims to have read more than it was given room for".into(),
                )),
                Ok(len) => {
                    batch.filled += len;
                    Ok(if len == room.len() { Got::All } else { Got::Less })
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => Err(super::io(&e)),
            };
        }
    }
}
