//! The steps: what is checked before something happens.

use dkm_core::{Context, Digest, Timestamp};

use super::{Elevation, InForce, Status};
use crate::answer::Answer;
use crate::record::{Event, Record};
use crate::refusal::Refusal;
use crate::request::{Mode, Scope};
use crate::statement::Decision;

impl Elevation {
    const fn record(&self, event: Event) -> Record {
        Record { request: self.request.id, number: self.taken, event }
    }

    /// The time for a record: no earlier than those before it.
    fn when(&self, now: Timestamp) -> Timestamp {
        now.max(self.latest)
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

    fn must_be_requester(&self, account: &str, what: &'static str) -> Result<(), Refusal> {
        if account == self.request.requester.account {
            return Ok(());
        }
        Err(Refusal::NotYours { person: account.to_owned(), what })
    }

    /// An approver answers. Levels approve in their order; a denial counts at any of them and at any time, until access
    /// has ended by itself.
    ///
    /// # Errors
    /// The answer is not good, comes too early or too late, or from somebody who has approved already.
    pub fn answer(&self, answer: Answer, now: Timestamp, in_force: &InForce<'_>) -> Result<Record, Refusal> {
        let status = self.must_be(now, in_force, Status::is_open)?;
        let levels = in_force.permit(&self.request)?;
        answer.check(&self.request, &levels, in_force.roster, in_force.verify)?;
        if answer.decision == Decision::Deny {
            return Ok(self.record(Event::Answered { at: self.when(now), answer }));
        }
        if status != Status::Pending {
            return Err(Refusal::Status { status });
        }
        if let Some(before) = self.answers().find(|before| before.approver == answer.approver) {
            return Err(Refusal::Answered { person: answer.approver, level: before.level.clone() });
        }
        // By the same rule as when it is read again: what would not count then is not taken now.
        let said = (self.when(now), answer);
        let before = self.progress(&levels, &self.answers, None, in_force);
        let after = self.progress(&levels, &self.answers, Some(&said), in_force);
        let (at, answer) = said;
        if (after.complete, after.count) > (before.complete, before.count) {
            return Ok(self.record(Event::Answered { at, answer }));
        }
        let place = levels.iter().position(|level| level.name == answer.level).unwrap_or_default();
        Err(match levels.get(before.complete) {
            Some(first) if before.complete < place => Refusal::NotYet { level: first.name.clone() },
            Some(_) if before.complete == place => Refusal::SameKey { person: answer.approver },
            _ => Refusal::Complete { level: answer.level },
        })
    }

    /// The requester takes the request back.
    ///
    /// # Errors
    /// It is somebody else's, or was activated or ended already.
    pub fn withdraw(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Record, Refusal> {
        self.must_be_requester(account, "withdraw another's request")?;
        self.must_be(now, in_force, |status| matches!(status, Status::Pending | Status::Approved { .. }))?;
        Ok(self.record(Event::Withdrawn { at: self.when(now) }))
    }

    /// The requester begins to use the access: from now its time runs.
    ///
    /// # Errors
    /// It is not approved, not any more, or somebody else's.
    pub fn activate(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Record, Refusal> {
        self.must_be_requester(account, "activate another's grant")?;
        self.must_be(now, in_force, |status| matches!(status, Status::Approved { .. }))?;
        let at = self.when(now);
        Ok(self.record(Event::Activated { at, until: self.request.until(at) }))
    }

    /// Ends access, or the request for it: whoever asked may, the approvers of its levels and of the roster's, and the
    /// revokers that the roster names. It needs no signature, because it only takes away.
    ///
    /// # Errors
    /// It is somebody else, or there is nothing to end any more.
    pub fn revoke(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Record, Refusal> {
        let person = in_force.person_of(account)?;
        let levels = in_force.permit(&self.request).unwrap_or_default();
        if person != self.request.requester.person && !in_force.is_overseer(person, &levels) {
            return Err(Refusal::NotYours { person: person.to_owned(), what: "end this access" });
        }
        self.must_be(now, in_force, Status::is_open)?;
        Ok(self.record(Event::Revoked { at: self.when(now), by: person.to_owned() }))
    }

    /// Opens a blob under a brokered grant, and counts it: what it says must be durable before any plaintext leaves.
    /// `bytes` are those of plaintext that are given out with it; for more of them, [`Elevation::more`] is asked.
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
    ) -> Result<Record, Refusal> {
        self.goes_on(account, now, in_force)?;
        let scope = self.scope()?;
        if !scope.covers(blob, context) {
            return Err(Refusal::OutOfScope { what: "this blob with this context" });
        }
        if self.opened >= scope.count_max {
            return Err(Refusal::UsedUp { what: "blobs" });
        }
        self.has_room(scope, bytes)?;
        Ok(self.record(Event::Opened { at: self.when(now), blob, bytes }))
    }

    /// Gives out more bytes of a blob that [`Elevation::open`] let through, and counts them: for a stream whose length
    /// was not known at its beginning. Where it was, [`Elevation::goes_on`] is enough for each piece.
    ///
    /// # Errors
    /// Access has ended or is used up.
    pub fn more(
        &self,
        account: &str,
        blob: Digest,
        bytes: u64,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Record, Refusal> {
        self.goes_on(account, now, in_force)?;
        let scope = self.scope()?;
        if self.opened == 0 {
            return Err(Refusal::OutOfScope { what: "more of a blob that was not opened" });
        }
        self.has_room(scope, bytes)?;
        Ok(self.record(Event::Continued { at: self.when(now), blob, bytes }))
    }

    fn scope(&self) -> Result<&Scope, Refusal> {
        match (&self.request.scope, self.request.mode) {
            (Some(scope), Mode::Brokered) => Ok(scope),
            _ => Err(Refusal::OutOfScope { what: "opening blobs through the server" }),
        }
    }

    fn has_room(&self, scope: &Scope, bytes: u64) -> Result<(), Refusal> {
        match self.bytes.checked_add(bytes) {
            Some(sum) if sum <= scope.bytes_max => Ok(()),
            _ => Err(Refusal::UsedUp { what: "bytes" }),
        }
    }

    /// Whether access goes on, and until when: asked before each piece of a stream, and before credentials are issued.
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
        match self.status(now, in_force) {
            Status::Active { until } => Ok(until),
            status => Err(Refusal::Status { status }),
        }
    }

    /// What is to be recorded when it has ended by itself: asked from time to time, and after each change of policy or
    /// roster. None while it is open, and once its records say that it is over. What was recorded as ended stays so,
    /// whatever the clock or the store comes to say.
    #[must_use]
    pub fn end(&self, now: Timestamp, in_force: &InForce<'_>) -> Option<Record> {
        if self.is_over() {
            return None;
        }
        match self.status(now, in_force) {
            Status::Ended(how) => Some(self.record(Event::Ended { at: self.when(now), how })),
            _ => None,
        }
    }

    /// Somebody who may end it has looked at what was done in an emergency.
    ///
    /// # Errors
    /// There is nothing to review, access still goes on, or it is not for this person to do.
    pub fn review(&self, account: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<Record, Refusal> {
        let person = in_force.person_of(account)?;
        // The levels in force, also if they are not those of then: whoever approves now has to answer for it.
        let levels: Vec<_> = in_force
            .rules()
            .ok()
            .and_then(|rules| rules.break_glass.as_ref())
            .map(|rules| rules.levels.iter().collect())
            .unwrap_or_default();
        if person == self.request.requester.person
            || account == self.request.requester.account
            || !in_force.is_overseer(person, &levels)
        {
            return Err(Refusal::NotYours { person: person.to_owned(), what: "review this access" });
        }
        if !self.review_is_due() {
            return Err(Refusal::NotAllowed { what: "a review where none is due" });
        }
        self.must_be(now, in_force, |status| !status.is_open())?;
        Ok(self.record(Event::Reviewed { at: self.when(now), by: person.to_owned() }))
    }
}
