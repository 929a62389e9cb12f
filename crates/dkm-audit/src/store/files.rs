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

/// How the names of files begin that are not at their paths yet.
const TEMPORARY: &str = ".tmp";

/// A file whose bytes are durable, under another name.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ready {
    temporary: PathBuf,
    target: PathBuf,
}

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
        let ready = self.ready(&[(path.to_owned(), bytes)])?;
        ready.into_iter().try_for_each(|ready| self.place(ready))
    }

    /// Writes whole files, and makes their bytes durable, all at the same time: a file system waits for its disk once for
    /// all that ask at once. None of them is at its path yet.
    pub(crate) fn ready(&mut self, files: &[(String, &[u8])]) -> Result<Vec<Ready>, Error> {
        let mut ready = Vec::with_capacity(files.len());
        for (number, (path, _)) in files.iter().enumerate() {
            let target = self.root.join(path);
            let folder = target.parent().unwrap_or(&self.root).to_path_buf();
            self.make(&folder)?;
            ready.push(Ready { temporary: self.root.join(format!("{TEMPORARY}{number}")), target });
            self.syncs += 1;
        }
        let bytes = files.iter().map(|(_, bytes)| *bytes);
        let all: Vec<(&Ready, &[u8])> = ready.iter().zip(bytes).collect();
        let written = at_once(&all, |(ready, bytes)| {
            write(&ready.temporary, bytes).map_err(|error| Error::io(&ready.target, error))
        });
        written.into_iter().collect::<Result<(), Error>>()?;
        Ok(ready)
    }

    /// Puts a file that is ready at its path. Its name is durable once [`Files::sync`] returns.
    pub(crate) fn place(&mut self, ready: Ready) -> Result<(), Error> {
        let Ready { temporary, target } = ready;
        step("rename a file");
        fs::rename(temporary, &target).map_err(|error| Error::io(&target, error))?;
        self.unsynced.extend(target.parent().map(Path::to_path_buf));
        Ok(())
    }

    /// Makes everything that was put durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let folders: Vec<PathBuf> = self.unsynced.iter().cloned().collect();
        let synced = at_once(&folders, |folder| {
            step("sync a folder");
            sync_folder(folder)
        });
        let mut failed = None;
        for (folder, synced) in folders.into_iter().zip(synced) {
            self.syncs += 1;
            match synced {
                // What was removed since has nothing to lose.
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    failed = Some(Error::io(&folder, error));
                }
                _ => {
                    self.unsynced.remove(&folder);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Removes what a writer that died, or an error, has left of files that were not at their paths yet.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        let names = fs::read_dir(&self.root).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
        });
        let names = names.map_err(|error| Error::io(&self.root, error))?;
        let left = names.iter().filter_map(|name| name.to_str()).filter(|name| name.starts_with(TEMPORARY));
        left.into_iter().try_for_each(|name| self.remove(name))
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

/// Does something with each item, all at the same time.
fn at_once<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let Some((first, others)) = items.split_first() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|item| scope.spawn(|| act(item))).collect();
        let first = act(first);
        let others = others.into_iter().map(|other| match other.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(first).chain(others).collect()
    })
}

/// Writes a file, and makes its bytes durable.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
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

/// The name under which a file is written that will be at `path`.
pub(super) fn temporary(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_os_string();
    name.push(TEMPORARY);
    Ok(path.with_file_name(name))
}

/// Puts a whole, durable file in place of what is at `path`.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(&temporary(path)?, bytes)?;
    take_place(path)
}

/// Puts the file that was written as [`temporary`] at `path`.
pub(super) fn take_place(path: &Path) -> io::Result<()> {
    step("rename a file");
    fs::rename(temporary(path)?, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    step("sync a folder");
    sync_folder(folder)
}
