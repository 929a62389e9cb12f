//! Where the files of a log are read from.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Reads the files of a log: a folder, or whatever serves its files.
pub trait Source {
    /// The file at `path`, with slashes between its parts; `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read, or is longer than `limit` bytes ([`ErrorKind::FileTooLarge`]).
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Names in the folder at `path`; none if there is no such folder, or if this source cannot tell.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn names(&self, path: &str) -> io::Result<Vec<String>>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        (**self).read(path, limit)
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        (**self).names(path)
    }
}

/// Most names that are read of one folder: more than a log of this program ever puts into one.
const NAMES_MAX: usize = 100_000;

/// A log in a folder. Symbolic links in place of its files are not followed.
#[derive(Debug, Clone)]
pub struct DirectorySource {
    root: PathBuf,
}

impl DirectorySource {
    /// The log in this folder.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }
}

impl Source for DirectorySource {
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match open(&self.root.join(path)) {
            Ok(file) => read_limited(&file, limit).map(Some),
            // A file in place of a folder holds no file of ours either.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = match std::fs::read_dir(self.root.join(path)) {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in folder {
            if names.len() == NAMES_MAX {
                return Err(ErrorKind::FileTooLarge.into());
            }
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Opens a regular file, and nothing else: no link, no pipe that would never answer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"))
    }
}

pub(crate) fn read_limited(file: &File, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}
