//! Elevated access to a group's keys: who asks, who approves, what is granted, and when it ends.
//!
//! Pure: no input or output, and no clock. Whoever uses it makes each [`Event`] durable before it is applied, and gives
//! it a time that does not go back ([`clock::Clock`]).
//!
//! * [`Request`]: what is asked for. It never changes.
//! * [`Answer`]: an approver's signature over the [`statement`], which is the whole request and the decision as lines that
//!   a person can read. [`sshsig`] verifies it, made by `ssh-keygen`, a security key or a passkey.
//! * [`Elevation`]: the request and what came of it. Each level of the group's roster must approve, in order, by as many
//!   different people as its quorum says, none of them the requester. A denial or revocation beats any approval. A change
//!   of policy or roster voids it.

#![forbid(unsafe_code)]

mod answer;
mod clock;
mod elevation;
mod lockbox;
mod memo;
mod record;
mod refusal;
mod request;
pub mod sshsig;
mod statement;
#[cfg(test)]
mod testing;
mod text;

pub use answer::{Answer, Evidence, Verify, verify_sshsig};
pub use clock::Clock;
pub use elevation::{Elevation, InForce, ReplayError, Status};
pub use lockbox::{Lockbox, OPEN_MAX};
pub use memo::Memo;
pub use record::{Ending, Event, RECORD_LEN_MAX, RECORD_VERSION, Record, RecordError};
pub use refusal::Refusal;
pub use request::{
    Ask, BLOBS_MAX, Mode, NAME_LEN_MAX, REASON_LEN_MAX, Request, RequestError, Requester, Scope, VERSIONS_MAX,
};
pub use statement::{Decision, NAMESPACE, STATEMENT_LEN_MAX, Statement, StatementError, statement};
