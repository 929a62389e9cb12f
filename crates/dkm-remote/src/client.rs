//! A client of a repository behind `dkmd`.

use std::path::PathBuf;
use std::sync::Arc;

use dkm::blocking::{Client, Options};
use dkm::root_key::FileRootKeys;
use dkm::{Error, Result};

use crate::http::Limits;
use crate::repository::RemoteRepository;
use crate::url::{ParseRemoteUrlError, RemoteUrl};

/// Where root keys are looked for if neither the URL nor the caller says it.
pub const DEFAULT_ROOT_KEYS: &str = "/etc/dkm/root-keys";

/// Opens a client of the repository behind a URL: as whom the certificate in the folder of credentials names or, over a
/// Unix socket, as the account that this process runs under.
///
/// # Errors
/// The URL is not one. Nothing has been read yet.
pub fn open(url: &str, options: Options) -> Result<Client> {
    let url: RemoteUrl =
        url.parse().map_err(|error: ParseRemoteUrlError| Error::Invalid(error.to_string()))?;
    let folder = options.root_keys.clone().or_else(|| url.root_keys.clone());
    let roots = FileRootKeys::new(folder.unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT_KEYS)));
    Client::new(Arc::new(RemoteRepository::open(url, Limits::default())), Arc::new(roots), options)
}
