//! Files that are whole and durable, or not there.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;
use crate::steps::step;

/// Mode of files and folders: for the log's account and its group, as which a web server may serve them.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// In fault-injection builds files are written in pieces, so that a test can stop between two of them.
const PIECE_LEN: usize = if cfg!(any(test, feature = "fault-injection")) { 8 * 1024 } else { usize::MAX };

/// A folder that one process writes to.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// Folders whose new names are not durable yet.
    unsynced: BTreeSet<PathBuf>,
    syncs: u64,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), unsynced: BTreeSet::new(), syncs: 0 }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// How often a file or folder was made durable, or that was tried.
    pub(crate) const fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Puts a whole file at `path`, in place of what is there. It is durable once [`Files::sync`] returns.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let target = self.root.join(path);
        let folder = target.parent().unwrap_or(&self.root).to_path_buf();
        self.make(&folder)?;
        let temporary = self.root.join(".tmp");
        self.syncs += 1;
        write(&temporary, bytes).map_err(|error| Error::io(&target, error))?;
        step("rename a file");
        fs::rename(&temporary, &target).map_err(|error| Error::io(&target, error))?;
        self.unsynced.insert(folder);
        Ok(())
    }

    /// Makes everything that was put durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        while let Some(folder) = self.unsynced.first() {
            step("sync a folder");
            self.syncs += 1;
            match sync_folder(folder) {
                // What was removed since has nothing to lose.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(folder, error)),
                _ => self.unsynced.pop_first(),
            };
        }
        Ok(())
    }

    /// Has the folders on the way to `path` made durable with the next [`Files::sync`]: who made them may have died
    /// before it did so.
    pub(crate) fn doubt(&mut self, path: &str) {
        let target = self.root.join(path);
        let ours = target.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(&self.root));
        self.unsynced.extend(ours.filter(|ancestor| ancestor.is_dir()).map(Path::to_path_buf));
    }

    fn make(&mut self, folder: &Path) -> Result<(), Error> {
        let missing =
            folder.ancestors().take_while(|ancestor| **ancestor != *self.root && !ancestor.is_dir());
        let missing: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
        for folder in missing.into_iter().rev() {
            step("make a folder");
            let made = DirBuilder::new().mode(FOLDER_MODE).create(&folder);
            if let Err(error) = made
                && error.kind() != ErrorKind::AlreadyExists
            {
                return Err(Error::io(&folder, error));
            }
            if let Some(parent) = folder.parent() {
                self.unsynced.insert(parent.to_path_buf());
            }
        }
        Ok(())
    }

    /// Removes a file, or a folder of files; what is not there is removed already.
    pub(crate) fn remove(&mut self, path: &str) -> Result<(), Error> {
        let target = self.root.join(path);
        let removed = fs::symlink_metadata(&target).and_then(|there| {
            step("remove");
            if there.is_dir() { fs::remove_dir_all(&target) } else { fs::remove_file(&target) }
        });
        match removed {
            Ok(()) => {
                self.unsynced.extend(target.parent().map(Path::to_path_buf));
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
            Err(error) => Err(Error::io(&target, error)),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    step("create a file");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    let written = bytes.chunks(PIECE_LEN).try_for_each(|piece| {
        step("write a piece");
        file.write_all(piece)
    });
    step("sync a file");
    let synced = written.and_then(|()| file.sync_all());
    if synced.is_err() {
        // What stays behind would take space that may be what is missing.
        let _ = fs::remove_file(path);
    }
    synced
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Puts a whole, durable file in place of what is at `path`.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    write(&temporary, bytes)?;
    step("rename a file");
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    step("sync a folder");
    sync_folder(folder)
}
