//! What protect and unprotect look at: worked out beforehand, replaced whole, read without a lock.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use dkm_core::blob::BlobKey;
use dkm_core::member::{Member, ProtectRefusal, UnprotectRefusal};
use dkm_core::record::Family;
use dkm_core::{GroupId, KeyId, Suite, Timestamp};

use crate::secret::Secret;

/// A key in memory: its material in locked memory, and the prepared state once it is used.
pub(super) struct CachedKey {
    pub(super) family: Family,
    pub(super) material: Secret,
    ready: OnceLock<BlobKey>,
}

impl CachedKey {
    pub(super) fn new(family: Family, material: Secret) -> Self {
        Self { family, material, ready: OnceLock::new() }
    }

    /// The key, prepared at its first use: of a long ring only the keys that are used leave locked memory.
    pub(super) fn ready(&self, group: GroupId) -> &BlobKey {
        self.ready.get_or_init(|| self.material.expose(|bytes| BlobKey::new(group, self.family, bytes)))
    }
}

impl fmt::Debug for CachedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedKey(..)")
    }
}

/// How a key of the ring may be used to open blobs.
#[derive(Debug, Clone)]
pub(super) enum Use {
    /// Freely.
    Open(Arc<CachedKey>),
    /// Its destruction is under way: its use must be noticed first.
    Notice(Arc<CachedKey>),
    /// Only by a handle that overrides; and whether its destruction is under way.
    Compromised(Arc<CachedKey>, bool),
    /// Not at all.
    Refused(UnprotectRefusal),
}

/// What to protect with.
#[derive(Debug, Clone)]
pub(super) struct Protecting {
    pub(super) key: Arc<CachedKey>,
    pub(super) id: KeyId,
    pub(super) suite: Suite,
    pub(super) chunk_size: u32,
}

/// Everything that protect and unprotect need until `until`.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// From then on it must be worked out anew.
    pub(super) until: Timestamp,
    /// From then on a key may be in another state, whatever is read.
    pub(super) keys_until: Timestamp,
    pub(super) protecting: Result<Protecting, ProtectRefusal>,
    /// Why no blob at all is opened.
    pub(super) closed: Option<UnprotectRefusal>,
    pub(super) keys: Arc<HashMap<KeyId, Use>>,
    /// Numbers of the suites that policy lets blobs be opened of.
    pub(super) suites: Vec<u32>,
}

impl Snapshot {
    /// Before anything was read.
    pub(super) fn unread() -> Self {
        Self {
            until: Timestamp(0),
            keys_until: Timestamp(0),
            protecting: Err(ProtectRefusal::NotRead),
            closed: Some(UnprotectRefusal::NotRead),
            keys: Arc::default(),
            suites: Vec::new(),
        }
    }

    /// Works out what a member may do from `now` on, from the ring as it was derived last.
    pub(super) fn of(member: &mut Member, cached: &HashMap<KeyId, Arc<CachedKey>>, now: Timestamp) -> Self {
        let now = member.advance(now);
        let protecting = member.protecting_key(now);
        let ring = member.ring();
        // Destroyed keys whose record is erased too: what they protected is not looked for.
        let ids: Vec<KeyId> = ring
            .keys
            .iter()
            .map(dkm_core::ring::RingKey::id)
            .chain(ring.tombstones.keys().copied())
            .collect();
        let mut keys = HashMap::with_capacity(ids.len());
        // Asked of no key in particular: the answers that hold for all come first.
        let closed = match member.unprotect_leave(now, KeyId::default(), false) {
            Err(
                refusal @ (UnprotectRefusal::Denied
                | UnprotectRefusal::NotRead
                | UnprotectRefusal::OutOfReach { .. }),
            ) => Some(refusal),
            _ => None,
        };
        if closed.is_none() {
            for id in ids {
                keys.insert(id, use_of(member, cached, id, now));
            }
        }
        let policy = member.ring().policy();
        let protecting = protecting.and_then(|id| {
            let key = cached.get(&id).cloned().ok_or(ProtectRefusal::NoKey)?;
            let policy = policy.ok_or(ProtectRefusal::NotRead)?;
            let suite = u16::try_from(policy.suite).ok().and_then(Suite::from_number).unwrap_or_default();
            Ok(Protecting { key, id, suite, chunk_size: policy.chunk_size })
        });
        let suites = policy.map(|p| p.unprotect_suites.clone()).unwrap_or_default();
        let keys_until = member.next_key_change();
        Self {
            until: member.next_change_of(keys_until),
            keys_until,
            protecting,
            closed,
            keys: Arc::new(keys),
            suites,
        }
    }

    /// The same, after a reading that found nothing new; none if it may have to be worked out anew all the same.
    pub(super) fn again(&self, member: &Member, now: Timestamp) -> Option<Self> {
        let protecting = self.protecting.as_ref().ok()?.clone();
        let holds = self.closed.is_none() && now < self.keys_until && member.clock_off_ms().is_none();
        holds.then(|| Self {
            until: member.next_change_of(self.keys_until),
            keys_until: self.keys_until,
            protecting: Ok(protecting),
            closed: None,
            keys: Arc::clone(&self.keys),
            suites: self.suites.clone(),
        })
    }
}

fn use_of(member: &mut Member, cached: &HashMap<KeyId, Arc<CachedKey>>, id: KeyId, now: Timestamp) -> Use {
    let compromised = member.ring().key(id).is_some_and(|key| key.status.compromised.is_some());
    match member.unprotect_leave(now, id, true) {
        Err(refusal) => Use::Refused(refusal),
        Ok(leave) => match cached.get(&id) {
            None => Use::Refused(UnprotectRefusal::NotVerified { key: id }),
            Some(key) if compromised => Use::Compromised(key.clone(), leave.notice_use),
            Some(key) if leave.notice_use => Use::Notice(key.clone()),
            Some(key) => Use::Open(key.clone()),
        },
    }
}
