//! Putting a group's access right again, and replacing its readers group.
//!
//! Each object of a group has a protected descriptor of its own. Only members of the recovery group may write it, so
//! both take an account that is in that group for as long as it takes, and comes out of it again.
//!
//! A readers group is replaced in steps, of which each may be the last one that is done:
//!
//! 1. it is written down that the new group reads and that the old one did: from now on clients take descriptors that
//!    name either, and go on protecting;
//! 2. each record names both groups;
//! 3. the rooms name the new one alone: the old one sees nothing any more, on connections that are open, too;
//! 4. each record names the new one alone;
//! 5. the old one is no longer written down, and everything is read once more.
//!
//! Run again, it goes on where it ended. Until the last step is done an audit is never clean.

mod change;
mod plan;
mod survey;
mod work;

use std::fmt;
use std::ops::ControlFlow;

use dkm::repository::{Repository as _, RepositoryError};
use dkm_core::GroupId;
use serde::Serialize;

pub use change::Change;
pub use plan::{Plan, plan};
pub use survey::Refusals;

use self::work::Work;
use crate::repository::AdRepository;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Each object gets the access control that is written down for the group.
    Repair,
    /// Another group reads instead: an account name, a distinguished name or a SID.
    ReplaceReaders {
        /// The new readers group.
        to: String,
    },
}

/// How far it may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// What becomes of refusals of single accounts on the rooms.
    pub refusals: Refusals,
    /// Goes on although objects can't be changed by the recovery group: they stay as they are.
    pub leave_behind: bool,
    /// Takes a group as the new readers group in which nobody is.
    pub even_if_empty: bool,
}

/// An object that was changed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deviant {
    /// Its distinguished name.
    pub dn: String,
    /// The id of the key that it holds, where this account may read it.
    pub key: Option<String>,
    /// How it differed from what it should be.
    pub deviations: Vec<String>,
    /// Whether somebody could do something with it that he should not. Whoever could read a key may know it.
    pub was_open: bool,
}

/// Something that this account could not put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The object's distinguished name.
    pub dn: String,
    /// Why it stays as it is.
    pub why: String,
}

/// What was done on one domain controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The domain controller.
    pub controller: String,
    /// How many objects the group has there.
    pub objects: usize,
    /// How many changes were written.
    pub written: u64,
    /// The objects that were not as they should be.
    pub deviants: Vec<Deviant>,
    /// What could not be put right.
    pub left: Vec<Left>,
    /// Refusals of single accounts that were left as they are.
    pub refusals_kept: Vec<String>,
    /// Creators who are not in the new readers group, as far as this account sees it: they can't read what they make.
    pub creators_outside: Vec<String>,
    /// Why nothing was done here, if so.
    pub failure: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The group's id.
    pub group: String,
    /// The SID of the readers group.
    pub readers: String,
    /// The SIDs of the readers groups that it replaced.
    pub replaced: Vec<String>,
    /// The domain controllers, in the order in which they were asked.
    pub controllers: Vec<Done>,
}

/// Why it was not done, or not to the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The domain controller.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Only members of the recovery group may.
    #[error(
        "only a member of the recovery group {recovery} may do that, and by its ticket this account is none"
    )]
    NotInRecovery {
        /// The recovery group, by SID and name.
        recovery: String,
    },
    /// A readers group is being replaced.
    #[error("the readers group of group {group} is being replaced by {readers}, which was not finished")]
    Unfinished {
        /// The group.
        group: GroupId,
        /// The new readers group.
        readers: String,
    },
    /// The new readers group is none that could be one.
    #[error("{name} can't be a readers group: {why}")]
    NoReaders {
        /// What was given.
        name: String,
        /// Why not.
        why: String,
    },
    /// Objects could not be changed.
    #[error(
        "{} of {controller} could not be put right, so the rest was not done: {}",
        objects(left),
        first(left)
    )]
    LeftBehind {
        /// The domain controller.
        controller: String,
        /// The objects, and why.
        left: Vec<Left>,
    },
    /// Whoever asked for it has ended it.
    #[error("ended after {written} changes; what was done is kept")]
    Ended {
        /// How many changes were written.
        written: u64,
    },
}

fn objects(left: &[Left]) -> String {
    if left.len() == 1 { "1 object".to_owned() } else { format!("{} objects", left.len()) }
}

fn first(left: &[Left]) -> String {
    left.first().map_or_else(String::new, ToString::to_string)
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.dn, self.why)
    }
}

/// Told before each change is written, with the number of those before it; it may end the work.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// Does it, on each domain controller of the repository in turn: so that it is in force on all of them at once, and what
/// was made on one and is not yet known to the others is changed, too. That the same is written in several places
/// does no harm, since it is the same.
///
/// # Errors
/// See [`RepairError`]. A domain controller that can't be reached, or has not heard yet of the group or of this account's
/// membership, is told in the report, as long as another has done it: replication brings it there.
pub fn carry_out(
    repository: &AdRepository,
    group: GroupId,
    task: &Task,
    limits: Limits,
    progress: Progress<'_>,
) -> Result<Report, RepairError> {
    let mut report: Option<Report> = None;
    let mut failed: Vec<Done> = Vec::new();
    let mut first_error = None;
    for number in 0..repository.replicas() {
        let controller = repository.shared().place(number);
        let done = Work::begin(repository, number, group, limits).and_then(|work| work.run(task, progress));
        match done {
            Ok((readers, replaced, done)) => {
                let report = report.get_or_insert_with(|| Report {
                    group: group.to_string(),
                    readers: readers.to_string(),
                    replaced: Vec::new(),
                    controllers: Vec::new(),
                });
                report.replaced.extend(replaced.iter().map(ToString::to_string));
                report.controllers.push(done);
            }
            Err(error) if is_of_one(&error) => {
                failed.push(Done { controller, failure: Some(error.to_string()), ..Done::default() });
                // That this account may not is more to the point than that another one does not answer.
                if first_error.is_none() || matches!(error, RepairError::NotInRecovery { .. }) {
                    first_error = Some(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    match (report, first_error) {
        (Some(mut report), _) => {
            report.replaced.sort();
            report.replaced.dedup();
            report.controllers.extend(failed);
            Ok(report)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(RepairError::Repository(RepositoryError::Unavailable {
            location: repository.url(),
            why: "it has no domain controller".to_owned(),
        })),
    }
}

/// Whether another domain controller may do what this one did not.
const fn is_of_one(error: &RepairError) -> bool {
    matches!(
        error,
        RepairError::NotInRecovery { .. }
            | RepairError::Repository(
                RepositoryError::Unavailable { .. }
                    | RepositoryError::NotFound { .. }
                    | RepositoryError::Denied { .. }
                    | RepositoryError::NotARepository { .. }
            )
    )
}
