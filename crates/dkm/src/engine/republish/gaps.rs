//! What is in memory and not on a replica: worked out by the rules of an archive's restore, for each replica by itself.

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::archive::{
    Archive, ArchiveEntry, ArchivedRecord, RestoreConsent, RestorePlan, RestoreSkip, RestoreStep,
    restore_plan,
};
use dkm_core::record::{KeyRecord, Record};
use dkm_core::ring::Observed;
use dkm_core::{KeyId, ReplicaId, SlotName, Timestamp};

use super::super::{Engine, State};
use super::bare;
use crate::{Error, Result};

/// What is lacking.
#[derive(Debug)]
pub(super) enum What {
    /// A key, as it comes back.
    Key(KeyRecord),
    /// A key whose slot holds something that does not open, wherever it lacks.
    Blocked,
    /// A word on keys.
    Control(Record),
}

/// A record that some replica lacks.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) what: What,
    /// The key; for an exposure none in particular.
    pub(super) key: KeyId,
    pub(super) name: SlotName,
    /// How many replicas that were read hold it.
    pub(super) holders: usize,
    /// Where it is to be put.
    pub(super) targets: Vec<(usize, ReplicaId)>,
    /// Left to replication for now.
    pub(super) on_its_way: bool,
}

/// All that is lacking.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    all: Vec<Gap>,
    /// How many replicas were read.
    pub(super) replicas: usize,
    pub(super) authority_lost: Vec<SlotName>,
}

impl Gaps {
    pub(super) fn keys(&self) -> impl Iterator<Item = &Gap> {
        self.all.iter().filter(|gap| !matches!(gap.what, What::Control(_)))
    }

    pub(super) fn control(&self) -> impl Iterator<Item = &Gap> {
        self.all.iter().filter(|gap| matches!(gap.what, What::Control(_)))
    }
}

/// The replicas that lack something.
struct Lack {
    what: What,
    key: KeyId,
    name: SlotName,
    /// Where it can be put.
    on: Vec<(usize, ReplicaId)>,
    /// All that lack it.
    lacking: Vec<ReplicaId>,
}

impl Engine {
    /// What the replicas of the last reading lack of what is in memory: of the `named` keys, or of everything.
    pub(super) fn gaps(&self, named: &BTreeSet<KeyId>) -> Result<Gaps> {
        let state = self.state();
        for key in named {
            let ring = state.member.ring();
            if ring.key(*key).is_none() && !ring.is_destroyed(*key) {
                return Err(Error::NoKey { key: *key });
            }
            if !ring.is_destroyed(*key) && !state.keys.contains_key(key) {
                return Err(dkm_core::member::UnprotectRefusal::NotVerified { key: *key }.into());
            }
        }
        let now = self.parts.clock.now();
        let read: Vec<(usize, ReplicaId)> = state
            .replicas
            .iter()
            .filter(|r| r.error.is_none())
            .filter_map(|r| Some((r.number, r.id?)))
            .collect();
        let memory = self.memory(&state);
        let plan = |held: Vec<&Observed>| {
            restore_plan(&memory, self.group, held, now, RestoreConsent::default())
                .map_err(|error| Error::Internal(error.to_string()))
        };
        let mut lacks: BTreeMap<(bool, SlotName), Lack> = BTreeMap::new();
        for replica in &read {
            take(plan(state.member.held_by(replica.1).collect())?, *replica, &mut lacks);
        }
        let anywhere = read.iter().flat_map(|(_, id)| state.member.held_by(*id)).collect();
        let authority_lost = plan(anywhere)?.skipped.into_iter().filter_map(|skip| match skip {
            RestoreSkip::NoConsent { name, .. } => Some(name),
            _ => None,
        });
        let mut gaps =
            Gaps { all: Vec::new(), replicas: read.len(), authority_lost: authority_lost.collect() };
        for lack in lacks.into_values() {
            let is_named = named.contains(&lack.key);
            // Of exposures nobody can say which keys they concern.
            let concerns_named = is_named || matches!(lack.what, What::Control(Record::Exposed(_)));
            if !named.is_empty() && !concerns_named {
                continue;
            }
            gaps.all.push(self.gap(&state, lack, &read, is_named, now));
        }
        Ok(gaps)
    }

    /// Everything that is in memory, with keys as far as they open, as an archive would hold it. No material is in it.
    fn memory(&self, state: &State) -> Archive {
        let entry = |seen: &Observed| {
            let record = match &seen.record {
                Record::Key(key) if !seen.verified || !state.keys.contains_key(&key.id) => return None,
                Record::Key(key) => Record::Key(bare(key)),
                other => other.clone(),
            };
            Some(ArchiveEntry {
                room: seen.room,
                slot: seen.name.clone(),
                attested: seen.attested.clone(),
                record: ArchivedRecord::Known(record),
            })
        };
        Archive {
            repository: dkm_core::RepositoryId::default(),
            group: self.group,
            name: state.member.ring().name.clone().unwrap_or_default(),
            exported_at_ms: 0,
            entries: state.member.records().filter_map(entry).collect(),
        }
    }

    /// Where what lacks is to be put. What no replica holds is put on one, and replication brings it to the others. What
    /// some replica has held for longer than replication may take is not brought by it: it is put wherever it lacks.
    fn gap(
        &self,
        state: &State,
        lack: Lack,
        read: &[(usize, ReplicaId)],
        is_named: bool,
        now: Timestamp,
    ) -> Gap {
        let Lack { what, key, name, on, lacking } = lack;
        let holders: Vec<ReplicaId> =
            read.iter().map(|(_, id)| *id).filter(|id| !lacking.contains(id)).collect();
        let is_it = |seen: &&Observed| match (&what, &seen.record) {
            (What::Control(record), other) => record == other,
            (_, Record::Key(other)) => other.id == key && seen.verified,
            _ => false,
        };
        let oldest = holders
            .iter()
            .flat_map(|id| state.member.held_by(*id))
            .filter(is_it)
            .map(|seen| seen.attested.created)
            .min();
        let policy = state.member.ring().policy();
        let bound_ms = policy.map_or(0, |p| p.replication_bound_ms.saturating_add(p.clock_skew_ms));
        let on_its_way = !is_named && oldest.is_some_and(|created| created.plus(bound_ms) > now);
        let targets = match () {
            () if on_its_way => Vec::new(),
            () if holders.is_empty() => on.into_iter().take(1).collect(),
            () => on,
        };
        Gap { what, key, name, holders: holders.len(), targets, on_its_way }
    }
}

/// Takes what one replica lacks.
fn take(plan: RestorePlan, replica: (usize, ReplicaId), lacks: &mut BTreeMap<(bool, SlotName), Lack>) {
    let mut lack = |what: What, key, name: SlotName| {
        let at = (!matches!(what, What::Control(_)), name.clone());
        let lack = lacks.entry(at).or_insert_with(|| Lack {
            what: What::Blocked,
            key,
            name,
            on: Vec::new(),
            lacking: Vec::new(),
        });
        lack.lacking.push(replica.1);
        if !matches!(what, What::Blocked) {
            lack.what = what;
            lack.on.push(replica);
        }
    };
    for step in plan.steps {
        match step {
            RestoreStep::PutControl { name, record } => {
                let key = match &record {
                    Record::Status(status) => status.key,
                    _ => KeyId::default(),
                };
                lack(What::Control(record), key, name);
            }
            RestoreStep::PutKey { name, record } => {
                let key = record.id;
                lack(What::Key(record), key, name);
            }
            // Whether to roll is decided by what was lost.
            _ => {}
        }
    }
    for skip in plan.skipped {
        if let RestoreSkip::SlotTaken { key, name } = skip {
            lack(What::Blocked, key, name);
        }
    }
}
