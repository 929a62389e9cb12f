//! How concurrent versions of a roster combine: field by field, to the more restrictive.

use std::collections::{BTreeMap, BTreeSet};

use super::Roster;
use crate::record::{ApprovalLevel, BreakGlass, ElevationRules, Person};

impl Roster {
    /// Combines versions, in any order, to what all of them allow; none for no version at all.
    ///
    /// * People: those that stand in every version, each with the keys and accounts that he has in every version.
    /// * Levels: those of any version. A level's approvers are those that every version that has the level names and
    ///   that are still people of the roster; its quorum is the highest. A level stands as late as any version puts
    ///   it; of two in the same place the first by name comes first.
    /// * Delay of changes: the longest.
    /// * Elevation: what every version allows, with the shortest times and the levels combined as above; whoever may end
    ///   a grant in any version may.
    ///
    /// A level can be left with fewer approvers than its quorum. Then nothing passes (see [`Roster::unsatisfiable`]).
    pub(super) fn combine(versions: &[&Self]) -> Option<Self> {
        let (first, rest) = versions.split_first()?;
        let persons: Vec<Person> = first
            .persons
            .iter()
            .filter_map(|person| rest.iter().try_fold(person.clone(), |kept, other| common(kept, other)))
            .collect();
        let mut levels = common_levels(versions.iter().map(|version| version.levels.as_slice()), &persons);
        let change_delay_ms = versions.iter().map(|version| version.change_delay_ms).max().unwrap_or(0);
        // A version without levels allows nothing, and so does a combination with it.
        if versions.iter().any(|version| version.levels.is_empty()) {
            levels.clear();
        }
        let elevation = common_rules(versions, &persons);
        Some(Self { persons, levels, change_delay_ms, elevation })
    }
}

/// The levels of any list, each as the most restrictive has it.
fn common_levels<'a>(
    lists: impl Iterator<Item = &'a [ApprovalLevel]>,
    persons: &[Person],
) -> Vec<ApprovalLevel> {
    let mut levels: BTreeMap<&str, (usize, ApprovalLevel)> = BTreeMap::new();
    for list in lists {
        for (place, level) in list.iter().enumerate() {
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
    levels
}

/// What every version lets people ask for.
fn common_rules(versions: &[&Roster], persons: &[Person]) -> Option<ElevationRules> {
    let rules: Vec<&ElevationRules> =
        versions.iter().map(|version| version.elevation.as_ref()).collect::<Option<_>>()?;
    let least = |of: fn(&ElevationRules) -> u64| rules.iter().map(|rules| of(rules)).min().unwrap_or(0);
    let direct: Option<Vec<&[ApprovalLevel]>> = rules.iter().map(|rules| rules.direct.as_deref()).collect();
    let emergency: Option<Vec<&BreakGlass>> = rules.iter().map(|rules| rules.break_glass.as_ref()).collect();
    // Whoever ends access does no harm that waiting would not: all that any version names.
    let revokers: BTreeSet<&String> = rules.iter().flat_map(|rules| &rules.revokers).collect();
    let is_person = |id: &&String| persons.iter().any(|person| person.id == **id);
    Some(ElevationRules {
        duration_max_ms: least(|rules| rules.duration_max_ms),
        untouched_ms: least(|rules| rules.untouched_ms),
        activation_window_ms: least(|rules| rules.activation_window_ms),
        revokers: revokers.into_iter().filter(is_person).cloned().collect(),
        direct: direct.map(|lists| common_levels(lists.into_iter(), persons)),
        break_glass: emergency.map(|rules| BreakGlass {
            levels: common_levels(rules.iter().map(|rules| rules.levels.as_slice()), persons),
            duration_max_ms: rules.iter().map(|rules| rules.duration_max_ms).min().unwrap_or(0),
            review_within_ms: rules.iter().map(|rules| rules.review_within_ms).min().unwrap_or(0),
            direct: rules.iter().all(|rules| rules.direct),
        }),
    })
}

/// What is left of a person in another version; none where the other version does not have him.
fn common(mut person: Person, other: &Roster) -> Option<Person> {
    let there = other.person(&person.id)?;
    person.keys.retain(|key| there.keys.contains(key));
    person.accounts.retain(|account| there.accounts.contains(account));
    Some(person)
}
