//! What any repository must do: run by each of them against itself.
//!
//! Every MUST of [`Repository`] and [`Replica`](super::Replica) is a [`Case`]. A repository's own tests write a
//! [`Fixture`] and call [`run`]. That each case can fail is shown by running it against repositories that are broken on
//! purpose.

mod groups;
mod reading;
mod samples;
mod slots;
mod tombstones;

use std::fmt;
use std::sync::Arc;

use dkm_core::{GroupId, Room, SlotName};

use super::{GroupAccess, Repository, RepositoryError};

/// A repository to be tested, and ways past it that only its own tests have.
///
/// What a repository has no way for stays as it is by default, and the cases that need it are reported as skipped.
pub trait Fixture {
    /// The repository, through an account that may make groups. Cases make groups of their own, under random ids.
    fn repository(&self) -> Arc<dyn Repository>;

    /// The access that cases give to their groups.
    fn access(&self) -> GroupAccess {
        GroupAccess::default()
    }

    /// Waits until what was put on one replica is on all.
    fn spread(&mut self) {}

    /// Brings a record into a free slot of a replica past the repository, as a restored backup does; whether it could.
    fn bring_back(&mut self, replica: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        let _ = (replica, group, name, bytes);
        false
    }

    /// Changes what a slot of the keys holds, past the repository; whether it could.
    fn change(&mut self, replica: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        let _ = (replica, group, name, bytes);
        false
    }

    /// Brings a second record into a slot that holds one, as replication does after a conflict; whether it could.
    fn twin(&mut self, replica: usize, group: GroupId, room: Room, name: &SlotName, bytes: &[u8]) -> bool {
        let _ = (replica, group, room, name, bytes);
        false
    }

    /// The repository through an account that is no member of any group.
    fn outsider(&mut self) -> Option<Arc<dyn Repository>> {
        None
    }

    /// A group's access, and the repository through an account that reads it and neither creates nor owns.
    fn reader(&mut self) -> Option<(GroupAccess, Arc<dyn Repository>)> {
        None
    }
}

/// How a case came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The repository does what it must.
    Held,
    /// The fixture has no way to put it to the test.
    Skipped(&'static str),
}

/// What a repository did that it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RepositoryError> for Violation {
    fn from(error: RepositoryError) -> Self {
        Self(format!("an operation failed: {error}"))
    }
}

/// A violation unless `held`.
fn must(held: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if held { Ok(()) } else { Err(Violation(what())) }
}

/// One thing that a repository must do.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name, unique.
    pub name: &'static str,
    run: fn(&mut dyn Fixture) -> Result<Verdict, Violation>,
}

impl Case {
    /// Puts a repository to this test.
    ///
    /// # Errors
    /// What the repository did wrong.
    pub fn run(&self, fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
        (self.run)(fixture)
    }
}

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: $module::$name }),*]
    };
}

/// Every case.
pub const CASES: &[Case] = cases![
    groups::ids_stay_the_same,
    groups::unknown_groups_are_refused,
    groups::groups_are_hidden_until_announced,
    groups::groups_are_made_once,
    groups::groups_and_rooms_are_apart,
    groups::founders_have_all_rights,
    groups::outsiders_are_refused,
    groups::readers_only_read,
    groups::access_is_described,
    slots::puts_create_only,
    slots::one_of_many_writers_wins,
    slots::names_of_all_lengths_work,
    slots::records_of_all_lengths_work,
    slots::twins_are_two_entries,
    reading::acknowledged_puts_are_listed,
    reading::records_are_whole_or_not_there,
    reading::other_connections_see_puts,
    reading::changes_change_stamps,
    reading::entries_that_are_gone_are_not_found,
    reading::origins_are_attested,
    reading::big_rooms_are_listed_whole,
    reading::records_spread,
    tombstones::keys_without_tombstone_are_not_erased,
    tombstones::keys_with_tombstone_are_erased,
    tombstones::tombstones_lie_in_control_only,
    tombstones::destroyed_keys_are_not_taken_again,
    tombstones::returning_material_is_erased,
];

/// What came of a whole run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of the cases that held.
    pub held: Vec<&'static str>,
    /// Names of the cases that could not be run, and why.
    pub skipped: Vec<(&'static str, &'static str)>,
    /// Names of the cases that failed, and how.
    pub failed: Vec<(&'static str, Violation)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, skipped, failed } = self;
        writeln!(f, "{} held, {} skipped, {} failed", held.len(), skipped.len(), failed.len())?;
        skipped.iter().try_for_each(|(name, why)| writeln!(f, "skipped {name}: {why}"))?;
        failed.iter().try_for_each(|(name, how)| writeln!(f, "FAILED {name}: {how}"))
    }
}

/// Runs all cases, whatever fails.
#[must_use]
pub fn run(fixture: &mut dyn Fixture) -> Report {
    let mut report = Report::default();
    for case in CASES {
        match case.run(fixture) {
            Ok(Verdict::Held) => report.held.push(case.name),
            Ok(Verdict::Skipped(why)) => report.skipped.push((case.name, why)),
            Err(how) => report.failed.push((case.name, how)),
        }
    }
    report
}

#[cfg(test)]
mod tests;
