//! The product as measured: a group in a directory repository, its key in the client's memory.

use std::path::Path;

use anyhow::Result;
use dkm::blocking::{Client, Group, NewGroup, Options};
use dkm::core::policy::Policy;
use dkm::repository::GroupAccess;
use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::{Context, Location, Plaintext};
use tempfile::TempDir;

pub(crate) struct Product {
    group: Group,
    context: Context,
    /// Where the repository lies.
    _folder: TempDir,
}

impl Product {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let group = new_group(&folder.path().join("repository"))?;
        Ok(Self { group, context: Context::new().with("account", "alice@example.org")?, _folder: folder })
    }

    pub(crate) fn protect(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        Ok(self.group.protect(&self.context, plaintext)?)
    }

    pub(crate) fn protect_into(&self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        Ok(self.group.protect_into(&self.context, plaintext, out)?)
    }

    pub(crate) fn unprotect(&self, blob: &[u8]) -> Result<Plaintext> {
        Ok(self.group.unprotect(&self.context, blob)?)
    }

    pub(crate) fn unprotect_into(&self, blob: &[u8], out: &mut Plaintext) -> Result<()> {
        Ok(self.group.unprotect_into(&self.context, blob, out)?)
    }
}

/// A new group in a new repository, with the default policy of directory repositories.
pub(crate) fn new_group(repository: &Path) -> Result<Group> {
    DirectoryRepository::create(repository, &CreateOptions::default())?;
    let new = NewGroup {
        name: "bench".into(),
        description: None,
        policy: Policy::for_directory(),
        access: GroupAccess::default(),
    };
    Ok(client(repository)?.create_group(new)?)
}

/// A client that has read nothing yet. It reads when asked, not in the background.
pub(crate) fn client(repository: &Path) -> Result<Client> {
    Ok(Client::open(&Location::directory(repository), Options { background: false, ..Options::default() })?)
}
