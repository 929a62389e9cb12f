//! A group's roster: who may approve, at which levels, and how the roster itself changes.
//!
//! Nobody's word alone changes a roster: a version counts only with signatures that satisfy the version it follows,
//! and takes effect after a delay in which everybody can see it (see [`RosterChain::resolve`]).

mod chain;
mod combine;

use std::collections::BTreeSet;

pub use chain::{RosterChain, RosterVersion};

use crate::id::GroupId;
use crate::record::{ApprovalLevel, ElevationRules, Person, RosterRecord};

/// People and levels, without the place in the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// The people, sorted by id.
    pub persons: Vec<Person>,
    /// The levels, in order. All must be satisfied; a roster without levels is never satisfied.
    pub levels: Vec<ApprovalLevel>,
    /// How long a following change waits before it takes effect, in milliseconds.
    pub change_delay_ms: u64,
    /// What people may ask for; none: nothing.
    pub elevation: Option<ElevationRules>,
}

impl From<&RosterRecord> for Roster {
    fn from(record: &RosterRecord) -> Self {
        Self {
            persons: record.persons.clone(),
            levels: record.levels.clone(),
            change_delay_ms: record.change_delay_ms,
            elevation: record.elevation.clone(),
        }
    }
}

impl Roster {
    /// The person with this id.
    #[must_use]
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.persons.iter().find(|person| person.id == id)
    }

    /// The person whose account this is; an account that no person has may do nothing.
    #[must_use]
    pub fn person_of(&self, account: &str) -> Option<&Person> {
        self.persons.iter().find(|person| person.accounts.iter().any(|a| a == account))
    }

    /// Whether the approval of these people, given by id, satisfies every level. A person counts once at each level
    /// that names him.
    #[must_use]
    pub fn is_satisfied_by(&self, approved: &BTreeSet<&str>) -> bool {
        // Without levels every level would be satisfied: nobody's approval must not be enough.
        !self.levels.is_empty() && self.missing(approved).next().is_none()
    }

    /// The levels that the approval of these people does not satisfy.
    pub fn missing<'a>(&'a self, approved: &BTreeSet<&str>) -> impl Iterator<Item = &'a ApprovalLevel> {
        self.levels.iter().filter(|level| {
            let count = level.approvers.iter().filter(|id| approved.contains(id.as_str())).count();
            u32::try_from(count).is_ok_and(|count| count < level.quorum)
        })
    }

    /// The people of this roster whose signatures stand under a change of it, by id. `verify` is as in
    /// [`RosterChain::resolve`].
    #[must_use]
    pub fn signers(
        &self,
        record: &RosterRecord,
        group: GroupId,
        verify: &dyn Fn(&str, &[u8], &str) -> bool,
    ) -> BTreeSet<&str> {
        chain::signers(self, record, &record.signed_bytes(group), verify)
    }

    /// The levels that nobody can satisfy, because fewer approvers with a key are left than the quorum asks for.
    /// Siblings that were combined can come to this; nothing passes until a version settles them.
    pub fn unsatisfiable(&self) -> impl Iterator<Item = &ApprovalLevel> {
        let able: BTreeSet<&str> =
            self.persons.iter().filter(|p| !p.keys.is_empty()).map(|p| p.id.as_str()).collect();
        self.levels.iter().filter(move |level| {
            let count = level.approvers.iter().filter(|id| able.contains(id.as_str())).count();
            u32::try_from(count).is_ok_and(|count| count < level.quorum)
        })
    }
}

#[cfg(test)]
mod tests;
