//! What the statuses of keys come to: a lattice, so that order of arrival does not matter.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Observed, StatusSummary};
use crate::id::{Digest, KeyId};
use crate::policy::{Policy, PolicyChain};
use crate::record::{Change, Purpose, StatusRecord};
use crate::time::Timestamp;

type ByKey<'a> = BTreeMap<KeyId, Vec<(&'a Observed, &'a StatusRecord)>>;

/// The statuses that count, by key. While no policy is known, the repository's access control alone decides.
pub(super) fn counting<'a>(
    statuses: &[(&'a Observed, &'a StatusRecord)],
    policies: &PolicyChain,
    findings: &mut Vec<Finding>,
) -> ByKey<'a> {
    let mut counting = ByKey::new();
    for (seen, status) in statuses {
        match author_may(seen, status, policies) {
            Ok(()) => counting.entry(status.key).or_default().push((seen, status)),
            Err(why) => findings.push(Finding::Ignored { room: seen.room, name: seen.name.clone(), why }),
        }
    }
    counting
}

/// The keys with a tombstone.
pub(super) fn destroyed(counting: &ByKey<'_>) -> BTreeSet<KeyId> {
    let is_tombstone = |(_, status): &(&Observed, &StatusRecord)| status.change == Change::Destroyed;
    counting.iter().filter(|(_, all)| all.iter().any(is_tombstone)).map(|(id, _)| *id).collect()
}

/// What the statuses of each key come to, whether its record is there or erased.
pub(super) fn summaries(counting: &ByKey<'_>) -> BTreeMap<KeyId, StatusSummary> {
    let summary = |statuses: &Vec<_>| {
        let mut summary = StatusSummary::default();
        summarize(&mut summary, statuses);
        summary
    };
    counting.iter().map(|(id, statuses)| (*id, summary(statuses))).collect()
}

/// Whether a status counts by its access control and its author: he must be among the owners (of a use notice: the
/// creators) of a policy in force, or of one that he could have known to be in force when the repository took it. What
/// was right when it was written stays so: a key does not come back to life because an owner leaves.
pub(super) fn author_may(
    seen: &Observed,
    status: &StatusRecord,
    policies: &PolicyChain,
) -> Result<(), String> {
    if !seen.attested.template_ok {
        return Err("its access control is not the template's".to_owned());
    }
    let Some(policy) = policies.effective() else { return Ok(()) };
    let in_use = status.purpose == Purpose::InUse;
    let lets = |policy: &Policy| {
        let allowed = if in_use { &policy.creators } else { &policy.owners };
        allowed.as_ref().is_none_or(|names| names.contains(&seen.attested.creator.0))
    };
    if lets(policy) || policies.known_at(seen.attested.created).any(lets) {
        return Ok(());
    }
    let role = if in_use { "a creator" } else { "an owner" };
    Err(format!("its author {} is not {role} of the group", seen.attested.creator))
}

fn summarize(summary: &mut StatusSummary, statuses: &[(&Observed, &StatusRecord)]) {
    // When each suspension was first cancelled: by an owner, and by a use.
    let mut cancelled: BTreeMap<Digest, Timestamp> = BTreeMap::new();
    let mut cancelled_by_use: BTreeMap<Digest, Timestamp> = BTreeMap::new();
    for (seen, status) in statuses.iter().filter(|(_, s)| s.change == Change::Resumed) {
        let by_use = status.purpose == Purpose::InUse;
        let cancels = if by_use { &mut cancelled_by_use } else { &mut cancelled };
        for digest in &status.answers {
            let at = cancels.entry(*digest).or_insert(seen.attested.created);
            *at = (*at).min(seen.attested.created);
        }
    }
    for (seen, status) in statuses {
        let at = seen.attested.created;
        summary.heads.push(seen.digest);
        if status.epoch >= summary.epoch {
            summary.epoch = status.epoch;
            summary.reason = Some(status.reason.clone()).filter(|r| !r.is_empty());
        }
        let earliest = |slot: &mut Option<Timestamp>| *slot = Some(slot.map_or(at, |t| t.min(at)));
        match status.change {
            Change::Resumed => summary.use_noticed |= status.purpose == Purpose::InUse,
            Change::Suspended => {
                let cooling = status.purpose == Purpose::CoolingOff;
                let by_use = cancelled_by_use.get(&seen.digest).filter(|_| cooling);
                let until = cancelled.get(&seen.digest).into_iter().chain(by_use).min().copied();
                summary.stopped.push((at, until));
                if until.is_some() {
                    continue;
                }
                summary.suspensions.push(seen.digest);
                if cooling {
                    // The latest counts: a second begin starts the time anew.
                    summary.cooling_off_since = Some(summary.cooling_off_since.map_or(at, |t| t.max(at)));
                }
            }
            Change::Deactivated => earliest(&mut summary.deactivated),
            Change::Compromised => {
                earliest(&mut summary.compromised);
                summary.compromised_by.insert(seen.attested.creator.clone());
            }
            Change::Destroyed => earliest(&mut summary.destroyed),
        }
    }
    // The same status can lie in several slots.
    for digests in [&mut summary.heads, &mut summary.suspensions] {
        digests.sort_unstable();
        digests.dedup();
    }
    summary.stopped.sort_unstable();
    summary.stopped.dedup();
}
