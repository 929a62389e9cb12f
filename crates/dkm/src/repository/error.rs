//! What can go wrong with a repository.

use crate::ErrorKind;

/// Why a repository did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The repository decided that this account may not.
    #[error("access to {what} in {location} is denied")]
    Denied {
        /// The repository or replica.
        location: String,
        /// What was asked for.
        what: String,
    },
    /// It is not there, or this account may not see it.
    #[error("{what} is not in {location}")]
    NotFound {
        /// The repository or replica.
        location: String,
        /// What was asked for.
        what: String,
    },
    /// The replica does not answer, or failed.
    #[error("{location} can't be used: {why}")]
    Unavailable {
        /// The repository or replica.
        location: String,
        /// What happened.
        why: String,
    },
    /// No space for the record.
    #[error("no space left in {location}")]
    NoSpace {
        /// The repository or replica.
        location: String,
    },
    /// The repository cannot be written.
    #[error("{location} is read-only")]
    ReadOnly {
        /// The repository or replica.
        location: String,
    },
    /// There is no repository, or it is of a version that this program does not know.
    #[error("{location} is not a repository that this program can use: {why}")]
    NotARepository {
        /// The place.
        location: String,
        /// What was found.
        why: String,
    },
    /// Only records of destroyed keys are erased.
    #[error("record {name} in {location} belongs to no destroyed key, so it is not erased")]
    NotTombstoned {
        /// The repository or replica.
        location: String,
        /// The slot.
        name: String,
    },
    /// A single record is not served, although its room is. Others are, so a reader goes on.
    #[error("record {name} in {location} can't be read: {why}")]
    Unreadable {
        /// The repository or replica.
        location: String,
        /// The slot.
        name: String,
        /// What was found.
        why: String,
    },
    /// The request cannot be expressed in this repository.
    #[error("{0}")]
    Invalid(String),
}

impl RepositoryError {
    /// Whether a replica says that something is not there: one that lags behind says so, too.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::NotARepository { .. })
    }

    /// Of what kind the error is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Denied { .. } => ErrorKind::Denied,
            Self::NotFound { .. } | Self::NotARepository { .. } => ErrorKind::NotFound,
            Self::Unavailable { .. } | Self::NoSpace { .. } | Self::ReadOnly { .. } => ErrorKind::Unavailable,
            Self::NotTombstoned { .. } => ErrorKind::Refused,
            Self::Unreadable { .. } => ErrorKind::Corrupt,
            Self::Invalid(_) => ErrorKind::Usage,
        }
    }

    /// How to recover, for people.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Denied { .. } => "run it as a member of the group, or ask the group's owner",
            Self::NotFound { .. } => "dkm group list shows what this account may see",
            Self::Unavailable { .. } => {
                "check that the repository can be reached and answers, then try again"
            }
            Self::NoSpace { .. } => {
                "free some space; nothing was lost, and the same command can be run again"
            }
            Self::ReadOnly { .. } => "mount it writable, or run the command where it is; nothing was changed",
            Self::NotARepository { .. } => "make one with dkm init, or name another with --repository",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
