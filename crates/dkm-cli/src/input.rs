//! What a command reads: a file, or stdin.
//!
//! Unbuffered, so that no copy of a plaintext is left in a buffer that nobody erases.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::Args;
use dkm_core::Plaintext;
use dkm_core::blob::BlobError;
use dkm_core::member::UnprotectRefusal;

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::terminal::Terminal;

/// The file to read.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InputArguments {
    /// File to read; - or none is stdin
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,
}

impl InputArguments {
    /// Opens it.
    pub(crate) fn open(&self) -> Result<Input> {
        Input::open(self.input.as_deref())
    }
}

/// An open file, or stdin.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    name: PathBuf,
    len: Option<u64>,
    progress: Option<Progress>,
    error: Option<io::Error>,
}

impl Input {
    /// Opens a file; none and `-` are stdin.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let path = path.filter(|path| path.as_os_str() != "-");
        let name = path.map_or_else(|| PathBuf::from("stdin"), Path::to_path_buf);
        let file = match path {
            Some(path) => File::open(path),
            None => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        };
        let file = file.map_err(|error| Failure::file("can't read", &name, &error))?;
        let metadata = file.metadata().map_err(|error| Failure::file("can't read", &name, &error))?;
        if metadata.is_dir() {
            return Err(Failure::usage(format!("{} is a folder", name.display())));
        }
        let len = metadata.is_file().then_some(metadata.len());
        Ok(Self { file, name, len, progress: None, error: None })
    }

    /// Shows how far reading has come, where somebody watches and it takes long.
    #[must_use]
    pub(crate) fn with_progress(mut self, terminal: &Terminal, what: &'static str) -> Self {
        self.progress = Some(Progress::of_bytes(terminal, self.len, what));
        self
    }

    /// How long the file is; none for a stream.
    pub(crate) fn len(&self) -> Option<u64> {
        self.len
    }

    /// Reads up to `limit` bytes into memory that is erased.
    pub(crate) fn read_up_to(&mut self, limit: usize) -> Result<Plaintext> {
        // A buffer that grew would leave what it held before in memory.
        let known = self.len.and_then(|len| usize::try_from(len).ok());
        let mut buffer = Plaintext::zeroed(known.map_or(limit, |len| len.saturating_add(1).min(limit)));
        let mut filled = 0;
        loop {
            if filled == buffer.len() {
                if filled == limit {
                    break;
                }
                let mut larger = Plaintext::zeroed(filled.saturating_mul(2).clamp(4096, limit));
                larger[..filled].copy_from_slice(&buffer);
                buffer = larger;
            }
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::file("can't read", &self.name, &error)),
            }
        }
        let mut out = Plaintext::zeroed(filled);
        out.copy_from_slice(&buffer[..filled]);
        Ok(out)
    }

    /// The failure that an error means which came while this was read as a blob: what is wrong with the file names it.
    pub(crate) fn fault(&self, error: dkm::Error) -> Failure {
        let about_the_blob = match &error {
            dkm::Error::Blob(fault) => !matches!(fault, BlobError::Io(_)),
            dkm::Error::Unprotect(refusal) => matches!(
                refusal,
                UnprotectRefusal::UnknownKey { .. }
                    | UnprotectRefusal::Destroyed { .. }
                    | UnprotectRefusal::NotVerified { .. }
                    | UnprotectRefusal::Compromised { .. }
            ),
            dkm::Error::SuiteForbidden { .. }
            | dkm::Error::Archive(_)
            | dkm::Error::Windows(_)
            | dkm::Error::NoWindowsKey { .. } => true,
            _ => false,
        };
        self.failure().unwrap_or_else(|| {
            let failure = Failure::from(error);
            if about_the_blob { failure.during(self.name.display()) } else { failure }
        })
    }

    /// What reading failed with: more exact than what the library makes of it.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.error.as_ref().map(|error| Failure::file("can't read", &self.name, error))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(count) => {
                if let Some(progress) = &mut self.progress {
                    progress.advance(count);
                }
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.error = Some(io::Error::new(error.kind(), error.to_string()));
                }
                Err(error)
            }
        }
    }
}

/// Checks that what was named is there: what was named and is missing is a mistake, not something to pass over.
pub(crate) fn must_exist(paths: &[PathBuf]) -> Result {
    paths.iter().try_for_each(|path| {
        std::fs::symlink_metadata(path).map(drop).map_err(|error| Failure::file("can't read", path, &error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        assert_eq!(Input::open(Some(&path)).unwrap().read_up_to(1 << 20).unwrap().len(), 10_000);
        assert_eq!(Input::open(Some(&path)).unwrap().read_up_to(500).unwrap().len(), 500);
    }

    #[test]
    fn a_folder_is_a_mistake_and_a_missing_file_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Input::open(Some(dir.path())).unwrap_err().exit_code, 2);
        assert_eq!(Input::open(Some(&dir.path().join("none"))).unwrap_err().exit_code, 3);
    }
}
