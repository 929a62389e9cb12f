//! What a request has come to: a function of its records, of what is in force, and of the time.

use std::collections::BTreeSet;
use std::fmt;

use dkm_core::Timestamp;
use dkm_core::record::ApprovalLevel;

use super::{Elevation, InForce};
use crate::answer::{Answer, key_of};
use crate::record::Ending;
use crate::refusal::Refusal;
use crate::statement::Decision;

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
    /// It was used while the server did not answer; nothing more is given by it.
    UsedOffline,
    /// It ended by itself.
    Ended(Ending),
}

impl Status {
    /// Whether something can still come of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved { .. } | Self::Active { .. })
    }

    /// Its name in one word, for lists and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Active { .. } => "active",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
            Self::UsedOffline => "used-offline",
            Self::Ended(Ending::Expired) => "expired",
            Self::Ended(Ending::Lapsed) => "lapsed",
            Self::Ended(Ending::Void) => "void",
            Self::Ended(Ending::Finished) => "finished",
            Self::Ended(Ending::Invalid) => "invalid",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        f.write_str(match self {
            Self::UsedOffline => ": it was used while the server did not answer",
            Self::Ended(Ending::Expired) => ": it was not approved in time",
            Self::Ended(Ending::Lapsed) => ": it was not activated in time",
            Self::Ended(Ending::Void) => ": the policy or the roster was changed",
            Self::Ended(Ending::Finished) => ": its time is over",
            Self::Ended(Ending::Invalid) => ": its records are not what can have happened",
            _ => "",
        })
    }
}

/// How far the levels have approved.
pub(super) struct Progress {
    /// How many levels are complete: all before the first that is not.
    pub(super) complete: usize,
    /// How many approve at the level after those.
    pub(super) count: u32,
    /// The time of the latest approval that counts.
    since: Timestamp,
}

impl Elevation {
    /// What it has come to. `now` must be a time that never goes back: see [`Clock`](crate::Clock). Every signature that
    /// it takes is verified again.
    #[must_use]
    pub fn status(&self, now: Timestamp, in_force: &InForce<'_>) -> Status {
        let now = now.max(self.latest);
        if self.revoked_by.is_some() {
            return Status::Revoked;
        }
        if self.answers().any(|answer| answer.decision == Decision::Deny) {
            return Status::Denied;
        }
        if self.withdrawn {
            return Status::Withdrawn;
        }
        if !self.usages.is_empty() {
            return Status::UsedOffline;
        }
        if let Some(how) = self.ended {
            return Status::Ended(how);
        }
        if self.activated.is_some_and(|activation| activation.until <= now) {
            return Status::Ended(Ending::Finished);
        }
        if self.request.policy != in_force.policy || self.request.roster != in_force.rosters {
            return Status::Ended(Ending::Void);
        }
        let Ok(levels) = in_force.permit(&self.request) else { return Status::Ended(Ending::Invalid) };
        // What was approved after the activation does not make it good.
        let count = self.activated.map_or(self.answers.len(), |activation| activation.answers);
        let answers = self.answers.get(..count).unwrap_or_default();
        let progress = self.progress(&levels, answers, None, in_force);
        let approved = progress.complete == levels.len();
        let window = progress.since.plus(self.request.activation_window_s.saturating_mul(1_000));
        match self.activated {
            Some(activation) => {
                let in_window = progress.since <= activation.at && activation.at < window;
                if approved && in_window && activation.until == self.request.until(activation.at) {
                    Status::Active { until: activation.until }
                } else {
                    Status::Ended(Ending::Invalid)
                }
            }
            None if approved && now < window => Status::Approved { until: window },
            None if approved => Status::Ended(Ending::Lapsed),
            None if now < self.request.not_after => Status::Pending,
            None => Status::Ended(Ending::Expired),
        }
    }

    /// How far answers, and one more, bring these levels. One level after the other is asked; of each person, and of each
    /// key, one approval counts.
    pub(super) fn progress(
        &self,
        levels: &[&ApprovalLevel],
        answers: &[(Timestamp, Answer)],
        more: Option<&(Timestamp, Answer)>,
        in_force: &InForce<'_>,
    ) -> Progress {
        let mut progress = Progress { complete: 0, count: 0, since: self.request.made };
        let (mut people, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for (at, answer) in answers.iter().chain(more) {
            let Some(level) = levels.get(progress.complete) else { break };
            let in_time = self.request.made <= *at && *at < self.request.not_after;
            if answer.decision != Decision::Approve || answer.level != level.name || !in_time {
                continue;
            }
            if people.contains(answer.approver.as_str()) {
                continue;
            }
            let checked = answer.check(&self.request, levels, in_force.roster, in_force.verify);
            let Ok(key) = checked else { continue };
            if !keys.insert(key_of(key)) {
                continue;
            }
            people.insert(answer.approver.as_str());
            progress.since = progress.since.max(*at);
            progress.count = progress.count.saturating_add(1);
            if progress.count >= level.quorum {
                progress.complete = progress.complete.saturating_add(1);
                progress.count = 0;
            }
        }
        progress
    }

    /// The levels that do not approve yet, in their order, and how many approvals each of them lacks. The first is the
    /// one to answer.
    ///
    /// # Errors
    /// The request is not one that what is in force allows.
    pub fn missing<'a>(&self, in_force: &InForce<'a>) -> Result<Vec<(&'a ApprovalLevel, u32)>, Refusal> {
        let levels = in_force.permit(&self.request)?;
        let progress = self.progress(&levels, &self.answers, None, in_force);
        let open = levels.into_iter().enumerate().skip(progress.complete);
        Ok(open
            .map(|(place, level)| {
                let have = if place == progress.complete { progress.count } else { 0 };
                (level, level.quorum.saturating_sub(have))
            })
            .collect())
    }

    /// Until when an emergency in which access was given must be reviewed; none where no review is due.
    #[must_use]
    pub fn review_due_by(&self, in_force: &InForce<'_>) -> Option<Timestamp> {
        let used = self.usages.iter().map(|usage| self.request.until(usage.from));
        let until = used.chain(self.activated.map(|activation| activation.until)).max();
        Some(until.filter(|_| self.review_is_due())?.plus(in_force.review_within_ms()))
    }
}
