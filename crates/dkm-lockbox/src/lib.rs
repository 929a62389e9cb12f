//! Elevated access to a group's keys: who asks, who approves, what is granted, and when it ends.
//!
//! Pure: no input or output, no clock, no randomness. What a request has come to is a function of its records, of what is
//! in force in the group, and of the time.
//!
//! * [`Ask`]: what the requester says. [`Request`]: the same with all that follows from what is in force. It never changes.
//! * [`Answer`]: an approver's signature over the [`statement()`], which is the whole request and the decision as lines that
//!   a person can read; [`Statement::parse`] reads them back. [`sshsig`] verifies the signature, made by `ssh-keygen`, a
//!   security key or a passkey; [`Answer::evidence`] gives what others need to verify it with `ssh-keygen`.
//! * [`Record`]: one [`Event`] in the life of a request, with its number. [`Record::encode`] is what is stored and logged.
//! * [`Elevation`]: a request and what came of it. [`Lockbox`]: all of a group's at a server.
//!
//! The rules: each level of the group's roster must approve, in order, by as many different people as its quorum says,
//! none of them the requester. A denial or revocation beats any approval. Whatever changes the policy or the roster voids
//! requests and grants made before. Nothing is renewed: whoever needs more asks anew.
//!
//! # How a server uses it
//!
//! 1. At the start: [`Record::decode`] each stored record, those of a request in the order of their numbers, and
//!    [`Lockbox::replay`] them. A record that can't be read condemns its request ([`Lockbox::condemn`]), so that it grants
//!    nothing. [`Clock::new`] begins with the highest time in the verified log; [`Clock::saw`] takes the database's time.
//! 2. For each call: [`Clock::now`] gives the time to decide by, or refuses; [`InForce::new`] takes the group's chains as
//!    they are **now**. Signatures are verified by [`verify_sshsig`], or by [`Memo::verify`], which computes each once.
//! 3. A step checks and gives a [`Record`], or a [`Refusal`]: [`Lockbox::begin`], then [`Elevation::answer`],
//!    [`withdraw`](Elevation::withdraw), [`activate`](Elevation::activate), [`revoke`](Elevation::revoke),
//!    [`open`](Elevation::open), [`more`](Elevation::more), [`review`](Elevation::review) of what [`Lockbox::get`] gives.
//! 4. The record is made durable under (request, number), **create-only**: of two servers one wins, and the other reads the
//!    winner's record and asks again. Only then [`Lockbox::apply`] takes it, and only then what it grants is given out.
//!    (A server that holds a lock on the request may apply [`Event::Opened`] and [`Event::Continued`] before they are
//!    durable, so that others are counted behind them, as long as nothing is given out before.)
//! 5. [`Elevation::goes_on`] is asked before each piece of a stream, and before credentials are issued; they end at the
//!    time that it tells. [`Lockbox::ended`] gives from time to time, and after each change of policy or roster, the
//!    records of what has ended by itself; where [`Elevation::interval`] is some, what was issued is taken back then.
//!    [`Lockbox::unreviewed`] tells which emergencies wait for a review.
//!
//! # While the server does not answer
//!
//! A requester signs the [`request_statement`], approvers sign the same statements as ever, and [`gather`] tells what files with
//! them come to. Whoever acts by that signs a [`Usage`]. A server takes the files later: [`Lockbox::admit`] a request to which
//! answers can follow, [`Lockbox::admit_used`] and [`Elevation::use_offline`] what was used meanwhile.
//!
//! The same verifies a roster's own changes: [`verify_roster`] is what
//! [`RosterChain::resolve`](dkm_core::roster::RosterChain::resolve) asks for.

#![forbid(unsafe_code)]

mod answer;
mod clock;
mod elevation;
mod lockbox;
mod memo;
mod offline;
mod record;
mod refusal;
mod request;
pub mod sshsig;
mod statement;
#[cfg(test)]
mod testing;
mod text;

pub use answer::{Answer, Evidence, Verify, verify_roster, verify_sshsig};
pub use clock::Clock;
pub use elevation::{Elevation, InForce, ReplayError, Status};
pub use lockbox::{Lockbox, OPEN_MAX};
pub use memo::Memo;
pub use offline::{
    Gathered, REQUEST_NAMESPACE, Submission, USAGES_MAX, USE_NAMESPACE, Usage, check_requester, gather,
};
pub use record::{Ending, Event, RECORD_LEN_MAX, RECORD_VERSION, Record, RecordError};
pub use refusal::Refusal;
pub use request::{
    Ask, BLOBS_MAX, Mode, NAME_LEN_MAX, REASON_LEN_MAX, Request, RequestError, Requester, Scope, VERSIONS_MAX,
};
pub use statement::{
    Decision, NAMESPACE, STATEMENT_LEN_MAX, Statement, StatementError, parse_request, request_statement,
    statement,
};
pub use text::{is_deceptive, shown};
