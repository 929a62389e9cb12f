//! Elevated access: asked for, approved, used, ended, at a repository's first server.

use dkm::repository::RepositoryError;
use dkm::{ErrorKind, Result};
use dkm_core::{GroupId, RequestId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Method;

use crate::credentials::key::NewKey;
use crate::credentials::{Credentials, authorities, now_ms};
use crate::http::Body;
use crate::problem;
use crate::repository::{RemoteRepository, is_success, parsed};
use crate::url::Endpoint;
use crate::wire::elevation::{
    EvidenceView, NewAnswer, NewRequest, OpenBlob, OpenedBlob, RequestView, Requests,
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
    /// As [`Elevations::answer`]; [`Usage`](dkm::ErrorKind::Usage) if the folder holds credentials that have not ended;
    /// it can't be written.
    pub fn credentials(&self, request: RequestId, folder: &Credentials) -> Result<Certificate> {
        let what = format!("credentials under request {request}");
        let url = self.0.location();
        let unavailable = |why: String| RepositoryError::Unavailable { location: url.to_string(), why };
        // All that can fail here fails before the server writes down that keys are exposed.
        folder.prepare()?;
        let busy =
            || unavailable(format!("another program writes to {} just now", folder.folder().display()));
        let lock = folder.lock()?.ok_or_else(busy)?;
        let in_use = folder.validity().is_ok_and(|held| held.is_renewable && !held.has_ended(now_ms()));
        if in_use {
            return Err(dkm::Error::Invalid(format!(
                "{} holds an account's own credentials: name another folder for those of the grant",
                folder.folder().display()
            )));
        }
        // Who vouches for the server is known, unless it was reached by its socket.
        let known = match (&url.ca, url.endpoints.first()) {
            (Some(file), _) => Some(authorities(file)?),
            (None, Some(Endpoint::Host { .. })) => {
                Some(authorities(&Credentials::in_folder(&url.credentials).authority_path())?)
            }
            (None, _) => None,
        };
        let key = NewKey::make().map_err(unavailable)?;
        let asked = Renewal { request: key.request.clone() };
        let new: Certificate = self.post(&what, &path(request, "credentials"), Some(&asked))?;
        let location = url.to_string();
        key.check(&new.certificate).map_err(|why| problem::odd(&location, &what, why))?;
        let authority = match known {
            Some(known) => known.iter().map(crate::enrol::pem).collect(),
            None => new.authority.clone(),
        };
        folder.store_authority(&lock, &authority)?;
        folder.store_identity(&lock, &key.pem, &new.certificate)?;
        Ok(new)
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

fn path(request: RequestId, step: &str) -> String {
    format!("/v1/requests/{request}/{step}")
}
