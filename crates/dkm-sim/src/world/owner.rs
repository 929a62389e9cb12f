//! The owner, at the first client: suspend, resume, compromise, destroy, expose, roll, restore.

use std::sync::Arc;

use dkm_core::plan::{Cause, plan_manual};
use dkm_core::record::{Change, ExposedRecord, KeyRecord, Origin, Purpose, Record, StatusRecord};
use dkm_core::ring::Observed;
use dkm_core::{KeyId, SlotName, Timestamp};

use super::client::Then;
use super::{Ask, Event, World, short};

/// The client that the owner works at.
const OWNER: usize = 0;

/// Something that an owner has begun, and goes on with after each reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Suspend,
    Resume {
        key: KeyId,
        at: u64,
    },
    /// The new key is usable first, then comes the status.
    Compromise {
        target: Option<KeyId>,
        new: Option<KeyId>,
        since: u64,
    },
    Destroy {
        key: Option<KeyId>,
        since: u64,
    },
    Shred {
        key: KeyId,
        done: u8,
    },
    Expose,
    Roll {
        made: bool,
    },
    /// Puts archived keys back; `blindly` without looking at what was destroyed since.
    Restore {
        next: usize,
        blindly: bool,
    },
}

impl World {
    /// The owner thinks of something to do.
    pub(super) fn owner_wakes(&mut self) {
        if self.calm {
            return;
        }
        let again = self.around(self.dials.owner_every_ms.unwrap_or(1));
        self.after(again, Event::Owner);
        let now = self.now;
        let job = match self.rng.below(if self.dials.destroys { 14 } else { 7 }) {
            0 => Job::Suspend,
            1 | 2 => Job::Compromise { target: None, new: None, since: now },
            3 => Job::Expose,
            4 => Job::Roll { made: false },
            5 | 6 => Job::Restore { next: 0, blindly: self.rng.chance(500) },
            _ => Job::Destroy { key: None, since: now },
        };
        let same = |a: &Job| std::mem::discriminant(a) == std::mem::discriminant(&job);
        if !self.jobs.iter().any(same) {
            self.jobs.push(job);
        }
    }

    /// Goes on with what was begun, one put at a time.
    pub(super) fn owner_steps(&mut self, answered: &[usize]) {
        let mut index = 0;
        while index < self.jobs.len() && !self.owner_busy && !self.clients[OWNER].creating {
            let job = self.jobs[index];
            match self.owner_step(job, answered) {
                Some(job) => {
                    self.jobs[index] = job;
                    index += 1;
                }
                None => {
                    self.jobs.remove(index);
                }
            }
        }
    }

    /// One step of a job; none when it is done.
    fn owner_step(&mut self, job: Job, answered: &[usize]) -> Option<Job> {
        let clock = self.clock(OWNER);
        let stale = |since: u64, now: u64, p: u64| now - since > p;
        let patience = self.dials.policy.rotation_period_ms;
        match job {
            Job::Suspend => {
                let key = self.current_key()?;
                let at = self.now + self.around(self.dials.policy.refresh_interval_ms * 2);
                self.put_status(key, Change::Suspended, Purpose::Ordinary, answered);
                self.tally.suspended += 1;
                Some(Job::Resume { key, at })
            }
            Job::Resume { key, at } => {
                if self.now < at {
                    return Some(job);
                }
                let found = self.clients[OWNER].member.ring().key(key)?;
                if found.status.suspensions.is_empty()
                    || found.status.destroyed.is_some()
                    || found.status.cooling_off_since.is_some()
                {
                    return None;
                }
                self.put_status(key, Change::Resumed, Purpose::Ordinary, answered);
                Some(job)
            }
            Job::Compromise { target: None, since, .. } => {
                let key = self.current_key()?;
                if self.clients[OWNER].member.clock_off_ms().is_some() {
                    return None;
                }
                let new = self.make_by_hand(Cause::Compromise, answered)?;
                Some(Job::Compromise { target: Some(key), new: Some(new), since })
            }
            Job::Compromise { target: Some(target), new, since } => {
                if stale(since, self.now, patience) {
                    return None;
                }
                let member = &self.clients[OWNER].member;
                if member.ring().key(target)?.status.compromised.is_some() {
                    return None;
                }
                if new.is_some_and(|new| member.read_from(new) >= self.dials.needed) {
                    self.put_status(target, Change::Compromised, Purpose::Ordinary, answered);
                    self.tally.compromised += 1;
                }
                Some(job)
            }
            Job::Destroy { key: None, since } => {
                if stale(since, self.now, patience) {
                    return None;
                }
                let Some(key) = self.destroyable_key(clock) else { return Some(job) };
                self.note("destroy", super::number(key), || format!("begins with {}", short(key)));
                self.put_status(key, Change::Suspended, Purpose::CoolingOff, answered);
                Some(Job::Destroy { key: Some(key), since: self.now })
            }
            Job::Destroy { key: Some(key), since } => self.go_on_destroying(key, since, clock, answered),
            Job::Shred { key, done } => {
                let left: Vec<usize> = (0..self.sites.len())
                    .filter(|s| !self.sites[*s].lost && done & (1 << s) == 0 && answered.contains(s))
                    .collect();
                let Some(site) = left.first().copied() else {
                    return (0..self.sites.len())
                        .any(|s| !self.sites[s].lost && done & (1 << s) == 0)
                        .then_some(job);
                };
                let tombstone = self.status_of(key, Change::Destroyed, Purpose::Ordinary)?;
                self.owner_busy = true;
                self.ask(OWNER, &[site], &Ask::Bury(key, tombstone), Then::Job);
                Some(Job::Shred { key, done: done | (1 << site) })
            }
            Job::Expose => {
                let from = clock.0 + self.rng.below(self.dials.policy.refresh_interval_ms);
                let until = from + self.around(self.dials.policy.refresh_interval_ms);
                let exposed = ExposedRecord {
                    from_ms: from,
                    until_ms: until,
                    who: "somebody".to_owned(),
                    grant: format!("grant-{}", self.now),
                };
                self.put_record(&Record::Exposed(exposed), None, answered);
                None
            }
            Job::Roll { made: true } => None,
            Job::Roll { made: false } => {
                self.make_by_hand(Cause::Manual, answered)?;
                None
            }
            Job::Restore { next, blindly } => {
                let Some(key) = self.archive.get(next).cloned() else {
                    return Some(Job::Roll { made: false });
                };
                let ring = self.clients[OWNER].member.ring();
                let destroyed = ring.key(key.id).is_some_and(|k| k.status.destroyed.is_some());
                let there = ring.key(key.id).is_some();
                if blindly || !(destroyed || there) {
                    let name = SlotName::for_restored_key(key.id);
                    let record = KeyRecord { origin: Origin::Restored, ..key };
                    self.put_record(&Record::Key(record), Some(name), answered);
                    self.tally.restored += 1;
                }
                Some(Job::Restore { next: next + 1, blindly })
            }
        }
    }

    fn go_on_destroying(
        &mut self,
        key: KeyId,
        since: u64,
        clock: Timestamp,
        answered: &[usize],
    ) -> Option<Job> {
        let job = Job::Destroy { key: Some(key), since };
        if self.clients[OWNER].member.ring().is_destroyed(key) {
            return Some(Job::Shred { key, done: 0 });
        }
        let found = self.clients[OWNER].member.ring().key(key)?;
        let Some(begun) = found.status.cooling_off_since else {
            // Called off by a use, or not read back yet, or lost with its replica.
            let patience = self.dials.policy.refresh_interval_max_ms() * 4;
            return (!found.status.use_noticed && self.now - since < patience).then_some(job);
        };
        // Use notices are on every replica that is left: none of them may be silent now.
        let all = (0..self.sites.len()).all(|s| self.sites[s].lost || answered.contains(&s));
        if all && clock >= begun.plus(self.dials.policy.cooling_off_ms) {
            self.put_status(key, Change::Destroyed, Purpose::Ordinary, answered);
        }
        Some(job)
    }

    fn current_key(&self) -> Option<KeyId> {
        let member = &self.clients[OWNER].member;
        let now = self.clock(OWNER);
        member.ring().protecting(now).next().map(dkm_core::ring::RingKey::id)
    }

    /// The oldest key whose destruction may begin.
    fn destroyable_key(&self, clock: Timestamp) -> Option<KeyId> {
        let member = &self.clients[OWNER].member;
        if member.clock_off_ms().is_some() {
            return None;
        }
        let after = self.dials.policy.destroy_after_ms();
        let ring = member.ring();
        let mut old = ring.keys.iter().filter(|k| {
            k.verified
                && k.status.destroyed.is_none()
                && k.status.cooling_off_since.is_none()
                && k.deactivated_since(clock).is_some_and(|since| since.plus(after) <= clock)
        });
        old.next().map(dkm_core::ring::RingKey::id)
    }

    fn make_by_hand(&mut self, cause: Cause, answered: &[usize]) -> Option<KeyId> {
        let clock = self.clock(OWNER);
        let member = &mut self.clients[OWNER].member;
        member.advance(clock);
        if member.clock_off_ms().is_some() {
            return None;
        }
        let plan = plan_manual(member.ring(), clock, cause)?;
        let site = self.rng.pick(answered)?;
        self.put_key(OWNER, site, plan, true)
    }

    /// A status that answers all that is known of the key.
    fn status_of(&self, key: KeyId, change: Change, purpose: Purpose) -> Option<Arc<Observed>> {
        let ring = self.clients[OWNER].member.ring();
        let summary = ring.key(key).map(|k| &k.status).or_else(|| ring.tombstones.get(&key))?;
        let record = Record::Status(StatusRecord {
            key,
            change,
            purpose,
            reason: String::new(),
            epoch: summary.epoch.saturating_add(1),
            answers: summary.heads.clone(),
            when_ms: self.clock(OWNER).0,
        });
        Some(self.observed(&record, record.slot(self.group, 0), &self.clients[OWNER].name))
    }

    fn put_status(&mut self, key: KeyId, change: Change, purpose: Purpose, answered: &[usize]) {
        let Some(seen) = self.status_of(key, change, purpose) else { return };
        let Some(site) = self.rng.pick(answered) else { return };
        self.note("status", super::number(key), || format!("{change:?} ({purpose:?}) of {}", short(key)));
        self.owner_busy = true;
        self.ask(OWNER, &[site], &Ask::Put(seen), Then::Job);
    }

    fn put_record(&mut self, record: &Record, name: Option<SlotName>, answered: &[usize]) {
        let Some(site) = self.rng.pick(answered) else { return };
        let author = self.clients[OWNER].name.clone();
        let name = name.unwrap_or_else(|| record.slot(self.group, 0));
        let seen = self.observed(record, name, &author);
        self.owner_busy = true;
        self.ask(OWNER, &[site], &Ask::Put(seen), Then::Job);
    }

    /// An archive of all keys that a store holds now.
    pub(super) fn keep_archive(&mut self) {
        let keys = self.sites.iter().flat_map(|s| s.store.records.values());
        let ids: std::collections::BTreeSet<KeyId> = keys
            .filter_map(|seen| match &seen.record {
                Record::Key(key) if seen.verified => Some(key.id),
                _ => None,
            })
            .collect();
        self.archive = ids.iter().filter_map(|id| self.materials.get(id).cloned()).collect();
    }

    /// What must not stay as it is when the troubles end: suspensions.
    pub(super) fn owner_settles(&mut self) {
        let at = self.now;
        let suspended: Vec<KeyId> = self.facts.keys().copied().collect();
        self.jobs.retain(|job| {
            matches!(
                job,
                Job::Shred { .. }
                    | Job::Destroy { key: Some(_), .. }
                    | Job::Compromise { target: Some(_), .. }
            )
        });
        for key in suspended {
            self.jobs.push(Job::Resume { key, at });
        }
    }
}
