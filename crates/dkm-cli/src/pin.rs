//! What was seen first and must not change: remembered in this account's state folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use dkm::ErrorKind;

use crate::audit_log::read_limited;
use crate::failure::{Failure, Result};
use crate::output_file::{Output, PRIVATE};
use crate::shell::{Shell, make_private_folder, state_folder};

/// Something remembered: a file of its own.
#[derive(Debug, Clone)]
pub(crate) struct Pin {
    path: PathBuf,
}

impl Pin {
    /// What is remembered of something. `kind` and `of` are names of files.
    pub(crate) fn of(kind: &str, of: &str) -> Result<Self> {
        let state = state_folder().ok_or_else(|| {
            Failure::usage("there is no folder to remember things in").help("set HOME, or XDG_STATE_HOME")
        })?;
        Ok(Self { path: state.join("pins").join(kind).join(of) })
    }

    /// What a test remembers.
    #[cfg(test)]
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is remembered.
    pub(crate) fn read(&self) -> Result<Option<String>> {
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => read_limited(&self.path).map(Some),
        }
    }

    /// Remembers, in the place of what was.
    pub(crate) fn write(&self, value: &str) -> Result {
        let fail = |error: &std::io::Error| Failure::file("can't write", &self.path, error);
        if let Some(folder) = self.path.parent() {
            make_private_folder(folder).map_err(|error| fail(&error))?;
        }
        let mut file = Output::file(&self.path, PRIVATE, true)?;
        file.write_all(value.as_bytes()).map_err(|error| fail(&error))?;
        file.commit()
    }

    /// Remembers what is seen for the first time, and refuses what is another than before.
    pub(crate) fn must_be(&self, what: &str, value: &str, shell: &Shell) -> Result {
        match self.read()? {
            Some(before) if before.trim() == value => Ok(()),
            Some(before) => Err(Failure::new(
                ErrorKind::Corrupt,
                format!("{what} is {value}, and was {} before", dkm_lockbox::shown(before.trim())),
            )
            .help(format!(
                "nothing that depends on it is believed; if it has changed for a reason that you know, remove {}",
                self.path.display()
            ))),
            None => {
                self.write(value)?;
                shell.terminal.note(format!("{what} is {value}: seen for the first time, remembered."));
                Ok(())
            }
        }
    }
}
