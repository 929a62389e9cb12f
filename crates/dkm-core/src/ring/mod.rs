//! The key ring: what a set of records says about a group's keys at a point in time.
//!
//! [`Ring::derive`] is a pure function of (records, time). It holds no key material.

mod status;
mod trust;

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};
use std::fmt;

pub use trust::Distrust;

use crate::id::{Digest, GroupId, KeyId};
use crate::policy::{Policy, PolicyChain};
use crate::record::{ExposedRecord, Family, KeyRecord, Origin, PublicPart, Record};
use crate::safeguards::Safeguards;
use crate::slot::{Attestation, Principal, Room, SlotName};
use crate::time::Timestamp;

/// Most keys of a ring.
pub const RING_LEN_MAX: usize = 100_000;

/// A record as a repository holds it. Key records come without their material.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The room it lies in.
    pub room: Room,
    /// The slot it lies in.
    pub name: SlotName,
    /// Digest of its bytes as stored.
    pub digest: Digest,
    /// The record; for a key, with [`crate::record::Material::None`].
    pub record: Record,
    /// What the repository says of its origin.
    pub attested: Attestation,
    /// For a key: whether its material was opened and gives its id. True for all other kinds.
    pub verified: bool,
    /// For a key: what the repository shows of it to those who may not read its material.
    pub public: PublicPart,
}

/// State of a key (NIST SP 800-57 part 1 §7), in the order of the lattice: the highest that applies wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// Made, not yet in use: clients are learning of it.
    PreActive,
    /// May protect.
    Active,
    /// Does not protect until resumed; still unprotects.
    Suspended,
    /// Archived: unprotects only.
    Deactivated,
    /// Others may know it: unprotects only with an explicit override.
    Compromised,
    /// Erased for ever.
    Destroyed,
}

impl KeyState {
    /// The state's name, as NIST writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the statuses of a key come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusSummary {
    /// Digests of all statuses that count, sorted: a new status answers them all.
    pub heads: Vec<Digest>,
    /// Highest epoch among them.
    pub epoch: u32,
    /// Suspensions that nothing cancels.
    pub suspensions: Vec<Digest>,
    /// Since when the key cools off before its destruction; none when it does not.
    pub cooling_off_since: Option<Timestamp>,
    /// Whether somebody needed the key in a cooling-off time, so that its destruction was called off.
    pub use_noticed: bool,
    /// Deactivated by an owner, and since when.
    pub deactivated: Option<Timestamp>,
    /// Compromised, and since when.
    pub compromised: Option<Timestamp>,
    /// Who said that it is compromised.
    pub compromised_by: BTreeSet<Principal>,
    /// From when until when it was suspended, cancelled suspensions too; no end while nothing cancels it.
    pub stopped: Vec<(Timestamp, Option<Timestamp>)>,
    /// Destroyed, and since when.
    pub destroyed: Option<Timestamp>,
    /// The latest reason given.
    pub reason: Option<String>,
}

/// A key of the ring.
#[derive(Debug, Clone, PartialEq)]
pub struct RingKey {
    /// Its record, without material.
    pub record: KeyRecord,
    /// Digest of the record as stored.
    pub digest: Digest,
    /// The slot it lies in.
    pub name: SlotName,
    /// What the repository says of its origin.
    pub attested: Attestation,
    /// Whether its material gives its id. Only verified keys unprotect.
    pub verified: bool,
    /// What the repository shows of it to those who may not read its material.
    pub public: PublicPart,
    /// Why it may never protect; none for a key that may.
    pub distrust: Option<Distrust>,
    /// What its statuses come to.
    pub status: StatusSummary,
    /// Since when a successor protects in its place; may lie in the future.
    pub superseded_at: Option<Timestamp>,
    /// Intervals in which a person could read it.
    pub exposures: Vec<ExposedRecord>,
}

impl RingKey {
    /// A key as it was read, not judged yet.
    fn new(seen: &Observed, record: &KeyRecord) -> Self {
        Self {
            record: record.clone(),
            digest: seen.digest,
            name: seen.name.clone(),
            attested: seen.attested.clone(),
            verified: seen.verified,
            public: seen.public,
            distrust: None,
            status: StatusSummary::default(),
            superseded_at: None,
            exposures: Vec::new(),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.record.id
    }

    /// Whether this account may not read its material: the key is judged by its public part and by what the repository
    /// attests, and can't be used here.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        !self.verified && self.public == PublicPart::Alone
    }

    /// Since when others may have been able to read it: since the repository took it, but a key that came from
    /// elsewhere was there before.
    fn existed_since(&self) -> Timestamp {
        match self.record.origin {
            Origin::Rolled => self.attested.created,
            Origin::Restored | Origin::Imported => {
                self.attested.created.min(Timestamp(self.record.created_at_ms))
            }
        }
    }

    /// From when it may protect.
    #[must_use]
    pub fn activation(&self) -> Timestamp {
        Timestamp(self.record.activates_at_ms).max(self.attested.created)
    }

    /// When its successor is to take over.
    #[must_use]
    pub fn end(&self, policy: &Policy) -> Timestamp {
        self.activation().plus(policy.rotation_period_ms)
    }

    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.status.destroyed.is_some() {
            KeyState::Destroyed
        } else if self.status.compromised.is_some() {
            KeyState::Compromised
        } else if self.deactivated_since(now).is_some() {
            KeyState::Deactivated
        } else if !self.status.suspensions.is_empty() {
            KeyState::Suspended
        } else if self.activation() <= now {
            KeyState::Active
        } else {
            KeyState::PreActive
        }
    }

    /// Since when the key is archived; none while it is not.
    #[must_use]
    pub fn deactivated_since(&self, now: Timestamp) -> Option<Timestamp> {
        let superseded = self.superseded_at.filter(|at| *at <= now);
        let never = self.distrust.as_ref().map(|_| self.attested.created);
        [superseded, self.status.deactivated, never].into_iter().flatten().min()
    }

    /// Whether a person could read it in an interval that began before `now`.
    #[must_use]
    pub fn is_exposed(&self, now: Timestamp) -> bool {
        self.exposures.iter().any(|e| e.from_ms <= now.0)
    }

    /// Whether a person could read it in an interval that has ended by `now`: reason to roll away from it.
    #[must_use]
    pub fn exposure_ended(&self, now: Timestamp) -> Option<Timestamp> {
        self.exposures.iter().map(|e| Timestamp(e.until_ms)).filter(|until| *until <= now).max()
    }

    /// Whether trust and statuses let it protect, its activation aside.
    #[must_use]
    pub fn may_ever_protect(&self) -> bool {
        self.distrust.is_none()
            && self.status.destroyed.is_none()
            && self.status.compromised.is_none()
            && self.status.deactivated.is_none()
            && self.status.suspensions.is_empty()
    }

    /// Rank for protection: later activation wins; creation time and id decide between conflict twins. A successor made
    /// within the same tick of the clock as the first key still comes after it.
    pub(crate) fn rank(&self) -> (Timestamp, Timestamp, bool, KeyId) {
        (self.activation(), self.attested.created, self.record.predecessor.is_some(), self.id())
    }
}

/// Something that readers of the records should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Finding {
    /// A record that does not count, and why.
    Ignored {
        /// Where it lies.
        room: Room,
        /// Its slot.
        name: SlotName,
        /// Why it does not count.
        why: String,
    },
    /// A key that may never protect, and why.
    KeyIgnored {
        /// The key.
        key: KeyId,
        /// Why.
        why: Distrust,
        /// Who made it, as the repository says.
        creator: String,
    },
    /// Several policy versions that do not know of each other; the more restrictive of each field is in force.
    PolicySiblings {
        /// How many.
        count: usize,
    },
    /// Two keys in one slot, made on two replicas that could not talk to each other: both are good.
    ConflictTwins {
        /// The slot.
        name: SlotName,
    },
    /// More keys than a ring may have; the newest are left out.
    RingTooLong {
        /// How many keys there are.
        len: usize,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored { room, name, why } => write!(f, "record {room}/{name} is ignored: {why}"),
            Self::KeyIgnored { key, why, creator } => {
                write!(f, "key {key} by {creator} never protects: {why}")
            }
            Self::PolicySiblings { count } => {
                write!(
                    f,
                    "{count} policy versions do not know of each other; the more restrictive of each field is in force (settle with `dkm policy set`)"
                )
            }
            Self::ConflictTwins { name } => {
                write!(
                    f,
                    "slot {name} holds two keys, made on replicas that could not talk to each other; both are kept"
                )
            }
            Self::RingTooLong { len } => write!(f, "the ring has {len} keys, the limit is {RING_LEN_MAX}"),
        }
    }
}

/// What a set of records says at a point in time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ring {
    /// Name of the group, once its record was read.
    pub name: Option<String>,
    /// The policies.
    pub policies: PolicyChain,
    /// The keys, oldest activation first.
    pub keys: Vec<RingKey>,
    /// All exposures.
    pub exposures: Vec<ExposedRecord>,
    /// Destroyed keys whose record is erased: their statuses are all that is left of them.
    pub tombstones: BTreeMap<KeyId, StatusSummary>,
    /// What readers should know.
    pub findings: Vec<Finding>,
    destroyed: BTreeSet<KeyId>,
    index: BTreeMap<KeyId, usize>,
    /// Names in the room of keys that are taken: by whatever lies there, whether it counts or not.
    taken: BTreeSet<SlotName>,
}

impl Ring {
    /// Derives the ring from records, in any order.
    #[must_use]
    pub fn derive<'a>(
        observed: impl IntoIterator<Item = &'a Observed>,
        now: Timestamp,
        safeguards: Safeguards,
    ) -> Self {
        let mut observed: Vec<&Observed> = observed.into_iter().collect();
        // In one order, whatever the order of reading: where two records are worth the same, one and the same wins.
        observed.sort_by_key(|seen| {
            let attested = &seen.attested;
            (seen.room, &seen.name, seen.digest, attested.created, &attested.creator, !attested.template_ok)
        });
        let mut ring = Self::default();
        let mut group_name = None;
        let mut policies = Vec::new();
        let mut statuses = Vec::new();
        let mut best: HashMap<KeyId, (&Observed, &KeyRecord)> = HashMap::with_capacity(observed.len());
        // The key record before, and its slot: records in one slot follow each other.
        let mut last: Option<(&SlotName, KeyId)> = None;
        ring.taken =
            observed.iter().filter(|seen| seen.room == Room::Keys).map(|seen| seen.name.clone()).collect();
        for seen in observed {
            if seen.record.room() != seen.room {
                ring.ignore(
                    seen,
                    format!("a {} record does not belong into this room", seen.record.kind_name()),
                );
                continue;
            }
            match &seen.record {
                Record::Group(group) => {
                    // There is one slot for it; a record that somebody put elsewhere does not rename the group.
                    let worth = (seen.name != seen.record.slot(GroupId::default(), 0), seen.attested.created);
                    if group_name.as_ref().is_none_or(|(best, _)| worth < *best) {
                        group_name = Some((worth, group.name.clone()));
                    }
                }
                Record::Policy(policy) => policies.push((seen.digest, policy, &seen.attested)),
                Record::Roster(_) => {}
                Record::Status(status) => statuses.push((seen, status)),
                Record::Exposed(exposed) => ring.exposures.push(exposed.clone()),
                Record::Key(key) => {
                    let before = last.replace((&seen.name, key.id));
                    if before.is_some_and(|(name, other)| *name == seen.name && other != key.id) {
                        ring.findings.push(Finding::ConflictTwins { name: seen.name.clone() });
                    }
                    keep_better(&mut best, seen, key);
                }
            }
        }
        ring.name = group_name.map(|(_, name)| name);
        ring.exposures.sort_by(|a, b| {
            (a.from_ms, a.until_ms, &a.who, &a.grant).cmp(&(b.from_ms, b.until_ms, &b.who, &b.grant))
        });
        ring.exposures.dedup();
        ring.policies = PolicyChain::resolve(policies);
        if ring.policies.heads().len() > 1 {
            ring.findings.push(Finding::PolicySiblings { count: ring.policies.heads().len() });
        }
        for (digest, why) in ring.policies.ignored() {
            let name = SlotName::for_content("policy", *digest);
            ring.findings.push(Finding::Ignored { room: Room::Control, name, why: why.clone() });
        }
        let counting = status::counting(&statuses, &ring.policies, &mut ring.findings);
        ring.destroyed = status::destroyed(&counting);
        let Some(policy) = ring.policies.effective().cloned() else {
            ring.findings.sort();
            ring.findings.dedup();
            return ring;
        };
        let mut summaries = status::summaries(&counting);
        ring.tombstones = summaries
            .iter()
            .filter(|(id, summary)| summary.destroyed.is_some() && !best.contains_key(id))
            .map(|(id, summary)| (*id, summary.clone()))
            .collect();
        let mut best: Vec<(&Observed, &KeyRecord)> = best.into_values().collect();
        if best.len() > RING_LEN_MAX {
            ring.findings.push(Finding::RingTooLong { len: best.len() });
            best.sort_by_cached_key(|(seen, key)| (seen.attested.created, key.id));
            best.truncate(RING_LEN_MAX);
        }
        // In the order in which they are judged: what a ring says of a key is large, and costly to move about.
        best.sort_by_cached_key(|(seen, key)| trust::seniority(seen.attested.created, key));
        let mut keys: Vec<RingKey> = Vec::with_capacity(best.len());
        for (seen, record) in best {
            let mut key = RingKey::new(seen, record);
            key.status = summaries.remove(&record.id).unwrap_or_default();
            // Readable in the interval: it existed before the interval's end.
            let existed_since = key.existed_since();
            key.exposures = ring.exposures.iter().filter(|e| existed_since.0 < e.until_ms).cloned().collect();
            keys.push(key);
        }
        let history = trust::History {
            policies: &ring.policies,
            policy: &policy,
            exposures: &ring.exposures,
            tombstones: &ring.tombstones,
        };
        trust::judge(&mut keys, &history, now, safeguards);
        for key in &keys {
            if let Some(why) = &key.distrust
                && !matches!(why, Distrust::NotRolled)
            {
                let creator = key.attested.creator.0.clone();
                ring.findings.push(Finding::KeyIgnored { key: key.id(), why: why.clone(), creator });
            }
        }
        keys.sort_by_key(RingKey::rank);
        supersede(&mut keys, now);
        ring.index = keys.iter().enumerate().map(|(i, key)| (key.id(), i)).collect();
        ring.keys = keys;
        ring.findings.sort();
        ring.findings.dedup();
        ring
    }

    /// The policy in force; none while no policy record was read.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.policies.effective()
    }

    /// The key with this id.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&RingKey> {
        self.index.get(&id).and_then(|i| self.keys.get(*i))
    }

    /// Whether a tombstone was read for this key. Its record need not be there: every store erases it.
    #[must_use]
    pub fn is_destroyed(&self, id: KeyId) -> bool {
        self.destroyed.contains(&id)
    }

    /// Whether a record other than a key counts, as far as its author and access control decide that.
    pub(crate) fn counts(&self, seen: &Observed) -> bool {
        match &seen.record {
            Record::Status(status) => status::author_may(seen, status, &self.policies).is_ok(),
            Record::Policy(_) => self.policies.versions().iter().any(|v| v.digest == seen.digest),
            _ => seen.attested.template_ok,
        }
    }

    /// Which keys may protect at `now`, best first: not exposed before exposed, then latest activation.
    pub fn protecting(&self, now: Timestamp) -> impl Iterator<Item = &RingKey> {
        let mut candidates: Vec<&RingKey> =
            self.keys.iter().filter(|k| k.may_ever_protect() && k.activation() <= now).collect();
        candidates.sort_by_key(|k| (!k.is_exposed(now), k.rank()));
        candidates.into_iter().rev()
    }

    /// The first free attempt at the slot after `predecessor`. Attempts are counted by what lies in their slots and not by
    /// what records say of themselves: a creator who means ill could otherwise name the last one.
    #[must_use]
    pub fn free_attempt(&self, predecessor: Option<KeyId>) -> u32 {
        let is_free = |attempt: &u32| !self.taken.contains(&SlotName::for_key(predecessor, *attempt));
        (0..=u32::MAX).find(is_free).unwrap_or(u32::MAX)
    }

    /// Takes names in the room of keys that hold what could not be read: they are no less taken.
    pub fn take_slots(&mut self, names: impl IntoIterator<Item = SlotName>) {
        self.taken.extend(names);
    }

    fn ignore(&mut self, seen: &Observed, why: String) {
        self.findings.push(Finding::Ignored { room: seen.room, name: seen.name.clone(), why });
    }
}

/// Several records of one key: its own before a restored copy of it, a verified before an unverified one.
fn keep_better<'a>(
    keys: &mut HashMap<KeyId, (&'a Observed, &'a KeyRecord)>,
    seen: &'a Observed,
    record: &'a KeyRecord,
) {
    let worth = |(seen, record): (&Observed, &KeyRecord)| {
        let in_place = record.slot() == seen.name;
        (
            seen.verified,
            in_place,
            std::cmp::Reverse(record.origin),
            seen.attested.template_ok,
            // Whoever has the material can make a copy with other times, but not before the key was there.
            std::cmp::Reverse(seen.attested.created),
            std::cmp::Reverse(seen.digest),
        )
    };
    match keys.entry(record.id) {
        hash_map::Entry::Vacant(free) => {
            free.insert((seen, record));
        }
        hash_map::Entry::Occupied(mut taken) => {
            if worth((seen, record)) > worth(*taken.get()) {
                taken.insert((seen, record));
            }
        }
    }
}

/// A key is superseded when a trusted key that is better than it activates, whatever becomes of that one later. Better
/// is what [`Ring::protecting`] prefers: a key that nobody was exposed to supersedes one that somebody was, even if
/// that one activates later, and is not superseded by it. A key that was archived, compromised or destroyed before it
/// could protect supersedes nothing.
fn supersede(keys: &mut [RingKey], now: Timestamp) {
    let counts = |key: &RingKey| {
        let status = &key.status;
        let ended = [status.deactivated, status.compromised, status.destroyed].into_iter().flatten().min();
        let never_protected = ended.is_some_and(|at| at <= key.activation());
        key.distrust.is_none() && key.record.family == Family::Native && !never_protected
    };
    let first_unexposed =
        keys.iter().filter(|k| counts(k) && !k.is_exposed(now)).map(RingKey::activation).min();
    let mut next: Option<Timestamp> = None;
    let mut next_unexposed: Option<Timestamp> = None;
    for key in keys.iter_mut().rev() {
        let activation = key.activation();
        if key.is_exposed(now) {
            let replaced = first_unexposed.map(|at| at.max(activation));
            key.superseded_at = [next, replaced].into_iter().flatten().min();
        } else {
            key.superseded_at = next_unexposed;
        }
        if counts(key) {
            next = Some(activation);
            if !key.is_exposed(now) {
                next_unexposed = Some(activation);
            }
        }
    }
}

#[cfg(test)]
mod found;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
