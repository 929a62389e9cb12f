//! A server's audit log, file by file.

use std::sync::{Mutex, PoisonError};

use dkm::repository::RepositoryError;
use ureq::http::Method;

use crate::credentials::Validity;
use crate::http::{Answer, Body, Channel, Fault};
use crate::problem;
use crate::repository::{RemoteRepository, is_success};

/// The files of the audit log of a repository's first server, for whoever may read them there. Nothing that it says is
/// believed here: whoever reads a log verifies it.
#[derive(Debug)]
pub struct RemoteLog {
    repository: RemoteRepository,
    /// A log is read in many requests: they share a connection.
    line: Mutex<Option<(Channel, Option<Validity>)>>,
}

impl RemoteLog {
    /// That of this repository.
    #[must_use]
    pub const fn of(repository: RemoteRepository) -> Self {
        Self { repository, line: Mutex::new(None) }
    }

    /// The file at a path below the log's folder, such as `checkpoint`; none if there is none.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] to who is no auditor, [`RepositoryError::Unavailable`]; also for a file longer than
    /// `limit` bytes.
    pub fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, RepositoryError> {
        let what = format!("the audit log's file {path}");
        let shared = self.repository.shared();
        let location = shared.endpoint(0)?.to_string();
        let answer = self.call(&what, &format!("/v1/log/{path}"), limit)?;
        if is_success(&answer) {
            return Ok(Some(answer.body.to_vec()));
        }
        match problem::error(&location, &what, &answer) {
            RepositoryError::NotFound { .. } => Ok(None),
            error => Err(error),
        }
    }

    fn call(&self, what: &str, path: &str, limit: usize) -> Result<Answer, RepositoryError> {
        let shared = self.repository.shared();
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in [true, false] {
            let (channel, validity) = match line.take().filter(|_| kept) {
                Some(kept) => kept,
                None => shared.channel(0)?,
            };
            match channel.call(Method::GET, path, Body::None, limit) {
                Ok(answer) => {
                    if let Some(validity) = validity.filter(|_| is_success(&answer)) {
                        shared.renew(0, validity);
                    }
                    *line = Some((channel, validity));
                    return Ok(answer);
                }
                // One that was kept for too long is no fault of the server.
                Err(Fault { stale: true, .. }) if kept => {}
                Err(fault) => return Err(shared.unreachable(0, what, &fault.why, validity)),
            }
        }
        Err(shared.unreachable(0, what, "it ends every connection", None))
    }
}
