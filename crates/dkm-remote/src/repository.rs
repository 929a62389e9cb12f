//! The repository: the servers of one URL, each with a replica of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dkm::repository::{Replica, Repository, RepositoryError};
use dkm_core::{GroupId, ReplicaId};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use ureq::http::Method;

use crate::credentials::renewal::{Renewal, Renewals};
use crate::credentials::{Credentials, CredentialsError, Validity, authorities, now_ms};
use crate::http::{Answer, Body, Channel, Limits, sign_in, tls};
use crate::problem;
use crate::replica::{Line, RemoteReplica};
use crate::url::{DEFAULT_CREDENTIALS, Endpoint, RemoteUrl};

/// A repository behind `dkmd`. Its replicas are the servers of its URL, in that order.
#[derive(Debug, Clone)]
pub struct RemoteRepository(Arc<Shared>);

/// What the connections of one repository have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) url: RemoteUrl,
    pub(crate) limits: Limits,
    servers: Vec<Mutex<Remembered>>,
    renewals: Renewals,
}

/// What is remembered of a server: nothing that it holds.
#[derive(Debug, Default)]
struct Remembered {
    /// Groups that this account has read, and in which store. If such a group is not seen there any more, that is a
    /// decision.
    seen: BTreeSet<(ReplicaId, GroupId)>,
    /// A connection that nobody uses.
    idle: Option<Line>,
}

impl RemoteRepository {
    /// The repository behind a URL. Nothing is connected to yet, and no credentials are read.
    #[must_use]
    pub fn open(url: RemoteUrl, limits: Limits) -> Self {
        let servers = url.endpoints.iter().map(|_| Mutex::default()).collect();
        Self(Arc::new(Shared { url, limits, servers, renewals: Renewals::default() }))
    }

    /// The URL that it was opened with.
    #[must_use]
    pub fn location(&self) -> &RemoteUrl {
        &self.0.url
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Repository for RemoteRepository {
    fn url(&self) -> String {
        self.0.url.to_string()
    }

    fn replicas(&self) -> usize {
        self.0.servers.len()
    }

    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        Ok(Box::new(RemoteReplica::connect(&self.0, replica)?))
    }

    fn reconnect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        let idle = self.0.remembered(replica).and_then(|mut remembered| remembered.idle.take());
        match idle {
            Some(line) => Ok(Box::new(RemoteReplica::over(&self.0, replica, line)?)),
            None => self.connect(replica),
        }
    }
}

impl Shared {
    pub(crate) fn endpoint(&self, number: usize) -> Result<&Endpoint, RepositoryError> {
        self.url.endpoints.get(number).ok_or_else(|| RepositoryError::NotARepository {
            location: self.url.to_string(),
            why: format!("it has no replica {number}"),
        })
    }

    fn remembered(&self, number: usize) -> Option<MutexGuard<'_, Remembered>> {
        let remembered = self.servers.get(number)?;
        Some(remembered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a connection for the next reading.
    pub(crate) fn keep_idle(&self, number: usize, line: Line) {
        if let Some(mut remembered) = self.remembered(number) {
            remembered.idle = Some(line);
        }
    }

    /// Notes that this account reads a group there.
    pub(crate) fn has_seen(&self, number: usize, replica: ReplicaId, group: GroupId) {
        if let Some(mut remembered) = self.remembered(number) {
            remembered.seen.insert((replica, group));
        }
    }

    /// Whether this account has read a group there.
    pub(crate) fn was_seen(&self, number: usize, replica: ReplicaId, group: GroupId) -> bool {
        self.remembered(number).is_some_and(|remembered| remembered.seen.contains(&(replica, group)))
    }

    /// A way to a server, over a connection that is still to be made. Credentials are read anew for each: what was renewed,
    /// or is not believed any more, counts at the next.
    pub(crate) fn channel(&self, number: usize) -> Result<(Channel, Option<Validity>), RepositoryError> {
        let endpoint = self.endpoint(number)?;
        let location = endpoint.to_string();
        let unavailable = |why: String| RepositoryError::Unavailable { location: location.clone(), why };
        if let Endpoint::Socket(_) = endpoint {
            return Ok((Channel::new(endpoint, None, self.limits).map_err(unavailable)?, None));
        }
        let (config, validity) = self.tls().map_err(|error| unavailable(self.advised(&error)))?;
        let config = config.map_err(|why| {
            unavailable(format!("the credentials in {} are no good: {why}", self.url.credentials.display()))
        })?;
        let channel = Channel::new(endpoint, Some(config), self.limits).map_err(&unavailable)?;
        if validity.is_some() {
            return Ok((channel, validity));
        }
        let by = sign_in::kerberos(self.url.principal.as_deref()).map_err(unavailable)?;
        Ok((channel.signed_in(by, endpoint), None))
    }

    /// How to speak TLS, and until when the certificate is taken by which this account signs in; without one it signs in by
    /// Kerberos. Files that can't be read, and files that don't fit, are told apart.
    fn tls(&self) -> Result<(Result<ClientConfig, String>, Option<Validity>), CredentialsError> {
        let credentials = self.credentials();
        let ca = self.url.ca.clone().unwrap_or_else(|| credentials.authority_path());
        let loaded = match credentials.load() {
            _ if self.url.signs_in_by_kerberos() => None,
            // Nobody has named a folder, and there is nothing in the usual one.
            Err(CredentialsError::Missing { .. }) if self.may_use_tickets() => None,
            loaded => Some(loaded?),
        };
        let validity = loaded.as_ref().map(|loaded| loaded.validity);
        Ok((tls::config(authorities(&ca)?, loaded.map(|loaded| loaded.identity)), validity))
    }

    fn may_use_tickets(&self) -> bool {
        cfg!(feature = "kerberos") && self.url.credentials == Path::new(DEFAULT_CREDENTIALS)
    }

    fn advised(&self, error: &CredentialsError) -> String {
        match error {
            CredentialsError::Missing { .. } if self.url.signs_in_by_kerberos() || self.may_use_tickets() => {
                format!(
                    "{error}: name the file of the authority that vouches for the server with ca=, or enrol first (dkm enrol)"
                )
            }
            CredentialsError::Missing { .. } => {
                format!("{error}: enrol first (dkm enrol), or name the folder with credentials=")
            }
            CredentialsError::Damaged { .. } => format!("{error}: enrol again with a new token (dkm enrol)"),
            _ => error.to_string(),
        }
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::in_folder(&self.url.credentials)
    }

    /// Begins to renew the certificate if it is time for that. The server is one that took the present one just now.
    pub(crate) fn renew(&self, number: usize, validity: Validity) {
        if let Ok(endpoint) = self.endpoint(number) {
            self.renewals.begin(validity, || Renewal {
                credentials: self.credentials(),
                ca: self.url.ca.clone(),
                endpoint: endpoint.clone(),
                limits: self.limits,
            });
        }
    }

    /// Asks the first server for something, whatever it answers; with the server's name.
    pub(crate) fn ask_first(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Body<'_>,
        limit: usize,
    ) -> Result<(String, Answer), RepositoryError> {
        let location = self.endpoint(0)?.to_string();
        let (channel, validity) = self.channel(0)?;
        let answer = channel.call(method, path, body, limit);
        let answer = answer.map_err(|fault| self.unreachable(0, what, &fault.why, validity))?;
        if let Some(validity) = validity.filter(|_| is_success(&answer)) {
            self.renew(0, validity);
        }
        Ok((location, answer))
    }

    /// Why a server does not answer, in a repository's words. A server may end the connection of a certificate that it does
    /// not take without a word.
    pub(crate) fn unreachable(
        &self,
        number: usize,
        what: &str,
        why: &str,
        validity: Option<Validity>,
    ) -> RepositoryError {
        let location = self.endpoint(number).map_or_else(|_| self.url.to_string(), ToString::to_string);
        let ended = validity.filter(|validity| validity.has_ended(now_ms()));
        let why = match ended {
            Some(_) => format!(
                "{what}: {why}. This account's certificate has ended, as this machine's clock has it: enrol again with a \
                 new token (dkm enrol)"
            ),
            None => format!("{what}: {why}"),
        };
        RepositoryError::Unavailable { location, why }
    }
}

/// Takes an answer of success apart. Of one that can't be, only the place is told: it may hold key material.
pub(crate) fn parsed<T: DeserializeOwned>(
    location: &str,
    what: &str,
    answer: &Answer,
) -> Result<T, RepositoryError> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let why = match error.classify() {
            serde_json::error::Category::Data => "it has another form",
            _ => "it is no JSON",
        };
        problem::odd(location, what, format!("{why}, at column {} of line {}", error.column(), error.line()))
    })
}

/// Whether an answer is a success.
pub(crate) fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}
