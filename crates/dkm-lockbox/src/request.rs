//! What somebody asks for.

use std::fmt;

use dkm_core::{Context, Digest, GroupId, InstanceId, RequestId, Timestamp};

use crate::text;

/// Longest reason, in bytes.
pub const REASON_LEN_MAX: usize = 4096;
/// Longest ticket, account or name, in bytes.
pub const NAME_LEN_MAX: usize = 256;
/// Most blobs that a scope names.
pub const BLOBS_MAX: usize = 256;

/// How keys are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The server opens blobs of the scope; no key leaves.
    Brokered,
    /// The requester gets credentials that are in the group until the grant ends, and could read every key.
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

/// What a brokered grant opens. A blob must fit all that is given: its id one of the `blobs`, unless there are none, and
/// its context must hold all the `context` pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Ids of blobs, sorted and distinct.
    pub blobs: Vec<Digest>,
    /// Pairs that a blob's context must hold.
    pub context: Context,
    /// How many blobs may be opened in all.
    pub count_max: u64,
    /// How many bytes of plaintext may be given out in all.
    pub bytes_max: u64,
}

/// Who asks: the person, by the roster's id, and the account that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The person's id in the roster.
    pub person: String,
    /// The account, as the server authenticated it.
    pub account: String,
}

/// A request for elevated access. It never changes: whoever wants another asks anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// The server that it is made to: an approval given to one says nothing at another.
    pub instance: InstanceId,
    /// The group whose keys are wanted.
    pub group: GroupId,
    /// Digests of the policies in force when it was made, sorted.
    pub policy: Vec<Digest>,
    /// Digests of the rosters in force when it was made, sorted.
    pub roster: Vec<Digest>,
    /// Who asks.
    pub requester: Requester,
    /// Why.
    pub reason: String,
    /// Where the work is written down, such as the number of an incident.
    pub ticket: String,
    /// How keys are reached.
    pub mode: Mode,
    /// What a brokered grant opens; none for direct access.
    pub scope: Option<Scope>,
    /// Whether it is an emergency: other levels approve, and it is reviewed afterwards.
    pub break_glass: bool,
    /// How long access lasts, from its activation, in seconds.
    pub duration_s: u64,
    /// When it was made.
    pub made: Timestamp,
    /// Until when it must be approved.
    pub not_after: Timestamp,
    /// How long it may wait for its activation once it is approved, in seconds.
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
            return fail("duration", "and activation window must be longer than nothing".to_owned());
        }
        if self.not_after <= self.made {
            return fail("not-after", "is before the request".to_owned());
        }
        for (field, digests) in [("policy", &self.policy), ("roster", &self.roster)] {
            if digests.is_empty() || !digests.is_sorted_by(|a, b| a < b) {
                return fail(field, "must name what is in force, sorted".to_owned());
            }
        }
        Ok(())
    }
}

impl Scope {
    fn check(&self) -> Result<(), RequestError> {
        let fail = |why: &str| Err(RequestError { field: "scope", why: why.to_owned() });
        if self.blobs.is_empty() && self.context.is_empty() {
            return fail("names neither blobs nor context: it would be everything");
        }
        if self.blobs.len() > BLOBS_MAX {
            return fail("names more than 256 blobs");
        }
        if !self.blobs.is_sorted_by(|a, b| a < b) {
            return fail("names its blobs unsorted, or one twice");
        }
        if self.count_max == 0 || self.bytes_max == 0 {
            return fail("allows nothing: its count and bytes must be at least 1");
        }
        Ok(())
    }

    /// Whether a blob is in the scope.
    #[must_use]
    pub fn covers(&self, blob: Digest, context: &Context) -> bool {
        let named = self.blobs.is_empty() || self.blobs.binary_search(&blob).is_ok();
        named && self.context.pairs().all(|(key, value)| context.value(key) == Some(value))
    }
}
