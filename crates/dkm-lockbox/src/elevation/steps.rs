//! The steps: what is checked before something happens.

use dkm_core::roster::Roster;
use dkm_core::{Context, Digest, Timestamp};

use super::{Elevation, Event, InForce, Status, levels};
use crate::answer::Answer;
use crate::refusal::Refusal;
use crate::request::{Mode, Request};
use crate::statement::Decision;

/// The one person who has an account.
fn person_of<'a>(roster: &'a Roster, account: &str) -> Result<&'a str, Refusal> {
    let mut people = roster.persons.iter().filter(|person| person.accounts.iter().any(|a| a == account));
    match (people.next(), people.next()) {
        (Some(person), None) => Ok(&person.id),
        _ => Err(Refusal::UnknownPerson { account: account.to_owned() }),
    }
}

impl Elevation {
    /// Takes a request of whoever was authenticated as `account`.
    ///
    /// # Errors
    /// It is not as a request must be, the account is nobody's or another's, or the roster does not allow it.
    pub fn begin(
        request: Request,
        account: &str,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Self, Refusal> {
        request.check()?;
        let person = person_of(in_force.roster, account)?;
        if person != request.requester.person || account != request.requester.account {
            return Err(Refusal::NotYours { person: person.to_owned(), what: "ask in another's name" });
        }
        let levels = levels(&request, in_force.roster)?;
        if let Some(rules) = &in_force.roster.elevation {
            let max_s = rules.duration_max_ms / 1_000;
            if request.duration_s > max_s {
                return Err(Refusal::TooLong { asked_s: request.duration_s, max_s });
            }
            let fixed = [
                (request.made, now),
                (request.not_after, now.plus(rules.untouched_ms)),
                (Timestamp(request.activation_window_s), Timestamp(rules.activation_window_ms / 1_000)),
            ];
            if fixed.iter().any(|(found, must)| found != must) {
                return Err(Refusal::NotAllowed { what: "other times than its own" });
            }
        }
        drop(levels);
        let elevation = Self::new(request);
        match elevation.status(now, in_force) {
            Status::Pending => Ok(elevation),
            status => Err(Refusal::Status { status }),
        }
    }

    fn must_be(
        &self,
        now: Timestamp,
        in_force: &InForce<'_>,
        good: fn(Status) -> bool,
    ) -> Result<Status, Refusal> {
        let status = self.status(now, in_force);
        if good(status) { Ok(status) } else { Err(Refusal::Status { status }) }
    }

    /// An approver answers. Levels approve in their order; a denial counts at any of them and at any time, until access
    /// has ended by itself.
    ///
    /// # Errors
    /// The answer is not good, comes too early or too late, or from somebody who has approved already.
    pub fn answer(&self, answer: Answer, now: Timestamp, in_force: &InForce<'_>) -> Result<Event, Refusal> {
        let levels = self.levels(in_force.roster)?;
        answer.check(&self.request, &levels, in_force.roster, in_force.verify)?;
        if answer.decision == Decision::Deny {
            self.must_be(now, in_force, |status| {
                matches!(status, Status::Pending | Status::Approved { .. } | Status::Active { .. })
            })?;
            return Ok(Event::Answered { at: now, answer });
        }
        self.must_be(now, in_force, |status| status == Status::Pending)?;
        if let Some(before) = self.answers().find(|before| before.approver == answer.approver) {
            return Err(Refusal::Answered { person: answer.approver, level: before.level.clone() });
        }
        let missing = self.missing(in_force)?;
        match missing.first() {
            Some(first) if first.name == answer.level => Ok(Event::Answered { at: now, answer }),
            Some(first) if missing.iter().any(|level| level.name == answer.level) => {
                Err(Refusal::NotYet { level: first.name.clone() })
            }
            // Its level has what it needs.
            _ => Err(Refusal::Answered { person: answer.approver, level: answer.level }),
        }
    }

    /// The requester takes the request back.
    ///
    /// # Errors
    /// It is somebody else's, or was activated or ended already.
    pub fn withdraw(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Event, Refusal> {
        self.must_be_requester(account, "withdraw another's request")?;
        self.must_be(now, in_force, |status| matches!(status, Status::Pending | Status::Approved { .. }))?;
        Ok(Event::Withdrawn { at: now })
    }

    /// The requester begins to use the access: from now its time runs.
    ///
    /// # Errors
    /// It is not approved, not any more, or somebody else's.
    pub fn activate(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Event, Refusal> {
        self.must_be_requester(account, "activate another's grant")?;
        self.must_be(now, in_force, |status| matches!(status, Status::Approved { .. }))?;
        Ok(Event::Activated { at: now, until: now.plus(self.request.duration_s.saturating_mul(1_000)) })
    }

    /// Ends access early: whoever holds it may, the approvers of its levels, and the revokers that the roster names.
    ///
    /// # Errors
    /// It is somebody else, or there is no access.
    pub fn revoke(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Event, Refusal> {
        let person = person_of(in_force.roster, account)?;
        if person != self.request.requester.person && !self.is_overseer(person, in_force.roster) {
            return Err(Refusal::NotYours { person: person.to_owned(), what: "end this access" });
        }
        self.must_be(now, in_force, |status| {
            matches!(status, Status::Pending | Status::Approved { .. } | Status::Active { .. })
        })?;
        Ok(Event::Revoked { at: now, by: person.to_owned() })
    }

    /// Opens a blob under a brokered grant: what it says must be durable before any plaintext leaves.
    ///
    /// # Errors
    /// Access has not begun, has ended, does not cover the blob, or is used up.
    pub fn open(
        &self,
        account: &str,
        blob: Digest,
        context: &Context,
        bytes: u64,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Event, Refusal> {
        self.must_be_requester(account, "use another's grant")?;
        self.must_be(now, in_force, |status| matches!(status, Status::Active { .. }))?;
        let scope = match (&self.request.scope, self.request.mode) {
            (Some(scope), Mode::Brokered) => scope,
            _ => return Err(Refusal::OutOfScope { what: "opening blobs through the server" }),
        };
        if !scope.covers(blob, context) {
            return Err(Refusal::OutOfScope { what: "this blob with this context" });
        }
        if self.opened >= scope.count_max {
            return Err(Refusal::UsedUp { what: "blobs" });
        }
        if self.bytes.checked_add(bytes).is_none_or(|sum| sum > scope.bytes_max) {
            return Err(Refusal::UsedUp { what: "bytes" });
        }
        Ok(Event::Opened { at: now, blob, bytes })
    }

    /// Whether access goes on: asked before each piece of a stream, and before credentials are issued.
    ///
    /// # Errors
    /// It has ended, or never began; or it is somebody else's.
    pub fn goes_on(
        &self,
        account: &str,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Timestamp, Refusal> {
        self.must_be_requester(account, "use another's grant")?;
        match self.must_be(now, in_force, |status| matches!(status, Status::Active { .. }))? {
            Status::Active { until } => Ok(until),
            status => Err(Refusal::Status { status }),
        }
    }

    /// Somebody who may end it has looked at what was done in an emergency.
    ///
    /// # Errors
    /// There is nothing to review, or it is not for this person to do.
    pub fn review(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Event, Refusal> {
        let person = person_of(in_force.roster, account)?;
        if person == self.request.requester.person || !self.is_overseer(person, in_force.roster) {
            return Err(Refusal::NotYours { person: person.to_owned(), what: "review this access" });
        }
        if !self.review_is_due() {
            return Err(Refusal::NotAllowed { what: "a review where none is due" });
        }
        Ok(Event::Reviewed { at: now, by: person.to_owned() })
    }

    fn must_be_requester(&self, account: &str, what: &'static str) -> Result<(), Refusal> {
        if account == self.request.requester.account {
            return Ok(());
        }
        Err(Refusal::NotYours { person: account.to_owned(), what })
    }

    /// Whether a person approves at one of the levels, of this or of any access, or may end grants.
    fn is_overseer(&self, person: &str, roster: &Roster) -> bool {
        let rules = roster.elevation.as_ref();
        let revokes = rules.is_some_and(|rules| rules.revokers.iter().any(|id| id == person));
        let ordinary = roster.levels.iter();
        let asked = levels(&self.request, roster).unwrap_or_default();
        let approves =
            |level: &dkm_core::record::ApprovalLevel| level.approvers.iter().any(|id| id == person);
        revokes || ordinary.chain(asked).any(approves)
    }
}
