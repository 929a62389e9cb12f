//! Where the repository is, for messages; and what the kernel's errors mean there.

use rustix::io::Errno;

use crate::repository::RepositoryError;

/// A repository by its URL.
#[derive(Debug, Clone)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn new(path: &std::path::Path) -> Self {
        Self(format!("dir:{}", path.display()))
    }

    pub(super) fn url(&self) -> &str {
        &self.0
    }

    pub(super) fn denied(&self, what: impl Into<String>) -> RepositoryError {
        RepositoryError::Denied { location: self.0.clone(), what: what.into() }
    }

    pub(super) fn not_found(&self, what: impl Into<String>) -> RepositoryError {
        RepositoryError::NotFound { location: self.0.clone(), what: what.into() }
    }

    pub(super) fn unavailable(&self, why: impl Into<String>) -> RepositoryError {
        RepositoryError::Unavailable { location: self.0.clone(), why: why.into() }
    }

    pub(super) fn not_a_repository(&self, why: impl Into<String>) -> RepositoryError {
        RepositoryError::NotARepository { location: self.0.clone(), why: why.into() }
    }

    /// What an error of the kernel means when it is met on the way to `what`.
    pub(super) fn error(&self, what: &str, errno: Errno) -> RepositoryError {
        let location = self.0.clone();
        match errno {
            Errno::ACCESS | Errno::PERM => self.denied(what),
            Errno::NOENT => self.not_found(what),
            Errno::NOSPC | Errno::DQUOT => RepositoryError::NoSpace { location },
            Errno::ROFS => RepositoryError::ReadOnly { location },
            Errno::TOOBIG => self.unavailable(format!("{what}: more names than any repository has")),
            errno => self.unavailable(format!("{what}: {}", std::io::Error::from(errno))),
        }
    }
}
