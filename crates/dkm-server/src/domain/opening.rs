//! A domain whose domain controllers are not known yet: DNS names them, and may not when the server starts.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dkm::{Plaintext, Rosters};
use dkm_ad::AdUrl;
use dkm_core::record::ExposedRecord;
use dkm_core::{Context, GroupId, RequestId, Timestamp};
use dkm_remote::wire::elevation::ControlRecord;

use super::{ActiveDirectory, Domain, Tickets};
use crate::config::Directory;
use crate::problem::Problem;

/// DNS is not asked again sooner than this.
const AGAIN: Duration = Duration::from_secs(5);

/// A domain, opened once its domain controllers can be found. Until then everything is refused for now.
#[derive(Debug)]
pub struct Opening {
    config: Directory,
    root_keys: PathBuf,
    url: AdUrl,
    opened: OnceLock<ActiveDirectory>,
    /// When it was looked for last, and why it was not found.
    tried: Mutex<Option<(Instant, String)>>,
}

impl Opening {
    /// A domain, as it is configured. Nobody is asked yet.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn new(config: Directory, root_keys: PathBuf) -> Result<Self, dkm_ad::ParseAdUrlError> {
        let url = config.repository.parse()?;
        Ok(Self { config, root_keys, url, opened: OnceLock::new(), tried: Mutex::default() })
    }

    fn domain(&self) -> Result<&ActiveDirectory, Problem> {
        if let Some(domain) = self.opened.get() {
            return Ok(domain);
        }
        // One looks for it; whoever comes meanwhile waits for what that one finds.
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(domain) = self.opened.get() {
            return Ok(domain);
        }
        let refused = |why: &str| {
            Problem::unavailable(format!("the domain {} is not there: {why}", self.url()))
                .advice("it is looked for again by itself; GET /health tells when it is there")
        };
        if let Some((_, why)) = tried.as_ref().filter(|(at, _)| at.elapsed() < AGAIN) {
            return Err(refused(why));
        }
        match ActiveDirectory::new(&self.config, &self.root_keys) {
            Ok(domain) => {
                if tried.is_some() {
                    tracing::info!(domain = self.url(), "the domain is there");
                }
                Ok(self.opened.get_or_init(|| domain))
            }
            Err(error) => {
                let why = error.to_string();
                if tried.as_ref().is_none_or(|(_, before)| *before != why) {
                    tracing::error!(domain = self.url(), %error, "nobody is let in to groups of the domain until it is there");
                }
                let refused = refused(&why);
                *tried = Some((Instant::now(), why));
                Err(refused)
            }
        }
    }
}

impl Domain for Opening {
    fn url(&self) -> String {
        // Clients come as somebody else.
        AdUrl { principal: None, ..self.url.clone() }.to_string()
    }

    fn is_there(&self) -> bool {
        self.opened.get().is_some()
    }

    fn find(&self) -> Result<(), Problem> {
        self.domain().map(drop)
    }

    fn rosters(&self, group: GroupId) -> Result<Rosters, Problem> {
        self.domain()?.rosters(group)
    }

    fn control(&self, group: GroupId) -> Result<Vec<ControlRecord>, Problem> {
        self.domain()?.control(group)
    }

    fn expose(&self, group: GroupId, exposed: &ExposedRecord) -> Result<(), Problem> {
        self.domain()?.expose(group, exposed)
    }

    fn least_ms(&self) -> u64 {
        dkm_ad::elevation::LEAST_MS
    }

    fn issue(&self, group: GroupId, request: RequestId, until: Timestamp) -> Result<Tickets, Problem> {
        self.domain()?.issue(group, request, until)
    }

    fn revoke(&self, group: GroupId, request: RequestId) -> Result<bool, Problem> {
        self.domain()?.revoke(group, request)
    }

    fn sweep(&self, now: Timestamp) -> Result<Vec<String>, Problem> {
        self.domain()?.sweep(now)
    }

    fn unprotect(&self, group: GroupId, context: &Context, blob: &[u8]) -> Result<Plaintext, Problem> {
        self.domain()?.unprotect(group, context, blob)
    }
}
