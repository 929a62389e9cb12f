//! What somebody asks for.

mod scope;

use std::fmt;

use dkm_core::{Digest, GroupId, InstanceId, RequestId, Timestamp};
use minicbor::{Decode, Encode};

pub use self::scope::{BLOBS_MAX, Scope};
use crate::text;

/// Longest reason, in bytes.
pub const REASON_LEN_MAX: usize = 4096;
/// Longest ticket, account or name, in bytes.
pub const NAME_LEN_MAX: usize = 256;
/// Most versions of a policy or a roster that are in force at once, as far as a request can name them.
pub const VERSIONS_MAX: usize = 64;

/// How keys are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Mode {
    /// The server opens blobs of the scope; no key leaves.
    #[n(0)]
    Brokered,
    /// The requester gets credentials that are in the group until the grant ends, and could read every key.
    #[n(1)]
    Direct,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Brokered => "brokered",
            Self::Direct => "direct",
        })
    }
}

/// Who asks: the person, by the roster's id, and the account that was used.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Requester {
    /// The person's id in the roster.
    #[n(0)]
    pub person: String,
    /// The account, as the server authenticated it.
    #[n(1)]
    pub account: String,
}

/// What the requester says; all else of a [`Request`] follows from what is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Why: 1 to [`REASON_LEN_MAX`] bytes.
    pub reason: String,
    /// Where the work is written down, such as the number of an incident; may be empty.
    pub ticket: String,
    /// How keys are reached.
    pub mode: Mode,
    /// What a brokered grant opens; none for direct access.
    pub scope: Option<Scope>,
    /// Whether it is an emergency: other levels approve, and it is reviewed afterwards.
    pub break_glass: bool,
    /// How long access lasts, from its activation, in seconds.
    pub duration_s: u64,
}

/// A request for elevated access. It never changes: whoever wants another asks anew.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Request {
    /// Its id.
    #[n(0)]
    pub id: RequestId,
    /// The server that it is made to: an approval given to one says nothing at another.
    #[n(1)]
    pub instance: InstanceId,
    /// The group whose keys are wanted.
    #[n(2)]
    pub group: GroupId,
    /// Digests of the policies in force when it was made, sorted.
    #[n(3)]
    pub policy: Vec<Digest>,
    /// Digests of the rosters in force when it was made, sorted.
    #[n(4)]
    pub roster: Vec<Digest>,
    /// Who asks.
    #[n(5)]
    pub requester: Requester,
    /// Why.
    #[n(6)]
    pub reason: String,
    /// Where the work is written down, such as the number of an incident.
    #[n(7)]
    pub ticket: String,
    /// How keys are reached.
    #[n(8)]
    pub mode: Mode,
    /// What a brokered grant opens; none for direct access.
    #[n(9)]
    pub scope: Option<Scope>,
    /// Whether it is an emergency: other levels approve, and it is reviewed afterwards.
    #[n(10)]
    pub break_glass: bool,
    /// How long access lasts, from its activation, in seconds.
    #[n(11)]
    pub duration_s: u64,
    /// When it was made.
    #[n(12)]
    pub made: Timestamp,
    /// Until when it must be approved.
    #[n(13)]
    pub not_after: Timestamp,
    /// How long it may wait for its activation once it is approved, in seconds.
    #[n(14)]
    pub activation_window_s: u64,
}

/// Why a request cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {why}")]
pub struct RequestError {
    /// What is wrong.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Request {
    /// Checks what can be checked of a request by itself.
    ///
    /// # Errors
    /// The first field that is beyond its limits.
    pub fn check(&self) -> Result<(), RequestError> {
        let fail = |field, why: String| Err(RequestError { field, why });
        let texts = [
            ("reason", &self.reason, REASON_LEN_MAX),
            ("ticket", &self.ticket, NAME_LEN_MAX),
            ("requester", &self.requester.person, NAME_LEN_MAX),
            ("account", &self.requester.account, NAME_LEN_MAX),
        ];
        for (field, value, len_max) in texts {
            if value.len() > len_max {
                return fail(field, format!("has {} bytes; at most {len_max} are allowed", value.len()));
            }
            if let Some(odd) = value.chars().find(|c| text::is_deceptive(*c)) {
                let why =
                    format!("holds {}, which an approver could not see or might misread", text::escape(odd));
                return fail(field, why);
            }
        }
        if self.reason.trim().is_empty() {
            return fail("reason", "is empty: those who approve and audit need one".to_owned());
        }
        if self.requester.person.is_empty() || self.requester.account.is_empty() {
            return fail("requester", "has no name".to_owned());
        }
        match (self.mode, &self.scope) {
            (Mode::Direct, Some(_)) => {
                return fail("scope", "can't be kept to where keys leave: direct access has none".to_owned());
            }
            (Mode::Brokered, None) => return fail("scope", "is missing".to_owned()),
            (Mode::Brokered, Some(scope)) => scope.check()?,
            (Mode::Direct, None) => {}
        }
        if self.duration_s == 0 || self.activation_window_s == 0 {
            return fail("duration", "and activation window must be at least one second".to_owned());
        }
        if self.not_after <= self.made {
            return fail("not-after", "is before the request".to_owned());
        }
        for (field, digests) in [("policy", &self.policy), ("roster", &self.roster)] {
            let sorted = digests.is_sorted_by(|a, b| a < b);
            if digests.is_empty() || digests.len() > VERSIONS_MAX || !sorted {
                return fail(
                    field,
                    format!("must name what is in force, sorted, and at most {VERSIONS_MAX}"),
                );
            }
        }
        Ok(())
    }

    /// When a grant that is activated at `at` ends.
    #[must_use]
    pub const fn until(&self, at: Timestamp) -> Timestamp {
        at.plus(self.duration_s.saturating_mul(1_000))
    }
}
