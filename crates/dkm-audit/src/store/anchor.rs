//! The last checkpoint, kept outside the log.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::files::{replace, take_place, temporary, write};
use crate::note::NOTE_LEN_MAX;
use crate::source::{open, read_limited};

/// Keeps a log's last checkpoint where whoever can roll back the log cannot roll it back too: another disk, another
/// account, another machine.
///
/// The log is never behind it: a checkpoint is kept here after it is durable in the log, and before anything that it
/// covers is acknowledged.
pub trait Anchor: Send + fmt::Debug {
    /// The checkpoint that was kept last; `None` if none ever was.
    ///
    /// # Errors
    /// It cannot be read: the log does not open.
    fn load(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// Is told what it will most likely be asked to keep next, while the log writes that itself: what can be done before
    /// the last checkpoint is replaced may be done here, so that it is not waited for twice. By default nothing.
    ///
    /// # Errors
    /// It could not be made ready: the log acknowledges nothing.
    fn expect(&mut self, checkpoint: &[u8]) -> io::Result<()> {
        let _ = checkpoint;
        Ok(())
    }

    /// Keeps a checkpoint in place of the last. It MUST be durable when this returns.
    ///
    /// # Errors
    /// It cannot be kept: the log acknowledges nothing.
    fn keep(&mut self, checkpoint: &[u8]) -> io::Result<()>;
}

/// Keeps the last checkpoint in a file.
#[derive(Debug, Clone)]
pub struct FileAnchor {
    path: PathBuf,
    /// What lies ready beside it.
    ready: Option<Vec<u8>>,
}

impl FileAnchor {
    /// Keeps it in this file, whose folder must be there.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), ready: None }
    }
}

impl Anchor for FileAnchor {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        match open(&self.path) {
            Ok(file) => read_limited(&file, NOTE_LEN_MAX).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn expect(&mut self, checkpoint: &[u8]) -> io::Result<()> {
        self.ready = None;
        write(&temporary(&self.path)?, checkpoint)?;
        self.ready = Some(checkpoint.to_vec());
        Ok(())
    }

    fn keep(&mut self, checkpoint: &[u8]) -> io::Result<()> {
        match self.ready.take().is_some_and(|ready| ready == checkpoint) {
            true => take_place(&self.path),
            false => replace(&self.path, checkpoint),
        }
    }
}
