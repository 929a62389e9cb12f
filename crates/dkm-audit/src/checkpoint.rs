//! Checkpoints ([C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint)): what a log says of its tree at one size.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_core::Digest;

use crate::merkle::{ProofError, empty_root, verify_consistency};

/// Longest text of a checkpoint, in bytes.
pub const CHECKPOINT_LEN_MAX: usize = 16 * 1024;

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Longer than [`CHECKPOINT_LEN_MAX`].
    #[error("the checkpoint is longer than {CHECKPOINT_LEN_MAX} bytes")]
    TooLong,
    /// Fewer than three lines, an empty one, or no newline at its end.
    #[error("a checkpoint has at least three lines, none of them empty")]
    BadLines,
    /// The second line is no number, or not written in the shortest way.
    #[error("the second line of a checkpoint is the tree's size")]
    BadSize,
    /// The third line is not base64 of 32 bytes.
    #[error("the third line of a checkpoint is the tree's root")]
    BadRoot,
    /// A tree without leaves has one root only.
    #[error("the checkpoint's tree is empty, but its root is not that of the empty tree")]
    BadEmptyRoot,
}

/// The head of a log's tree at one size.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The log's identity, the same for its whole life.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Digest,
    /// Lines that others may add; this log writes none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let root = BASE64_STANDARD.encode(self.root.as_bytes());
        let mut text = format!("{}\n{}\n{root}\n", self.origin, self.size);
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Verifies that this checkpoint's tree begins with the one of `earlier`. From an empty tree no proof is needed;
    /// the proof is empty then.
    ///
    /// # Errors
    /// What is wrong with the proof. Two checkpoints of one size with different roots are [`ProofError::WrongRoot`]
    /// whatever the proof: they are two forks of a log.
    pub fn verify_extends(&self, earlier: &Self, proof: &[Digest]) -> Result<(), ProofError> {
        if earlier.size == 0 {
            let same = self.size > 0 || self.root == earlier.root;
            return if proof.is_empty() && same && earlier.root == empty_root() {
                Ok(())
            } else {
                Err(ProofError::WrongRoot)
            };
        }
        verify_consistency((earlier.size, &earlier.root), (self.size, &self.root), proof)
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > CHECKPOINT_LEN_MAX {
            return Err(CheckpointError::TooLong);
        }
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::BadLines)?.split('\n');
        if lines.clone().any(str::is_empty) {
            return Err(CheckpointError::BadLines);
        }
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::BadLines);
        };
        let number: u64 = size.parse().map_err(|_| CheckpointError::BadSize)?;
        if number.to_string() != size {
            return Err(CheckpointError::BadSize);
        }
        let root = BASE64_STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok()).map(Digest);
        let root = root.ok_or(CheckpointError::BadRoot)?;
        if number == 0 && root != empty_root() {
            return Err(CheckpointError::BadEmptyRoot);
        }
        let extensions = lines.map(str::to_owned).collect();
        Ok(Self { origin: origin.to_owned(), size: number, root, extensions })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64_STANDARD.encode(self.root.as_bytes());
        write!(f, "{} with {} leaves and root {root}", self.origin, self.size)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({self})")
    }
}
