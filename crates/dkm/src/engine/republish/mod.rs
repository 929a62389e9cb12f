//! Putting back what replicas have lost and this process, or another replica, still has.
//!
//! Never by itself: a record may be gone because somebody who may has taken it away. It is done on an operator's word, by
//! the rules of an archive's restore: keys come back as archived ones, what restricts a key comes back before it, and a
//! destroyed key never does.

mod gaps;

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::policy::{Policy, Wrap};
use dkm_core::record::{Change, KeyRecord, Material, Record};
use dkm_core::ring::{Observed, Ring, RingKey};
use dkm_core::safeguards::Safeguards;
use dkm_core::{KeyId, ReplicaId, Room, SlotName};
use zeroize::Zeroizing;

use self::gaps::{Gap, Gaps, What};
use super::{Engine, NewKey};
use crate::journal::EventKind;
use crate::reading::seal_record;
use crate::repository::{Put, RepositoryError};
use crate::{Error, ErrorKind, Result};

const WHAT: &str = "republishing keys";

/// What became of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFate {
    /// Every replica that was read holds it.
    Everywhere,
    /// Some replica holds it for less than the policy's replication bound: the others are left to replication, unless the
    /// key is named.
    OnItsWay,
    /// It would be put back; nothing was done.
    Missing,
    /// It was put back, and read back from there.
    PutBack,
    /// It was destroyed, and does not come back.
    Destroyed,
    /// That it is compromised was lost as well, and only an owner can say so again: until then it does not come back,
    /// because it would open more easily than before.
    NeedsOwner,
    /// Its slot holds something that does not open. An owner must remove that first.
    SlotTaken {
        /// The slot.
        name: SlotName,
    },
    /// It could not be written, or was not read back.
    Failed {
        /// Of what kind the failure is.
        kind: ErrorKind,
        /// What happened.
        why: String,
    },
}

/// One key that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepublishedKey {
    /// The key.
    pub key: KeyId,
    /// How many of the replicas that were read held it before.
    pub was_on: usize,
    /// The numbers of the replicas that it was put on, or would be.
    pub on: Vec<usize>,
    /// What became of it.
    pub fate: KeyFate,
}

/// What a republication came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Republished {
    /// Keys that some replica lacked, and those that were named, by id.
    pub keys: Vec<RepublishedKey>,
    /// Words on keys (destroyed, compromised, exposed) that had been lost and were put back, or would be.
    pub control: usize,
    /// Such words that were not put back, because this account is no owner.
    pub control_left: usize,
    /// Policies and rosters that no replica holds any more. They are never put back: whoever set the repository back, or
    /// an owner, decides.
    pub authority_lost: Vec<SlotName>,
    /// How many replicas were read.
    pub replicas: usize,
    /// Replicas that were not read, and why: what they lack is not known.
    pub unread: Vec<(usize, RepositoryError)>,
    /// The key that takes over, where one that protected or waited was among those that were lost.
    pub rolled: Option<NewKey>,
    /// Why such a key was not made.
    pub not_rolled: Option<String>,
}

/// A replica that a key was put on.
struct PutOn {
    number: usize,
    id: ReplicaId,
    /// Something lay in the slot already: perhaps the same, put by somebody faster.
    taken: bool,
}

impl Engine {
    /// Puts back what replicas lack: the `named` keys, or all if none is named. With `dry_run` it only looks.
    pub(crate) fn republish(&self, named: &[KeyId], reason: &str, dry_run: bool) -> Result<Republished> {
        self.refresh_whole()?;
        let named: BTreeSet<KeyId> = named.iter().copied().collect();
        let gaps = self.gaps(&named)?;
        // A policy that was lost as well is in memory, and how keys are to lie is not made looser by its loss.
        let policy = self.policy()?;
        if !dry_run && gaps.keys().any(|gap| !gap.targets.is_empty()) {
            if !self.rights().create {
                return Err(Error::NoRight { what: WHAT.to_owned(), right: "add keys (creator)" });
            }
            self.refuse_if_clock_is_off(WHAT)?;
            if policy.wrap == Wrap::RootKey {
                self.parts.roots.current(self.group)?;
            }
        }
        let mut done = self.begin_report(&gaps, &named);
        for gap in gaps.control() {
            self.close_control(gap, reason, dry_run, &mut done)?;
        }
        let mut put: BTreeMap<KeyId, Vec<PutOn>> = BTreeMap::new();
        for gap in gaps.keys() {
            let fate = match &gap.what {
                What::Control(_) => continue,
                What::Blocked => KeyFate::SlotTaken { name: gap.name.clone() },
                What::Key(_) if gap.on_its_way => KeyFate::OnItsWay,
                What::Key(record) if self.lacks_its_compromise(&gaps, record.id) => KeyFate::NeedsOwner,
                What::Key(_) if dry_run => KeyFate::Missing,
                What::Key(record) => {
                    let at = put.entry(record.id).or_default();
                    self.close_key(gap, record, &policy, reason, at)?
                }
            };
            let on = match fate {
                KeyFate::Missing => gap.targets.iter().map(|(number, _)| *number).collect(),
                _ => put.get(&gap.key).map(|at| at.iter().map(|on| on.number).collect()).unwrap_or_default(),
            };
            done.keys.push(RepublishedKey { key: gap.key, was_on: gap.holders, on, fate });
        }
        if put.values().any(|at| !at.is_empty()) || (!dry_run && done.control > 0) {
            self.refresh_whole()?;
            self.read_back(&put, &mut done);
            self.roll_away(&mut done);
        }
        done.keys.sort_by_key(|key| key.key);
        Ok(done)
    }

    /// What is told whatever is done.
    fn begin_report(&self, gaps: &Gaps, named: &BTreeSet<KeyId>) -> Republished {
        let state = self.state();
        let unread = state.replicas.iter().filter_map(|r| Some((r.number, r.error.clone()?))).collect();
        let mut done = Republished {
            authority_lost: gaps.authority_lost.clone(),
            replicas: gaps.replicas,
            unread,
            ..Republished::default()
        };
        for key in named.iter().filter(|key| gaps.keys().all(|gap| gap.key != **key)) {
            let fate =
                if state.member.ring().is_destroyed(*key) { KeyFate::Destroyed } else { KeyFate::Everywhere };
            let was_on = if fate == KeyFate::Destroyed { 0 } else { gaps.replicas };
            done.keys.push(RepublishedKey { key: *key, was_on, on: Vec::new(), fate });
        }
        done
    }

    /// Whether no replica says any more that a key is compromised, and this account can't say so.
    fn lacks_its_compromise(&self, gaps: &Gaps, key: KeyId) -> bool {
        let is_it = |gap: &&Gap| matches!(&gap.what, What::Control(Record::Status(s)) if s.key == key && s.change == Change::Compromised);
        !self.rights().own && gaps.control().filter(is_it).any(|gap| gap.holders == 0)
    }

    /// Puts a word on a key back on the replicas that are to get it.
    fn close_control(&self, gap: &Gap, reason: &str, dry_run: bool, done: &mut Republished) -> Result<()> {
        let What::Control(record) = &gap.what else { return Ok(()) };
        if gap.targets.is_empty() {
            return Ok(());
        }
        if !self.rights().own {
            done.control_left += 1;
            return Ok(());
        }
        done.control += 1;
        if dry_run {
            return Ok(());
        }
        let (key, what) = match record {
            Record::Status(status) => (Some(status.key), format!("{:?}", status.change).to_lowercase()),
            other => (None, other.kind_name().to_owned()),
        };
        self.record_republication(key, reason, &format!("{what} record {}", gap.name))?;
        let bytes = record.encode(self.group);
        for (number, _) in &gap.targets {
            // A failure here keeps the keys back too: what restricts a key is there before it.
            self.parts.repository.connect(*number)?.put(self.group, Room::Control, &gap.name, &bytes)?;
            crate::steps::step("part of what was lost republished");
        }
        Ok(())
    }

    /// Puts a key back on the replicas that are to get it, and says on which it was.
    fn close_key(
        &self,
        gap: &Gap,
        record: &KeyRecord,
        policy: &Policy,
        reason: &str,
        at: &mut Vec<PutOn>,
    ) -> Result<KeyFate> {
        let Some(cached) = self.state().keys.get(&record.id).cloned() else {
            return Err(Error::NoKey { key: record.id });
        };
        let numbers: Vec<String> = gap.targets.iter().map(|(number, _)| number.to_string()).collect();
        self.record_republication(Some(record.id), reason, &format!("on replica {}", numbers.join(", ")))?;
        let material = cached.material.expose(|bytes| Zeroizing::new(*bytes));
        // The same bytes everywhere.
        let mut sealed: Option<Zeroizing<Vec<u8>>> = None;
        for (number, id) in &gap.targets {
            let put = self.parts.repository.connect(*number).map_err(Error::from).and_then(|mut replica| {
                if replica.id() != *id {
                    return Err(Error::Repository(RepositoryError::Unavailable {
                        location: self.parts.repository.url(),
                        why: format!("another store answers as replica {number} than was read"),
                    }));
                }
                let bytes = match &sealed {
                    Some(bytes) => bytes,
                    None => {
                        let wrap = policy.wrap == Wrap::RootKey;
                        let roots = self.parts.roots.as_ref();
                        let (repository, key) = (replica.repository(), record.clone());
                        let key = seal_record(repository, self.group, key, &material, wrap, roots)?;
                        sealed.insert(Zeroizing::new(Record::Key(key).encode(self.group)))
                    }
                };
                Ok(replica.put(self.group, Room::Keys, &gap.name, bytes)?)
            });
            crate::steps::step("part of what was lost republished");
            match put {
                // Somebody may have been faster: what lies there is looked at when it is read back.
                Ok(put @ (Put::Created | Put::Taken)) => {
                    at.push(PutOn { number: *number, id: *id, taken: put == Put::Taken });
                }
                Ok(Put::Tombstoned) => return Ok(KeyFate::Destroyed),
                Err(error) => return Ok(KeyFate::Failed { kind: error.kind(), why: error.to_string() }),
            }
        }
        Ok(KeyFate::PutBack)
    }

    fn record_republication(&self, key: Option<KeyId>, reason: &str, detail: &str) -> Result<()> {
        let reason = Some(reason).filter(|reason| !reason.trim().is_empty());
        self.record(EventKind::KeyRepublished, key, reason, |event| event.detail = Some(detail.to_owned()))
    }

    /// Whether what was put is there.
    fn read_back(&self, put: &BTreeMap<KeyId, Vec<PutOn>>, done: &mut Republished) {
        let state = self.state();
        for key in done.keys.iter_mut().filter(|key| key.fate == KeyFate::PutBack) {
            if state.member.ring().is_destroyed(key.key) {
                key.fate = KeyFate::Destroyed;
                continue;
            }
            let is_it = |seen: &Observed| {
                let is_key = matches!(&seen.record, Record::Key(other) if other.id == key.key);
                is_key && seen.verified && seen.room == Room::Keys
            };
            let mut on = put.get(&key.key).into_iter().flatten();
            let Some(lacking) = on.find(|on| !state.member.held_by(on.id).any(is_it)) else { continue };
            key.fate = if lacking.taken {
                KeyFate::SlotTaken { name: SlotName::for_restored_key(key.key) }
            } else {
                let why = format!("it was not read back from replica {}", lacking.number);
                KeyFate::Failed { kind: ErrorKind::Unavailable, why }
            };
        }
    }

    /// Makes a new key where one that protected, or waited to, was among those that were lost: what comes back never
    /// protects, and whoever had it in memory does not use a key that replicas have lost. Also where a process that is
    /// started now would find no key to protect with: what is left may not be believed without what was lost.
    fn roll_away(&self, done: &mut Republished) {
        let now = self.parts.clock.now();
        let (lost, stranded) = {
            let state = self.state();
            let ring = state.member.ring();
            let would_protect =
                |key: &RingKey| key.may_ever_protect() && key.superseded_at.is_none_or(|at| at > now);
            let put = done.keys.iter().filter(|key| key.fate == KeyFate::PutBack);
            let lost: BTreeSet<KeyId> =
                put.map(|key| key.key).filter(|id| ring.key(*id).is_some_and(would_protect)).collect();
            let read = state.replicas.iter().filter(|r| r.error.is_none()).filter_map(|r| r.id);
            let there = read.flat_map(|id| state.member.held_by(id));
            let fresh = Ring::derive(there, now, Safeguards::ALL);
            (lost, !fresh.keys.iter().any(RingKey::may_ever_protect))
        };
        if lost.is_empty() && !stranded {
            return;
        }
        match self.roll_unless_waiting("republished", |key| !stranded && !lost.contains(&key)) {
            Ok(new) => done.rolled = Some(new),
            Err(error) => done.not_rolled = Some(error.to_string()),
        }
    }
}

/// A key record that lies in memory without its material.
fn bare(record: &KeyRecord) -> KeyRecord {
    KeyRecord { material: Material::None, ..record.clone() }
}
