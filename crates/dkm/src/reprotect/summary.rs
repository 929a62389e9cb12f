//! What became of all items.

use super::file::Outcome;
use crate::Error;

/// Most items of each kind that a summary names; all are counted.
pub const REPORTED_MAX: usize = 10_000;

/// What became of all items.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Nothing was written: "renewed" is what would have been.
    pub dry_run: bool,
    /// Blobs that are under the key and suite that protect now, and were not before.
    pub renewed: u64,
    /// Blobs that were so already.
    pub current: u64,
    /// What is not a blob of the group, and why.
    pub skipped: Vec<Remark>,
    /// How many that are.
    pub skipped_total: u64,
    /// What should be known about items that were renewed.
    pub warnings: Vec<Remark>,
    /// How many warnings there are.
    pub warnings_total: u64,
    /// What should have been renewed and was not. It is as it was before.
    pub failed: Vec<Failure>,
    /// How many that are.
    pub failed_total: u64,
    /// A failure that would have met all other items ended the work before all of them were looked at.
    pub stopped: bool,
}

/// Something to know about an item: a file, or a field of a line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Remark {
    /// The item.
    pub item: String,
    /// What there is to know.
    pub why: String,
}

/// An item that was not renewed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The item.
    pub item: String,
    /// Why not.
    pub error: Error,
}

impl Summary {
    /// Whether every blob of the group that was looked for is now under the key and suite that protect.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.failed_total == 0 && !self.stopped && !self.dry_run
    }

    pub(super) fn take(&mut self, item: String, outcome: Outcome) {
        match outcome {
            Outcome::Current => self.current += 1,
            Outcome::Passed => {}
            Outcome::Skipped(why) => {
                self.skipped_total += 1;
                if self.skipped.len() < REPORTED_MAX {
                    self.skipped.push(Remark { item, why });
                }
            }
            Outcome::Failed(error) => self.fail(item, error),
            Outcome::Renewed(warnings) => {
                self.renewed += 1;
                for why in warnings {
                    self.warn(item.clone(), why);
                }
            }
        }
    }

    pub(super) fn warn(&mut self, item: String, why: String) {
        self.warnings_total += 1;
        if self.warnings.len() < REPORTED_MAX {
            self.warnings.push(Remark { item, why });
        }
    }

    pub(super) fn fail(&mut self, item: String, error: Error) {
        self.failed_total += 1;
        if self.failed.len() < REPORTED_MAX {
            self.failed.push(Failure { item, error });
        }
    }
}
