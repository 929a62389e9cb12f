//! What can go wrong in letting somebody in for a time.

use dkm::repository::RepositoryError;

/// Why nobody was let in, or nobody shut out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElevationError {
    /// A domain controller does not answer.
    #[error("{place} can't be used: {why}; try again once it answers")]
    Unreachable {
        /// The domain controller.
        place: String,
        /// What happened.
        why: String,
    },
    /// This account may not.
    #[error("{what}: this account may not; {help}")]
    Denied {
        /// What was tried.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// The access would end too soon for Kerberos.
    #[error(
        "access for {left_s} s is too short: domain controllers give tickets for {least_s} s and more; ask for longer"
    )]
    TooShort {
        /// Seconds that are left until the end.
        left_s: u64,
        /// Seconds that it takes at least.
        least_s: u64,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What helps an account that may not.
const HELP: &str =
    "name it with --elevators, to dkm ad init for the repository and to dkm group create for the group";

impl ElevationError {
    /// A domain controller said no to something.
    pub(super) fn denied(what: impl Into<String>) -> Self {
        Self::Denied { what: what.into(), help: HELP.to_owned() }
    }
}

impl From<RepositoryError> for ElevationError {
    fn from(error: RepositoryError) -> Self {
        match error {
            RepositoryError::Unavailable { location: place, why } => Self::Unreachable { place, why },
            RepositoryError::Denied { what, location } | RepositoryError::NotFound { what, location } => {
                Self::denied(format!("{what} in {location}"))
            }
            other => Self::Other(other.to_string()),
        }
    }
}
