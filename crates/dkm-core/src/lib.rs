//! The pure heart of DKM: formats, key ring, policy and the rollover decision.
//!
//! Nothing here reads a clock, opens a file or socket, or starts a thread: records, time and
//! randomness are passed in, so that every decision can be replayed from its inputs.

#![forbid(unsafe_code)]

pub mod id;
pub mod policy;
pub mod record;
pub mod slot;
pub mod time;

pub use id::{Digest, GroupId, KeyId, ReplicaId, RepositoryId, RootKeyId};
pub use slot::{Attestation, Principal, Room, SlotName};
pub use time::Timestamp;
