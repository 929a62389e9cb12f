//! A folder of credentials: what an account shows of itself, and whom it believes.
//!
//! `identity.pem` holds the private key and the certificate, in one file, so that no reader ever sees a key with
//! another key's certificate; `authority.pem` holds the authority that vouches for the servers. Both are replaced whole.
//! The key is made here and never leaves the folder.

mod file;
pub(crate) mod key;
pub(crate) mod renewal;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use self::file::Access;
use crate::http::tls;

/// Name of the file with key and certificate.
pub const IDENTITY: &str = "identity.pem";
/// Name of the file with the authority.
pub const AUTHORITY: &str = "authority.pem";
/// How the name of a certificate begins that was given out under a grant for elevated access.
const GRANT: &str = "grant:";
/// What who writes into the folder locks.
const LOCK: &str = ".lock";

/// Why credentials can't be used, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// There are none.
    #[error("there are no credentials: {path} is not there")]
    Missing {
        /// The file or folder.
        path: String,
    },
    /// Others than their owner may read or change them.
    #[error("{path} may be {what} by others than its owner: {repair}")]
    Open {
        /// The file or folder.
        path: String,
        /// What others may do.
        what: &'static str,
        /// The command that puts it right.
        repair: String,
    },
    /// They can't be read or written.
    #[error("{path} can't be {what}: {why}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        why: String,
    },
    /// They are damaged.
    #[error("{path} is no good: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        why: String,
    },
}

impl From<CredentialsError> for dkm::Error {
    fn from(error: CredentialsError) -> Self {
        use CredentialsError as C;
        let (location, why) = match error {
            C::Missing { path } => (path, "it is not there".to_owned()),
            C::Open { path, what, repair } => {
                (path, format!("it may be {what} by others than its owner: {repair}"))
            }
            C::Io { path, what, why } => (path, format!("it can't be {what}: {why}")),
            C::Damaged { path, why } => (path, why),
        };
        dkm::repository::RepositoryError::Unavailable { location, why }.into()
    }
}

/// A folder of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    folder: PathBuf,
}

/// When a certificate is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// When it begins, in milliseconds since 1970.
    pub not_before_ms: u64,
    /// When it ends, in milliseconds since 1970.
    pub not_after_ms: u64,
    /// Whether another can follow it: one that was given out under a grant ends with that.
    pub is_renewable: bool,
}

impl Validity {
    /// Of a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let ms = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
        let validity = parsed.validity();
        let mut names = parsed.subject().iter_common_name();
        let of_grant = names.any(|name| name.as_str().is_ok_and(|name| name.starts_with(GRANT)));
        Ok(Self {
            is_renewable: !of_grant,
            not_before_ms: ms(validity.not_before.timestamp()),
            not_after_ms: ms(validity.not_after.timestamp()),
        })
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn has_ended(&self, now_ms: u64) -> bool {
        now_ms > self.not_after_ms
    }

    /// Whether less than half of its life is left.
    #[must_use]
    pub const fn is_renewal_due(&self, now_ms: u64) -> bool {
        self.is_renewable
            && now_ms > self.not_before_ms + self.not_after_ms.saturating_sub(self.not_before_ms) / 2
    }
}

/// What is in the folder. No `Debug`: the key is a secret.
pub(crate) struct Loaded {
    pub(crate) identity: tls::Identity,
    pub(crate) validity: Validity,
}

/// Holds off others that write into the folder.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held as long as the file is open")] File);

/// Milliseconds since 1970, as this machine has it.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The certificates of a text in PEM; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() { Err("it holds no certificate in PEM".to_owned()) } else { Ok(all) }
}

/// The certificates in a file of authorities, wherever it is.
///
/// # Errors
/// It is not there, others may write it, or it holds none.
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let pem = file::read(path, Access::Public)?;
    certificates(&pem).map_err(|why| CredentialsError::Damaged { path: path.display().to_string(), why })
}

impl Credentials {
    /// The credentials in a folder, which need not be there yet.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn identity_path(&self) -> PathBuf {
        self.folder.join(IDENTITY)
    }

    pub(crate) fn authority_path(&self) -> PathBuf {
        self.folder.join(AUTHORITY)
    }

    /// When the certificate in the folder is taken.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn validity(&self) -> Result<Validity, CredentialsError> {
        self.load().map(|loaded| loaded.validity)
    }

    /// When the certificate in the folder is taken, if there is one that has not ended.
    ///
    /// # Errors
    /// There is one, and it can't be read: that it has ended is not known, so nothing takes its place unasked.
    pub(crate) fn holds_unended(&self) -> Result<Option<Validity>, CredentialsError> {
        match self.validity() {
            Ok(validity) => Ok(Some(validity).filter(|validity| !validity.has_ended(now_ms()))),
            Err(CredentialsError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads key and certificate.
    pub(crate) fn load(&self) -> Result<Loaded, CredentialsError> {
        file::check_folder(&self.folder)?;
        let path = self.identity_path();
        let pem = file::read(&path, Access::Private)?;
        let damaged = |why: String| CredentialsError::Damaged { path: path.display().to_string(), why };
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|error| damaged(format!("it holds no private key in PEM: {error}")))?;
        let chain = certificates(&pem).map_err(damaged)?;
        let first = chain.first().ok_or_else(|| damaged("it holds no certificate".to_owned()))?;
        let validity = Validity::of(first).map_err(damaged)?;
        Ok(Loaded { identity: (chain, key), validity })
    }

    /// Makes the folder if it is not there, and sees that it can be written.
    pub(crate) fn prepare(&self) -> Result<(), CredentialsError> {
        file::make_folder(&self.folder)?;
        file::check_folder(&self.folder)?;
        file::try_out(&self.folder)
    }

    /// Holds off others that write into the folder; none if somebody does already.
    pub(crate) fn lock(&self) -> Result<Option<Lock>, CredentialsError> {
        let path = self.folder.join(LOCK);
        let file = file::open_lock(&path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(file::failed(&path, "locked", &error.into())),
        }
    }

    /// Replaces key and certificate, whole.
    pub(crate) fn store_identity(&self, _: &Lock, key: &str, chain: &str) -> Result<(), CredentialsError> {
        let both = Zeroizing::new(format!("{}\n{}\n", key.trim_end(), chain.trim_end()));
        file::write(&self.identity_path(), both.as_bytes(), Access::Private)
    }

    /// Replaces the authority, whole.
    pub(crate) fn store_authority(&self, _: &Lock, pem: &str) -> Result<(), CredentialsError> {
        file::write(&self.authority_path(), pem.as_bytes(), Access::Public)
    }
}

#[cfg(test)]
mod tests;
