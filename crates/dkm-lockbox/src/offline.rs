//! Emergencies while the server does not answer: a request that its requester has signed, answers to it, and what was done,
//! each as a text of its own with an SSHSIG, carried in files.
//!
//! Nothing is decided by other rules than at a server: [`gather`] hands the answers to [`Elevation::answer`] one by one.
//! Only time is taken more strictly, because a file does not say when somebody signed: the window of the activation runs
//! from the request itself.

use dkm_core::roster::Roster;
use dkm_core::{Digest, Timestamp};
use minicbor::{Decode, Encode};

use crate::answer::{Answer, Verify};
use crate::elevation::{Elevation, InForce, Status};
use crate::record::{Ending, Event, Record};
use crate::refusal::Refusal;
use crate::request::{REASON_LEN_MAX, Request, RequestError};
use crate::statement::{request_statement, time};
use crate::text::{self, word};

/// The namespace of requesters' signatures under [`request_statement`], as `ssh-keygen -n` takes it.
pub const REQUEST_NAMESPACE: &str = "dkm-request";
/// The namespace of signatures under [`Usage::statement`].
pub const USE_NAMESPACE: &str = "dkm-offline-use";
/// Most accounts of what was done that are kept of one request.
pub const USAGES_MAX: usize = 16;
/// Version of the text.
const VERSION: u8 = 1;

/// That a request came to the server by file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Submission {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// The account that brought it.
    #[n(1)]
    pub by: String,
    /// The requester's SSHSIG over the [`request_statement`], with the namespace [`REQUEST_NAMESPACE`].
    #[n(2)]
    pub signature: String,
}

/// What somebody says he has done, or is about to do, by a request while its server does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Usage {
    /// Who says it, a person of the roster.
    #[n(0)]
    pub by: String,
    /// From when on: by his own clock.
    #[n(1)]
    pub from: Timestamp,
    /// What: 1 to [`REASON_LEN_MAX`] bytes.
    #[n(2)]
    pub what: String,
    /// His SSHSIG over [`Usage::statement`], with the namespace [`USE_NAMESPACE`].
    #[n(3)]
    pub signature: String,
}

impl Usage {
    /// What is signed: lines as those of an approval. The digest stands for the whole request.
    #[must_use]
    pub fn statement(&self, request: &Request) -> String {
        [
            format!("dkm-offline-use: {VERSION}\n"),
            format!("instance: {}\nrequest: {}\ngroup: {}\n", request.instance, request.id, request.group),
            format!("asked: {}\n", Digest::of(request_statement(request).as_bytes())),
            format!("by: {}\nfrom: {}\n", word(self.by.as_bytes()), time(self.from)),
            format!("what: {}\n", word(self.what.as_bytes())),
        ]
        .concat()
    }

    /// Checks it: a person of one of these rosters has signed it.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn check<'a>(
        &self,
        request: &Request,
        rosters: impl IntoIterator<Item = &'a Roster>,
        verify: Verify<'_>,
    ) -> Result<(), Refusal> {
        let fail = |why: String| Err(Refusal::Request(RequestError { field: "use", why }));
        if self.what.trim().is_empty() || self.what.len() > REASON_LEN_MAX {
            return fail(format!("must be told in 1 to {REASON_LEN_MAX} bytes"));
        }
        if let Some(odd) = self.what.chars().find(|c| text::is_deceptive(*c)) {
            return fail(format!(
                "holds {}, which a reviewer could not see or might misread",
                text::escape(odd)
            ));
        }
        let message = self.statement(request);
        let signed = |line: &String| verify(line, USE_NAMESPACE, message.as_bytes(), &self.signature);
        let good = |roster: &Roster| roster.person(&self.by).is_some_and(|by| by.keys.iter().any(signed));
        if rosters.into_iter().any(good) {
            Ok(())
        } else {
            Err(Refusal::Signature { person: self.by.clone() })
        }
    }
}

/// Checks that a requester has signed his request, with a key that one of these rosters has of him.
///
/// # Errors
/// He has not, or the account is not his there.
pub fn check_requester<'a>(
    request: &Request,
    signature: &str,
    rosters: impl IntoIterator<Item = &'a Roster>,
    verify: Verify<'_>,
) -> Result<(), Refusal> {
    let message = request_statement(request);
    let signed = |line: &String| verify(line, REQUEST_NAMESPACE, message.as_bytes(), signature);
    let good = |roster: &Roster| {
        let person = roster.person(&request.requester.person);
        person.is_some_and(|person| {
            person.accounts.contains(&request.requester.account) && person.keys.iter().any(signed)
        })
    };
    if rosters.into_iter().any(good) {
        return Ok(());
    }
    Err(Refusal::Signature { person: request.requester.person.clone() })
}

/// What a request and its answers, as they lie in files, come to.
#[derive(Debug)]
pub struct Gathered {
    /// The request with the answers that count.
    pub elevation: Elevation,
    /// The answers that do not, and why.
    pub refused: Vec<(Answer, Refusal)>,
}

/// Takes a request and answers that came as files, in any order. `now` must not be before the request was made.
///
/// # Errors
/// The request is no emergency, is not signed by its requester, is not one that what is in force allows, or its time is over.
pub fn gather(
    request: &Request,
    signature: &str,
    answers: &[Answer],
    now: Timestamp,
    in_force: &InForce<'_>,
) -> Result<Gathered, Refusal> {
    must_be_emergency(request)?;
    in_force.permit(request)?;
    check_requester(request, signature, [in_force.roster], in_force.verify)?;
    if now < request.made {
        return Err(Refusal::NotYetMade { made: request.made });
    }
    let submitted = None;
    let event = Event::Requested { request: Box::new(request.clone()), submitted };
    let mut elevation = Elevation::new(&Record { request: request.id, number: 0, event })
        .map_err(|why| Refusal::Broken { why })?;
    let status = elevation.status(now, in_force);
    if status != Status::Pending {
        return Err(Refusal::Status { status });
    }
    if request.made.plus(request.activation_window_s.saturating_mul(1_000)) <= now {
        return Err(Refusal::Status { status: Status::Ended(Ending::Lapsed) });
    }
    let mut left = answers.to_vec();
    left.sort_by_key(|answer| answer.decision != crate::Decision::Deny);
    left.dedup();
    // Levels approve in their order, whatever that of the files is.
    loop {
        let mut refused = Vec::new();
        let before = left.len();
        for answer in left {
            match elevation.answer(answer.clone(), now, in_force) {
                Ok(record) => elevation.apply(&record).map_err(|why| Refusal::Broken { why })?,
                Err(why) => refused.push((answer, why)),
            }
        }
        if refused.len() == before {
            return Ok(Gathered { elevation, refused });
        }
        left = refused.into_iter().map(|(answer, _)| answer).collect();
    }
}

/// Files let people in only where that is reviewed afterwards.
pub(crate) fn must_be_emergency(request: &Request) -> Result<(), Refusal> {
    if request.break_glass {
        Ok(())
    } else {
        Err(Refusal::NotAllowed { what: "access by file without an emergency" })
    }
}

#[cfg(test)]
mod tests;
