//! What carries the HTTP client's bytes: TLS over TCP, or a Unix socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use zeroize::Zeroizing;

use super::socket::Socket;

/// Size of each buffer in bytes: as long as the longest head of an answer.
pub(super) const BUFFER_LEN: usize = 32 * 1024;

/// Size of the buffer for what is sent, in bytes: the longest ticket fits into a head.
pub(super) const OUTPUT_LEN: usize = 96 * 1024;

/// The server's own certificate on the last connection, in DER.
pub(super) type Certificate = Arc<Mutex<Option<Arc<[u8]>>>>;

/// How connections are made.
#[derive(Clone)]
pub(super) enum Dial {
    /// TLS with the server of this name.
    Tls(ServerName<'static>, Arc<ClientConfig>),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(name, _) => write!(f, "Tls({name:?})"),
            Self::Unix(path) => write!(f, "Unix({path:?})"),
        }
    }
}

/// The moment at which a time limit of the HTTP client ends; a year from now where it has none.
fn deadline(timeout: NextTimeout) -> Instant {
    let limit = timeout.not_zero().map_or(std::time::Duration::from_secs(31_536_000), |limit| *limit);
    Instant::now() + limit
}

/// Makes connections, and counts them.
#[derive(Debug)]
pub(super) struct Dialler {
    pub(super) dial: Dial,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) certificate: Certificate,
}

impl Connector for Dialler {
    type Out = Line;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Line>, Error> {
        let deadline = deadline(details.timeout);
        let stream = match &self.dial {
            Dial::Unix(path) => Stream::Plain(Socket::unix(path, deadline)?),
            Dial::Tls(name, config) => {
                let mut socket = Socket::tcp(&details.addrs, deadline)?;
                let mut connection = ClientConnection::new(config.clone(), name.clone())?;
                while connection.is_handshaking() {
                    connection.complete_io(&mut socket)?;
                }
                let shown = connection.peer_certificates().and_then(|chain| chain.first());
                *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) =
                    shown.map(|certificate| Arc::from(&**certificate));
                Stream::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        self.connections.fetch_add(1, Ordering::Release);
        Ok(Some(Line { stream, buffers: SecretBuffers::new() }))
    }
}

impl Resolver for Dial {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if let Self::Tls(..) = self {
            return ureq::unversioned::resolver::DefaultResolver::default().resolve(uri, config, timeout);
        }
        // The path is all that it takes.
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Ok(addresses)
    }
}

enum Stream {
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
    Plain(Socket),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Tls(stream) => &mut stream.sock,
            Self::Plain(socket) => socket,
        }
    }
}

/// One connection.
pub(super) struct Line {
    stream: Stream,
    buffers: SecretBuffers,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line(..)")
    }
}

fn failed(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.socket().set_deadline(deadline(timeout));
        let bytes = self.buffers.output.get(..amount).unwrap_or_default();
        let wrote = match &mut self.stream {
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::Plain(socket) => socket.write_all(bytes),
        };
        wrote.map_err(|error| failed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.socket().set_deadline(deadline(timeout));
        let into = self.buffers.input_append_buf();
        let read = match &mut self.stream {
            Stream::Tls(stream) => stream.read(into),
            Stream::Plain(socket) => socket.read(into),
        };
        let count = read.map_err(|error| failed(error, timeout))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.socket().is_quiet()
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// Buffers that are wiped when the connection ends: records pass through them.
struct SecretBuffers {
    input: Zeroizing<Vec<u8>>,
    /// What was received and not consumed yet.
    filled: std::ops::Range<usize>,
    output: Zeroizing<Vec<u8>>,
    /// Whether the last consumption took anything.
    progress: bool,
}

impl SecretBuffers {
    fn new() -> Self {
        let buffer = |len| Zeroizing::new(vec![0; len]);
        Self { input: buffer(BUFFER_LEN), filled: 0..0, output: buffer(OUTPUT_LEN), progress: false }
    }
}

impl Buffers for SecretBuffers {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        self.input.get(self.filled.clone()).unwrap_or_default()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        self.input.get_mut(self.filled.end..).unwrap_or_default()
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled.end = self.filled.end.saturating_add(amount).min(self.input.len());
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.filled.start = self.filled.start.saturating_add(amount).min(self.filled.end);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.input.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        (self.input.get_mut(self.filled.end..).unwrap_or_default(), &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        !self.filled.is_empty() && self.progress
    }
}
