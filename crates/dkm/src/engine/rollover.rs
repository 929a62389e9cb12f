//! Making keys: the shell around `dkm_core::plan`.
//!
//! Plan, read again, plan again, put, read back. Between any two of these steps the process may die, and nothing is
//! lost: a key counts for a client only after that client has read it back.

use std::collections::BTreeSet;

use dkm_core::kdf::key_id;
use dkm_core::plan::Plan;
use dkm_core::policy::Wrap;
use dkm_core::record::{Family, KeyRecord, Material, Origin, Record};
use dkm_core::{KeyId, Room, SlotName, Timestamp};
use zeroize::Zeroizing;

use super::{Engine, Need, NewKey};
use crate::journal::EventKind;
use crate::reading::seal_record;
use crate::repository::{Put, Replica, RepositoryError};
use crate::{Error, Result};

/// What became of the attempt to make a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is in the repository.
    Created(NewKey),
    /// Another client was faster: its key is adopted by reading it.
    Adopted,
}

/// How many slots in a row may be taken by what this account can't see before a client gives up.
const HIDDEN_MAX: usize = 64;

impl Engine {
    /// Does what the plan says, if it says anything. A failure is told and does not hinder protect.
    pub(crate) fn drive(&self) {
        let result = self.try_drive();
        let mut state = self.state();
        state.rollover_fault = result.as_ref().err().map(ToString::to_string);
        state.root_key_fault = match &result {
            Err(Error::RootKey(error)) => Some(error.clone()),
            _ => None,
        };
        drop(state);
        match result {
            Ok(Some(key)) => {
                tracing::info!(group = %self.group, key = %key.key, activates_at = %key.activates_at, "made a key");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(group = %self.group, %error, "a key is due and was not made"),
        }
    }

    /// Whether this client should make a group's first key: its maker did not read it, and left that to a creator.
    ///
    /// Every replica must have been read and none hold a key, known or not: one that lags behind must not make a client
    /// begin anew.
    pub(crate) fn wants_first_key(&self) -> bool {
        let state = self.state();
        let rights = state.member.rights();
        let ring = state.member.ring();
        rights.read
            && rights.create
            && ring.policy().is_some()
            && ring.keys.is_empty()
            && state.faults.is_empty()
            && state.unread.iter().all(|unread| unread.room != Room::Keys)
            && !state.replicas.is_empty()
            && state.replicas.iter().all(|replica| replica.error.is_none())
    }

    fn make_first_key(&self) -> Result<Option<NewKey>> {
        self.refresh(Need::Fresh)?;
        if !self.wants_first_key() {
            return Ok(None);
        }
        let made = self.make_key(None, self.parts.clock.now(), "first")?;
        Ok(match made {
            Made::Created(key) => Some(key),
            Made::Adopted => None,
        })
    }

    fn try_drive(&self) -> Result<Option<NewKey>> {
        if self.wants_first_key() {
            return self.make_first_key();
        }
        let Some((predecessor, ..)) = create_of(self.plan()) else { return Ok(None) };
        // Others may have made it since we read.
        self.refresh(Need::Fresh)?;
        let Some((again, activates_at, cause)) = create_of(self.plan()) else { return Ok(None) };
        if again != predecessor {
            return Ok(None);
        }
        let made = self.make_key(Some(predecessor), activates_at, &format!("{cause:?}").to_lowercase())?;
        Ok(match made {
            Made::Created(key) => Some(key),
            Made::Adopted => None,
        })
    }

    /// Makes a key, puts it into the first free slot, and reads everything anew. It is used only after it was read back.
    pub(crate) fn make_key(
        &self,
        predecessor: Option<KeyId>,
        activates_at: Timestamp,
        cause: &str,
    ) -> Result<Made> {
        for _ in 0..HIDDEN_MAX {
            let attempt = self.state().member.ring().free_attempt(predecessor);
            let made = self.try_slot(predecessor, attempt, activates_at, cause)?;
            let mut state = self.state();
            if matches!(made, Made::Created(_)) || state.member.ring().free_attempt(predecessor) != attempt {
                return Ok(made);
            }
            // What took the slot shows itself to nobody: it is no key, and the next slot is as good.
            let slot = SlotName::for_key(predecessor, attempt);
            tracing::warn!(group = %self.group, %slot, "a slot is taken by something that may not be read");
            state.member.note_unread([slot]);
        }
        Ok(Made::Adopted)
    }

    fn try_slot(
        &self,
        predecessor: Option<KeyId>,
        attempt: u32,
        activates_at: Timestamp,
        cause: &str,
    ) -> Result<Made> {
        let policy = self.policy()?;
        let mut material = Zeroizing::new([0u8; 32]);
        aws_lc_rs::rand::fill(material.as_mut_slice())
            .map_err(|_| Error::Internal("the system gives no randomness".to_owned()))?;
        let key = KeyRecord {
            id: key_id(self.group, Family::Native, &material),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: self.parts.clock.now().0,
            activates_at_ms: activates_at.0,
            predecessor,
            attempt,
            material: Material::None,
            guid: None,
        };
        let (id, slot) = (key.id, key.slot());
        self.record(EventKind::KeyCreated, Some(id), None, |event| event.detail = Some(cause.to_owned()))?;
        if policy.archive_before_use {
            self.keep_escrow(&policy.archive_recipients, &key, &material)?;
        }
        let put = self.put_key(&slot, &key, &material, policy.wrap)?;
        self.refresh(Need::Fresh)?;
        match put {
            Put::Created => Ok(Made::Created(NewKey { key: id, activates_at, was_there: false })),
            Put::Taken => Ok(Made::Adopted),
            Put::Tombstoned => Err(Error::Internal("a fresh key has a tombstone".to_owned())),
        }
    }

    /// Puts a key into its slot on any replica, its material as policy wants it to lie there.
    pub(crate) fn put_key(
        &self,
        slot: &SlotName,
        key: &KeyRecord,
        material: &Zeroizing<[u8; 32]>,
        wrap: Wrap,
    ) -> Result<Put> {
        self.on_any_replica(|replica| {
            let record = seal_record(
                replica.repository(),
                self.group,
                key.clone(),
                material,
                wrap == Wrap::RootKey,
                self.parts.roots.as_ref(),
            )?;
            let bytes = Zeroizing::new(Record::Key(record).encode(self.group));
            Ok(replica.put(self.group, Room::Keys, slot, &bytes)?)
        })
    }

    pub(super) fn keep_escrow(
        &self,
        recipients: &[String],
        key: &KeyRecord,
        material: &Zeroizing<[u8; 32]>,
    ) -> Result<()> {
        let Some(escrow) = &self.parts.escrow else {
            return Err(Error::Refused {
                what: "making a key".to_owned(),
                why: "policy archives each key before its use, and this client has nowhere to put archives"
                    .to_owned(),
                advice: "name a folder for them: archive_folder in the configuration, or DKM_ARCHIVE_FOLDER"
                    .to_owned(),
            });
        };
        let record = KeyRecord { material: Material::Plain(material.clone()), ..key.clone() };
        let repository = self.on_any_replica(|replica| Ok(replica.repository()))?;
        let sealed = crate::archive::seal_escrow(recipients, repository, self.group, &self.name(), record)?;
        escrow.keep(self.group, key.id, &sealed)
    }

    /// Does something on the first replica that lets it be done. A replica that lags behind may not hold the group, or
    /// even the repository, yet: another one does.
    pub(crate) fn on_any_replica<T>(&self, work: impl FnMut(&mut dyn Replica) -> Result<T>) -> Result<T> {
        self.on_replicas(may_be_done_elsewhere, work)
    }

    /// As [`Engine::on_any_replica`], for what must not be begun twice: once a replica has taken the work on, another is
    /// tried only if that one has certainly done nothing.
    pub(crate) fn on_one_replica<T>(&self, work: impl FnMut(&mut dyn Replica) -> Result<T>) -> Result<T> {
        self.on_replicas(
            |error| !matches!(error, RepositoryError::Unavailable { .. }) && may_be_done_elsewhere(error),
            work,
        )
    }

    fn on_replicas<T>(
        &self,
        goes_on: fn(&RepositoryError) -> bool,
        mut work: impl FnMut(&mut dyn Replica) -> Result<T>,
    ) -> Result<T> {
        let mut fault: Option<RepositoryError> = None;
        for number in self.replicas_by_health() {
            let (done, goes_on) = match self.parts.repository.connect(number) {
                Ok(mut replica) => (work(replica.as_mut()), goes_on),
                Err(error) => (Err(error.into()), may_be_done_elsewhere as fn(&_) -> _),
            };
            match done {
                Ok(done) => return Ok(done),
                Err(Error::Repository(error)) if goes_on(&error) => {
                    // What is not here may be where nobody answers.
                    if fault.as_ref().is_none_or(RepositoryError::is_absence) {
                        fault = Some(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(fault
            .map_or_else(|| Error::Internal("a repository without replicas".to_owned()), Error::Repository))
    }

    /// Looks at the group on the first replica that answers, on a connection that is there if there is one.
    pub(crate) fn look<T>(
        &self,
        mut look: impl FnMut(&mut dyn Replica) -> Result<T, RepositoryError>,
    ) -> Option<T> {
        self.replicas_by_health().into_iter().find_map(|number| {
            let mut replica = self.parts.repository.reconnect(number).ok()?;
            replica.prepare(self.group).ok()?;
            let seen = look(replica.as_mut()).ok()?;
            replica.release();
            Some(seen)
        })
    }

    /// The numbers of all replicas: those first that the last reading found whole, in the repository's order, so that a
    /// replica that is down costs its deadline once and not with every change.
    fn replicas_by_health(&self) -> Vec<usize> {
        let failed: BTreeSet<usize> = {
            let state = self.state();
            state
                .replicas
                .iter()
                .filter(|report| report.error.is_some())
                .map(|report| report.number)
                .collect()
        };
        let mut numbers: Vec<usize> = (0..self.parts.repository.replicas()).collect();
        numbers.sort_by_key(|number| failed.contains(number));
        numbers
    }

    /// Puts a record into its slot on any replica.
    pub(crate) fn put(&self, record: &Record, slot: &SlotName) -> Result<Put> {
        let bytes = record.encode(self.group);
        self.on_any_replica(|replica| Ok(replica.put(self.group, record.room(), slot, &bytes)?))
    }
}

/// Whether another replica may do what one did not. Where a replica denies, that is the repository's word.
fn may_be_done_elsewhere(error: &RepositoryError) -> bool {
    error.is_absence()
        || matches!(
            error,
            RepositoryError::Unavailable { .. }
                | RepositoryError::NoSpace { .. }
                | RepositoryError::ReadOnly { .. }
        )
}

fn create_of(plan: Plan) -> Option<(KeyId, Timestamp, dkm_core::plan::Cause)> {
    match plan {
        Plan::CreateKey { predecessor, activates_at, cause, .. } => Some((predecessor, activates_at, cause)),
        _ => None,
    }
}
