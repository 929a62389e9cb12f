//! One request and all that came of it: a state machine without a clock of its own.
//!
//! Steps ([`Elevation::answer`], [`Elevation::activate`] and the others) check and return a [`Record`] that shall be made
//! durable; only then [`Elevation::apply`] takes it. What was made durable is taken again after a restart, in its order.

mod in_force;
mod offline;
mod status;
mod steps;

use dkm_core::{RequestId, Timestamp};

pub use self::in_force::InForce;
pub use self::status::Status;
use crate::answer::Answer;
use crate::offline::Usage;
use crate::record::{Ending, Event, Record};
use crate::request::Request;

/// Why a record does not follow those that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// One is missing, or there are two in one place.
    #[error(
        "request {request}: record {found} comes where record {expected} should: read its records again, and if that does \
         not help, check the store against the audit log"
    )]
    Gap {
        /// The request.
        request: RequestId,
        /// The number that comes next.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The first record is no request, a later one is, or it is another request's.
    #[error(
        "request {request}: record {number} is not what can stand there; check the store against the audit log"
    )]
    Misplaced {
        /// The request.
        request: RequestId,
        /// The record's number.
        number: u64,
    },
}

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elevation {
    request: Request,
    /// Number of records that were taken.
    taken: u64,
    /// The highest time in them.
    latest: Timestamp,
    answers: Vec<(Timestamp, Answer)>,
    activated: Option<Activation>,
    withdrawn: bool,
    revoked_by: Option<String>,
    ended: Option<Ending>,
    opened: u64,
    bytes: u64,
    reviewed_by: Option<String>,
    /// What was done while the server did not answer.
    usages: Vec<Usage>,
    /// The answers that came with that.
    files: Vec<Answer>,
    /// The requester's signature, of a request that came by file.
    signature: Option<String>,
}

/// What the record of an activation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Activation {
    at: Timestamp,
    until: Timestamp,
    /// How many answers there were before it.
    answers: usize,
}

impl Elevation {
    /// Begins with the record of a request, as [`Lockbox::begin`](crate::Lockbox::begin) gave it.
    ///
    /// # Errors
    /// It is another record.
    pub fn new(first: &Record) -> Result<Self, ReplayError> {
        let misplaced = ReplayError::Misplaced { request: first.request, number: first.number };
        let Event::Requested { request, submitted } = &first.event else { return Err(misplaced) };
        if first.number != 0 {
            return Err(ReplayError::Gap { request: first.request, expected: 0, found: first.number });
        }
        if request.id != first.request {
            return Err(misplaced);
        }
        Ok(Self {
            latest: request.made.max(first.event.at()),
            request: request.as_ref().clone(),
            taken: 1,
            answers: Vec::new(),
            activated: None,
            withdrawn: false,
            revoked_by: None,
            ended: None,
            opened: 0,
            bytes: 0,
            reviewed_by: None,
            usages: Vec::new(),
            files: Vec::new(),
            signature: submitted.as_ref().map(|submitted| submitted.signature.clone()),
        })
    }

    /// Takes all records of a request, in their order.
    ///
    /// # Errors
    /// One is missing, or stands where it can't. Then there is no state, and nothing is granted.
    pub fn replay<'a>(
        first: &Record,
        rest: impl IntoIterator<Item = &'a Record>,
    ) -> Result<Self, ReplayError> {
        let mut elevation = Self::new(first)?;
        rest.into_iter().try_for_each(|record| elevation.apply(record))?;
        Ok(elevation)
    }

    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The answers that were given, in their order.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().map(|(_, answer)| answer)
    }

    /// When access began and ends, as far as the record of its activation says: see [`Elevation::status`].
    #[must_use]
    pub fn interval(&self) -> Option<(Timestamp, Timestamp)> {
        self.activated.map(|activation| (activation.at, activation.until))
    }

    /// Blobs that were opened, and bytes of plaintext that were given out.
    #[must_use]
    pub const fn used(&self) -> (u64, u64) {
        (self.opened, self.bytes)
    }

    /// Who ended it early.
    #[must_use]
    pub fn revoked_by(&self) -> Option<&str> {
        self.revoked_by.as_deref()
    }

    /// Who has reviewed what was done in an emergency.
    #[must_use]
    pub fn reviewed_by(&self) -> Option<&str> {
        self.reviewed_by.as_deref()
    }

    /// What was done by it while the server did not answer, as people say.
    #[must_use]
    pub fn usages(&self) -> &[Usage] {
        &self.usages
    }

    /// The requester's signature, if the request came by file.
    #[must_use]
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// The number of its next record.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.taken
    }

    /// The highest time in its records.
    #[must_use]
    pub const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Whether its records say that it is over, so that nothing but a review can follow.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.withdrawn
            || self.revoked_by.is_some()
            || self.ended.is_some()
            || !self.usages.is_empty()
            || self.answers().any(|answer| answer.decision == crate::Decision::Deny)
    }

    /// Whether it was an emergency in which access was given, and nobody has reviewed it.
    #[must_use]
    pub const fn review_is_due(&self) -> bool {
        let was_used = self.activated.is_some() || !self.usages.is_empty();
        self.request.break_glass && was_used && self.reviewed_by.is_none()
    }

    /// Takes a record that was made durable.
    ///
    /// # Errors
    /// It is not the next one of this request. Nothing changes then.
    pub fn apply(&mut self, record: &Record) -> Result<(), ReplayError> {
        let (request, number) = (self.request.id, record.number);
        if record.request != request {
            return Err(ReplayError::Misplaced { request, number });
        }
        if number != self.taken {
            return Err(ReplayError::Gap { request, expected: self.taken, found: number });
        }
        match &record.event {
            Event::Requested { .. } => return Err(ReplayError::Misplaced { request, number }),
            Event::Answered { at, answer } => self.answers.push((*at, answer.clone())),
            Event::Withdrawn { .. } => self.withdrawn = true,
            // The first one fixes the end: another does not move it.
            Event::Activated { at, until } => {
                let answers = self.answers.len();
                self.activated.get_or_insert(Activation { at: *at, until: *until, answers });
            }
            Event::Revoked { by, .. } => {
                self.revoked_by.get_or_insert_with(|| by.clone());
            }
            Event::Opened { bytes, .. } => {
                self.opened = self.opened.saturating_add(1);
                self.bytes = self.bytes.saturating_add(*bytes);
            }
            Event::Continued { bytes, .. } => self.bytes = self.bytes.saturating_add(*bytes),
            Event::Ended { how, .. } => {
                self.ended.get_or_insert(*how);
            }
            Event::Reviewed { by, .. } => {
                self.reviewed_by.get_or_insert_with(|| by.clone());
            }
            Event::UsedOffline { usage, answers, .. } => {
                self.usages.push(usage.clone());
                self.files.extend(
                    answers.iter().filter(|answer| !self.files.contains(answer)).cloned().collect::<Vec<_>>(),
                );
                // What was reviewed before was not this.
                self.reviewed_by = None;
            }
        }
        self.latest = self.latest.max(record.event.at());
        self.taken = self.taken.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
