//! Reading all replicas: what is new joins what is known, and what was destroyed is erased.

use std::sync::{Arc, PoisonError};

use dkm_core::member::{Reading, Rights};
use dkm_core::plan::Plan;
use dkm_core::policy::Policy;
use dkm_core::record::Record;
use dkm_core::ring::RingKey;
use dkm_core::{KeyId, Principal, ReplicaId, Room, Timestamp};

use super::snapshot::CachedKey;
use super::{Engine, Need, State};
use crate::reading::{GroupReading, Known, read_group};
use crate::repository::{Entry, Replica, RepositoryError};
use crate::view::{KeyFault, ReplicaReport};

/// A reading that failed is tried again after this share of the refresh interval.
const RETRY_SHARE: u64 = 10;
/// But not sooner than this, in milliseconds.
const RETRY_MIN_MS: u64 = 1_000;

/// What was read of the replica behind a number.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownOf {
    replica: Option<ReplicaId>,
    records: Known,
    /// Whether this account read keys there, when it was last asked.
    reads: Option<bool>,
    /// Whether it did, and does not any more.
    lost: bool,
}

impl KnownOf {
    /// Nothing but whether the account may not read keys any more.
    fn forgotten(&self) -> Self {
        Self { lost: self.lost || self.reads == Some(true), ..Self::default() }
    }
}

/// What one replica gave.
struct Read {
    number: usize,
    connection: Box<dyn Replica>,
    id: ReplicaId,
    clock: Option<Timestamp>,
    rights: Rights,
    /// As whom this account writes to control and keys, where the repository tells.
    authors: [Option<Principal>; 2],
    group: GroupReading,
    /// Whether it shows this account another part of the records than the last time.
    other_part: bool,
    /// Whether this account read keys here, and does not any more: now, or at some time before.
    lost: [bool; 2],
}

impl Engine {
    /// Reads all replicas: on fresh connections, unless any reading will do.
    ///
    /// # Errors
    /// No replica answers, or one denies; then everything in memory was dropped.
    pub(crate) fn refresh(&self, need: Need) -> Result<(), RepositoryError> {
        self.flight.fly(need, || self.read_all(need))
    }

    /// As [`Engine::refresh`] on fresh connections, and everything is listed: what was removed is seen to be gone.
    pub(crate) fn refresh_whole(&self) -> Result<(), RepositoryError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter_mut().for_each(|known| known.records.forget_marks());
        drop(known);
        self.refresh(Need::Fresh)
    }

    fn read_all(&self, need: Need) -> Result<(), RepositoryError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let replicas = self.parts.repository.replicas();
        known.resize_with(replicas, KnownOf::default);
        let mut reads = Vec::new();
        let mut reports = Vec::new();
        let mut denied = None;
        let mut fault: Option<RepositoryError> = None;
        for (number, known) in known.iter_mut().enumerate() {
            let mut report = ReplicaReport { number, id: None, clock: None, error: None };
            match self.read_replica(number, known, need) {
                Ok(read) => {
                    report.id = Some(read.id);
                    report.clock = read.clock;
                    reads.push(read);
                }
                Err(error) => {
                    tracing::warn!(group = %self.group, replica = number, %error, "a replica was not read");
                    report.error = Some(error.clone());
                    if matches!(error, RepositoryError::Denied { .. }) {
                        denied = Some(error);
                    } else if fault.as_ref().is_none_or(RepositoryError::is_absence) {
                        // What is not here may be where nobody answers.
                        fault = Some(error);
                    }
                }
            }
            reports.push(report);
        }
        // Who goes on as an owner and was a member until now is not turned away, and yet this is a denial: whatever a replica
        // says that has not heard of it yet.
        let reads_keys = reads.iter().any(|read| read.rights.read);
        if denied.is_none() && reads.iter().any(|read| read.lost[0] || (read.lost[1] && reads_keys)) {
            let what = format!("the keys of group {}", self.group);
            denied = Some(RepositoryError::Denied { location: self.parts.repository.url(), what });
        }
        let mut state = self.state();
        state.replicas = reports;
        if let Some(error) = denied {
            // One authenticated replica has decided: what the others gave does not count.
            known.iter_mut().for_each(|known| *known = known.forgotten());
            state.member.deny();
            state.keys.clear();
            self.parts.roots.forget(self.group);
            state.refresh_due = self.parts.clock.now().plus(RETRY_MIN_MS);
            self.publish(&mut state);
            return Err(error);
        }
        if reads.is_empty() {
            let now = self.parts.clock.now();
            let interval = state.member.ring().policy().map_or(0, |p| p.refresh_interval_ms);
            state.refresh_due = now.plus((interval / RETRY_SHARE).max(RETRY_MIN_MS));
            let _ = state.member.advance(now);
            state.member.rederive();
            self.publish(&mut state);
            return Err(fault.unwrap_or_else(|| RepositoryError::Unavailable {
                location: self.parts.repository.url(),
                why: "it has no replicas".to_owned(),
            }));
        }
        if reads.len() == replicas && self.take_unchanged(&mut state, &reads) {
            reads.into_iter().for_each(|read| read.connection.release());
            return Ok(());
        }
        for read in reads.iter_mut().filter(|read| read.group.unchanged) {
            read.group = known.get(read.number).map(|known| known.records.again()).unwrap_or_default();
        }
        let returned = self.take_in(&mut state, &mut reads);
        state.erasing = !returned.is_empty();
        drop(state);
        self.erase(&mut reads, &returned);
        reads.into_iter().for_each(|read| read.connection.release());
        Ok(())
    }

    fn read_replica(&self, number: usize, known: &mut KnownOf, need: Need) -> Result<Read, RepositoryError> {
        let mut connection = match need {
            Need::Any => self.parts.repository.reconnect(number)?,
            Need::Fresh => self.parts.repository.connect(number)?,
        };
        connection.prepare(self.group)?;
        let id = connection.id();
        if known.replica != Some(id) {
            // Another store answers under this number: what was read of the other says nothing about it.
            *known = KnownOf { replica: Some(id), ..KnownOf::default() };
        }
        let rights = connection.rights(self.group)?;
        let other_part = known.reads.is_some_and(|before| before != rights.read);
        if other_part {
            known.records = Known::default();
        }
        let mut author = |room| connection.author(self.group, room);
        let authors = [author(Room::Control)?, author(Room::Keys)?];
        // Read before the records: the clock's difference is then not that of a long reading.
        let clock = connection.clock()?;
        let group =
            read_group(connection.as_mut(), self.group, self.parts.roots.as_ref(), &mut known.records)?;
        let lost_now = other_part && !rights.read;
        known.lost = (known.lost || lost_now) && !rights.read;
        known.reads = Some(rights.read);
        let lost = [lost_now, known.lost];
        Ok(Read { number, connection, id, clock, rights, authors, group, other_part, lost })
    }

    /// Takes it that every replica holds what it held, if that changes nothing: a long ring is not worked out anew for it.
    fn take_unchanged(&self, state: &mut State, reads: &[Read]) -> bool {
        let same = |read: &Read| read.group.unchanged && !read.other_part;
        let author = reads.iter().find_map(|read| read.authors[1].as_ref());
        if !reads.iter().all(same)
            || state.erasing
            || state.author.as_ref() != author
            || state.member.rights() != rights_of(reads, state.member.ring().policy())
        {
            return false;
        }
        let now = self.parts.clock.now();
        if !reads.iter().all(|read| state.member.confirm(now, read.id, read.clock)) {
            return false;
        }
        let now = state.member.advance(now);
        let Some(snapshot) = self.snapshot.load().again(&state.member, now) else { return false };
        state.unknown.forget();
        state.refresh_due = now.plus(self.next_interval_ms(state));
        self.show(state, snapshot);
        true
    }

    /// Takes what was read into the state; returns the destroyed keys whose records are still there.
    fn take_in(&self, state: &mut State, reads: &mut [Read]) -> Vec<(usize, Entry)> {
        let before: usize = state.member.alarms().count();
        state.unread.clear();
        state.faults.clear();
        let unread =
            reads.iter().flat_map(|read| &read.group.unread).filter(|unread| unread.room == Room::Keys);
        state.member.note_unread(unread.map(|unread| unread.name.clone()));
        for read in reads.iter_mut() {
            state.unread.append(&mut read.group.unread);
            for record in &mut read.group.records {
                if let Some(material) = record.material.take() {
                    state.keys.entry(material.id).or_insert_with(|| {
                        Arc::new(CachedKey::new(material.family, self.parts.vault.store(&material.bytes)))
                    });
                }
                if let (Some(fault), Record::Key(key)) = (&record.fault, &record.observed.record) {
                    state.faults.insert(key.id, fault.clone().into());
                }
            }
            if read.other_part {
                state.member.forget_replica(read.id);
            }
            let present = read.group.records.iter().map(|record| record.observed.clone()).collect();
            let reading = Reading { replica: read.id, clock: read.clock, present };
            state.member.observe(self.parts.clock.now(), &reading);
        }
        let rights = rights_of(reads, state.member.ring().policy());
        state.member.set_rights(rights);
        let keys = state.member.ring().keys.iter();
        let withheld: Vec<KeyId> = keys.filter(|key| key.is_withheld()).map(RingKey::id).collect();
        state.faults.extend(withheld.into_iter().map(|key| (key, KeyFault::Withheld)));
        state.author = reads.iter().find_map(|read| read.authors[1].clone());
        state.unread.sort_by(|a, b| (a.room, &a.name).cmp(&(b.room, &b.name)));
        state.unread.dedup();
        for alarm in state.member.alarms().skip(before) {
            tracing::error!(group = %self.group, %alarm, "records have gone or changed");
        }
        let ring = state.member.ring();
        let destroyed = |id: KeyId| ring.key(id).is_some_and(|key| key.status.destroyed.is_some());
        state.keys.retain(|id, _| ring.key(*id).is_some() && !destroyed(*id));
        let cools = |id: KeyId| ring.key(id).is_some_and(|key| key.status.cooling_off_since.is_some());
        state.unnoted.retain(|id, _| cools(*id) && !destroyed(*id));
        let returned = reads
            .iter()
            .flat_map(|read| read.group.records.iter().map(move |record| (read.number, record)))
            .filter(|(_, record)| {
                matches!(&record.observed.record, Record::Key(key) if record.observed.room == Room::Keys && destroyed(key.id))
            })
            .map(|(number, record)| (number, record.entry.clone()))
            .collect();
        state.unknown.forget();
        let now = self.parts.clock.now();
        state.refresh_due = now.plus(self.next_interval_ms(state));
        self.publish(state);
        returned
    }

    /// The refresh interval with its jitter, so that clients that were started together do not read together.
    fn next_interval_ms(&self, state: &State) -> u64 {
        let Some(policy) = state.member.ring().policy() else { return RETRY_MIN_MS };
        let spread = policy.refresh_interval_max_ms() - policy.refresh_interval_ms;
        let mut draw = [0u8; 8];
        // No secret: the library's own generator takes twenty milliseconds to begin, which a command that only opens
        // something need not spend.
        if spread == 0 || getrandom::fill(&mut draw).is_err() {
            return policy.refresh_interval_ms;
        }
        policy.refresh_interval_ms + u64::from_be_bytes(draw) % spread
    }

    /// How long until the next reading, or the next moment at which this client may have to make a key.
    pub(crate) fn wait_for_refresh_ms(&self) -> u64 {
        let now = self.parts.clock.now();
        let plan = plan_due(self.plan());
        let due = self.state().refresh_due;
        plan.filter(|at| *at > now).map_or(due, |at| at.min(due)).since(now)
    }

    /// Tries again in a while, after a reading that ended without saying when.
    pub(crate) fn put_off_refresh(&self) {
        self.state().refresh_due = self.parts.clock.now().plus(RETRY_MIN_MS);
    }

    /// Whether it is time for a reading.
    pub(crate) fn is_refresh_due(&self) -> bool {
        let now = self.parts.clock.now();
        let due = self.state().refresh_due <= now;
        due || matches!(self.plan(), Plan::CreateKey { .. }) || self.wants_first_key()
    }

    /// Erases records of destroyed keys: they lagged behind, or somebody brought them back.
    fn erase(&self, reads: &mut [Read], returned: &[(usize, Entry)]) {
        for (number, entry) in returned {
            let Some(read) = reads.iter_mut().find(|read| read.number == *number) else { continue };
            match read.connection.shred(self.group, entry) {
                Ok(()) => {
                    tracing::info!(group = %self.group, slot = %entry.name, "erased a destroyed key's record")
                }
                // Somebody with the right to will come along.
                Err(RepositoryError::Denied { .. } | RepositoryError::ReadOnly { .. }) => {}
                Err(error) => {
                    tracing::warn!(group = %self.group, slot = %entry.name, %error, "a destroyed key's record was not erased");
                }
            }
        }
    }
}

/// When this client's plan may come out differently although nothing is read.
fn plan_due(plan: Plan) -> Option<Timestamp> {
    match plan {
        Plan::Nothing { until } => Some(until),
        Plan::Overdue { turn, .. } => turn,
        Plan::CreateKey { .. } | Plan::NoKey => None,
    }
}

/// What this account may do: what a replica lets it, as far as policy counts what it writes. Without that, a member whom
/// policy does not name among the creators would make one key after another, none of which counts.
fn rights_of(reads: &[Read], policy: Option<&Policy>) -> Rights {
    let counts = |names: Option<&Vec<String>>, author: &Option<Principal>| match (names, author) {
        (Some(names), Some(author)) => names.contains(&author.0),
        _ => true,
    };
    let (owners, creators) =
        policy.map_or((None, None), |policy| (policy.owners.as_ref(), policy.creators.as_ref()));
    let mut rights = Rights::default();
    for read in reads {
        let [control, keys] = &read.authors;
        rights.read |= read.rights.read;
        rights.create |= read.rights.create && counts(creators, keys);
        rights.own |= read.rights.own && counts(owners, control);
    }
    rights
}
