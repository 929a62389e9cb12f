//! One group in a process: what was read of it, the keys in memory, and what may be done with them now.
//!
//! Calls that protect and unprotect look at a [`Snapshot`] and take no lock. Everything that changes what is known goes
//! through [`State`], and through a single flight of readings.

mod calls;
mod compromise;
mod create;
mod destroy;
mod flight;
mod lifecycle;
mod policy;
mod refresh;
mod republish;
mod rollover;
mod root_keys;
mod rosters;
mod snapshot;
mod spread;
mod unknown;
mod watched;
mod windows;
mod windows_import;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use dkm_core::member::{Member, Rights};
use dkm_core::plan::Plan;
use dkm_core::policy::Policy;
use dkm_core::safeguards::Safeguards;
use dkm_core::{GroupId, KeyId, Principal, Timestamp};

pub(crate) use calls::Override;
pub use calls::{Reprotected, Streamed};
pub use compromise::{Compromise, Compromised};
pub use destroy::Destruction;
pub(crate) use flight::Need;
pub use lifecycle::{NewKey, Rolled};
pub use republish::{KeyFate, Republished, RepublishedKey};
pub(crate) use rollover::Made;
pub use root_keys::{RootKeyUse, RootKeys};
pub use rosters::Rosters;
pub use watched::Ranges;
pub use windows_import::WindowsImport;

use crate::clock::Clock;
use crate::journal::{Event, EventKind, Journal};
use crate::off_thread::Threads;
use crate::reading::Unread;
use crate::repository::Repository;
use crate::root_key::{RootKeyError, RootKeyProvider};
use crate::secret::Vault;
use crate::view::{KeyFault, ReplicaReport, View};
use crate::{Error, Escrow, Result};

use flight::Flight;
use refresh::KnownOf;
use snapshot::{CachedKey, Snapshot};
use unknown::Unknown;

/// What an engine is made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) repository: Arc<dyn Repository>,
    pub(crate) roots: Arc<dyn RootKeyProvider>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) escrow: Option<Arc<dyn Escrow>>,
    pub(crate) vault: Arc<Vault>,
    /// For asynchronous calls that must wait.
    pub(crate) threads: Arc<Threads>,
    /// Names this client's luck in rollovers.
    pub(crate) identity: [u8; 16],
    /// Whether a thread refreshes; otherwise calls do when it is time.
    pub(crate) background: bool,
}

/// One group in a process.
pub(crate) struct Engine {
    pub(crate) parts: Parts,
    pub(crate) group: GroupId,
    flight: Flight,
    /// What was read of each replica; locked for as long as a reading takes.
    known: Mutex<Vec<KnownOf>>,
    /// Locked for short.
    state: Mutex<State>,
    snapshot: ArcSwap<Snapshot>,
}

/// What changes as replicas are read.
#[derive(Debug)]
pub(super) struct State {
    member: Member,
    keys: HashMap<KeyId, Arc<CachedKey>>,
    unknown: Unknown,
    replicas: Vec<ReplicaReport>,
    unread: Vec<Unread>,
    /// Why keys could not be opened.
    faults: BTreeMap<KeyId, KeyFault>,
    /// Keys that are to be destroyed and were used here, and why that was not noted.
    unnoted: BTreeMap<KeyId, String>,
    /// As whom this account adds keys, where the repository tells.
    author: Option<Principal>,
    /// Why this client's last attempt to make a key failed.
    rollover_fault: Option<String>,
    /// If it failed for want of a root key: why that can't be used.
    root_key_fault: Option<RootKeyError>,
    refresh_due: Timestamp,
    /// Whether records of destroyed keys were there at the last reading.
    erasing: bool,
}

impl Engine {
    pub(crate) fn new(parts: Parts, group: GroupId) -> Self {
        let now = parts.clock.now();
        let replicas = parts.repository.replicas();
        let noticed = parts.background.then_some(now);
        let member = Member::new(parts.identity, replicas, noticed, Safeguards::ALL);
        let state = State {
            member,
            keys: HashMap::new(),
            unknown: Unknown::new(now),
            replicas: Vec::new(),
            unread: Vec::new(),
            faults: BTreeMap::new(),
            unnoted: BTreeMap::new(),
            author: None,
            rollover_fault: None,
            root_key_fault: None,
            refresh_due: Timestamp(0),
            erasing: false,
        };
        Self {
            group,
            flight: Flight::default(),
            known: Mutex::new(vec![KnownOf::default(); replicas]),
            state: Mutex::new(state),
            snapshot: ArcSwap::from_pointee(Snapshot::unread()),
            parts,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was locked leaves it whole enough: every field is valid by itself, and the next reading
        // replaces them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works out a new snapshot.
    fn publish(&self, state: &mut State) {
        let now = self.parts.clock.now();
        let snapshot = Snapshot::of(&mut state.member, &state.keys, now);
        self.show(state, snapshot);
    }

    fn show(&self, state: &State, mut snapshot: Snapshot) {
        if !self.parts.background {
            snapshot.until = snapshot.until.min(state.refresh_due);
        }
        self.snapshot.store(Arc::new(snapshot));
    }

    /// What may be done now. Reads the repository only where no thread does, and it is time to.
    fn current(&self, now: Timestamp) -> Guard<Arc<Snapshot>> {
        let snapshot = self.snapshot.load();
        if now < snapshot.until {
            return snapshot;
        }
        drop(snapshot);
        self.catch_up(now);
        self.snapshot.load()
    }

    #[cold]
    fn catch_up(&self, now: Timestamp) {
        let due = !self.parts.background && self.state().refresh_due <= now;
        if due && self.refresh(Need::Any).is_ok() {
            self.drive();
            return;
        }
        let mut state = self.state();
        // Another thread may have been here in the meantime.
        if self.snapshot.load().until <= now {
            let _ = state.member.advance(now);
            state.member.rederive();
            self.publish(&mut state);
        }
    }

    /// The policy in force.
    ///
    /// # Errors
    /// The group was not read, or this account was denied.
    pub(crate) fn policy(&self) -> Result<Policy> {
        self.state()
            .member
            .ring()
            .policy()
            .cloned()
            .ok_or(Error::Protect(dkm_core::member::ProtectRefusal::NotRead))
    }

    /// The group's name, or its id before it was read.
    pub(crate) fn name(&self) -> String {
        self.state().member.ring().name.clone().unwrap_or_else(|| self.group.to_string())
    }

    pub(crate) fn rights(&self) -> Rights {
        self.state().member.rights()
    }

    /// Whether a key's material was opened in the last readings.
    pub(crate) fn opens(&self, key: KeyId) -> bool {
        self.state().member.ring().key(key).is_some_and(|key| key.verified)
    }

    /// Everything there is to tell about the group.
    pub(crate) fn view(&self) -> Result<View> {
        let now = self.parts.clock.now();
        let mut state = self.state();
        let State { member, .. } = &mut *state;
        let now = member.advance(now);
        member.rederive();
        let Some(policy) = member.ring().policy().cloned() else {
            return Err(match member.unprotect_leave(now, KeyId::default(), false) {
                Err(refusal) => refusal.into(),
                Ok(_) => Error::Internal("a group without policy".to_owned()),
            });
        };
        let plan = member.plan(now);
        let mut unread: Vec<String> =
            state.unread.iter().map(|u| format!("record {}/{}: {}", u.room, u.name, u.why)).collect();
        unread.sort();
        Ok(View {
            protecting: state.member.protecting_key(now),
            clock_off_ms: state.member.clock_off_ms(),
            ring: state.member.ring().clone(),
            policy,
            now,
            rights: state.member.rights(),
            replicas: state.replicas.clone(),
            alarms: state.member.alarms().cloned().collect(),
            unread,
            plan,
            key_faults: state.faults.clone(),
            uses_not_noted: state.unnoted.clone(),
            rollover_fault: state.rollover_fault.clone(),
            root_key_fault: state.root_key_fault.clone(),
            memory: self.parts.vault.protection(),
            access: Vec::new(),
        })
    }

    fn plan(&self) -> Plan {
        let now = self.parts.clock.now();
        self.state().member.plan(now)
    }

    /// Records an event; what must be recorded is not done unrecorded.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub(crate) fn record(
        &self,
        what: EventKind,
        key: Option<KeyId>,
        reason: Option<&str>,
        fill: impl FnOnce(&mut Event),
    ) -> Result<()> {
        let mut event = Event {
            what,
            group: self.group,
            key,
            blob: None,
            who: whoami(),
            reason: reason.map(str::to_owned),
            detail: None,
            at: self.parts.clock.now(),
        };
        fill(&mut event);
        tracing::info!(target: "dkm::audit", event = ?event.what, group = %event.group, key = ?event.key, reason = ?event.reason, "audit");
        self.parts.journal.as_ref().map_or(Ok(()), |journal| journal.record(&event))
    }
}

/// Who this process is, as the journal names it.
pub(crate) fn whoami() -> String {
    format!("uid:{}", rustix::process::geteuid().as_raw())
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("group", &self.group).finish_non_exhaustive()
    }
}
