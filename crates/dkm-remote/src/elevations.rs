//! Elevated access: asked for, approved, used, ended, at a repository's first server.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use dkm::repository::RepositoryError;
use dkm::{ErrorKind, Rosters};
use dkm_core::{Attestation, GroupId, Principal, RequestId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Method;

use crate::credentials::key::NewKey;
use crate::credentials::{Credentials, Lock, authorities, certificates};
use crate::http::Body;
use crate::problem;
use crate::repository::{RemoteRepository, is_success, parsed};
use crate::url::Endpoint;
use crate::wire::elevation::{
    ControlView, EvidenceView, NewAnswer, NewOffline, NewRequest, OpenBlob, OpenedBlob, RequestView,
    Requests, TicketsView,
};
use crate::wire::{Certificate, Renewal};

/// Longest answer that is taken, in bytes: a request's records, or a list of requests.
const ANSWER_LEN_MAX: usize = 64 * 1024 * 1024;

/// Why something is not done about a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElevationError {
    /// It is not for this account to do, or the roster does not allow it.
    #[error("{what} is denied: {why}")]
    Denied {
        /// What.
        what: String,
        /// Why, in the server's words.
        why: String,
    },
    /// There is no such request or group.
    #[error("{what} is not there: {why}")]
    NotFound {
        /// What.
        what: String,
        /// Why, in the server's words.
        why: String,
    },
    /// The request, or the group, is in a state that does not allow it.
    #[error("{what} is refused: {why}")]
    Refused {
        /// What.
        what: String,
        /// Why, in the server's words.
        why: String,
    },
    /// The server did not understand it, or can't be reached, or failed.
    #[error(transparent)]
    Other(#[from] dkm::Error),
}

impl ElevationError {
    /// Of what kind the error is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Denied { .. } => ErrorKind::Denied,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Other(error) => error.kind(),
        }
    }
}

/// A result about a request.
type Result<T> = std::result::Result<T, ElevationError>;

/// Requests for elevated access at a repository's first server. What it says of a request beside the records is not
/// verified here, and the records not either: `dkm-lockbox` does that.
#[derive(Debug, Clone)]
pub struct Elevations(RemoteRepository);

impl Elevations {
    /// Those of this repository.
    #[must_use]
    pub const fn of(repository: RemoteRepository) -> Self {
        Self(repository)
    }

    /// Asks for access.
    ///
    /// # Errors
    /// [`ElevationError::Denied`] to who is no person of the group's roster, or for what it does not allow;
    /// [`ElevationError::Refused`] for a group without a roster in force; [`ElevationError::Other`] for a request that can't
    /// be, and if the server does not answer.
    pub fn ask(&self, group: GroupId, new: &NewRequest) -> Result<RequestView> {
        let what = format!("a request for group {group}");
        self.post(&what, &format!("/v1/groups/{group}/requests"), Some(new))
    }

    /// What is in force in a group, for whoever stands in its roster: its control records, resolved and verified here. `verify`
    /// tells whether a signature over a message was made with the key of an OpenSSH line.
    ///
    /// # Errors
    /// As [`Elevations::ask`].
    pub fn rosters(
        &self,
        group: GroupId,
        now: Timestamp,
        verify: &dyn Fn(&str, &[u8], &str) -> bool,
    ) -> Result<Rosters> {
        let view = self.control(group)?;
        resolve_control(&view, group, now, verify).map_err(|why| {
            let (location, what) =
                (self.0.location().to_string(), format!("the control records of group {group}"));
            dkm::Error::from(problem::odd(&location, &what, why)).into()
        })
    }

    /// A group's control records, for whoever stands in its roster. They are not verified: [`resolve_control`] does that.
    ///
    /// # Errors
    /// As [`Elevations::ask`].
    pub fn control(&self, group: GroupId) -> Result<ControlView> {
        let what = format!("the control records of group {group}");
        self.call(&what, Method::GET, &format!("/v1/groups/{group}/control"), None)
    }

    /// Brings a request that was made by file while the server did not answer.
    ///
    /// # Errors
    /// As [`Elevations::ask`]; [`ElevationError::Refused`] if it is known already, or its time is over.
    pub fn submit(&self, group: GroupId, new: &NewOffline) -> Result<RequestView> {
        let what = format!("a request by file for group {group}");
        self.post(&what, &format!("/v1/groups/{group}/offline"), Some(new))
    }

    /// The requests of a group, the newest first. Each comes with its first record alone.
    ///
    /// # Errors
    /// As [`Elevations::ask`].
    pub fn list(&self, group: GroupId) -> Result<Vec<RequestView>> {
        let what = format!("the requests of group {group}");
        let all: Requests = self.call(&what, Method::GET, &format!("/v1/groups/{group}/requests"), None)?;
        Ok(all.requests)
    }

    /// A request and what came of it.
    ///
    /// # Errors
    /// [`ElevationError::NotFound`]; as [`Elevations::ask`].
    pub fn show(&self, request: RequestId) -> Result<RequestView> {
        self.call(&format!("request {request}"), Method::GET, &format!("/v1/requests/{request}"), None)
    }

    /// What the answers to a request can be verified by without DKM.
    ///
    /// # Errors
    /// As [`Elevations::show`].
    pub fn evidence(&self, request: RequestId) -> Result<EvidenceView> {
        let what = format!("the evidence of request {request}");
        self.call(&what, Method::GET, &format!("/v1/requests/{request}/evidence"), None)
    }

    /// Gives an approver's signed answer.
    ///
    /// # Errors
    /// As [`Elevations::show`]; [`ElevationError::Refused`] if it comes too early or too late.
    pub fn answer(&self, request: RequestId, answer: &NewAnswer) -> Result<RequestView> {
        self.post(&format!("the answer to request {request}"), &path(request, "answers"), Some(answer))
    }

    /// Takes one's own request back.
    ///
    /// # Errors
    /// As [`Elevations::answer`].
    pub fn withdraw(&self, request: RequestId) -> Result<RequestView> {
        self.step(request, "withdrawal")
    }

    /// Begins to use one's own access: from now its time runs.
    ///
    /// # Errors
    /// As [`Elevations::answer`].
    pub fn activate(&self, request: RequestId) -> Result<RequestView> {
        self.step(request, "activation")
    }

    /// Ends access, or the request for it.
    ///
    /// # Errors
    /// As [`Elevations::answer`].
    pub fn revoke(&self, request: RequestId) -> Result<RequestView> {
        self.step(request, "revocation")
    }

    /// Says that one has looked at what was done in an emergency.
    ///
    /// # Errors
    /// As [`Elevations::answer`].
    pub fn review(&self, request: RequestId) -> Result<RequestView> {
        self.step(request, "review")
    }

    /// Has the server open a blob under one's grant. The receipt that comes with it is not verified here.
    ///
    /// # Errors
    /// As [`Elevations::answer`]; [`ElevationError::Other`] for a blob that does not open, or is too long.
    pub fn open(&self, request: RequestId, blob: &OpenBlob) -> Result<OpenedBlob> {
        self.post(&format!("opening a blob under request {request}"), &path(request, "unprotect"), Some(blob))
    }

    /// Gets a certificate that reads the group's keys until one's own direct grant ends, and writes it into a folder of its
    /// own, with a key that is made there. It takes the place of one that was got under the grant before.
    ///
    /// # Errors
    /// As [`Elevations::answer`]; [`ElevationError::Other`] if the folder holds an account's own credentials,
    /// or can't be written.
    pub fn credentials(&self, request: RequestId, folder: &Credentials) -> Result<Certificate> {
        let what = format!("credentials under request {request}");
        let (lock, known) = self.place_for(folder)?;
        let location = self.0.location().to_string();
        let unavailable =
            |why| dkm::Error::from(RepositoryError::Unavailable { location: location.clone(), why });
        let key = NewKey::make().map_err(unavailable)?;
        let asked = Renewal { request: key.request.clone() };
        let new: Certificate = self.post(&what, &path(request, "credentials"), Some(&asked))?;
        let odd = |why: String| dkm::Error::from(problem::odd(&location, &what, why));
        if key.check(&new.certificate).map_err(odd)?.is_renewable {
            return Err(odd("the certificate is none of a grant".to_owned()).into());
        }
        certificates(new.authority.as_bytes()).map_err(odd)?;
        let authority = known.unwrap_or_else(|| new.authority.clone());
        let stored = folder
            .store_authority(&lock, &authority)
            .and_then(|()| folder.store_identity(&lock, &key.pem, &new.certificate));
        stored.map_err(dkm::Error::from)?;
        Ok(new)
    }

    /// Gets tickets that read the group's keys in its domain until one's own direct grant ends. They are a secret.
    ///
    /// # Errors
    /// As [`Elevations::answer`]; [`ElevationError::Refused`] for a group whose keys are at the server.
    pub fn tickets(&self, request: RequestId) -> Result<TicketsView> {
        self.post(&format!("tickets under request {request}"), &path(request, "tickets"), None::<&()>)
    }

    /// Prepares a folder for a grant's credentials: the lock on it, and who is known to vouch for the server, unless that was
    /// reached by its socket. All that can fail here fails before the server writes down that keys are exposed.
    fn place_for(&self, folder: &Credentials) -> dkm::Result<(Lock, Option<String>)> {
        let (url, path) = (self.0.location(), folder.folder().display());
        folder.prepare()?;
        let lock = folder.lock()?.ok_or_else(|| RepositoryError::Unavailable {
            location: url.to_string(),
            why: format!("another program writes to {path} just now"),
        })?;
        if folder.holds_unended()?.is_some_and(|held| held.is_renewable) {
            return Err(dkm::Error::Invalid(format!(
                "{path} holds an account's own credentials: name another folder for those of the grant"
            )));
        }
        let file = match (&url.ca, url.endpoints.first()) {
            (Some(file), _) => file.clone(),
            (None, Some(Endpoint::Host { .. })) => Credentials::in_folder(&url.credentials).authority_path(),
            (None, _) => return Ok((lock, None)),
        };
        let known = authorities(&file)?.iter().map(crate::enrol::pem).collect();
        Ok((lock, Some(known)))
    }

    fn step(&self, request: RequestId, step: &str) -> Result<RequestView> {
        self.post(&format!("the {step} of request {request}"), &path(request, step), None::<&()>)
    }

    fn post<T: DeserializeOwned>(&self, what: &str, path: &str, body: Option<&impl Serialize>) -> Result<T> {
        let body = body.map(serde_json::to_vec).transpose();
        let body = body.map_err(|error| dkm::Error::Invalid(format!("{what}: {error}")))?;
        self.call(what, Method::POST, path, body.as_deref())
    }

    fn call<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<T> {
        let body = body.map_or(Body::None, Body::Json);
        let (location, answer) =
            self.0.shared().ask_first(what, method, path, body, ANSWER_LEN_MAX).map_err(dkm::Error::from)?;
        if !is_success(&answer) {
            return Err(problem::decision(&location, what, &answer));
        }
        Ok(parsed(&location, what, &answer).map_err(dkm::Error::from)?)
    }
}

/// What is in force in a group by its control records, verified. `verify` tells whether a signature over a message was made with
/// the key of an OpenSSH line.
///
/// # Errors
/// A record is not in Base64.
pub fn resolve_control(
    view: &ControlView,
    group: GroupId,
    now: Timestamp,
    verify: &dyn Fn(&str, &[u8], &str) -> bool,
) -> std::result::Result<Rosters, String> {
    let mut records = Vec::new();
    for record in &view.records {
        let bytes =
            BASE64_STANDARD.decode(&record.record).map_err(|_| "a record is not in Base64".to_owned())?;
        let creator = Principal(record.creator.clone());
        let attested = Attestation { creator, created: Timestamp(record.created_ms), template_ok: true };
        records.push((record.slot.as_str(), bytes, attested));
    }
    let control = records.iter().map(|(slot, bytes, attested)| (*slot, bytes.as_slice(), attested.clone()));
    Ok(Rosters::of(group, now, control, verify))
}

fn path(request: RequestId, step: &str) -> String {
    format!("/v1/requests/{request}/{step}")
}
