//! Which keys may protect: judged by what the repository attests, never by what a record says of itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::{RingKey, StatusSummary};
use crate::id::KeyId;
use crate::policy::{Policy, PolicyChain};
use crate::record::{ExposedRecord, Family, KeyRecord, Origin, PublicPart};
use crate::safeguards::Safeguards;
use crate::time::Timestamp;

/// Why a key may never protect. It still unprotects if its material is verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Distrust {
    /// Its material does not give its id, or could not be opened.
    NotVerified,
    /// Restored from an archive or imported: archived from the start.
    NotRolled,
    /// Not a key for DKM's own blobs.
    ForeignFamily,
    /// It does not lie in the slot that its predecessor and attempt give.
    WrongSlot,
    /// Its access control is not the template's: others may be able to read it.
    LooseAccessControl,
    /// What the repository shows of it to those who don't read keys is missing, or is not what it is.
    Misdescribed,
    /// Its author is not a creator.
    NotACreator,
    /// The repository says it was made in the future.
    CreatedInFuture,
    /// It would have been used before clients could learn of it.
    ShortDelay,
    /// It is dated far beyond the end of the key it succeeds.
    TooFarAhead,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotVerified => "its material could not be opened or does not give its id",
            Self::NotRolled => "it was restored or imported",
            Self::ForeignFamily => "it belongs to another key family",
            Self::WrongSlot => "it lies in a slot that is not its own",
            Self::LooseAccessControl => "its access control is not the template's",
            Self::Misdescribed => {
                "its public part, by which owners go, is missing or says something else than the key"
            }
            Self::NotACreator => "its author is not a creator of the group",
            Self::CreatedInFuture => "the repository says it was made in the future",
            Self::ShortDelay => "its activation is closer to its creation than the activation delay",
            Self::TooFarAhead => "its activation lies far beyond the end of the key it succeeds",
        })
    }
}

/// What keys are judged by beside each other.
pub(super) struct History<'a> {
    pub(super) policies: &'a PolicyChain,
    pub(super) policy: &'a Policy,
    pub(super) exposures: &'a [ExposedRecord],
    /// Destroyed keys whose record is erased.
    pub(super) tombstones: &'a BTreeMap<KeyId, StatusSummary>,
}

/// The order in which keys are judged, by when the repository took them: oldest first.
pub(super) fn seniority(created: Timestamp, key: &KeyRecord) -> (Timestamp, bool, KeyId) {
    (created, key.predecessor.is_some(), key.id)
}

/// Judges all keys, oldest first: an exception for a short delay depends on what protected when the key was made.
pub(super) fn judge(keys: &mut [RingKey], history: &History<'_>, now: Timestamp, safeguards: Safeguards) {
    keys.sort_by_key(|k| seniority(k.attested.created, &k.record));
    let mut past = Past::new(keys, history.policy);
    for i in 0..keys.len() {
        let Some((key, before)) = keys.get_mut(..=i).and_then(<[RingKey]>::split_last_mut) else { break };
        past.advance(before, key.attested.created);
        key.distrust = plain_faults(key, history.policy, now, safeguards).or_else(|| {
            if !safeguards.activation_delay {
                return None;
            }
            fault_of_times(key, &past, before, history)
        });
        past.add(i, key, history.policy);
    }
}

/// What came before the key that is judged. Looking back through all earlier keys for each would take minutes for a
/// ring of full length, and a creator who means ill can make one.
struct Past {
    /// When the first of the group's first keys was made, and in which attempt its twins lie too.
    first: Option<(u32, Timestamp)>,
    /// When the first trusted successor was made.
    succeeded: Option<Timestamp>,
    /// Activation and end of each key so far, and of every key that came back from an archive or from memory: that was
    /// there before, and its successors are none the worse for its loss.
    terms: HashMap<KeyId, (Timestamp, Timestamp)>,
    /// Trusted keys that were not active yet, by activation.
    waiting: BTreeSet<(Timestamp, usize)>,
    /// Trusted keys that were active, by rank: the last one protected, its later fate aside.
    active: BTreeSet<((Timestamp, Timestamp, bool, KeyId), usize)>,
    /// When the first trusted successor of each key became active.
    replaced: BTreeMap<KeyId, Timestamp>,
}

impl Past {
    fn new(keys: &[RingKey], policy: &Policy) -> Self {
        // The lowest attempt: its slot was taken before the group was announced, whatever times later ones claim.
        let firsts = keys.iter().filter(|k| (k.verified || k.is_withheld()) && is_first(k));
        let first = firsts.map(|k| (k.record.attempt, k.attested.created)).min();
        let mut terms = HashMap::with_capacity(keys.len());
        // By its own word only: a creator may lie, and gains no more than a key may lie ahead in any case.
        let came_back = |k: &&RingKey| {
            k.verified && k.record.origin == Origin::Restored && k.record.family == Family::Native
        };
        terms.extend(keys.iter().filter(came_back).map(|k| {
            let activation = Timestamp(k.record.activates_at_ms);
            (k.id(), (activation, activation.plus(policy.rotation_period_ms)))
        }));
        Self {
            first,
            succeeded: None,
            terms,
            waiting: BTreeSet::new(),
            active: BTreeSet::new(),
            replaced: BTreeMap::new(),
        }
    }

    /// Moves on to when the next key was made; `before` are the keys so far.
    fn advance(&mut self, before: &[RingKey], created: Timestamp) {
        while let Some((at, index)) = self.waiting.pop_first() {
            if at > created {
                self.waiting.insert((at, index));
                break;
            }
            if let Some(key) = before.get(index) {
                self.active.insert((key.rank(), index));
            }
        }
    }

    /// Takes a key that was judged.
    fn add(&mut self, index: usize, key: &RingKey, policy: &Policy) {
        self.terms.entry(key.id()).or_insert_with(|| (key.activation(), key.end(policy)));
        if key.distrust.is_some() {
            return;
        }
        self.waiting.insert((key.activation(), index));
        if let Some(predecessor) = key.record.predecessor {
            let at = self.replaced.entry(predecessor).or_insert(key.activation());
            *at = key.activation().min(*at);
        }
        if !is_first(key) && self.succeeded.is_none() {
            self.succeeded = Some(key.attested.created);
        }
    }
}

/// Whether a key would protect too early, or lies too far ahead to be a successor.
fn fault_of_times(key: &RingKey, past: &Past, before: &[RingKey], history: &History<'_>) -> Option<Distrust> {
    let policy = history.policy;
    let created = key.attested.created;
    let delay = history.policies.activation_delay_required_ms(created).unwrap_or(policy.activation_delay_ms);
    let activates = Timestamp(key.record.activates_at_ms);
    let skew_ms = policy.clock_skew_ms.saturating_mul(2);
    if activates < created.plus(delay) && !is_excepted(key, past, before, history) {
        return Some(Distrust::ShortDelay);
    }
    // Only a key that protects is succeeded: in a chain made in advance, each key would carry the next one further.
    let predecessor = key.record.predecessor.and_then(|id| past.terms.get(&id));
    let predecessor_end =
        predecessor.filter(|(activation, _)| *activation <= created.plus(skew_ms)).map(|(_, end)| *end);
    let latest = predecessor_end
        .unwrap_or(created)
        .max(created.plus(policy.activation_delay_ms.max(delay)))
        .plus(policy.activation_delay_ms)
        .plus(skew_ms);
    (activates > latest).then_some(Distrust::TooFarAhead)
}

fn is_first(key: &RingKey) -> bool {
    key.record.predecessor.is_none()
        && key.record.origin == Origin::Rolled
        && key.record.family == Family::Native
}

fn plain_faults(key: &RingKey, policy: &Policy, now: Timestamp, safeguards: Safeguards) -> Option<Distrust> {
    if !key.verified && !key.is_withheld() {
        Some(Distrust::NotVerified)
    } else if safeguards.slot_names && key.record.slot() != key.name {
        Some(Distrust::WrongSlot)
    } else if key.record.origin != Origin::Rolled {
        // Before the family: that a key was imported from Windows is nothing to report.
        Some(Distrust::NotRolled)
    } else if key.record.family != Family::Native {
        Some(Distrust::ForeignFamily)
    } else if !key.attested.template_ok {
        Some(Distrust::LooseAccessControl)
    } else if key.public == PublicPart::Differs {
        Some(Distrust::Misdescribed)
    } else if policy.creators.as_ref().is_some_and(|names| !names.contains(&key.attested.creator.0)) {
        Some(Distrust::NotACreator)
    } else if key.attested.created > now.plus(policy.clock_skew_ms) {
        Some(Distrust::CreatedInFuture)
    } else {
        None
    }
}

/// The three cases in which a key may be used before the activation delay has passed.
fn is_excepted(key: &RingKey, past: &Past, before: &[RingKey], history: &History<'_>) -> bool {
    let created = key.attested.created;
    if is_first(key) {
        // The group's first key, or its twin on a replica that had not heard of it yet.
        let policy = history.policy;
        let twin_bound = policy.replication_bound_ms.saturating_add(policy.creation_margin_ms());
        // After a successor was made nothing is first any more, even if the true first key is erased by now.
        // Two replicas' clocks may differ by twice the skew: a successor may seem to be as old as what it succeeds.
        let skew_ms = policy.clock_skew_ms.saturating_mul(2);
        let succeeded = past.succeeded.is_some_and(|at| at.plus(skew_ms) < created);
        let is_twin = |(attempt, first): (u32, Timestamp)| {
            key.record.attempt == attempt && created <= first.plus(twin_bound)
        };
        return !succeeded && past.first.is_some_and(is_twin);
    }
    let exposed =
        |from: Timestamp| history.exposures.iter().any(|e| e.until_ms <= created.0 && from.0 < e.until_ms);
    // Of a key that was destroyed since, only its statuses tell why it was replaced. It did not protect any more after
    // its destruction, nor after another key took its place: a short delay had no reason then.
    if let Some((id, erased)) = key.record.predecessor.and_then(|id| history.tombstones.get_key_value(&id)) {
        let latest = past.active.last().map(|((activation, ..), _)| *activation);
        let replaced = past.replaced.get(id).is_some_and(|at| *at <= created)
            || erased.compromised.is_some_and(|at| latest.is_some_and(|latest| latest > at));
        // As below: a compromise is an excuse to who said it, and to others only from then on.
        let compromised = erased.compromised.is_some_and(|at| {
            erased.compromised_by.contains(&key.attested.creator)
                || created.plus(history.policy.clock_skew_ms) >= at
        });
        return !replaced
            && erased.destroyed.is_some_and(|at| created <= at)
            && (compromised || exposed(Timestamp(0)));
    }
    // The key that protected when this one was made, its later fate aside. A key that was, or may have been, suspended
    // at that time leaves the question to the one before it.
    let mut candidates: Vec<&RingKey> =
        past.active.iter().rev().take(CANDIDATES_MAX).filter_map(|(_, i)| before.get(*i)).collect();
    candidates.sort_by_key(|k| std::cmp::Reverse((!k.is_exposed(created), k.rank())));
    let mut is_compromised = false;
    for protected in candidates {
        if exposed(protected.attested.created) {
            return true;
        }
        if let Some(at) = protected.status.compromised {
            // An owner makes the new key first and then says so. Nobody else can have known: what others had made with
            // a short delay before does not become right by it.
            if protected.status.compromised_by.contains(&key.attested.creator) {
                return true;
            }
            if created.plus(history.policy.clock_skew_ms) < at {
                return false;
            }
            is_compromised = true;
        } else if !was_stopped(&protected.status, created, history.policy) {
            return false;
        }
    }
    is_compromised
}

/// How many keys are looked at to find the one that protected: a few are suspended or exposed, and a creator who means
/// ill must not make the search long.
const CANDIDATES_MAX: usize = 64;

/// Whether the maker of a key at `created` may have taken this key for one that does not protect. He may not have
/// heard yet of a resume.
fn was_stopped(status: &StatusSummary, created: Timestamp, policy: &Policy) -> bool {
    let skew = policy.clock_skew_ms;
    let lag = policy.refresh_interval_max_ms() + policy.replication_bound_ms + policy.creation_margin_ms();
    let begun = |from: Timestamp| from <= created.plus(skew);
    status.stopped.iter().any(|(from, until)| begun(*from) && until.is_none_or(|at| created <= at.plus(lag)))
        || status.deactivated.is_some_and(begun)
        || status.destroyed.is_some_and(begun)
}
