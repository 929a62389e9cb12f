//! Escrow: sealed copies of new keys, kept elsewhere before the keys are used.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;

use dkm_core::{GroupId, KeyId};

use crate::{Error, Result};

/// Takes archives of single keys. Policy `archive_before_use` makes no key without it.
pub trait Escrow: fmt::Debug + Send + Sync {
    /// Keeps an archive of a key that is about to be put into the repository. It MUST be durable when this returns.
    ///
    /// # Errors
    /// It could not be kept; the key is then not made.
    fn keep(&self, group: GroupId, key: KeyId, sealed: &[u8]) -> Result<()>;
}

/// Keeps archives in a folder: `<group id>/<key id>.age`.
#[derive(Debug, Clone)]
pub struct FolderEscrow {
    folder: PathBuf,
}

impl FolderEscrow {
    /// An escrow in this folder, which is made when it is needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl Escrow for FolderEscrow {
    fn keep(&self, group: GroupId, key: KeyId, sealed: &[u8]) -> Result<()> {
        let folder = self.folder.join(group.to_string());
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("can't make the folder", &folder, e))?;
        let path = folder.join(format!("{key}.age"));
        let temporary = folder.join(format!(".{key}.age.new"));
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(sealed)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            // The group's folder may be new, and the one above it.
            let sync = |folder: &std::path::Path| std::fs::File::open(folder)?.sync_all();
            sync(&folder)?;
            sync(&self.folder)?;
            self.folder.parent().filter(|above| !above.as_os_str().is_empty()).map_or(Ok(()), sync)
        };
        write().map_err(|e| {
            // What was written in part helps nobody; if it can't be removed either, it is overwritten next time.
            let _ = std::fs::remove_file(&temporary);
            Error::io("can't keep the archive", &path, e)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_and_what_cannot_be_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (group, key) = (GroupId([1; 16]), KeyId([2; 16]));
        FolderEscrow::new(folder.path()).keep(group, key, b"sealed").unwrap();
        let path = folder.path().join(group.to_string()).join(format!("{key}.age"));
        assert_eq!(std::fs::read(&path).unwrap(), b"sealed");
        let file = FolderEscrow::new(&path);
        assert!(matches!(file.keep(group, key, b"sealed"), Err(Error::Io { .. })));
    }
}
