//! The audit log as a precondition: what can't be recorded is not done.

use std::sync::{Mutex, PoisonError};

use dkm_audit::Log;
use dkm_audit::entry::{Action, Actor, Detail, Entry, Phase};
use dkm_audit::source::Source;
use dkm_audit::store::Receipt;
use dkm_audit::tile::{Tile, decode_bundle};
use dkm_core::{Digest, Timestamp};

use crate::problem::Problem;

/// The log, and what it said last.
#[derive(Debug)]
pub struct Audit {
    log: Log,
    fault: Mutex<Option<String>>,
}

/// Why the database does not go with the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// A change that was acknowledged is not in the database.
    #[error(
        "the database is older than its audit log: entry {leaf} ({action}) was acknowledged, and is not in it"
    )]
    Behind {
        /// The leaf that announced it.
        leaf: u64,
        /// What it was.
        action: String,
    },
    /// The database knows of a leaf that the log does not have.
    #[error(
        "the audit log is older than its database: it has {size} entries, and the database knows of entry {leaf}"
    )]
    Ahead {
        /// The leaf.
        leaf: u64,
        /// Entries in the log.
        size: u64,
    },
    /// A request for elevated access, or what came of it, is another in the database than in the log.
    #[error("record {number} of request {request} in the database is not what the audit log says: {why}")]
    Elevation {
        /// The request.
        request: dkm_core::RequestId,
        /// The record's number.
        number: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The log can't be read.
    #[error("the audit log can't be read: {0}")]
    Unreadable(String),
}

impl Audit {
    /// Takes a log that was opened.
    #[must_use]
    pub const fn new(log: Log) -> Self {
        Self { log, fault: Mutex::new(None) }
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Records an entry: it is durable under a signed checkpoint when this returns.
    ///
    /// # Errors
    /// The log takes no entries, or no more at the moment.
    #[tracing::instrument(target = "dkmd::trace", name = "audit", skip_all, fields(action = entry.action.as_str()))]
    pub async fn record(&self, entry: &Entry) -> Result<Receipt, Problem> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let submitted = self.log.submit(entry, move |receipt| {
            let _ = sender.send(receipt);
        });
        let receipt = match submitted {
            Ok(()) => receiver.await.unwrap_or(Err(dkm_audit::store::Error::Closed)),
            Err(error) => Err(error),
        };
        self.note(receipt.as_ref().err());
        Ok(receipt?)
    }

    /// Records what came of an intent, without waiting for it: an intent without an outcome counts as done.
    pub fn outcome(&self, entry: &Entry) {
        let submitted = self.log.submit(entry, |receipt| {
            if let Err(error) = receipt {
                tracing::warn!(%error, "an outcome was not recorded: its intent counts as done");
            }
        });
        if let Err(error) = submitted {
            tracing::warn!(%error, "an outcome was not recorded: its intent counts as done");
        }
    }

    fn note(&self, error: Option<&dkm_audit::store::Error>) {
        let fault = match error {
            None => None,
            // Its own affair of this one entry, or a moment's.
            Some(dkm_audit::store::Error::Busy { .. } | dkm_audit::store::Error::Entry(_)) => return,
            Some(error) => Some(error.to_string()),
        };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Whether the log takes entries. Asked only after it has failed, and by an entry: nothing else would tell.
    pub async fn is_working(&self) -> bool {
        if self.fault().is_none() {
            return true;
        }
        let action = crate::actions::Action::CheckHealth.into();
        self.record(&entry(crate::server::now(), "dkmd", action, Phase::Recorded, None)).await.is_ok()
    }

    /// Why the log took no entry the last time, if it did not.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the log's entries from a leaf on, each with its index.
    ///
    /// # Errors
    /// The log can't be read, or what `f` says.
    pub fn scan(
        &self,
        first: u64,
        mut f: impl FnMut(u64, &Entry) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        let unreadable = |what: &dyn std::fmt::Display| Mismatch::Unreadable(what.to_string());
        let size = self.size()?;
        let source = self.log.source();
        let mut index = first - first % 256;
        while index < size {
            let tile = Tile::of(None, index, size).ok_or_else(|| unreadable(&"no such tile"))?;
            let bytes = source.read(&tile.path(), tile.len_max()).map_err(|error| unreadable(&error))?;
            let bytes = bytes.ok_or_else(|| unreadable(&format!("{} is missing", tile.path())))?;
            let entries =
                decode_bundle(&bytes).ok_or_else(|| unreadable(&format!("{} is damaged", tile.path())))?;
            for (entry, at) in entries.into_iter().zip(index..) {
                if at >= first {
                    f(at, &Entry::decode(entry).map_err(|error| unreadable(&error))?)?;
                }
            }
            index += 256;
        }
        Ok(())
    }

    /// Proves that the tree of a checkpoint of this log begins with that of an earlier one of `size` entries. No proof for
    /// sizes that it did not have: whoever claims to know such a checkpoint knows that of another log.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn prove_extends(&self, size: u64, note: &[u8]) -> Result<Vec<Digest>, Problem> {
        let unreadable =
            |what: &dyn std::fmt::Display| Problem::unavailable(format!("the audit log: {what}"));
        let trust = dkm_audit::Trust::log(self.log.key()).map_err(|error| unreadable(&error))?;
        let checkpoint = trust.verify(note).map_err(|error| unreadable(&error))?.checkpoint;
        if size == 0 || size >= checkpoint.size {
            return Ok(Vec::new());
        }
        let source = self.log.source();
        let tree = dkm_audit::tree::Tree::new(&source, &checkpoint);
        dkm_audit::merkle::prove_consistency(&tree, size, checkpoint.size).map_err(|error| unreadable(&error))
    }

    /// Entries under the log's last checkpoint, whose signature is verified.
    ///
    /// # Errors
    /// The checkpoint is not to be believed.
    pub fn size(&self) -> Result<u64, Mismatch> {
        let unreadable = |what: &dyn std::fmt::Display| Mismatch::Unreadable(what.to_string());
        let trust = dkm_audit::Trust::log(self.log.key()).map_err(|error| unreadable(&error))?;
        let verified = trust.verify(&self.log.checkpoint()).map_err(|error| unreadable(&error))?;
        Ok(verified.checkpoint.size)
    }

    /// Whether a database whose last change was announced by this leaf holds everything that was acknowledged.
    ///
    /// # Errors
    /// It does not: somebody has put back an older one, or an older log.
    pub fn check(&self, last_leaf: Option<u64>, is_change: impl Fn(&Action) -> bool) -> Result<(), Mismatch> {
        let size = self.size()?;
        if let Some(leaf) = last_leaf.filter(|leaf| *leaf >= size) {
            return Err(Mismatch::Ahead { leaf, size });
        }
        self.scan(last_leaf.map_or(0, |leaf| leaf + 1), |index, entry| {
            // An older log was put back, and perhaps the database with it: one that was not recovered since may hold what
            // was revoked in what is lost.
            if entry.action == Action::log_recovered() {
                return Err(Mismatch::Behind { leaf: index, action: entry.action.to_string() });
            }
            let acknowledged = match entry.phase {
                Phase::Success { intent } if is_change(&entry.action) => Some(intent),
                _ => None,
            };
            match acknowledged.filter(|leaf| last_leaf.is_none_or(|last| *leaf > last)) {
                Some(leaf) => Err(Mismatch::Behind { leaf, action: entry.action.to_string() }),
                None => Ok(()),
            }
        })
    }
}

/// An entry of the program's own making.
#[must_use]
pub fn entry(time: Timestamp, actor: &str, action: Action, phase: Phase, detail: Option<&str>) -> Entry {
    let mut entry = Entry::new(time, Actor::lossy(actor), action, phase);
    entry.detail = detail.map(Detail::lossy);
    entry
}
