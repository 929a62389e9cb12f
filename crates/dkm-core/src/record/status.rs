//! The status record: a change of a key's state.

use minicbor::{Decode, Encode};

use super::{check_sorted, check_text};
use crate::id::{Digest, KeyId};

/// What a status says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Change {
    /// Cancels the suspensions that the status answers, and nothing else.
    #[n(0)]
    Resumed,
    /// The key does not protect until resumed.
    #[n(1)]
    Suspended,
    /// The key does not protect any more.
    #[n(2)]
    Deactivated,
    /// Others may know the key: it does not protect, and what it protected may be forged.
    #[n(3)]
    Compromised,
    /// Tombstone: the material is erased everywhere, for ever.
    #[n(4)]
    Destroyed,
}

/// Why a status was written, where that changes what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Purpose {
    /// An owner's decision.
    #[n(0)]
    Ordinary,
    /// Begins the cooling-off time before a destruction (with [`Change::Suspended`]).
    #[n(1)]
    CoolingOff,
    /// Somebody needed the key during the cooling-off time (with [`Change::Resumed`]): the destruction is off.
    #[n(2)]
    InUse,
}

/// A change of a key's state. States combine by a lattice, so that the order in which statuses arrive does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StatusRecord {
    /// The key.
    #[n(0)]
    pub key: KeyId,
    /// What happened to it.
    #[n(1)]
    pub change: Change,
    /// Why, where that matters.
    #[n(2)]
    pub purpose: Purpose,
    /// For people, up to 4 KiB.
    #[n(3)]
    pub reason: String,
    /// One more than the highest epoch among the statuses it answers; orders the story for people.
    #[n(4)]
    pub epoch: u32,
    /// Digests of the statuses of this key that its author had seen, sorted.
    #[n(5)]
    pub answers: Vec<Digest>,
    /// When, as its author says: a hint, never compared.
    #[n(6)]
    pub when_ms: u64,
}

impl StatusRecord {
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("reason", &self.reason, 4096)?;
        check_sorted("answered statuses", &self.answers)?;
        match (self.purpose, self.change) {
            (Purpose::Ordinary, _)
            | (Purpose::CoolingOff, Change::Suspended)
            | (Purpose::InUse, Change::Resumed) => Ok(()),
            (purpose, change) => Err(format!("purpose {purpose:?} does not go with {change:?}")),
        }
    }
}
