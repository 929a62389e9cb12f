//! The pure heart of DKM: formats, key ring, policy and the rollover decision.
//!
//! Nothing here reads a clock, opens a file or socket, or starts a thread: records, time and
//! randomness are passed in, so that every decision can be replayed from its inputs.

#![forbid(unsafe_code)]

pub mod archive;
pub mod blob;
pub mod context;
pub mod id;
pub mod kdf;
pub mod member;
pub mod plaintext;
pub mod plan;
pub mod policy;
pub mod record;
pub mod ring;
pub mod roster;
pub mod safeguards;
pub mod slot;
pub mod suite;
pub mod time;
pub mod windows;

pub use context::Context;
pub use id::{Digest, GroupId, InstanceId, KeyGuid, KeyId, ReplicaId, RepositoryId, RequestId, RootKeyId};
pub use plaintext::Plaintext;
pub use slot::{Attestation, Principal, Room, SlotName};
pub use suite::Suite;
pub use time::Timestamp;
