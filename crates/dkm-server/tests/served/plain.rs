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

fn config(credentials: &Path) -> ClientConfig {
    let (identity, authority) = (credentials.join("identity.pem"), credentials.join("authority.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let chain = CertificateDer::pem_file_iter(&identity).unwrap().map(Result::unwrap).collect();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(identity).unwrap())
        .unwrap()
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

    fn send(&self, account: &str, line: &str, (kind, body): (&str, &[u8])) -> Plain {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config(&self.credentials(account))), name).unwrap();
        let mut stream = StreamOwned::new(session, TcpStream::connect(self.address).unwrap());
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
