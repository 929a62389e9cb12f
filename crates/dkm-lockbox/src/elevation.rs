//! One request and all that came of it: a state machine without a clock of its own.
//!
//! Steps ([`Elevation::answer`], [`Elevation::activate`] and the others) check and return an [`Event`] that shall be made
//! durable; only then [`Elevation::apply`] takes it. What was made durable is taken again after a restart, in its order.

mod steps;

use std::collections::BTreeSet;
use std::fmt;

use dkm_core::record::ApprovalLevel;
use dkm_core::roster::Roster;
use dkm_core::{Digest, Timestamp};

use crate::answer::{Answer, Verify};
use crate::refusal::Refusal;
use crate::request::{Mode, Request};
use crate::statement::Decision;

/// What is in force in the group now. A request made under anything else is void.
#[derive(Clone, Copy)]
pub struct InForce<'a> {
    /// Digests of the policies in force, sorted.
    pub policy: &'a [Digest],
    /// Digests of the rosters in force, sorted.
    pub rosters: &'a [Digest],
    /// What the rosters come to.
    pub roster: &'a Roster,
    /// How signatures are verified.
    pub verify: Verify<'a>,
}

/// Something that happened to a request, and is never undone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// An approver answered.
    Answered {
        /// When.
        at: Timestamp,
        /// What he said.
        answer: Answer,
    },
    /// The requester wants it no more.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
    /// Access begins.
    Activated {
        /// When.
        at: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// Access is ended early.
    Revoked {
        /// When.
        at: Timestamp,
        /// The person who ended it.
        by: String,
    },
    /// A blob is about to be opened under the grant.
    Opened {
        /// When.
        at: Timestamp,
        /// The blob.
        blob: Digest,
        /// Bytes of plaintext.
        bytes: u64,
    },
    /// Somebody has looked at what was done in an emergency.
    Reviewed {
        /// When.
        at: Timestamp,
        /// The person who did.
        by: String,
    },
}

/// What a request has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Approvals are missing.
    Pending,
    /// All levels approve; it can be activated until then.
    Approved {
        /// Until when.
        until: Timestamp,
    },
    /// Access is given until then.
    Active {
        /// Until when.
        until: Timestamp,
    },
    /// An approver denied it.
    Denied,
    /// The requester took it back.
    Withdrawn,
    /// It was ended early.
    Revoked,
    /// It was not approved in time.
    Expired,
    /// It was approved and not activated in time.
    Lapsed,
    /// The policy or the roster is another than when it was made.
    Void,
    /// Access was given, and its time is over.
    Finished,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Active { .. } => "active",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
            Self::Expired => "expired: it was not approved in time",
            Self::Lapsed => "lapsed: it was not activated in time",
            Self::Void => "void: the policy or the roster was changed",
            Self::Finished => "finished",
        })
    }
}

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elevation {
    request: Request,
    answers: Vec<(Timestamp, Answer)>,
    withdrawn: bool,
    activated: Option<(Timestamp, Timestamp)>,
    revoked_by: Option<String>,
    opened: u64,
    bytes: u64,
    reviewed_by: Option<String>,
}

impl Elevation {
    /// A request that was accepted by [`Elevation::begin`], with nothing come of it yet.
    #[must_use]
    pub const fn new(request: Request) -> Self {
        Self {
            request,
            answers: Vec::new(),
            withdrawn: false,
            activated: None,
            revoked_by: None,
            opened: 0,
            bytes: 0,
            reviewed_by: None,
        }
    }

    /// What is asked for.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The answers so far, in their order.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().map(|(_, answer)| answer)
    }

    /// How many blobs and bytes were opened under the grant, or were about to be.
    #[must_use]
    pub const fn used(&self) -> (u64, u64) {
        (self.opened, self.bytes)
    }

    /// Who ended it early.
    #[must_use]
    pub fn revoked_by(&self) -> Option<&str> {
        self.revoked_by.as_deref()
    }

    /// Whether it was an emergency that nobody has looked at since.
    #[must_use]
    pub const fn review_is_due(&self) -> bool {
        self.request.break_glass && self.activated.is_some() && self.reviewed_by.is_none()
    }

    /// Takes what happened.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Answered { at, answer } => self.answers.push((*at, answer.clone())),
            Event::Withdrawn { .. } => self.withdrawn = true,
            // The first one fixes the end: another does not move it.
            Event::Activated { at, until } => {
                self.activated.get_or_insert((*at, *until));
            }
            Event::Revoked { by, .. } => {
                self.revoked_by.get_or_insert_with(|| by.clone());
            }
            Event::Opened { bytes, .. } => {
                self.opened = self.opened.saturating_add(1);
                self.bytes = self.bytes.saturating_add(*bytes);
            }
            Event::Reviewed { by, .. } => {
                self.reviewed_by.get_or_insert_with(|| by.clone());
            }
        }
    }

    /// What it has come to. `now` must be a time that never goes back: see [`Clock`](crate::clock::Clock).
    #[must_use]
    pub fn status(&self, now: Timestamp, in_force: &InForce<'_>) -> Status {
        let denied = self.answers().any(|answer| answer.decision == Decision::Deny);
        if self.revoked_by.is_some() {
            return Status::Revoked;
        }
        if denied {
            return Status::Denied;
        }
        if self.withdrawn {
            return Status::Withdrawn;
        }
        if let Some((_, until)) = self.activated
            && until <= now
        {
            return Status::Finished;
        }
        if self.request.policy != in_force.policy || self.request.roster != in_force.rosters {
            return Status::Void;
        }
        let approved = self.approved_at(in_force);
        match (self.activated, approved) {
            // Looked at again with each use: what was activated without approval gives nothing.
            (Some((_, until)), Some(_)) => Status::Active { until },
            (Some(_), None) => Status::Void,
            (None, Some(at)) => {
                let until = at.plus(self.request.activation_window_s.saturating_mul(1_000));
                if now < until { Status::Approved { until } } else { Status::Lapsed }
            }
            (None, None) if now < self.request.not_after => Status::Pending,
            (None, None) => Status::Expired,
        }
    }

    /// The levels that are to approve, in their order.
    ///
    /// # Errors
    /// The roster does not allow what is asked for.
    pub fn levels<'a>(&self, roster: &'a Roster) -> Result<Vec<&'a ApprovalLevel>, Refusal> {
        levels(&self.request, roster)
    }

    /// The levels that do not approve yet, in their order.
    ///
    /// # Errors
    /// The roster does not allow what is asked for.
    pub fn missing<'a>(&self, in_force: &InForce<'a>) -> Result<Vec<&'a ApprovalLevel>, Refusal> {
        let levels = self.levels(in_force.roster)?;
        let good = self.good_answers(&levels, in_force);
        let lacks = |level: &&&ApprovalLevel| count(&good, level) < level.quorum;
        Ok(levels.iter().filter(lacks).copied().collect())
    }

    /// The approvals that are good by what is in force, of different people.
    fn good_answers(&self, levels: &[&ApprovalLevel], in_force: &InForce<'_>) -> Vec<&(Timestamp, Answer)> {
        let mut people = BTreeSet::new();
        self.answers
            .iter()
            .filter(|(at, answer)| {
                answer.decision == Decision::Approve
                    && *at < self.request.not_after
                    && answer.check(&self.request, levels, in_force.roster, in_force.verify).is_ok()
                    && people.insert(answer.approver.as_str())
            })
            .collect()
    }

    /// Since when all levels approve; none while they don't.
    fn approved_at(&self, in_force: &InForce<'_>) -> Option<Timestamp> {
        let levels = self.levels(in_force.roster).ok()?;
        let good = self.good_answers(&levels, in_force);
        let mut since = self.request.made;
        for level in &levels {
            let mut times: Vec<Timestamp> =
                good.iter().filter(|(_, answer)| answer.level == level.name).map(|(at, _)| *at).collect();
            times.sort_unstable();
            let last = usize::try_from(level.quorum).ok()?.checked_sub(1)?;
            since = since.max(*times.get(last)?);
        }
        Some(since)
    }
}

fn count(answers: &[&(Timestamp, Answer)], level: &ApprovalLevel) -> u32 {
    let count = answers.iter().filter(|(_, answer)| answer.level == level.name).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The levels that a request needs.
fn levels<'a>(request: &Request, roster: &'a Roster) -> Result<Vec<&'a ApprovalLevel>, Refusal> {
    let not_allowed = |what| Refusal::NotAllowed { what };
    let rules = roster.elevation.as_ref().ok_or(not_allowed("elevated access"))?;
    let direct = match request.mode {
        Mode::Brokered => &[][..],
        Mode::Direct => rules.direct.as_deref().ok_or(not_allowed("direct access"))?,
    };
    let levels: Vec<&ApprovalLevel> = if request.break_glass {
        rules.break_glass.as_deref().ok_or(not_allowed("emergency access"))?.iter().collect()
    } else {
        roster.levels.iter().chain(direct).collect()
    };
    // Without levels every level would approve: nobody's approval must not be enough.
    if levels.is_empty() { Err(not_allowed("access that nobody approves")) } else { Ok(levels) }
}

#[cfg(test)]
mod tests;
