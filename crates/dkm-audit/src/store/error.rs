//! What can go wrong with a store, and how to recover.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::entry::EntryError;
use crate::note::VerifierKey;
use crate::tree::TreeError;
use crate::trust::TrustError;

/// Why a log does not take an entry, or does not open. None holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no log in the folder.
    #[error("there is no audit log in {}", path.display())]
    NotALog {
        /// The folder.
        path: PathBuf,
    },
    /// A log would be made where there is one.
    #[error("there is an audit log in {} already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Another process writes to the log.
    #[error("the audit log in {} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// No space left, or the quota is used up.
    #[error("no space left for the audit log: {} could not be written", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("the audit log's file {} failed: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The log's checkpoint is not to be believed.
    #[error("the audit log's checkpoint is refused: {0}")]
    Trust(#[from] TrustError),
    /// Files of the log are missing or damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The log is older than its last checkpoint outside: it was rolled back.
    #[error("the audit log was rolled back: it has {size} entries, its last checkpoint outside {}", last.size)]
    Behind {
        /// Entries in the log.
        size: u64,
        /// The last checkpoint outside.
        last: Box<Checkpoint>,
    },
    /// The log does not begin with the tree of its last checkpoint outside: it was rewritten.
    #[error("the audit log was rewritten: its first {} entries are not those of its last checkpoint outside", last.size)]
    Forked {
        /// The last checkpoint outside.
        last: Box<Checkpoint>,
    },
    /// There is no last checkpoint outside, or it cannot be read.
    #[error("the audit log's last checkpoint outside is missing or unreadable: {reason}")]
    NoAnchor {
        /// Why.
        reason: String,
    },
    /// The last checkpoint outside could not be replaced.
    #[error("the audit log's last checkpoint outside could not be written: {source}")]
    Anchor {
        /// Why.
        source: Arc<io::Error>,
    },
    /// Too few witnesses have cosigned: nothing is acknowledged.
    #[error(
        "the audit log's checkpoint is cosigned by {found} of the {needed} witnesses that are needed: {reason}"
    )]
    Witnesses {
        /// Witnesses that have cosigned.
        found: usize,
        /// Witnesses that must have.
        needed: usize,
        /// Why the others have not.
        reason: String,
    },
    /// The log has witnesses already.
    #[error("the audit log has witnesses already")]
    Witnessed,
    /// The log has changed to another key.
    #[error("the audit log is signed with {next} now, not with the key given")]
    Retired {
        /// The key in use.
        next: VerifierKey,
    },
    /// The next key is not one for this log, or is the one in use.
    #[error("the next key of the audit log must be another key of the name {origin}")]
    BadNextKey {
        /// The log's origin.
        origin: String,
    },
    /// Somebody else has changed the log while it was open.
    #[error("the audit log's file {path} was changed or removed by another program")]
    Changed {
        /// Path below the log's folder.
        path: String,
    },
    /// An entry with the action of a change of key, which only [`super::Log::rotate`] writes.
    #[error("only a change of the log's key may write the action {action}")]
    Reserved {
        /// The action.
        action: String,
    },
    /// The entry has no encoding.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// More entries wait than the queue holds.
    #[error("the audit log is busy: {waiting} entries wait to be written")]
    Busy {
        /// Entries that wait.
        waiting: usize,
    },
    /// The log has 2^53 − 1 entries.
    #[error("the audit log is full")]
    Full,
    /// The log is closed.
    #[error("the audit log is closed")]
    Closed,
}

impl Error {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { path, source: Arc::new(source) },
        }
    }

    /// How to recover, where there is something to be done.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotALog { .. } => "name the log's folder, or make a log there",
            Self::Exists { .. } => "open the log that is there, or name another folder",
            Self::InUse { .. } => "stop the other process first: a log has one writer",
            Self::NoSpace { .. } => "free space: nothing was acknowledged, and the log goes on by itself",
            Self::Behind { .. } | Self::Forked { .. } => {
                "bring back the log's newest state; if it is lost, recover the log, which is itself recorded"
            }
            Self::NoAnchor { .. } => {
                "bring back the copy of the last checkpoint; if it is lost, recover the log, which is itself recorded"
            }
            Self::Anchor { .. } => "make the place of the last checkpoint writable: nothing was acknowledged",
            Self::Witnesses { .. } => {
                "bring the witnesses back, or have another look at the log if they have seen another state of it: nothing \
                 was acknowledged, and the log goes on by itself"
            }
            Self::Retired { .. } => "open the log with its present key",
            Self::BadNextKey { .. } => "make a new key with the log's own name",
            Self::Changed { .. } | Self::Tree(TreeError::Missing { .. } | TreeError::Damaged { .. }) => {
                "verify the log offline, keep it as evidence, and restore what was changed"
            }
            Self::Busy { .. } => "try again in a moment, and less at a time",
            Self::Io { .. } | Self::Trust(_) | Self::Tree(_) | Self::Entry(_) | Self::Reserved { .. } => {
                return None;
            }
            Self::Full | Self::Closed | Self::Witnessed => return None,
        })
    }
}
