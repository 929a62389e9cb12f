//! What restoring an archive into a group does: decided here, carried out by the shell.

use std::collections::{BTreeMap, BTreeSet};

use super::{Archive, ArchivedRecord};
use crate::id::{Digest, GroupId, KeyId};
use crate::record::{Change, KeyRecord, Origin, Record};
use crate::ring::{Observed, Ring};
use crate::safeguards::Safeguards;
use crate::slot::{Room, SlotName};
use crate::time::Timestamp;

/// Which records of authority a restore may take from the archive. By default none: whoever made the archive would
/// otherwise decide over the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreConsent {
    /// The group record, where the repository has none. It pins the genesis of the roster.
    pub group: bool,
    /// Policy versions that the repository lacks. What does not follow the repository's own chain becomes a sibling,
    /// and siblings combine to the more restrictive.
    pub policy: bool,
    /// Roster versions that the repository lacks. They count only as their chain and signatures let them, and their
    /// delays begin anew.
    pub roster: bool,
}

/// One step of a restore. Steps are carried out in order: what restricts a key is there before the key is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RestoreStep {
    /// Put this record into the control room. A tombstone also shreds what the repository still holds of its key.
    PutControl {
        /// The slot.
        name: SlotName,
        /// The record.
        record: Record,
    },
    /// Put this key into the keys room, with its plain material wrapped as the group's policy demands.
    PutKey {
        /// The slot.
        name: SlotName,
        /// The record, as restored, with plain material.
        record: KeyRecord,
    },
    /// Make a new key: whoever opened the archive knows the keys in it. A group without a key that may protect gets
    /// its first key.
    Roll,
}

/// Why something in the archive is not restored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RestoreSkip {
    /// The key is on the ring already.
    KeyPresent {
        /// The key.
        key: KeyId,
    },
    /// The key was destroyed, by the archive's word or the repository's. A destroyed key never comes back.
    KeyDestroyed {
        /// The key.
        key: KeyId,
    },
    /// The slot of the restored key holds a record that does not open. An owner must remove it first.
    SlotTaken {
        /// The key.
        key: KeyId,
        /// The slot.
        name: SlotName,
    },
    /// The record needs consent that was not given.
    NoConsent {
        /// Its slot in the archive.
        name: SlotName,
        /// Its kind.
        kind: &'static str,
    },
    /// The record did not count where the archive was made.
    DoesNotCount {
        /// Its slot in the archive.
        name: SlotName,
        /// Its kind.
        kind: &'static str,
    },
    /// The record is of a kind or version that this program does not know.
    Unknown {
        /// Its slot in the archive.
        name: SlotName,
    },
}

/// What a restore does, and what it leaves out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestorePlan {
    /// What to do, in this order. Empty when the repository has everything already.
    pub steps: Vec<RestoreStep>,
    /// What is left out and why, sorted. Statuses that do not outlive a key's archiving are left out silently.
    pub skipped: Vec<RestoreSkip>,
}

/// Why an archive cannot be restored into a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Keys are bound to their group.
    #[error("the archive is of group {found}, not of {expected}: keys are bound to their group")]
    WrongGroup {
        /// The archive's group.
        found: GroupId,
        /// The group to restore into.
        expected: GroupId,
    },
}

/// Decides what restoring `archive` into `group` does, where the repository holds the records `existing`.
///
/// Keys come back as deactivated, in slots of their own. Tombstones and compromises come along, as do exposures, so
/// that nothing opens more easily than before. A suspension or deactivation does not: a restored key never protects.
/// Carrying out half of the steps and planning again is safe.
///
/// # Errors
/// The archive belongs to another group.
pub fn restore_plan<'a>(
    archive: &Archive,
    group: GroupId,
    existing: impl IntoIterator<Item = &'a Observed>,
    now: Timestamp,
    consent: RestoreConsent,
) -> Result<RestorePlan, RestoreError> {
    if archive.group != group {
        return Err(RestoreError::WrongGroup { found: archive.group, expected: group });
    }
    let existing: Vec<&Observed> = existing.into_iter().collect();
    let observed = archive.observed();
    let there = Ring::derive(observed.iter(), now, Safeguards::ALL);
    let here = Ring::derive(existing.iter().copied(), now, Safeguards::ALL);
    let mut names: BTreeSet<SlotName> =
        existing.iter().filter(|seen| seen.room == Room::Control).map(|seen| seen.name.clone()).collect();
    let digests: BTreeSet<Digest> = existing.iter().map(|seen| seen.digest).collect();

    let mut plan = RestorePlan::default();
    let mut missing: Vec<&Observed> = observed
        .iter()
        .filter(|seen| seen.room == Room::Control && !digests.contains(&seen.digest))
        .collect();
    missing.sort_by_key(|seen| (seen.record.kind(), version(&seen.record), seen.digest));
    for seen in missing {
        match judge(seen, &there, &here, &existing, consent) {
            Take::Yes => {
                let name = free_slot(&seen.record, group, &names);
                if names.insert(name.clone()) {
                    plan.steps.push(RestoreStep::PutControl { name, record: seen.record.clone() });
                }
            }
            Take::NotNeeded => {}
            Take::No(skip) => plan.skipped.push(skip),
        }
    }
    keys(archive, &there, &here, &existing, &mut plan);
    plan.skipped.extend(archive.unknown().map(|(name, _)| RestoreSkip::Unknown { name: name.clone() }));
    let known_now = here.protecting(now).next().is_some_and(|key| holds(archive, key.id()));
    if !plan.steps.is_empty() || known_now {
        plan.steps.push(RestoreStep::Roll);
    }
    plan.skipped.sort();
    plan.skipped.dedup();
    Ok(plan)
}

enum Take {
    Yes,
    NotNeeded,
    No(RestoreSkip),
}

/// Whether a control record that the repository lacks is restored.
fn judge(
    seen: &Observed,
    there: &Ring,
    here: &Ring,
    existing: &[&Observed],
    consent: RestoreConsent,
) -> Take {
    let (name, kind) = (seen.name.clone(), seen.record.kind_name());
    let consented = match &seen.record {
        Record::Group(_) if existing.iter().any(|e| matches!(e.record, Record::Group(_))) => {
            return Take::NotNeeded;
        }
        Record::Group(_) => consent.group,
        Record::Policy(_) => consent.policy,
        Record::Roster(_) => consent.roster,
        Record::Status(status) => {
            let counts = there.counts(seen);
            return match status.change {
                Change::Destroyed | Change::Compromised if !counts => {
                    Take::No(RestoreSkip::DoesNotCount { name, kind })
                }
                Change::Destroyed if !here.is_destroyed(status.key) => Take::Yes,
                Change::Compromised if !here.is_destroyed(status.key) && !there.is_destroyed(status.key) => {
                    Take::Yes
                }
                _ => Take::NotNeeded,
            };
        }
        Record::Exposed(_) => return Take::Yes,
        // A key in the control room counts nowhere.
        Record::Key(_) => return Take::No(RestoreSkip::DoesNotCount { name, kind }),
    };
    match (consented, there.counts(seen)) {
        (false, _) => Take::No(RestoreSkip::NoConsent { name, kind }),
        (true, false) => Take::No(RestoreSkip::DoesNotCount { name, kind }),
        (true, true) => Take::Yes,
    }
}

fn version(record: &Record) -> u32 {
    match record {
        Record::Policy(policy) => policy.version,
        Record::Roster(roster) => roster.version,
        _ => 0,
    }
}

/// The slot of a control record, the first free one where several attempts are allowed.
fn free_slot(record: &Record, group: GroupId, taken: &BTreeSet<SlotName>) -> SlotName {
    let chained = matches!(record, Record::Policy(_) | Record::Roster(_));
    let mut attempt = 0;
    loop {
        let name = record.slot(group, attempt);
        if !chained || attempt == u32::MAX || !taken.contains(&name) {
            return name;
        }
        attempt += 1;
    }
}

fn holds(archive: &Archive, key: KeyId) -> bool {
    archived_keys(archive).any(|(record, _)| record.id == key)
}

fn archived_keys(archive: &Archive) -> impl Iterator<Item = (&KeyRecord, Timestamp)> {
    archive.entries.iter().filter(|entry| entry.room == Room::Keys).filter_map(|entry| match &entry.record {
        ArchivedRecord::Known(Record::Key(key)) => Some((key, entry.attested.created)),
        _ => None,
    })
}

fn keys(archive: &Archive, there: &Ring, here: &Ring, existing: &[&Observed], plan: &mut RestorePlan) {
    // Several copies of one key: its own record tells more than a restored one.
    let mut best: BTreeMap<KeyId, (&KeyRecord, Timestamp)> = BTreeMap::new();
    for (key, created) in archived_keys(archive) {
        let better = |other: &(&KeyRecord, Timestamp)| (key.origin, created) < (other.0.origin, other.1);
        if best.get(&key.id).is_none_or(better) {
            best.insert(key.id, (key, created));
        }
    }
    let here_opens: BTreeSet<KeyId> = existing
        .iter()
        .filter(|seen| seen.room == Room::Keys && seen.verified)
        .filter_map(|seen| match &seen.record {
            Record::Key(key) => Some(key.id),
            _ => None,
        })
        .collect();
    for (id, (key, created)) in best {
        let name = SlotName::for_restored_key(id);
        if there.is_destroyed(id) || here.is_destroyed(id) {
            plan.skipped.push(RestoreSkip::KeyDestroyed { key: id });
        } else if here_opens.contains(&id) {
            plan.skipped.push(RestoreSkip::KeyPresent { key: id });
        } else if existing.iter().any(|seen| seen.room == Room::Keys && seen.name == name) {
            plan.skipped.push(RestoreSkip::SlotTaken { key: id, name });
        } else {
            // What the first repository attested is worth more than what the record said of itself; a restored copy's
            // attested time is only that of its restoring.
            let created_at_ms = if key.origin == Origin::Rolled { created.0 } else { key.created_at_ms };
            let record = KeyRecord { origin: Origin::Restored, created_at_ms, ..key.clone() };
            plan.steps.push(RestoreStep::PutKey { name, record });
        }
    }
}
