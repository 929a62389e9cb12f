//! A certificate is renewed when half of its life is over, beside the call that noticed it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ureq::http::Method;

use super::key::NewKey;
use super::{Credentials, Validity, now_ms};
use crate::http::{Body, Channel, Limits, tls};
use crate::problem;
use crate::url::Endpoint;
use crate::wire::{BODY_LEN_MAX, Certificate, Renewal as Request};

/// A renewal that failed is not tried again sooner.
const RETRY: Duration = Duration::from_secs(60);

/// What renews a folder's certificate.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    running: Arc<AtomicBool>,
    last: Mutex<Option<(Instant, JoinHandle<()>)>>,
}

/// What a renewal takes.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    pub(crate) credentials: Credentials,
    pub(crate) ca: Option<std::path::PathBuf>,
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
}

impl Renewals {
    /// Begins a renewal if it is time for one. It goes on beside the caller, who is not told of its end.
    pub(crate) fn begin(&self, validity: Validity, renewal: impl FnOnce() -> Renewal) {
        let now = now_ms();
        if !validity.is_renewal_due(now) || validity.has_ended(now) {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = last.as_ref().is_some_and(|(at, _)| at.elapsed() < RETRY);
        if is_early || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let (renewal, running) = (renewal(), self.running.clone());
        let started = thread::Builder::new().name("dkm renewal".to_owned()).spawn(move || {
            let place = renewal.endpoint.to_string();
            match renewal.run() {
                Ok(true) => tracing::info!(server = %place, "the certificate was renewed"),
                Ok(false) => {}
                Err(why) => {
                    let ends = problem::roughly(Duration::from_millis(validity.not_after_ms.saturating_sub(now_ms())));
                    tracing::warn!(server = %place, %why, "the certificate was not renewed; it ends in {ends}");
                }
            }
            running.store(false, Ordering::Release);
        });
        match started {
            Ok(handle) => *last = Some((Instant::now(), handle)),
            Err(_) => self.running.store(false, Ordering::Release),
        }
    }
}

impl Drop for Renewals {
    /// A program that ends right after its call waits for a renewal, or a command that is run often would never get one
    /// done. It takes no longer than a request may.
    fn drop(&mut self) {
        let last = self.last.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = last.take() {
            let _ = handle.join();
        }
    }
}

impl Renewal {
    /// Gets a certificate for a new key; false if somebody else did, or is about to.
    ///
    /// # Errors
    /// Why there is none; what is in the folder stays as it is.
    fn run(&self) -> Result<bool, String> {
        let Some(lock) = self.credentials.lock().map_err(|error| error.to_string())? else {
            return Ok(false);
        };
        // Read under the lock: another process may have been here.
        let loaded = self.credentials.load().map_err(|error| error.to_string())?;
        if !loaded.validity.is_renewal_due(now_ms()) {
            return Ok(false);
        }
        let ca = self.ca.clone().unwrap_or_else(|| self.credentials.authority_path());
        let authorities = super::authorities(&ca).map_err(|error| error.to_string())?;
        let config = tls::config(authorities, Some(loaded.identity))?;
        let channel = Channel::new(&self.endpoint, Some(config), self.limits)?;
        let key = NewKey::make()?;
        let body = serde_json::to_vec(&Request { request: key.request.clone() })
            .map_err(|error| error.to_string())?;
        let answer = channel
            .call(Method::POST, "/v1/renewal", Body::Json(&body), BODY_LEN_MAX)
            .map_err(|fault| fault.why)?;
        if !(200..300).contains(&answer.status) {
            return Err(problem::error(&self.endpoint.to_string(), "the renewal", &answer).to_string());
        }
        let new: Certificate = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let validity = key.check(&new.certificate)?;
        if validity.not_after_ms <= loaded.validity.not_after_ms {
            return Err("the new certificate would end no later than the present one".to_owned());
        }
        self.credentials
            .store_identity(&lock, &key.pem, &new.certificate)
            .map_err(|error| error.to_string())?;
        Ok(true)
    }
}
