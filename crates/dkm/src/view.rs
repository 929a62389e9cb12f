//! Everything there is to tell about a group: for people, for monitoring, for tests.

use std::collections::BTreeMap;

use dkm_core::member::{Alarm, ProtectRefusal, Rights};
use dkm_core::plan::Plan;
use dkm_core::policy::Policy;
use dkm_core::ring::{Distrust, Ring, RingKey};
use dkm_core::{KeyId, ReplicaId, Timestamp};

use crate::repository::{AccessLine, RepositoryError};
use crate::root_key::RootKeyError;
use crate::secret::Protection;
use crate::{Error, ErrorKind};

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
    pub key_faults: BTreeMap<KeyId, KeyFault>,
    /// Keys in their cooling-off time that were used by this client without its being able to call their destruction
    /// off, and why: an owner must resume them, or what was used is lost.
    pub uses_not_noted: BTreeMap<KeyId, String>,
    /// Why this client's last attempt to make a key failed.
    pub rollover_fault: Option<String>,
    /// If it failed for want of a root key: why that can't be used.
    pub root_key_fault: Option<RootKeyError>,
    /// How keys lie in memory.
    pub memory: Protection,
    /// Who has access, in the repository's words.
    pub access: Vec<AccessLine>,
}

/// Why a key of the ring is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// A root key is missing, denied or does not fit.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    /// The account owns or watches the group, and is no member: it is shown everything about a key but its material.
    #[error("this account may not read its material")]
    Withheld,
}

impl KeyFault {
    /// Of what kind the fault is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::RootKey(error) => error.kind(),
            Self::Withheld => ErrorKind::Denied,
        }
    }
}

/// What an account lacks that is shown keys without their material.
pub(crate) const READ: &str = "read keys (member)";

impl View {
    /// The key that protects for members now. It is [`View::protecting`] for a member; for an account that is shown keys
    /// without their material it is what members go by, as far as that can be told without them.
    #[must_use]
    pub fn protects_for_members(&self) -> Option<KeyId> {
        let seen = || self.ring.protecting(self.now).next().filter(|key| key.is_withheld());
        self.protecting.as_ref().ok().copied().or_else(|| seen().map(RingKey::id))
    }

    /// Why this account can't protect, as [`crate::blocking::Group::protect`] would say it; none if it can.
    #[must_use]
    pub fn why_not_protecting(&self) -> Option<Error> {
        let refusal = self.protecting.as_ref().err()?;
        Some(no_key(refusal, &self.ring, (&self.key_faults, self.root_key_fault.as_ref()), self.now))
    }
}

/// Why there is no key to protect with. Where the key that would protect can't be opened, or the group's first key can't be
/// made here, that is the reason, and what has to be put right.
pub(crate) fn no_key(
    refusal: &ProtectRefusal,
    ring: &Ring,
    (faults, root_key_fault): (&BTreeMap<KeyId, KeyFault>, Option<&RootKeyError>),
    now: Timestamp,
) -> Error {
    if matches!(refusal, ProtectRefusal::NotUsable { .. })
        && ring.protecting(now).next().is_some_and(RingKey::is_withheld)
    {
        return Error::NoRight { what: "protecting".to_owned(), right: READ };
    }
    if *refusal == ProtectRefusal::NoKey {
        let is_meant = |key: &&RingKey| {
            matches!(key.distrust, None | Some(Distrust::NotVerified)) && key.activation() <= now
        };
        let newest = ring.keys.iter().rev().find(is_meant);
        let stopped = |key: &RingKey| {
            let status = &key.status;
            !status.suspensions.is_empty()
                || [status.deactivated, status.compromised, status.destroyed].iter().any(Option::is_some)
        };
        if let Some(fault) = newest.filter(|key| !stopped(key)).and_then(|key| faults.get(&key.id())) {
            return fault.clone().into();
        }
        if let Some(fault) = root_key_fault.filter(|_| ring.keys.is_empty()) {
            return fault.clone().into();
        }
    }
    refusal.clone().into()
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
