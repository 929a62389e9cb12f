//! Root keys: they wrap key material at rest, so that a copy of the repository alone opens nothing.

pub(crate) mod file;

use std::fmt;

pub use file::FileRootKeys;

use dkm_core::record::WrappedMaterial;
use dkm_core::{GroupId, RootKeyId};
use zeroize::Zeroizing;

use crate::ErrorKind;
use crate::repository::GroupAccess;

/// Holds root keys and wraps with them: files, or a TPM, a PKCS#11 token, a cloud's key service.
///
/// Implementations MUST authenticate `aad` together with the material, and MUST bound every call in time.
pub trait RootKeyProvider: fmt::Debug + Send + Sync {
    /// Where the root keys are, without secrets, for messages.
    fn location(&self) -> String;

    /// Makes the first root key of a group, readable by those who shall read the group's keys.
    ///
    /// # Errors
    /// [`RootKeyError`]; a group that has a root key already keeps it, and its id is returned.
    fn create(&self, group: GroupId, access: &GroupAccess) -> Result<RootKeyId, RootKeyError>;

    /// The root key that new material of the group is wrapped under.
    ///
    /// # Errors
    /// [`RootKeyError::NotFound`] for a group without one.
    fn current(&self, group: GroupId) -> Result<RootKeyId, RootKeyError>;

    /// All root keys of the group that can be unwrapped with, sorted. By default the current one.
    ///
    /// # Errors
    /// As [`RootKeyProvider::current`].
    fn list(&self, group: GroupId) -> Result<Vec<RootKeyId>, RootKeyError> {
        self.current(group).map(|id| vec![id])
    }

    /// Makes a further root key, which does not wrap yet: first every member must have it.
    ///
    /// # Errors
    /// [`RootKeyError::NotFound`] for a group without a root key; [`RootKeyError::Invalid`] where root keys are made by
    /// other means, as by default.
    fn add(&self, group: GroupId) -> Result<RootKeyId, RootKeyError> {
        let _ = group;
        Err(managed_elsewhere(&self.location()))
    }

    /// Has a root key wrap from now on. What is wrapped already stays as it is.
    ///
    /// # Errors
    /// [`RootKeyError::NotFound`] if it is not there; [`RootKeyError::Invalid`] as for [`RootKeyProvider::add`].
    fn make_current(&self, group: GroupId, id: RootKeyId) -> Result<(), RootKeyError> {
        let _ = (group, id);
        Err(managed_elsewhere(&self.location()))
    }

    /// Wraps material of a key under the group's current root key. `aad` is authenticated, not stored.
    ///
    /// # Errors
    /// [`RootKeyError`].
    fn wrap(&self, group: GroupId, aad: &[u8], material: &[u8; 32]) -> Result<WrappedMaterial, RootKeyError>;

    /// Opens wrapped material.
    ///
    /// # Errors
    /// [`RootKeyError::NotFound`] if the root key is not there, [`RootKeyError::Mismatch`] if material or `aad` is not
    /// what was wrapped.
    fn unwrap(
        &self,
        group: GroupId,
        aad: &[u8],
        wrapped: &WrappedMaterial,
    ) -> Result<Zeroizing<[u8; 32]>, RootKeyError>;

    /// Lets go of what is kept in memory for a group, because the account is no member any more.
    fn forget(&self, _group: GroupId) {}
}

fn managed_elsewhere(location: &str) -> RootKeyError {
    RootKeyError::Invalid(format!(
        "root keys in {location} are made and replaced by other means than this program"
    ))
}

/// Why a root key was not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootKeyError {
    /// There is none, or not the one asked for.
    #[error("the root key {root} of group {group} is not in {location}")]
    NotFound {
        /// The root key, or "(current)".
        root: String,
        /// The group.
        group: GroupId,
        /// Where it was looked for.
        location: String,
    },
    /// The system denies reading or writing it.
    #[error("access to the root key of group {group} in {location} is denied")]
    Denied {
        /// The group.
        group: GroupId,
        /// Where it is.
        location: String,
    },
    /// Others than it is meant for could read it.
    #[error("the root key in {location} is not used, because {why}")]
    Loose {
        /// Where it is.
        location: String,
        /// Who could read it.
        why: String,
    },
    /// The wrapped material is damaged, or belongs to another record, group, repository or root key.
    #[error("wrapped key material does not open under root key {root}: it is damaged or was moved")]
    Mismatch {
        /// The root key.
        root: RootKeyId,
    },
    /// What lies where the root key should be is something else.
    #[error("the root key in {location} is not used, because {why}")]
    Damaged {
        /// Where it is.
        location: String,
        /// What was found.
        why: String,
    },
    /// The request cannot be expressed where the root keys are.
    #[error("{0}")]
    Invalid(String),
    /// The holder of root keys does not answer or failed.
    #[error("root keys in {location} can't be used: {why}")]
    Unavailable {
        /// Where they are.
        location: String,
        /// What happened.
        why: String,
    },
}

impl RootKeyError {
    /// Of what kind the error is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Denied { .. } | Self::Loose { .. } => ErrorKind::Denied,
            Self::Mismatch { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Invalid(_) => ErrorKind::Usage,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }

    /// How to recover, for people.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::NotFound { .. } => {
                "put the root key file back from its backup, copy its folder from another machine of the group, or name the \
                 folder with DKM_ROOT_KEYS; without it, only an archive opens old content"
            }
            Self::Denied { .. } => {
                "run it as a member of the group; to make a root key, as an account that may write there, or name another \
                 folder with DKM_ROOT_KEYS"
            }
            Self::Loose { .. } => {
                "correct owner and mode of the file, and roll the group's key if others may have read it"
            }
            Self::Mismatch { .. } => "restore the record from a backup, or the key from an archive",
            Self::Damaged { .. } => "put the root key file back from its backup",
            Self::Invalid(_) => return None,
            Self::Unavailable { .. } => "check the place, then try again",
        };
        Some(text.to_owned())
    }
}
