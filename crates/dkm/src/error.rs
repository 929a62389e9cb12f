//! What can go wrong, of what kind it is, and how to recover.

use std::path::{Path, PathBuf};

use dkm_core::archive::ArchiveError;
use dkm_core::blob::BlobError;
use dkm_core::context::ContextError;
use dkm_core::member::{ProtectRefusal, UnprotectRefusal};
use dkm_core::policy::PolicyError;
use dkm_core::record::RecordError;
use dkm_core::windows::WindowsBlobError;
use dkm_core::{KeyGuid, KeyId};

use crate::repository::RepositoryError;
use crate::root_key::RootKeyError;
use crate::view::{KeyFault, READ};

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Kinds of errors: what a caller does about one depends on its kind alone. The `dkm` command's exit codes are these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A fault of this program or its machine. Exit code 1.
    Internal,
    /// The caller asked for something that cannot be. Exit code 2.
    Usage,
    /// A group, key, file or repository that is not there. Exit code 3.
    NotFound,
    /// The repository, a root key or the file system denies access. Exit code 4.
    Denied,
    /// Data that is damaged or forged, or was protected in another context. Exit code 5.
    Corrupt,
    /// No replica answers, or a disk is full or failing. Exit code 6.
    Unavailable,
    /// Policy, a key's state or a waiting time forbids it. Exit code 7.
    Refused,
}

impl ErrorKind {
    /// The exit code that the `dkm` command documents for this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Denied => 4,
            Self::Corrupt => 5,
            Self::Unavailable => 6,
            Self::Refused => 7,
        }
    }

    /// The kind's name in JSON output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Corrupt => "corrupt",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// Any error of this library. No error holds key material or plaintext.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository failed or denied.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A root key is missing, denied or does not fit.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    /// There is no key to protect with.
    #[error(transparent)]
    Protect(#[from] ProtectRefusal),
    /// The blob's key may not be used.
    #[error(transparent)]
    Unprotect(#[from] UnprotectRefusal),
    /// The blob is not one, is damaged, or was protected in another context.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The Windows blob is not one, or is damaged.
    #[error(transparent)]
    Windows(#[from] WindowsBlobError),
    /// No key that Windows calls so was imported.
    #[error("no Windows key {guid} is on the group's ring")]
    NoWindowsKey {
        /// What Windows calls the key.
        guid: KeyGuid,
    },
    /// Policy forbids the suite of a blob.
    #[error("policy forbids to open blobs of suite {suite}")]
    SuiteForbidden {
        /// The suite.
        suite: dkm_core::Suite,
    },
    /// The pairs given are not a context.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The policy does not hold together.
    #[error("the policy is refused: {0}")]
    Policy(#[from] PolicyError),
    /// A record could not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An archive could not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// No group of this name or id.
    #[error("there is no group {group} in {repository}, or this account may not see it")]
    NoGroup {
        /// Name or id asked for.
        group: String,
        /// The repository's URL.
        repository: String,
    },
    /// Several groups of this name.
    #[error("{count} groups are named {name}: {ids}")]
    AmbiguousGroup {
        /// The name.
        name: String,
        /// How many there are.
        count: usize,
        /// Their ids.
        ids: String,
    },
    /// A group of this name exists already.
    #[error("a group named {name} exists already")]
    GroupExists {
        /// The name.
        name: String,
    },
    /// No key of this id.
    #[error("there is no key {key} on the group's ring")]
    NoKey {
        /// The key.
        key: KeyId,
    },
    /// What was asked for needs a right that this account does not have.
    #[error("{what} needs the right to {right}, which this account does not have")]
    NoRight {
        /// The operation.
        what: String,
        /// The right, in words.
        right: &'static str,
    },
    /// An owner's operation that the key's state or a waiting time forbids.
    #[error("{what} is refused: {why}")]
    Refused {
        /// The operation.
        what: String,
        /// Why.
        why: String,
        /// How to get on.
        advice: String,
    },
    /// Something that the caller gave cannot be.
    #[error("{0}")]
    Invalid(String),
    /// So many asynchronous calls wait for the repository that no more are taken.
    #[error("{waiting} calls wait for the repository already")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// A file or a stream failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was done to it, such as "can't read".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A journal that must be written could not be.
    #[error("the audit journal {} can't be written: {source}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<KeyFault> for Error {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::RootKey(error) => Self::RootKey(error),
            KeyFault::Withheld => {
                Self::NoRight { what: "opening what the key protected".to_owned(), right: READ }
            }
        }
    }
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_path_buf(), source }
    }

    /// Of what kind the error is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Repository(e) => e.kind(),
            Self::RootKey(e) => e.kind(),
            Self::Protect(e) => match e {
                ProtectRefusal::Denied => ErrorKind::Denied,
                ProtectRefusal::NotRead
                | ProtectRefusal::OutOfReach { .. }
                | ProtectRefusal::NotUsable { .. } => ErrorKind::Unavailable,
                _ => ErrorKind::Refused,
            },
            Self::Unprotect(e) => match e {
                UnprotectRefusal::Denied => ErrorKind::Denied,
                UnprotectRefusal::NotRead | UnprotectRefusal::OutOfReach { .. } => ErrorKind::Unavailable,
                UnprotectRefusal::UnknownKey { .. } => ErrorKind::NotFound,
                UnprotectRefusal::NotVerified { .. } => ErrorKind::Corrupt,
                _ => ErrorKind::Refused,
            },
            Self::Blob(e) => match e {
                BlobError::TooLarge => ErrorKind::Usage,
                BlobError::Io(_) => ErrorKind::Unavailable,
                _ => ErrorKind::Corrupt,
            },
            Self::Windows(e) => match e {
                WindowsBlobError::TooLarge { .. } => ErrorKind::Usage,
                WindowsBlobError::Cryptography => ErrorKind::Internal,
                _ => ErrorKind::Corrupt,
            },
            Self::Context(_) | Self::Policy(_) | Self::Invalid(_) | Self::AmbiguousGroup { .. } => {
                ErrorKind::Usage
            }
            Self::GroupExists { .. } | Self::SuiteForbidden { .. } | Self::Refused { .. } => {
                ErrorKind::Refused
            }
            Self::NoGroup { .. } | Self::NoKey { .. } | Self::NoWindowsKey { .. } => ErrorKind::NotFound,
            Self::NoRight { .. } => ErrorKind::Denied,
            Self::Record(_) | Self::Archive(_) => ErrorKind::Corrupt,
            Self::Io { source, .. } => io_kind(source),
            Self::Journal { .. } | Self::Busy { .. } => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// How to recover, in a sentence for people; none where the error says it itself.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Repository(e) => return e.advice(),
            Self::RootKey(e) => return e.advice(),
            Self::Protect(e) => return protect_advice(e),
            Self::Unprotect(e) => return unprotect_advice(e),
            Self::Blob(e) => return blob_advice(e),
            Self::Windows(e) => return windows_advice(e),
            Self::NoWindowsKey { .. } => "import the keys of its container: dkm import windows-dkm",
            Self::SuiteForbidden { .. } => "an owner may allow the suite: dkm policy set unprotect_suites=…",
            Self::NoGroup { .. } => {
                "list the groups that this account may see: dkm group list; membership is decided by the \
                 repository's access control"
            }
            Self::AmbiguousGroup { .. } => "name the group by its id",
            Self::GroupExists { .. } => "choose another name, or use the group that is there",
            Self::NoKey { .. } => "list the keys: dkm key list",
            Self::NoRight { .. } => {
                "run it as an account that has the right, or ask the group's owner; dkm group show tells the rights"
            }
            Self::Refused { advice, .. } => advice,
            Self::Journal { .. } => {
                "free space or give another journal with DKM_AUDIT_LOG; what must be recorded is not done unrecorded"
            }
            Self::Busy { .. } => {
                "check that the repository answers; try again later, and limit how many calls are made at once"
            }
            Self::Io { source, .. } => match io_kind(source) {
                ErrorKind::NotFound => "check the name",
                ErrorKind::Denied => "check the permissions of the file and its folder",
                _ => return None,
            },
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Of what kind an error of the system is.
pub(crate) fn io_kind(error: &std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    }
}

fn protect_advice(refusal: &ProtectRefusal) -> Option<String> {
    let text = match refusal {
        ProtectRefusal::Denied => "ask the group's owner whether this account is still a member",
        ProtectRefusal::NotRead | ProtectRefusal::OutOfReach { .. } => {
            "check that the repository can be reached, then try again"
        }
        ProtectRefusal::ClockOff { .. } => {
            "set the clock of this machine (or the repository's), then try again"
        }
        ProtectRefusal::Overdue { .. } => "make a new key: dkm key roll",
        ProtectRefusal::NotUsable { .. } => {
            "wait until enough replicas answer; dkm doctor tells which records have gone or changed"
        }
        ProtectRefusal::NoKey => {
            "dkm key list shows the states; dkm key resume or dkm key roll makes a key active"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn unprotect_advice(refusal: &UnprotectRefusal) -> Option<String> {
    let text = match refusal {
        UnprotectRefusal::Denied => "ask the group's owner whether this account is still a member",
        UnprotectRefusal::NotRead | UnprotectRefusal::OutOfReach { .. } => {
            "check that the repository can be reached, then try again"
        }
        UnprotectRefusal::UnknownKey { .. } => {
            "the key may still be on its way: try again later; if it was lost, restore it: dkm archive restore"
        }
        UnprotectRefusal::NotVerified { .. } => {
            "check that the group's root key is there (dkm doctor), or restore the key: dkm archive restore"
        }
        UnprotectRefusal::Compromised { .. } => {
            "if you must read it all the same, say so: dkm unprotect --allow-compromised REASON, which is recorded"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn blob_advice(error: &BlobError) -> Option<String> {
    let text = match error {
        BlobError::NotABlob => "check that this is the output of dkm protect, not text around it",
        BlobError::UnknownVersion { .. }
        | BlobError::UnknownSuite { .. }
        | BlobError::UnknownFlags { .. } => {
            "if a newer dkm wrote it, upgrade; otherwise the file is damaged: take another copy"
        }
        BlobError::WrongGroup { .. } => "name the blob's own group: dkm inspect shows it",
        BlobError::WrongContext => "give exactly the pairs that were given at protect (-c key=value)",
        BlobError::Truncated | BlobError::BadChunkSize { .. } | BlobError::Corrupt { .. } => {
            "take another copy of the blob; this one was not changed"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn windows_advice(error: &WindowsBlobError) -> Option<String> {
    let text = match error {
        WindowsBlobError::NotAWindowsBlob => {
            "a blob of DKM's own is opened without --windows; dkm inspect tells what a file is"
        }
        WindowsBlobError::UnknownVersion { .. }
        | WindowsBlobError::UnknownMethod { .. }
        | WindowsBlobError::UnknownAlgorithm { .. } => {
            "docs/windows-dkm.md says which Windows blobs can be read; otherwise it is damaged: take another copy"
        }
        WindowsBlobError::Truncated
        | WindowsBlobError::Malformed { .. }
        | WindowsBlobError::TrailingBytes { .. }
        | WindowsBlobError::WrongMac => "take another copy of the blob; this one was not changed",
        _ => return None,
    };
    Some(text.to_owned())
}
