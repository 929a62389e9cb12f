//! How concurrent versions of a roster combine: field by field, to the more restrictive.

use std::collections::BTreeMap;

use super::Roster;
use crate::record::{ApprovalLevel, Person};

impl Roster {
    /// Combines versions, in any order, to what all of them allow; none for no version at all.
    ///
    /// * People: those that stand in every version, each with the keys and accounts that he has in every version.
    /// * Levels: those of any version. A level's approvers are those that every version that has the level names and
    ///   that are still people of the roster; its quorum is the highest. A level stands as late as any version puts
    ///   it; of two in the same place the first by name comes first.
    /// * Delay of changes: the longest.
    ///
    /// A level can be left with fewer approvers than its quorum. Then nothing passes (see [`Roster::unsatisfiable`]).
    pub(super) fn combine(versions: &[&Self]) -> Option<Self> {
        let (first, rest) = versions.split_first()?;
        let persons: Vec<Person> = first
            .persons
            .iter()
            .filter_map(|person| rest.iter().try_fold(person.clone(), |kept, other| common(kept, other)))
            .collect();
        let mut levels: BTreeMap<&str, (usize, ApprovalLevel)> = BTreeMap::new();
        for version in versions {
            for (place, level) in version.levels.iter().enumerate() {
                let (last, kept) = levels.entry(&level.name).or_insert_with(|| (place, level.clone()));
                *last = place.max(*last);
                kept.approvers.retain(|id| level.approvers.contains(id));
                kept.quorum = kept.quorum.max(level.quorum);
            }
        }
        let mut levels: Vec<_> = levels.into_values().collect();
        levels.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
        let mut levels: Vec<ApprovalLevel> = levels.into_iter().map(|(_, level)| level).collect();
        for level in &mut levels {
            level.approvers.retain(|id| persons.iter().any(|person| person.id == *id));
        }
        let change_delay_ms = versions.iter().map(|version| version.change_delay_ms).max().unwrap_or(0);
        // A version without levels allows nothing, and so does a combination with it.
        if versions.iter().any(|version| version.levels.is_empty()) {
            levels.clear();
        }
        Some(Self { persons, levels, change_delay_ms })
    }
}

/// What is left of a person in another version; none where the other version does not have him.
fn common(mut person: Person, other: &Roster) -> Option<Person> {
    let there = other.person(&person.id)?;
    person.keys.retain(|key| there.keys.contains(key));
    person.accounts.retain(|account| there.accounts.contains(account));
    Some(person)
}
