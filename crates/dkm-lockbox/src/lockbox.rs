//! All requests of a group.

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::{RequestId, Timestamp};

use crate::elevation::{Elevation, InForce, ReplayError, Status};
use crate::offline::{Submission, Usage, check_requester, must_be_emergency};
use crate::record::{Event, Record};
use crate::refusal::Refusal;
use crate::request::{Ask, Request, Requester};

/// Most requests that a person may have open at once: those who approve have to read them all.
pub const OPEN_MAX: usize = 16;

/// The requests of a group at a server, and what came of each.
#[derive(Debug, Clone, Default)]
pub struct Lockbox {
    elevations: BTreeMap<RequestId, Elevation>,
    /// Those whose records do not say that they are over.
    open: BTreeSet<RequestId>,
    /// Those that need a review.
    unreviewed: BTreeSet<RequestId>,
    broken: BTreeMap<RequestId, ReplayError>,
}

impl Lockbox {
    /// Takes records that were stored, those of each request in the order of their numbers.
    ///
    /// A request with a record missing, twice or misplaced is [broken](Lockbox::broken): it grants nothing.
    #[must_use]
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut lockbox = Self::default();
        for record in records {
            if let Err(why) = lockbox.apply(record) {
                lockbox.condemn(record.request, why);
            }
        }
        lockbox
    }

    /// Takes a request out for good, because its records are not whole: one could not be read, or does not follow.
    pub fn condemn(&mut self, request: RequestId, why: ReplayError) {
        self.elevations.remove(&request);
        self.open.remove(&request);
        self.unreviewed.remove(&request);
        self.broken.entry(request).or_insert(why);
    }

    /// Takes a record that was made durable.
    ///
    /// # Errors
    /// It is not the next of its request. Nothing changes then: another process was faster, and its records must be read
    /// first.
    pub fn apply(&mut self, record: &Record) -> Result<(), ReplayError> {
        let id = record.request;
        if let Some(why) = self.broken.get(&id) {
            return Err(*why);
        }
        match self.elevations.get_mut(&id) {
            Some(elevation) => elevation.apply(record)?,
            None => {
                self.elevations.insert(id, Elevation::new(record)?);
            }
        }
        let Some(elevation) = self.elevations.get(&id) else { return Ok(()) };
        let mark =
            |set: &mut BTreeSet<RequestId>, is: bool| if is { set.insert(id) } else { set.remove(&id) };
        mark(&mut self.open, !elevation.is_over());
        mark(&mut self.unreviewed, elevation.review_is_due());
        Ok(())
    }

    /// A request and what came of it.
    ///
    /// # Errors
    /// There is none of this id, or its records are not whole.
    pub fn get(&self, id: RequestId) -> Result<&Elevation, Refusal> {
        if let Some(why) = self.broken.get(&id) {
            return Err(Refusal::Broken { why: *why });
        }
        self.elevations.get(&id).ok_or(Refusal::Unknown { request: id })
    }

    /// All requests whose records are whole, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Elevation> {
        self.elevations.values()
    }

    /// Those whose records do not say that they are over, by id.
    pub fn open(&self) -> impl Iterator<Item = &Elevation> {
        self.open.iter().filter_map(|id| self.elevations.get(id))
    }

    /// Emergencies in which access was given and that nobody has reviewed, by id.
    pub fn unreviewed(&self) -> impl Iterator<Item = &Elevation> {
        self.unreviewed.iter().filter_map(|id| self.elevations.get(id))
    }

    /// Requests whose records are not whole, and why. Each is a reason to check the store against the audit log.
    pub fn broken(&self) -> impl Iterator<Item = (RequestId, ReplayError)> {
        self.broken.iter().map(|(id, why)| (*id, *why))
    }

    /// What is to be recorded of requests that have ended by themselves.
    #[must_use]
    pub fn ended(&self, now: Timestamp, in_force: &InForce<'_>) -> Vec<Record> {
        self.open().filter_map(|elevation| elevation.end(now, in_force)).collect()
    }

    /// Takes a request of whoever was authenticated as `account`, as its first record. `id` is random.
    ///
    /// # Errors
    /// It is not as a request must be, the account is nobody's, the roster does not allow it, the person has too many
    /// open, or left an emergency without its review.
    pub fn begin(
        &self,
        id: RequestId,
        ask: Ask,
        account: &str,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Record, Refusal> {
        if self.elevations.contains_key(&id) || self.broken.contains_key(&id) {
            return Err(Refusal::Taken { request: id });
        }
        let person = in_force.person_of(account)?;
        let (untouched_ms, activation_window_s) = in_force.waits()?;
        let request = Request {
            id,
            instance: in_force.instance,
            group: in_force.group,
            policy: in_force.policy.to_vec(),
            roster: in_force.rosters.to_vec(),
            requester: Requester { person: person.to_owned(), account: account.to_owned() },
            reason: ask.reason,
            ticket: ask.ticket,
            mode: ask.mode,
            scope: ask.scope,
            break_glass: ask.break_glass,
            duration_s: ask.duration_s,
            made: now,
            not_after: now.plus(untouched_ms),
            activation_window_s,
        };
        in_force.permit(&request)?;
        self.may_ask(person, now, in_force)?;
        Ok(Record {
            request: id,
            number: 0,
            event: Event::Requested { request: Box::new(request), submitted: None },
        })
    }

    /// Takes a request that came by file, as its first record: it goes on as one that was asked for here. `account` is who brings
    /// it.
    ///
    /// # Errors
    /// There is one of this id; it is no emergency, was not signed by its requester, was made under another policy or roster,
    /// or its time is over; as [`Lockbox::begin`].
    pub fn admit(
        &self,
        request: Request,
        signature: String,
        account: &str,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Record, Refusal> {
        let person = request.requester.person.clone();
        in_force.permit(&request)?;
        check_requester(&request, &signature, [in_force.roster], in_force.verify)?;
        let record = self.submitted(request, signature, account, now, in_force)?;
        let status = Elevation::new(&record).map_err(|why| Refusal::Broken { why })?.status(now, in_force);
        if status != Status::Pending {
            return Err(Refusal::Status { status });
        }
        self.may_ask(&person, now, in_force)?;
        Ok(record)
    }

    /// Takes a request that was used while the server did not answer, whatever became of its time, policy and roster since:
    /// that something was done must be on record. [`Elevation::use_offline`] says what.
    ///
    /// # Errors
    /// There is one of this id; it is no emergency, or one of another server or group; the requester has not signed it, or
    /// nobody of the roster what was done.
    pub fn admit_used(
        &self,
        (request, signature): (Request, String),
        usage: &Usage,
        account: &str,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Record, Refusal> {
        request.check()?;
        in_force.must_be_here(&request)?;
        check_requester(&request, &signature, in_force.of_then(&request), in_force.verify)?;
        usage.check(&request, in_force.of_then(&request), in_force.verify)?;
        self.submitted(request, signature, account, now, in_force)
    }

    fn submitted(
        &self,
        request: Request,
        signature: String,
        account: &str,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Record, Refusal> {
        let id = request.id;
        if self.elevations.contains_key(&id) || self.broken.contains_key(&id) {
            return Err(Refusal::Taken { request: id });
        }
        in_force.person_of(account)?;
        must_be_emergency(&request)?;
        // A time that has not come would move the server's own.
        if now < request.made {
            return Err(Refusal::NotYetMade { made: request.made });
        }
        let submitted = Some(Submission { at: now, by: account.to_owned(), signature });
        let record = Record {
            request: id,
            number: 0,
            event: Event::Requested { request: Box::new(request), submitted },
        };
        record.must_fit()?;
        Ok(record)
    }

    /// Whether a person may have one more request.
    fn may_ask(&self, person: &str, now: Timestamp, in_force: &InForce<'_>) -> Result<(), Refusal> {
        let is_his = |elevation: &&Elevation| elevation.request().requester.person == person;
        let overdue = |elevation: &&Elevation| elevation.review_due_by(in_force).is_some_and(|by| by <= now);
        if let Some(elevation) = self.unreviewed().filter(is_his).find(overdue) {
            return Err(Refusal::ReviewOverdue { request: elevation.request().id });
        }
        let open = self.open().filter(is_his).filter(|his| his.status(now, in_force).is_open());
        if open.count() >= OPEN_MAX {
            return Err(Refusal::TooMany { max: OPEN_MAX });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
