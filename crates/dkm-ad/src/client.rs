//! A client of a repository in Active Directory.

use std::path::PathBuf;
use std::sync::Arc;

use dkm::blocking::{Client, Options};
use dkm::root_key::FileRootKeys;
use dkm::{Error, Result};

use crate::repository::{AdRepository, Limits};
use crate::url::AdUrl;

/// Where root keys are looked for if neither the URL nor the caller says it.
pub const DEFAULT_ROOT_KEYS: &str = "/etc/dkm/root-keys";

/// Opens a client of the repository behind a URL, as whom Kerberos says this process is: by the credential cache
/// (`KRB5CCNAME`) or the client keytab (`KRB5_CLIENT_KTNAME`).
///
/// # Errors
/// The URL is not one, or DNS knows no domain controller. Nothing has been read of the repository yet.
pub fn open(url: &str, options: Options) -> Result<Client> {
    let url: AdUrl =
        url.parse().map_err(|error: crate::ParseAdUrlError| Error::Invalid(error.to_string()))?;
    let folder = options.root_keys.clone().or_else(|| url.root_keys.clone());
    let roots = FileRootKeys::new(folder.unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT_KEYS)));
    let repository = AdRepository::open(url, None, Limits::default())?;
    Client::new(Arc::new(repository), Arc::new(roots), options)
}
