//! What can be wrong with a log.

use std::fmt;

use dkm_core::Digest;

use crate::checkpoint::Checkpoint;
use crate::entry::EntryError;
use crate::note::VerifierKey;
use crate::tree::TreeError;
use crate::trust::TrustError;

/// Most faults that are told; verification ends with the last of them.
pub const FAULTS_MAX: usize = 100;

/// One thing that is wrong with a log, and where.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The checkpoint is not to be believed.
    #[error("checkpoint: {0}")]
    Checkpoint(TrustError),
    /// A file is missing, unreadable, or not of its form.
    #[error(transparent)]
    File(#[from] TreeError),
    /// An entry is not what its tile says.
    #[error("entry {index}: its hash {found} is not the one in {tile}")]
    Entry {
        /// Index of the entry.
        index: u64,
        /// Path of the tile of level 0.
        tile: String,
        /// Hash of the entry as it stands in its bundle.
        found: Digest,
    },
    /// A tile is not what lies below it.
    #[error("{tile}: hash {at} is not that of the tile below it")]
    Tile {
        /// Path of the tile.
        tile: String,
        /// Number of the hash in the tile, from 0.
        at: u64,
    },
    /// A bundle or tile has more or less in it than the tree has there.
    #[error("{path}: {found} items where the log has {expected}")]
    Width {
        /// Path of the bundle or tile.
        path: String,
        /// Items found.
        found: u64,
        /// Items that there should be.
        expected: u64,
    },
    /// An earlier partial version of a tile or bundle is not its beginning.
    #[error("{path}: not the beginning of the newest version of its tile")]
    Partial {
        /// Path of the partial version.
        path: String,
    },
    /// The entries do not give the root that was signed.
    #[error("checkpoint: the entries have the root {found}, not the one that is signed")]
    Root {
        /// Root of the entries.
        found: Digest,
    },
    /// An entry is none.
    #[error("entry {index}: {error}")]
    Malformed {
        /// Index of the entry.
        index: u64,
        /// Why.
        error: EntryError,
    },
    /// The log is smaller than an earlier checkpoint of it.
    #[error("rolled back: the log has {size} entries, and had {} at the earlier checkpoint", earlier.size)]
    RolledBack {
        /// Entries in the log.
        size: u64,
        /// The earlier checkpoint.
        earlier: Box<Checkpoint>,
    },
    /// The log does not begin with the tree of an earlier checkpoint of it.
    #[error("forked: the first {} entries have the root {found}, not that of the earlier checkpoint", earlier.size)]
    Forked {
        /// The earlier checkpoint.
        earlier: Box<Checkpoint>,
        /// Root of as many entries in this log.
        found: Digest,
    },
    /// The earlier checkpoint is not one of this log.
    #[error("earlier checkpoint: {0}")]
    Earlier(TrustError),
    /// The log has changed its key without the signatures that go with it.
    #[error("handover/{size}: {problem}")]
    Handover {
        /// Entries in the log at the change of key.
        size: u64,
        /// What is wrong.
        problem: HandoverProblem,
    },
}

/// What is wrong with a change of key.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverProblem {
    /// An entry announces a key, and there is no checkpoint for it.
    #[error("an entry changes the log's key to {next}, and no checkpoint signed by both keys is there")]
    Missing {
        /// The key announced.
        next: VerifierKey,
    },
    /// A checkpoint is there, and no entry announces a key.
    #[error("no entry before it changes the log's key")]
    Unannounced,
    /// The checkpoint is not signed by one of the two keys.
    #[error("{0}")]
    NotSigned(TrustError),
    /// The checkpoint is of another tree.
    #[error("the checkpoint is not of this log's tree")]
    WrongTree,
    /// It lies beyond the log's end.
    #[error("it lies beyond the log's end")]
    Beyond,
}

/// Everything that was found wrong with a log, in the order of its files.
#[derive(Debug, Clone)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// The faults: at least one, at most [`FAULTS_MAX`].
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
