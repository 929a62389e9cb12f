//! A client's view of one group: what it has read from which replica, and what it may do with it now.
//!
//! No I/O and no key material: the shell reads replicas and tells; this module decides. The simulation drives the
//! same code.

mod refusal;

use std::collections::{BTreeMap, BTreeSet};

pub use refusal::{Alarm, ProtectRefusal, UnprotectRefusal};

use crate::id::{Digest, KeyId, ReplicaId};
use crate::plan::{Draw, Plan, plan};
use crate::policy::Policy;
use crate::record::{Origin, PublicPart, Record};
use crate::ring::{KeyState, Observed, Ring, RingKey};
use crate::safeguards::Safeguards;
use crate::slot::{Room, SlotName};
use crate::time::Timestamp;

/// What a client may do with a group, as the repository tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Read keys: protect and unprotect.
    pub read: bool,
    /// Add keys.
    pub create: bool,
    /// Add control records: policy, statuses.
    pub own: bool,
}

/// One complete reading of one replica, on a fresh connection.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Which replica.
    pub replica: ReplicaId,
    /// Its clock, where it offers one.
    pub clock: Option<Timestamp>,
    /// Every record it holds.
    pub present: Vec<std::sync::Arc<Observed>>,
}

#[derive(Debug, Clone, Default)]
struct ReplicaView {
    seen: BTreeMap<(Room, SlotName), BTreeSet<Digest>>,
    /// Records of keys whose access control is not the template's on this replica.
    loose: BTreeSet<RecordAt>,
    /// Records of keys of which this replica shows something else than what they are.
    misdescribed: BTreeSet<RecordAt>,
    /// When its clock was read, by the client's, and how far the two were apart.
    clock_off: Option<(Timestamp, u64)>,
}

type RecordAt = (Room, SlotName, Digest);

/// How a key of a blob may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnprotectLeave {
    /// The key waits for its destruction: its use must be noticed in the repository, or its data would be lost.
    pub notice_use: bool,
    /// The key's state.
    pub state: KeyState,
}

/// A client's view of one group.
#[derive(Debug, Clone)]
pub struct Member {
    client: [u8; 16],
    replicas_known: usize,
    rights: Rights,
    safeguards: Safeguards,
    noticed: Option<Timestamp>,
    replicas: BTreeMap<ReplicaId, ReplicaView>,
    union: BTreeMap<RecordAt, std::sync::Arc<Observed>>,
    /// Names in the room of keys that hold what could not be read.
    unread: BTreeSet<SlotName>,
    read_from: BTreeMap<KeyId, BTreeSet<ReplicaId>>,
    /// Records of keys that a replica had and has not any more as they were; a key with any does not protect.
    missing: BTreeMap<KeyId, BTreeSet<(ReplicaId, Room, SlotName, Digest)>>,
    denied: bool,
    last_contact: Option<Timestamp>,
    now: Timestamp,
    ring: Ring,
    alarms: BTreeSet<Alarm>,
}

impl Member {
    /// A view that has read nothing yet. `client` is random and names this client's luck; `replicas_known` is how many
    /// replicas are configured; `noticed` is when a long-lived client started, none for a short-lived one.
    #[must_use]
    pub fn new(
        client: [u8; 16],
        replicas_known: usize,
        noticed: Option<Timestamp>,
        safeguards: Safeguards,
    ) -> Self {
        Self {
            client,
            replicas_known,
            rights: Rights::default(),
            safeguards,
            noticed,
            replicas: BTreeMap::new(),
            union: BTreeMap::new(),
            unread: BTreeSet::new(),
            read_from: BTreeMap::new(),
            missing: BTreeMap::new(),
            denied: false,
            last_contact: None,
            now: Timestamp(0),
            ring: Ring::default(),
            alarms: BTreeSet::new(),
        }
    }

    /// Takes the client's rights.
    pub fn set_rights(&mut self, rights: Rights) {
        self.rights = rights;
    }

    /// The client's rights as last told.
    #[must_use]
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// Moves the clock; within a process it never goes back.
    pub fn advance(&mut self, clock: Timestamp) -> Timestamp {
        self.now = self.now.max(clock);
        self.now
    }

    /// Takes a reading: the union with what is known, never less. What has gone or changed raises an alarm.
    pub fn observe(&mut self, clock: Timestamp, reading: &Reading) {
        let now = self.advance(clock);
        self.denied = false;
        self.last_contact = Some(now);
        let view = self.replicas.entry(reading.replica).or_default();
        let mut present: BTreeMap<(Room, SlotName), BTreeSet<Digest>> = BTreeMap::new();
        for seen in &reading.present {
            present.entry((seen.room, seen.name.clone())).or_default().insert(seen.digest);
        }
        let gone: Vec<_> = view
            .seen
            .iter()
            .filter(|(at, digests)| present.get(at).is_none_or(|p| !p.is_superset(digests)))
            .collect();
        let mut missing = Vec::new();
        for ((room, name), digests) in gone {
            let slot_taken = present.get(&(*room, name.clone()));
            for digest in digests {
                if slot_taken.is_some_and(|there| there.contains(digest)) {
                    continue;
                }
                let Some(known) = self.union.get(&(*room, name.clone(), *digest)) else { continue };
                let alarm = Alarm {
                    replica: reading.replica,
                    room: *room,
                    name: name.clone(),
                    changed: slot_taken.is_some(),
                };
                if let Record::Key(key) = &known.record {
                    missing.push((key.id, *digest, alarm));
                } else {
                    self.alarms.insert(alarm);
                }
            }
        }
        // What is there again as it was is believed again.
        for records in self.missing.values_mut() {
            records.retain(|(replica, room, name, digest)| {
                *replica != reading.replica
                    || present.get(&(*room, name.clone())).is_none_or(|there| !there.contains(digest))
            });
        }
        self.missing.retain(|_, records| !records.is_empty());
        view.clock_off = reading.clock.map(|theirs| (now, theirs.distance(now)));
        for seen in &reading.present {
            // A copy from an archive is another record: its being there says nothing of the key's own having spread.
            if let Record::Key(key) = &seen.record
                && seen.verified
                && key.origin != Origin::Restored
            {
                self.read_from.entry(key.id).or_default().insert(reading.replica);
            }
            let known =
                self.union.entry((seen.room, seen.name.clone(), seen.digest)).or_insert_with(|| seen.clone());
            // A key that did not open before: its root key has come back.
            if seen.verified && !known.verified {
                std::sync::Arc::make_mut(known).verified = true;
            }
            // The same record put twice, at two replicas, is as old as the older: every client must come to the same
            // ring, in whatever order it reads them.
            if (seen.attested.created, &seen.attested.creator)
                < (known.attested.created, &known.attested.creator)
            {
                let known = std::sync::Arc::make_mut(known);
                known.attested.created = seen.attested.created;
                known.attested.creator = seen.attested.creator.clone();
            }
        }
        view.seen = present;
        self.take_access(reading);
        self.rederive();
        for (key, digest, alarm) in missing {
            // A destroyed key's material is meant to go.
            if !self.ring.is_destroyed(key) {
                let record = (alarm.replica, alarm.room, alarm.name.clone(), digest);
                self.missing.entry(key).or_default().insert(record);
                self.alarms.insert(alarm);
            }
        }
    }

    /// Takes it that a replica holds exactly what it held when it was read last; false, and nothing is taken, if it never was.
    /// What the records come to is not derived anew: that is for whoever knows that it can't have changed
    /// ([`Member::next_key_change`]).
    pub fn confirm(&mut self, clock: Timestamp, replica: ReplicaId, theirs: Option<Timestamp>) -> bool {
        let now = self.advance(clock);
        let Some(view) = self.replicas.get_mut(&replica).filter(|_| !self.denied) else { return false };
        view.clock_off = theirs.map(|theirs| (now, theirs.distance(now)));
        self.last_contact = Some(now);
        true
    }

    /// The access control of a key's record, and what is shown of it, can change after it was read: they are right only if
    /// they are on every replica. A control record keeps the first word: what ends a key must not lose its force that way.
    fn take_access(&mut self, reading: &Reading) {
        let keys = || reading.present.iter().filter(|seen| matches!(seen.record, Record::Key(_)));
        let at = |seen: &std::sync::Arc<Observed>| (seen.room, seen.name.clone(), seen.digest);
        let differs = |seen: &Observed| seen.public == PublicPart::Differs;
        let loose: BTreeSet<RecordAt> = keys().filter(|seen| !seen.attested.template_ok).map(at).collect();
        let misdescribed: BTreeSet<RecordAt> = keys().filter(|seen| differs(seen)).map(at).collect();
        let Some(view) = self.replicas.get_mut(&reading.replica) else { return };
        let loose_before = std::mem::replace(&mut view.loose, loose.clone());
        let misdescribed_before = std::mem::replace(&mut view.misdescribed, misdescribed.clone());
        for at in loose_before.union(&loose) {
            let template_ok = !self.replicas.values().any(|view| view.loose.contains(at));
            if let Some(known) = self.union.get_mut(at)
                && known.attested.template_ok != template_ok
            {
                std::sync::Arc::make_mut(known).attested.template_ok = template_ok;
            }
        }
        for at in misdescribed_before.union(&misdescribed) {
            let anywhere = self.replicas.values().any(|view| view.misdescribed.contains(at));
            let public = if anywhere { PublicPart::Differs } else { PublicPart::Agrees };
            if let Some(known) = self.union.get_mut(at)
                && known.public != public
            {
                std::sync::Arc::make_mut(known).public = public;
            }
        }
    }

    /// Forgets what a replica showed, because it shows this account another part of the records from now on: what differs
    /// next time was not changed.
    pub fn forget_replica(&mut self, replica: ReplicaId) {
        self.replicas.remove(&replica);
        self.missing.values_mut().for_each(|records| records.retain(|(of, ..)| *of != replica));
        self.missing.retain(|_, records| !records.is_empty());
    }

    /// Takes the names of slots in the keys room that hold something a reading could not make sense of. No key fits in
    /// there, so the next one goes into another slot; or litter in one slot would stop the group from rolling.
    pub fn note_unread(&mut self, names: impl IntoIterator<Item = SlotName>) {
        let before = self.unread.len();
        self.unread.extend(names);
        if self.unread.len() != before {
            self.ring.take_slots(self.unread.iter().cloned());
        }
    }

    /// Takes a key that this client has just put: with read-back switched off, that alone would make it usable.
    pub fn put_acknowledged(&mut self, observed: std::sync::Arc<Observed>) {
        if !self.safeguards.read_back {
            if let Record::Key(key) = &observed.record {
                let all = (0..=u8::MAX).map(|i| ReplicaId([i; 16]));
                self.read_from.entry(key.id).or_default().extend(all);
            }
            self.union.insert((observed.room, observed.name.clone(), observed.digest), observed);
            self.rederive();
        }
    }

    /// An authenticated replica said *denied*: everything known is dropped at once.
    pub fn deny(&mut self) {
        self.denied = true;
        self.rights = Rights::default();
        self.union.clear();
        self.unread.clear();
        self.read_from.clear();
        self.replicas.clear();
        self.missing.clear();
        self.ring = Ring::default();
    }

    /// Whether the client was denied and has not been let in since.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        self.denied
    }

    /// The ring as last derived.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Alarms raised so far.
    pub fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter()
    }

    /// From which replicas this client has read a key's whole, verified record.
    #[must_use]
    pub fn read_from(&self, key: KeyId) -> usize {
        self.read_from.get(&key).map_or(0, BTreeSet::len)
    }

    /// Every record that was read, wherever that was and whether it is still there.
    pub fn records(&self) -> impl Iterator<Item = &Observed> {
        self.union.values().map(AsRef::as_ref)
    }

    /// What a replica held when it was read last.
    pub fn held_by(&self, replica: ReplicaId) -> impl Iterator<Item = &Observed> {
        let seen = self.replicas.get(&replica).into_iter().flat_map(|view| &view.seen);
        let at = seen.flat_map(|((room, name), digests)| digests.iter().map(|d| (*room, name.clone(), *d)));
        at.filter_map(|at| self.union.get(&at).map(AsRef::as_ref))
    }

    /// Whether the client holds a record of this name and digest already, so that it need not be read again.
    #[must_use]
    pub fn holds(&self, room: Room, name: &SlotName, digest: Digest) -> bool {
        self.union.contains_key(&(room, name.clone(), digest))
    }

    /// How many replicas held a record when they were read last.
    #[must_use]
    pub fn holders(&self, room: Room, name: &SlotName, digest: Digest) -> usize {
        self.replicas.keys().filter(|replica| self.is_held_by(**replica, room, name, digest)).count()
    }

    /// Whether a replica held a record when it was read last.
    #[must_use]
    pub fn is_held_by(&self, replica: ReplicaId, room: Room, name: &SlotName, digest: Digest) -> bool {
        let seen = self.replicas.get(&replica).and_then(|view| view.seen.get(&(room, name.clone())));
        seen.is_some_and(|digests| digests.contains(&digest))
    }

    /// Decides anew with a later clock what the records come to.
    pub fn rederive(&mut self) {
        self.ring = Ring::derive(self.union.values().map(AsRef::as_ref), self.now, self.safeguards);
        self.ring.take_slots(self.unread.iter().cloned());
    }

    fn out_of_reach(&self) -> bool {
        let grace = self.ring.policy().map_or(0, |p| p.offline_grace_ms);
        self.last_contact.is_none_or(|at| self.now.since(at) > grace)
    }

    /// Until when the client may go on without contact; none before the first reading.
    #[must_use]
    pub fn grace_end(&self) -> Option<Timestamp> {
        Some(self.last_contact?.plus(self.ring.policy()?.offline_grace_ms))
    }

    /// How far the clock is from the repository's, if that is too far; none while it is right or nobody can tell.
    #[must_use]
    pub fn clock_off_ms(&self) -> Option<u64> {
        if !self.safeguards.clock_check {
            return None;
        }
        let skew = self.ring.policy().map_or(0, |p| p.clock_skew_ms);
        let read: Vec<(Timestamp, u64)> = self.replicas.values().filter_map(|r| r.clock_off).collect();
        // What was measured a refresh ago says nothing about a clock that has jumped since.
        let recent = self.ring.policy().map_or(0, Policy::offline_grace_min_ms);
        let newest = read.iter().map(|(at, _)| *at).max().unwrap_or_default();
        let offs: Vec<u64> =
            read.iter().filter(|(at, _)| newest.since(*at) <= recent).map(|(_, off)| *off).collect();
        let wrong = offs.iter().filter(|off| **off > skew).count();
        if offs.is_empty() {
            // No replica offers a clock: what the repository attests is at least not from the future.
            let latest = self.union.values().map(|o| o.attested.created).max()?;
            let behind = latest.since(self.now);
            return (behind > skew).then_some(behind);
        }
        // As many right as wrong is not right.
        if wrong * 2 >= offs.len() && wrong > 0 { offs.into_iter().max() } else { None }
    }

    fn is_usable(&self, key: &RingKey) -> bool {
        let needed = self.ring.policy().map_or(usize::MAX, |p| p.replicas_needed(self.replicas_known));
        key.verified && !self.is_doubted(key) && self.read_from(key.id()) >= needed
    }

    /// Whether what stands for a key has gone from, or changed on, a replica that had it. Any creator can put a copy of a
    /// key elsewhere and take it away again: that is no reason to give up the key.
    fn is_doubted(&self, key: &RingKey) -> bool {
        self.missing
            .get(&key.id())
            .is_some_and(|records| records.iter().any(|(_, _, name, _)| *name == key.name))
    }

    /// The key to protect with at `clock`.
    ///
    /// # Errors
    /// [`ProtectRefusal`] says why there is none, and what to do.
    pub fn protecting_key(&mut self, clock: Timestamp) -> Result<KeyId, ProtectRefusal> {
        let now = self.advance(clock);
        if self.denied {
            return Err(ProtectRefusal::Denied);
        }
        let Some(policy) = self.ring.policy() else { return Err(ProtectRefusal::NotRead) };
        if self.out_of_reach() {
            return Err(ProtectRefusal::OutOfReach { grace_ms: policy.offline_grace_ms });
        }
        if let Some(off_ms) = self.clock_off_ms() {
            return Err(ProtectRefusal::ClockOff { off_ms, skew_ms: policy.clock_skew_ms });
        }
        let mut unusable = None;
        for key in self.ring.protecting(now) {
            if !self.is_usable(key) {
                unusable = unusable.or(Some(key));
                continue;
            }
            // An archived key stands in while its successor is not usable here, but no longer than a client out of
            // reach would use it: destruction counts on that.
            if key.superseded_at.is_some_and(|at| now.since(at) > policy.offline_grace_ms) {
                break;
            }
            if let Some(limit) = policy.overdue_refuse_after_ms
                && now.since(key.end(policy)) > limit
            {
                return Err(ProtectRefusal::Overdue {
                    key: key.id(),
                    by_ms: now.since(key.end(policy)),
                    limit_ms: limit,
                });
            }
            return Ok(key.id());
        }
        Err(match unusable {
            Some(key) => ProtectRefusal::NotUsable {
                key: key.id(),
                read_from: self.read_from(key.id()),
                needed: policy.replicas_needed(self.replicas_known),
                doubted: self.is_doubted(key),
            },
            None => ProtectRefusal::NoKey,
        })
    }

    /// Whether a blob of this key may be opened at `clock`.
    ///
    /// # Errors
    /// [`UnprotectRefusal`] says why not, and what to do.
    pub fn unprotect_leave(
        &mut self,
        clock: Timestamp,
        key: KeyId,
        allow_compromised: bool,
    ) -> Result<UnprotectLeave, UnprotectRefusal> {
        let now = self.advance(clock);
        if self.denied {
            return Err(UnprotectRefusal::Denied);
        }
        let Some(policy) = self.ring.policy() else { return Err(UnprotectRefusal::NotRead) };
        if self.out_of_reach() {
            return Err(UnprotectRefusal::OutOfReach { grace_ms: policy.offline_grace_ms });
        }
        if self.ring.is_destroyed(key) {
            return Err(UnprotectRefusal::Destroyed { key });
        }
        let Some(found) = self.ring.key(key) else { return Err(UnprotectRefusal::UnknownKey { key }) };
        if !found.verified {
            return Err(UnprotectRefusal::NotVerified { key });
        }
        if found.status.compromised.is_some() && !allow_compromised {
            return Err(UnprotectRefusal::Compromised { key });
        }
        Ok(UnprotectLeave { notice_use: found.status.cooling_off_since.is_some(), state: found.state(now) })
    }

    /// What this client does about the ring at `clock`. A client whose clock is off, or that is out of reach, does
    /// nothing.
    pub fn plan(&mut self, clock: Timestamp) -> Plan {
        let now = self.advance(clock);
        if self.denied || self.out_of_reach() || self.clock_off_ms().is_some() {
            return Plan::Nothing { until: now };
        }
        let client = self.client;
        let may_create = self.rights.create;
        plan(&self.ring, now, |key| Draw::derive(&client, key), may_create, self.noticed, self.safeguards)
    }

    /// When the next decision may come out differently although nothing was read: an activation, an end, the grace.
    #[must_use]
    pub fn next_change(&self) -> Timestamp {
        self.next_change_of(self.next_key_change())
    }

    /// As [`Member::next_change`], but by the keys alone, whenever a replica was last read. There may be none:
    /// [`Timestamp::MAX`].
    #[must_use]
    pub fn next_key_change(&self) -> Timestamp {
        let now = self.now;
        let policy = self.ring.policy();
        let keys = self.ring.keys.iter().flat_map(|k| {
            let limit = policy.and_then(|p| p.overdue_refuse_after_ms.map(|l| k.end(p).plus(l)));
            let stand_in = policy.and_then(|p| k.superseded_at.map(|at| at.plus(p.offline_grace_ms)));
            let exposures = k.exposures.iter().map(|e| Timestamp(e.from_ms));
            // Until then it is taken to come from the future.
            let past = policy.map(|p| Timestamp(k.attested.created.0.saturating_sub(p.clock_skew_ms)));
            [Some(k.activation()), limit, stand_in, past].into_iter().flatten().chain(exposures)
        });
        keys.filter(|at| *at > now).min().unwrap_or(Timestamp::MAX)
    }

    /// [`Member::next_change`], if the next change of a key is known.
    #[must_use]
    pub fn next_change_of(&self, keys: Timestamp) -> Timestamp {
        let (now, policy) = (self.now, self.ring.policy());
        // Out of reach, only a reading changes anything: to derive a long ring anew at each call would help nobody.
        let grace = self.grace_end().map_or(now, |at| at.plus(1));
        if grace <= now && self.last_contact.is_some() && policy.is_some() {
            return Timestamp::MAX;
        }
        keys.min(grace)
    }
}

#[cfg(test)]
mod found;
#[cfg(test)]
mod tests;
