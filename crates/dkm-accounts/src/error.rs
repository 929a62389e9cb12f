//! What can go wrong. No error holds a secret.

use std::path::PathBuf;

use crate::account::AccountId;
use crate::secret::Field;

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The keys: a blob does not open, access is denied, the repository is not there.
    #[error("{doing}: {source}")]
    Dkm {
        /// What was being done.
        doing: String,
        /// Why it was not.
        source: dkm::Error,
    },
    /// There is no store there.
    #[error("there is no store of accounts at {}", .0.display())]
    NoStore(PathBuf),
    /// The file is no store of accounts.
    #[error("{} is no store of accounts", .0.display())]
    NotAStore(PathBuf),
    /// A newer program has made it.
    #[error("the store of accounts at {} has version {version}, which this program does not know", path.display())]
    Version {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        version: i64,
    },
    /// The store is one of another group.
    #[error("the store of accounts at {} keeps secrets of group {store}, not of {group}", path.display())]
    OtherGroup {
        /// Where it is.
        path: PathBuf,
        /// Its group.
        store: dkm::GroupId,
        /// The one that was given.
        group: dkm::GroupId,
    },
    /// Its folder or file is open to others.
    #[error("{} can be {how} by others than its owner: set its mode to {mode}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// "read" or "changed".
        how: &'static str,
        /// What it should be.
        mode: &'static str,
    },
    /// The store can't be read or written.
    #[error("the store of accounts at {} can't be used: {source}", path.display())]
    Store {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A file of it can't be made or looked at.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such account.
    #[error("there is no account {0}")]
    NoAccount(AccountId),
    /// The owner has this mailbox already.
    #[error("{owner} has {address} already, as account {account}")]
    Exists {
        /// The owner.
        owner: String,
        /// The mailbox.
        address: String,
        /// The account that is there.
        account: AccountId,
    },
    /// The account has no such secret.
    #[error("account {account} has no {field}")]
    NoSecret {
        /// The account.
        account: AccountId,
        /// Which secret.
        field: Field,
    },
    /// A secret that can't be one.
    #[error("the {field} is {what}")]
    BadSecret {
        /// Which secret.
        field: Field,
        /// "empty", or what else is wrong with it. Never a part of it.
        what: &'static str,
    },
    /// What the store holds of an account is not what this program has written.
    #[error("account {account} in the store is damaged: {what}")]
    Damaged {
        /// The account.
        account: AccountId,
        /// What is wrong.
        what: String,
    },
    /// The provider does not take this login.
    #[error("{provider} takes no {login}: {why}")]
    Login {
        /// The provider.
        provider: crate::Provider,
        /// The login.
        login: crate::Login,
        /// What it takes instead.
        why: &'static str,
    },
    /// A custom provider without a server.
    #[error("a custom provider needs the name of its server")]
    NoServer,
    /// A name that can't be one.
    #[error("{0}")]
    BadName(String),
    /// No key of the group protects.
    #[error("no key of the group protects: {0}")]
    NoKey(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
}

impl Error {
    pub(crate) fn dkm(doing: impl Into<String>) -> impl FnOnce(dkm::Error) -> Self {
        let doing = doing.into();
        |source| Self::Dkm { doing, source }
    }

    /// The kind of error, as crate `dkm` sorts them.
    #[must_use]
    pub fn kind(&self) -> dkm::ErrorKind {
        use dkm::ErrorKind;
        match self {
            Self::Dkm { source, .. } => source.kind(),
            Self::NoStore(_) | Self::NoAccount(_) | Self::NoSecret { .. } => ErrorKind::NotFound,
            Self::NotAStore(_) | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Exists { .. }
            | Self::OtherGroup { .. }
            | Self::BadSecret { .. }
            | Self::NoServer
            | Self::BadName(_)
            | Self::Login { .. } => ErrorKind::Usage,
            Self::Open { .. } | Self::NoKey(_) => ErrorKind::Refused,
            Self::Version { .. } | Self::Store { .. } | Self::Io { .. } | Self::NoRandomness => {
                ErrorKind::Unavailable
            }
        }
    }
}
