//! The first certificate of an account, for a one-time token.

use std::path::PathBuf;
use std::sync::Arc;

use dkm::repository::RepositoryError;
use dkm_core::Digest;
use rustls::pki_types::CertificateDer;
use ureq::http::Method;
use zeroize::Zeroizing;

use crate::credentials::key::NewKey;
use crate::credentials::{Credentials, authorities};
use crate::http::tls::{self, Pinned};
use crate::http::{Body, Channel, Limits};
use crate::problem;
use crate::url::Endpoint;
use crate::wire::{BODY_LEN_MAX, Certificate, Enrolment};

/// How the server is known before there are credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// An authority in this file vouches for it.
    Ca(PathBuf),
    /// The authority vouches for it whose certificate has this SHA-256 digest (of its DER form). The server sends the
    /// certificate along.
    AuthorityDigest(Digest),
}

/// Gets an account's first certificate for a one-time token, and writes it with its key and the authority into a folder.
///
/// The server is known by `trust` before the token is sent. Credentials that are there and have not ended are kept, unless
/// `force`.
///
/// # Errors
/// The folder can't be written, the server can't be reached or is another one, or it refuses the token. Unless the error
/// is that of writing, the token can still be used where the request did not arrive.
pub fn enrol(
    endpoint: &Endpoint,
    token: Zeroizing<String>,
    credentials: &Credentials,
    trust: &Trust,
    force: bool,
    limits: Limits,
) -> dkm::Result<Certificate> {
    let location = endpoint.to_string();
    let unavailable = |why: String| RepositoryError::Unavailable { location: location.clone(), why };
    // All that can fail here fails before the token is spent.
    credentials.prepare()?;
    let lock = credentials.lock()?.ok_or_else(|| {
        unavailable(format!("another program writes to {} just now", credentials.folder().display()))
    })?;
    if !force && credentials.holds_unended()?.is_some() {
        return Err(dkm::Error::Invalid(format!(
            "{} holds credentials that have not ended; they are replaced only if that is asked for",
            credentials.folder().display()
        )));
    }
    let key = NewKey::make().map_err(unavailable)?;
    let server = Server::of(trust)?;
    let config = server.config().map_err(|why| match trust {
        Trust::Ca(file) => dkm::Error::Invalid(format!("{}: {why}", file.display())),
        Trust::AuthorityDigest(_) => unavailable(why).into(),
    })?;
    let channel = Channel::new(endpoint, Some(config), limits).map_err(unavailable)?;
    let request = Enrolment { token, request: key.request.clone() };
    let body = serde_json::to_vec(&request).map(Zeroizing::new);
    let body = body.map_err(|error| unavailable(error.to_string()))?;
    let what = "the enrolment";
    let answer = channel
        .call(Method::POST, "/v1/enrolment", Body::Json(&body), BODY_LEN_MAX)
        .map_err(|fault| unavailable(format!("{what}: {}", fault.why)))?;
    if !(200..300).contains(&answer.status) {
        return Err(problem::error(&location, what, &answer).into());
    }
    let new: Certificate =
        serde_json::from_slice(&answer.body).map_err(|error| problem::odd(&location, what, error))?;
    key.check(&new.certificate).map_err(|why| problem::odd(&location, what, why))?;
    let authority =
        server.authority().ok_or_else(|| problem::odd(&location, what, "it showed no authority"))?;
    credentials.store_authority(&lock, &authority)?;
    credentials.store_identity(&lock, &key.pem, &new.certificate)?;
    Ok(new)
}

/// By what a server is known.
enum Server {
    File(Vec<CertificateDer<'static>>),
    Pinned(Arc<Pinned>),
}

impl Server {
    fn of(trust: &Trust) -> dkm::Result<Self> {
        Ok(match trust {
            Trust::Ca(file) => Self::File(authorities(file)?),
            Trust::AuthorityDigest(digest) => Self::Pinned(Arc::new(Pinned::new(*digest))),
        })
    }

    fn config(&self) -> Result<rustls::ClientConfig, String> {
        match self {
            Self::File(authorities) => tls::config(authorities.clone(), None),
            Self::Pinned(pinned) => tls::pinned_config(pinned.clone()),
        }
    }

    /// Who vouched for the server, in PEM. Not who it says does: that is believed from now on.
    fn authority(&self) -> Option<String> {
        match self {
            Self::File(authorities) => Some(authorities.iter().map(pem).collect()),
            Self::Pinned(pinned) => pinned.authority().as_ref().map(pem),
        }
    }
}

pub(crate) fn pem(certificate: &CertificateDer<'static>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
