//! Clients that cost the machine little: HTTP/1.1 over one TLS connection that is kept, and nothing decoded.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Nothing that is measured takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, as an account that has enrolled reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Target {
    /// With the credentials in a folder.
    pub(crate) fn new(address: SocketAddr, credentials: &Path) -> Result<Self> {
        let (identity, authority) = (credentials.join("identity.pem"), credentials.join("authority.pem"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&authority)? {
            roots.add(certificate?)?;
        }
        let chain = CertificateDer::pem_file_iter(&identity)?.collect::<Result<Vec<_>, _>>()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&identity)?)?;
        Ok(Self { address, config: Arc::new(config) })
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost")?;
        let session = ClientConnection::new(Arc::clone(&self.config), name)?;
        Ok(Connection { stream: StreamOwned::new(session, stream), answer: Vec::new() })
    }

    /// So many connections.
    pub(crate) fn connections(&self, many: usize) -> Result<Vec<Connection>> {
        (0..many).map(|_| self.connect()).collect()
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    answer: Vec<u8>,
}

/// The bytes of a request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// The bytes of a request with a body of JSON.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Connection {
    /// Asks, and takes the answer's body. Anything but status 200 is an error.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        self.answer.clear();
        let (head, len) = loop {
            if let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (end + 4, content_length(&self.answer[..end])?);
            }
            self.more()?;
        };
        while self.answer.len() < head + len {
            self.more()?;
        }
        ensure!(self.answer.len() == head + len, "more came than one answer");
        if !self.answer.starts_with(b"HTTP/1.1 200 ") {
            bail!("the server says {}", String::from_utf8_lossy(&self.answer));
        }
        Ok(&self.answer[head..])
    }

    fn more(&mut self) -> Result<()> {
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece)?;
        ensure!(read > 0, "the server has ended the connection");
        self.answer.extend_from_slice(&piece[..read]);
        Ok(())
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(line.context("an answer without its length")?.parse()?)
}
