//! Why something is not done.

use dkm_core::Timestamp;

use dkm_core::RequestId;

use crate::elevation::{ReplayError, Status};
use crate::request::RequestError;

/// Why a step is refused. Nothing changes by a refused step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is not as a request must be.
    #[error("the request's {0}")]
    Request(#[from] RequestError),
    /// The group's roster has no rules for elevated access, or none for this kind.
    #[error("the group's roster does not allow {what}")]
    NotAllowed {
        /// What.
        what: &'static str,
    },
    /// Longer than the roster allows.
    #[error("access of {asked_s} s is asked for, and the roster allows {max_s} s at most")]
    TooLong {
        /// Seconds that were asked for.
        asked_s: u64,
        /// Seconds that the roster allows.
        max_s: u64,
    },
    /// The account is nobody's in the roster, or of several people.
    #[error("account {account:?} is not that of exactly one person in the roster")]
    UnknownPerson {
        /// The account.
        account: String,
    },
    /// Not an approver of this level.
    #[error("{person:?} does not approve at level {level:?}")]
    NotAnApprover {
        /// Who.
        person: String,
        /// Where.
        level: String,
    },
    /// Whoever asks does not decide.
    #[error("{person:?} asked for it, and does not decide on it")]
    OwnRequest {
        /// Who.
        person: String,
    },
    /// No key of the person has signed this.
    #[error("no key that {person:?} has in the roster has signed this request and decision")]
    Signature {
        /// Who.
        person: String,
    },
    /// One person counts once.
    #[error("{person:?} has answered already, at level {level:?}: one person counts once")]
    Answered {
        /// Who.
        person: String,
        /// Where.
        level: String,
    },
    /// An earlier level is to decide first.
    #[error("level {level:?} is to approve first")]
    NotYet {
        /// Which.
        level: String,
    },
    /// The level has all that it needs.
    #[error("level {level:?} has approved already")]
    Complete {
        /// Which.
        level: String,
    },
    /// Two people of the roster with one key are one.
    #[error("the key that signed for {person:?} has approved already under another name: a key counts once")]
    SameKey {
        /// Who.
        person: String,
    },
    /// Made for another server or group.
    #[error("the request was made to another {what}")]
    Elsewhere {
        /// What.
        what: &'static str,
    },
    /// There is none of this id.
    #[error("there is no request {request} in this group")]
    Unknown {
        /// The id.
        request: RequestId,
    },
    /// There is one of this id already.
    #[error("there is a request {request} already: ask again under a new id")]
    Taken {
        /// The id.
        request: RequestId,
    },
    /// Made at a time that has not come yet.
    #[error("the request was made at {made}, which has not come yet: one of the clocks is wrong")]
    NotYetMade {
        /// When it was made, as it says.
        made: Timestamp,
    },
    /// What was done is on record already, or too much is.
    #[error("this account of what was done is on record already, or there are {max} of them")]
    Recorded {
        /// How many there may be.
        max: usize,
    },
    /// Its records are not whole.
    #[error("nothing is granted by it: {why}")]
    Broken {
        /// Why.
        why: ReplayError,
    },
    /// What was done in an emergency is not reviewed.
    #[error("the emergency access of request {request} waits for its review: have it reviewed first")]
    ReviewOverdue {
        /// The request.
        request: RequestId,
    },
    /// Too many requests of one person are open.
    #[error("{max} requests are open already: withdraw one, or wait")]
    TooMany {
        /// How many may be.
        max: usize,
    },
    /// The state does not allow it.
    #[error("the request is {status}")]
    Status {
        /// What it is.
        status: Status,
    },
    /// Somebody who may not do this.
    #[error("{person:?} may not {what}")]
    NotYours {
        /// Who.
        person: String,
        /// What.
        what: &'static str,
    },
    /// Outside of what was granted.
    #[error("the grant does not cover {what}")]
    OutOfScope {
        /// What.
        what: &'static str,
    },
    /// What was granted is used up.
    #[error("the grant's {what} are used up")]
    UsedUp {
        /// What.
        what: &'static str,
    },
    /// The clock cannot be right: nothing is granted until it is.
    #[error("the clock says {clock}, which is {behind_ms} ms before what was seen already: set it right")]
    ClockBack {
        /// What the clock says.
        clock: Timestamp,
        /// By how much it is behind, in milliseconds.
        behind_ms: u64,
    },
}
