//! What counts as published: a checkpoint that enough witnesses have cosigned.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Error;
use super::files::replace;
use super::sequencer::Published;
use crate::checkpoint::Checkpoint;
use crate::note::Note;
use crate::source::DirectorySource;
use crate::trust::TrustError;
use crate::witness::Witnesses;

/// Where a log keeps the last checkpoint that enough witnesses have cosigned, below its folder. Whoever serves a log with
/// witnesses serves this as its checkpoint.
pub const PUBLISHED: &str = "published";

/// How long witnesses that were too few are left alone, unless there is a new checkpoint.
const RETRY: Duration = Duration::from_secs(10);

/// Has checkpoints cosigned, and keeps the last one that was.
#[derive(Debug)]
pub(super) struct Publisher {
    path: PathBuf,
    source: DirectorySource,
    witnesses: Witnesses,
}

impl Publisher {
    pub(super) fn new(root: &Path, witnesses: Witnesses) -> Self {
        Self { path: root.join(PUBLISHED), source: DirectorySource::new(root), witnesses }
    }

    /// Has a checkpoint cosigned that is durable in the log already: who asks before that may never be able to show the
    /// witnesses a tree that extends what they have cosigned.
    pub(super) fn publish(&mut self, note: &[u8]) -> Result<Arc<[u8]>, Error> {
        let signed = Note::parse(note).map_err(TrustError::from)?;
        let checkpoint: Checkpoint = signed.text().parse().map_err(TrustError::from)?;
        let cosigned = self.witnesses.cosign(&self.source, &checkpoint, &signed);
        let cosigned = cosigned.map_err(|(found, refusals)| Error::Witnesses {
            found,
            needed: self.witnesses.quorum(),
            reason: refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })?;
        let signatures = signed.signatures().iter().cloned().chain(cosigned).collect();
        let published = Note::new(signed.text().to_owned(), signatures).map_err(TrustError::from)?.encode();
        replace(&self.path, &published).map_err(|error| Error::io(&self.path, error))?;
        Ok(published.into())
    }

    /// Publishes whatever was acknowledged last, until nobody wakes it any more.
    pub(super) fn run(mut self, wake: &Receiver<()>, shared: &Mutex<Published>) {
        let mut done: Option<Arc<[u8]>> = None;
        loop {
            let newest = Arc::clone(&lock(shared).note);
            if done.as_ref() != Some(&newest) {
                match self.publish(&newest) {
                    Ok(published) => {
                        lock(shared).published = Some(published);
                        done = Some(newest);
                    }
                    Err(error) => tracing::error!(%error, "a checkpoint of the audit log is not published"),
                }
            }
            if let Err(RecvTimeoutError::Disconnected) = wake.recv_timeout(RETRY) {
                return;
            }
        }
    }
}

fn lock(shared: &Mutex<Published>) -> std::sync::MutexGuard<'_, Published> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
