//! The audit journal, where what must be recorded is kept.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use dkm::journal::{Event, FileJournal, Journal};

use crate::shell::make_private_folder;

/// The journal, opened with the first event: most runs record nothing, and must not fail for want of a journal.
#[derive(Debug)]
pub(crate) struct LazyJournal {
    path: Option<PathBuf>,
    open: Mutex<Option<FileJournal>>,
}

impl LazyJournal {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, open: Mutex::new(None) }
    }
}

impl Journal for LazyJournal {
    fn record(&self, event: &Event) -> dkm::Result<()> {
        let Some(path) = &self.path else {
            return Err(dkm::Error::Journal {
                path: PathBuf::from("audit.jsonl"),
                source: std::io::Error::other("there is no home folder to keep it in"),
            });
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                make_private_folder(folder)
                    .map_err(|source| dkm::Error::Journal { path: path.clone(), source })?;
            }
            *open = Some(FileJournal::open(path)?);
        }
        open.as_ref().map_or(Ok(()), |journal| journal.record(event))
    }
}
