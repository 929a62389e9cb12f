//! Logs and witnesses over HTTP, plain or with TLS.
//!
//! Nothing that a server says is trusted: signatures and proofs are verified by who reads. So plain HTTP costs secrecy,
//! not truth. What a server can do is to be slow or to answer with too much, which is why everything has a limit.
//! Redirections are not followed.

mod source;
mod witness;

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::http::header::CONTENT_TYPE;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

pub use source::HttpSource;
pub use witness::HttpWitness;

/// Longest answer's headers, in bytes.
const HEADERS_LEN_MAX: usize = 16 * 1024;

/// Why there is no client for a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Not `http://host/path` or `https://host/path`, or with a user, a query or a fragment.
    #[error("{url:?} is no URL of the form https://host/path or http://host/path")]
    BadUrl {
        /// The URL.
        url: String,
    },
    /// The file of certificates holds none.
    #[error("there is no certificate in PEM form")]
    NoCertificate,
    /// The system has no certificates to trust.
    #[error("the system has no certificates of authorities to trust for https: {reason}")]
    NoAuthorities {
        /// Why.
        reason: String,
    },
}

/// Whose certificates are trusted for `https`, and how long an answer may take.
#[derive(Clone)]
pub struct HttpOptions {
    roots: Option<Vec<Certificate<'static>>>,
    timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { roots: None, timeout: Duration::from_secs(30) }
    }
}

impl HttpOptions {
    /// Trusts these authorities for `https` instead of the system's.
    ///
    /// # Errors
    /// [`HttpError::NoCertificate`].
    pub fn trusting_pem(mut self, pem: &[u8]) -> Result<Self, HttpError> {
        let mut roots = Vec::new();
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => roots.push(certificate),
                Ok(_) => {}
                Err(_) => return Err(HttpError::NoCertificate),
            }
        }
        if roots.is_empty() {
            return Err(HttpError::NoCertificate);
        }
        self.roots = Some(roots);
        Ok(self)
    }

    /// Waits this long for a whole answer, and not for ever.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.roots.as_ref().map(Vec::len);
        f.debug_struct("HttpOptions").field("roots", &roots).field("timeout", &self.timeout).finish()
    }
}

/// What a server has answered.
struct Answered {
    status: u16,
    content_type: Option<String>,
    body: Vec<u8>,
}

/// Requests below one URL.
struct Client {
    agent: ureq::Agent,
    /// Without a slash at its end.
    base: String,
}

impl Client {
    fn new(url: &str, options: &HttpOptions) -> Result<Self, HttpError> {
        let bad = || HttpError::BadUrl { url: url.to_owned() };
        let parsed: Uri = url.parse().map_err(|_| bad())?;
        let secure = match parsed.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let authority = parsed.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') || parsed.query().is_some() || url.contains('#') {
            return Err(bad());
        }
        let mut config = ureq::Agent::config_builder()
            .https_only(secure)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEADERS_LEN_MAX)
            .user_agent("dkm")
            .timeout_global(Some(options.timeout));
        if secure {
            config = config.tls_config(tls(options)?);
        }
        Ok(Self { agent: config.build().new_agent(), base: url.trim_end_matches('/').to_owned() })
    }

    fn get(&self, path: &str, limit: usize) -> io::Result<Answered> {
        answered(self.agent.get(self.url(path)).call(), limit)
    }

    fn post(&self, path: &str, body: &[u8], limit: usize) -> io::Result<Answered> {
        answered(self.agent.post(self.url(path)).send(body), limit)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

fn tls(options: &HttpOptions) -> Result<TlsConfig, HttpError> {
    let roots = match &options.roots {
        Some(roots) => roots.clone(),
        None => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let reason =
                    found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
                return Err(HttpError::NoAuthorities { reason });
            }
            found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        }
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build())
}

fn answered(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    limit: usize,
) -> io::Result<Answered> {
    let response = response.map_err(failed)?;
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map(str::to_owned);
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    response.into_body().into_reader().take(most).read_to_end(&mut body)?;
    if body.len() > limit {
        Err(ErrorKind::FileTooLarge.into())
    } else {
        Ok(Answered { status, content_type, body })
    }
}

fn failed(error: ureq::Error) -> io::Error {
    match error {
        ureq::Error::Timeout(_) => io::Error::new(ErrorKind::TimedOut, "the server took too long"),
        ureq::Error::HostNotFound => io::Error::new(ErrorKind::HostUnreachable, "there is no such host"),
        other => other.into_io(),
    }
}

/// A status that is neither what was asked for nor has a meaning of its own.
fn refused(answered: &Answered) -> io::Error {
    let what = match answered.status {
        301..=308 => {
            "the server redirects, which is not followed: name the URL that it redirects to".to_owned()
        }
        401 | 403 => return io::Error::new(ErrorKind::PermissionDenied, "the server denies access"),
        429 | 503 => "the server is busy".to_owned(),
        status => format!("the server answers with the status {status}"),
    };
    io::Error::other(what)
}
