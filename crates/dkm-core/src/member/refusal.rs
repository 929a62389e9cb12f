//! Why a client does not protect or unprotect, and what raises an alarm.

use std::fmt;

use crate::id::{KeyId, ReplicaId};
use crate::slot::{Room, SlotName};

/// Why there is no key to protect with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectRefusal {
    /// The repository denies the group's keys to this account.
    #[error("the repository denies access to the group's keys")]
    Denied,
    /// Nothing was read yet.
    #[error("the group's records have not been read yet")]
    NotRead,
    /// No replica answered for longer than the grace.
    #[error("no replica has answered for longer than the offline grace of {grace_ms} ms")]
    OutOfReach {
        /// The grace, in milliseconds.
        grace_ms: u64,
    },
    /// The clock is not the repository's.
    #[error("this machine's clock is {off_ms} ms from the repository's, more than the {skew_ms} ms allowed")]
    ClockOff {
        /// How far, in milliseconds.
        off_ms: u64,
        /// How far is allowed, in milliseconds.
        skew_ms: u64,
    },
    /// The protecting key is past its end and policy sets a limit.
    #[error(
        "key {key} is {by_ms} ms past its end, more than the {limit_ms} ms that policy allows, and has no successor"
    )]
    Overdue {
        /// The key.
        key: KeyId,
        /// How long past its end, in milliseconds.
        by_ms: u64,
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The key has not been read from enough replicas, or has disappeared from one.
    #[error("key {key} has been read from {read_from} of {needed} replicas{}", if *.doubted { " and has disappeared from or changed on one" } else { "" })]
    NotUsable {
        /// The key.
        key: KeyId,
        /// From how many replicas it was read.
        read_from: usize,
        /// From how many it must be read.
        needed: usize,
        /// Whether it has gone from, or changed on, a replica that had it.
        doubted: bool,
    },
    /// No key is active.
    #[error("the group has no active key: its keys are suspended, archived, compromised or not active yet")]
    NoKey,
}

/// Why a blob is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnprotectRefusal {
    /// The repository denies the group's keys to this account.
    #[error("the repository denies access to the group's keys")]
    Denied,
    /// Nothing was read yet.
    #[error("the group's records have not been read yet")]
    NotRead,
    /// No replica answered for longer than the grace.
    #[error("no replica has answered for longer than the offline grace of {grace_ms} ms")]
    OutOfReach {
        /// The grace, in milliseconds.
        grace_ms: u64,
    },
    /// No such key on the ring.
    #[error("key {key} is not on the group's ring")]
    UnknownKey {
        /// The key.
        key: KeyId,
    },
    /// The key was destroyed.
    #[error("key {key} was destroyed; what it protected cannot be read any more")]
    Destroyed {
        /// The key.
        key: KeyId,
    },
    /// Its material does not give its id.
    #[error("key {key} is on the ring, but its material could not be opened or does not give its id")]
    NotVerified {
        /// The key.
        key: KeyId,
    },
    /// Others may know the key, so what it protected may be forged.
    #[error("key {key} is compromised: what it protected may be forged")]
    Compromised {
        /// The key.
        key: KeyId,
    },
}

/// A record that a replica had and has no more, or has differently. Records are immutable: somebody interfered, or
/// the replica was set back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// The replica.
    pub replica: ReplicaId,
    /// The room.
    pub room: Room,
    /// The slot.
    pub name: SlotName,
    /// Changed rather than gone.
    pub changed: bool,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.changed { "changed" } else { "disappeared" };
        write!(f, "record {}/{} {what} on replica {}", self.room, self.name, self.replica)
    }
}
