//! Requests over mutual TLS without our client: what the server answers, word by word.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use dkm::repository::Repository as _;
use dkm_core::{GroupId, Room};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::daemon::Daemon;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Plain {
    /// The `code` of a problem, or nothing.
    pub(crate) fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Who shows this certificate, and believes this authority.
pub(crate) fn showing(
    authority: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

fn config(credentials: &Path) -> ClientConfig {
    let (identity, authority) = (credentials.join("identity.pem"), credentials.join("authority.pem"));
    let chain = CertificateDer::pem_file_iter(&identity).unwrap().map(Result::unwrap).collect();
    showing(&authority, chain, PrivateKeyDer::from_pem_file(identity).unwrap())
}

impl Daemon {
    /// Asks as an account that has enrolled, over a connection of its own.
    pub(crate) fn ask(&self, account: &str, line: &str, body: &str) -> Plain {
        self.send(account, line, ("application/json", body.as_bytes()))
    }

    /// The same with a body of bytes.
    pub(crate) fn put_bytes(&self, account: &str, line: &str, body: &[u8]) -> Plain {
        self.send(account, line, ("application/octet-stream", body))
    }

    fn stream(&self, config: ClientConfig) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(session, TcpStream::connect(self.address).unwrap())
    }

    /// The status for a request of somebody whose certificate is shown.
    ///
    /// # Errors
    /// The server breaks off before it answers.
    pub(crate) fn status(&self, config: ClientConfig, line: &str) -> std::io::Result<u16> {
        let mut stream = self.stream(config);
        let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Ok(answer.split(' ').nth(1).unwrap().parse().unwrap())
    }

    /// Sends these bytes over a connection of an account, and hangs up at once if `abrupt`. What the server says before
    /// it hangs up, too.
    pub(crate) fn raw(&self, account: &str, bytes: &[u8], abrupt: bool) -> Vec<u8> {
        let mut stream = self.stream(config(&self.credentials(account)));
        // The server may have hung up already: it need not listen to the end.
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        if abrupt {
            stream.conn.send_close_notify();
            let _ = stream.flush();
            let _ = stream.sock.shutdown(std::net::Shutdown::Write);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    fn send(&self, account: &str, line: &str, (kind, body): (&str, &[u8])) -> Plain {
        let mut stream = self.stream(config(&self.credentials(account)));
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Plain { status, body: body.to_owned() }
    }

    /// The health, asked by nobody in particular, and the status.
    pub(crate) fn health(&self, account: &str) -> (u16, serde_json::Value) {
        let answer = self.ask(account, "GET /health", "");
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    /// The first line of a request for a group's first key.
    pub(crate) fn key_of(&self, account: &str, group: GroupId) -> String {
        let keys = self.open(&self.url(account)).connect(0).unwrap().list(group, Room::Keys).unwrap();
        let stamp = String::from_utf8(keys[0].stamp.clone()).unwrap();
        format!("GET /v1/groups/{group}/rooms/keys/{}?stamp={stamp}", keys[0].name)
    }
}
