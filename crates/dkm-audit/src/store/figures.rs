//! What the log's writer has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was done since a log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Entries that were acknowledged.
    pub entries: u64,
    /// Checkpoints that were signed for them: entries divided by commits is how many share the wait for the disk.
    pub commits: u64,
    /// Times that a file or folder of the log was made durable, for whatever reason.
    pub syncs: u64,
    /// Batches that were refused, with all of their entries.
    pub refused: u64,
}

/// The same while it grows. The numbers are looked at, and decide nothing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    entries: AtomicU64,
    commits: AtomicU64,
    syncs: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(super) fn committed(&self, entries: usize) {
        self.entries.fetch_add(u64::try_from(entries).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// As many as there are by now.
    pub(super) fn synced(&self, in_all: u64) {
        self.syncs.store(in_all, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> Figures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            entries: of(&self.entries),
            commits: of(&self.commits),
            syncs: of(&self.syncs),
            refused: of(&self.refused),
        }
    }
}
