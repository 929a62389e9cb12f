//! Requests to one server, over connections that are kept and end in time.

pub(crate) mod sign_in;
mod socket;
pub(crate) mod tls;
mod transport;

use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use ureq::http::{HeaderValue, Method, Request, header};
use ureq::{Agent, AsSendBody};
use zeroize::Zeroizing;

use self::sign_in::SignIn;
use self::transport::{BUFFER_LEN, Certificate, Dial, Dialler, OUTPUT_LEN};
use crate::url::Endpoint;

/// How long a client waits for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For its name to be looked up; and then again for connecting, with all of TLS.
    pub connect: Duration,
    /// For one request, from looking up the name to the last byte of the answer.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), request: Duration::from_secs(15) }
    }
}

/// A way to one server, with at most one connection, which is kept between requests.
#[derive(Clone)]
pub(crate) struct Channel {
    agent: Agent,
    base: String,
    over_tls: bool,
    connections: Arc<AtomicUsize>,
    /// What the server showed on the last connection.
    certificate: Certificate,
    /// How requests are signed in, if not by the connection itself; and the host for that.
    sign_in: Option<(Arc<dyn SignIn>, String)>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// It may hold key material.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What happened, for people.
    pub(crate) why: String,
    /// The connection ended before anything of the answer came, as one does that was kept for too long.
    pub(crate) stale: bool,
}

/// What is sent along.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    None,
    Json(&'a [u8]),
    Bytes(&'a [u8]),
}

/// Who asks is not known, RFC 9110 §15.5.2.
const UNAUTHORIZED: u16 = 401;

/// All but the letters, digits and marks that RFC 3986 leaves as they are.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as it stands in a path or query.
pub(crate) fn escaped(text: &str) -> String {
    // A segment of dots alone means another place.
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        other => utf8_percent_encode(other, IN_PATH).to_string(),
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.base)
    }
}

impl Channel {
    /// A way to a server that is not connected yet. `tls` is needed for hosts.
    ///
    /// # Errors
    /// A host without TLS, or one that no certificate can name.
    pub(crate) fn new(
        endpoint: &Endpoint,
        tls: Option<ClientConfig>,
        limits: Limits,
    ) -> Result<Self, String> {
        let (dial, base) = match (endpoint, tls) {
            (Endpoint::Socket(path), _) => (Dial::Unix(path.clone()), "http://localhost".to_owned()),
            (Endpoint::Host { name, port }, Some(config)) => {
                let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
                let server =
                    ServerName::try_from(bare).map_err(|_| format!("no certificate can name {name:?}"))?;
                (Dial::Tls(server, Arc::new(config)), format!("https://{name}:{port}"))
            }
            (Endpoint::Host { .. }, None) => return Err("it is spoken to over TLS only".to_owned()),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // An answer is from the server that was asked, or it is none.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("dkm/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .max_response_header_size(BUFFER_LEN)
            .input_buffer_size(BUFFER_LEN)
            .output_buffer_size(OUTPUT_LEN)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_global(Some(limits.request))
            .build();
        let over_tls = matches!(dial, Dial::Tls(..));
        let connections = Arc::new(AtomicUsize::new(0));
        let certificate = Certificate::default();
        let dialler = Dialler {
            dial: dial.clone(),
            connections: connections.clone(),
            certificate: Arc::clone(&certificate),
        };
        let agent = Agent::with_parts(config, dialler, dial);
        Ok(Self { agent, base, over_tls, connections, certificate, sign_in: None })
    }

    /// The same, with each request signed in by itself.
    #[must_use]
    pub(crate) fn signed_in(self, by: Arc<dyn SignIn>, endpoint: &Endpoint) -> Self {
        let Endpoint::Host { name, .. } = endpoint else { return self };
        Self { sign_in: Some((by, name.clone())), ..self }
    }

    fn certificate(&self) -> Option<Arc<[u8]>> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Sends a request, and takes an answer of at most `limit` bytes.
    ///
    /// # Errors
    /// There is no answer in time, or none that fits.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
        limit: usize,
    ) -> Result<Answer, Fault> {
        let Some((by, host)) = &self.sign_in else { return self.send(method, path, body, limit, None) };
        let certificate = match self.certificate() {
            Some(certificate) => certificate,
            None => self.meet()?,
        };
        let ask = |certificate: &[u8]| {
            let header = by.header(host, certificate).map_err(|why| Fault { why, stale: false })?;
            self.send(method.clone(), path, body, limit, Some(&header))
        };
        let answer = ask(&certificate)?;
        // The connection may have ended before, and the server may show another certificate on the next.
        match self.certificate() {
            Some(shown) if answer.status == UNAUTHORIZED && shown != certificate => ask(&shown),
            _ => Ok(answer),
        }
    }

    /// Connects, to see which certificate the server shows.
    fn meet(&self) -> Result<Arc<[u8]>, Fault> {
        self.send(Method::GET, "/health", Body::None, BUFFER_LEN, None)?;
        let shown = self.certificate();
        shown.ok_or_else(|| Fault { why: "it showed no certificate".to_owned(), stale: false })
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
        limit: usize,
        authorization: Option<&str>,
    ) -> Result<Answer, Fault> {
        let mut request = Request::builder().method(method.clone()).uri(format!("{}{path}", self.base));
        if let Some(text) = authorization {
            let mut value = HeaderValue::from_str(text)
                .map_err(|_| Fault { why: "the ticket makes no header".to_owned(), stale: false })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let answer = match body {
            Body::Json(bytes) => self.run(request.header(header::CONTENT_TYPE, "application/json"), bytes),
            Body::Bytes(bytes) => {
                self.run(request.header(header::CONTENT_TYPE, "application/octet-stream"), bytes)
            }
            // Without a length, servers wait for a body that never comes.
            Body::None if method == Method::PUT || method == Method::POST => self.run(request, &[][..]),
            Body::None => self.run(request, ()),
        };
        let mut answer = answer.map_err(|error| self.fault(&error))?;
        let status = answer.status().as_u16();
        let length = answer.body().content_length().map_or(Ok(4096), usize::try_from).unwrap_or(usize::MAX);
        if length > limit {
            return Err(too_long(limit));
        }
        let mut held = Zeroizing::new(Vec::with_capacity(length + 1));
        let mut reader = answer.body_mut().with_config().limit(u64::MAX).reader();
        loop {
            let count = held.len();
            if count == held.capacity() {
                // Growing in place would leave a copy behind.
                let mut longer = Zeroizing::new(Vec::with_capacity(count.saturating_mul(2)));
                longer.extend_from_slice(&held);
                held = longer;
            }
            let room = held.capacity() - count;
            held.resize(count + room, 0);
            let read = reader.read(held.get_mut(count..).unwrap_or_default());
            let read =
                read.map_err(|error| Fault { stale: false, ..self.fault(&ureq::Error::from(error)) })?;
            held.truncate(count + read);
            if read == 0 {
                return Ok(Answer { status, body: held });
            }
            if held.len() > limit {
                return Err(too_long(limit));
            }
        }
    }

    fn run(
        &self,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        self.agent.run(request.body(body).map_err(ureq::Error::Http)?)
    }

    fn fault(&self, error: &ureq::Error) -> Fault {
        let plain = |why: String| Fault { why, stale: false };
        match error {
            ureq::Error::Rustls(error) => plain(tls::fault(error)),
            ureq::Error::Io(error) => {
                if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    return plain(tls::fault(tls));
                }
                let ended = [
                    ErrorKind::UnexpectedEof,
                    ErrorKind::ConnectionReset,
                    ErrorKind::ConnectionAborted,
                    ErrorKind::BrokenPipe,
                ];
                let why = match error.kind() {
                    ErrorKind::TimedOut => "it does not answer in time".to_owned(),
                    kind if ended.contains(&kind) && self.over_tls => {
                        format!(
                            "it ended the connection: {error}; that may mean that it wants another certificate"
                        )
                    }
                    kind if ended.contains(&kind) => format!("it ended the connection: {error}"),
                    ErrorKind::NotFound => {
                        "there is no such socket: check the path, and that dkmd runs".to_owned()
                    }
                    ErrorKind::ConnectionRefused => "nobody listens there: check that dkmd runs".to_owned(),
                    ErrorKind::PermissionDenied => "this account may not connect to it".to_owned(),
                    _ => error.to_string(),
                };
                Fault { why, stale: ended.contains(&error.kind()) }
            }
            ureq::Error::Timeout(ureq::Timeout::Resolve) => {
                plain("its name could not be looked up in time".to_owned())
            }
            ureq::Error::Timeout(_) => plain("it does not answer in time".to_owned()),
            ureq::Error::HostNotFound => plain("its name has no address".to_owned()),
            other => plain(format!("what it answers is not understood: {other}")),
        }
    }
}

fn too_long(limit: usize) -> Fault {
    Fault { why: format!("its answer is longer than {limit} bytes"), stale: false }
}
