//! Everything there is to tell about a group: for people, for monitoring, for tests.

use std::collections::BTreeMap;

use dkm_core::member::{Alarm, ProtectRefusal, Rights};
use dkm_core::plan::Plan;
use dkm_core::policy::Policy;
use dkm_core::ring::Ring;
use dkm_core::{KeyId, ReplicaId, Timestamp};

use crate::repository::{AccessLine, RepositoryError};
use crate::secret::Protection;

/// A group as this process sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct View {
    /// The ring at [`View::now`].
    pub ring: Ring,
    /// The policy in force.
    pub policy: Policy,
    /// The time of the view.
    pub now: Timestamp,
    /// What this account may do.
    pub rights: Rights,
    /// What became of the last reading of each replica.
    pub replicas: Vec<ReplicaReport>,
    /// Records that have gone or changed.
    pub alarms: Vec<Alarm>,
    /// Records that could not be used, and why.
    pub unread: Vec<String>,
    /// How far the clock is from the repository's, if that is too far.
    pub clock_off_ms: Option<u64>,
    /// The key that protects, or why there is none.
    pub protecting: Result<KeyId, ProtectRefusal>,
    /// What this client does next about the ring.
    pub plan: Plan,
    /// Keys whose material could not be opened, and why.
    pub key_faults: BTreeMap<KeyId, String>,
    /// Keys in their cooling-off time that were used by this client without its being able to call their destruction
    /// off, and why: an owner must resume them, or what was used is lost.
    pub uses_not_noted: BTreeMap<KeyId, String>,
    /// Why this client's last attempt to make a key failed.
    pub rollover_fault: Option<String>,
    /// How keys lie in memory.
    pub memory: Protection,
    /// Who has access, in the repository's words.
    pub access: Vec<AccessLine>,
}

/// What became of the last reading of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaReport {
    /// Its number, from 0.
    pub number: usize,
    /// Its own id; none if it was not reached.
    pub id: Option<ReplicaId>,
    /// Its clock; none if it has none.
    pub clock: Option<Timestamp>,
    /// Why it was not read.
    pub error: Option<RepositoryError>,
}
