//! A small server: HTTP/1.1 over TLS or a Unix socket, one thread a connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::SanType;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Authority;

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// As whom the caller is authenticated.
    pub(crate) account: Option<String>,
}

/// What is done with a connection.
pub(crate) type Work = Box<dyn FnOnce(&mut dyn Write)>;

pub(crate) enum Answer {
    Json(u16, String),
    /// These bytes instead of an answer; then the connection ends.
    Raw(Vec<u8>),
    /// Whatever this does with the connection.
    Stream(Work),
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    /// How many connections were made so far.
    pub(crate) connections: Arc<AtomicUsize>,
}

pub(crate) fn localhost() -> SanType {
    SanType::IpAddress(Ipv4Addr::LOCALHOST.into())
}

impl Server {
    pub(crate) fn tls(
        authority: &Authority,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::with_config(authority.server_config(localhost()), answer)
    }

    pub(crate) fn with_config(
        config: Arc<ServerConfig>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, answer) = (connections.clone(), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(socket), config, answer) = (socket, config.clone(), answer.clone()) else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
                    while stream.conn.is_handshaking() {
                        if stream.conn.complete_io(&mut stream.sock).is_err() {
                            return;
                        }
                    }
                    let account = stream.conn.peer_certificates().map(|chain| common_name(&chain[0]));
                    serve(&mut stream, account.as_deref(), &*answer);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                });
            }
        });
        Self { url, connections }
    }

    /// On a Unix socket, whose every caller is this account.
    pub(crate) fn unix(
        path: &Path,
        account: &str,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, answer, account) = (connections.clone(), Arc::new(answer), account.to_owned());
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(mut socket), answer, account) = (socket, answer.clone(), account.clone()) else {
                    return;
                };
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || serve(&mut socket, Some(&account), &*answer));
            }
        });
        Self { url: format!("unix:{}", path.display()), connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn common_name(certificate: &[u8]) -> String {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let name = certificate.subject().iter_common_name().next();
    name.map_or_else(String::new, |name| name.as_str().unwrap().to_owned())
}

/// Answers requests until the connection ends.
fn serve(stream: &mut (impl Read + Write), account: Option<&str>, answer: &dyn Fn(&Request) -> Answer) {
    while let Some(request) = read_request(stream, account) {
        let done = match answer(&request) {
            Answer::Json(status, body) => {
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
                let head = if status == 204 { "HTTP/1.1 204 X\r\n\r\n".to_owned() } else { head };
                stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.flush()).is_err()
            }
            Answer::Raw(bytes) => {
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                true
            }
            Answer::Stream(work) => {
                work(stream);
                true
            }
        };
        if done {
            return;
        }
    }
}

fn read_request(stream: &mut impl Read, account: Option<&str>) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let length = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), decoded(value)));
    let query = query.split('&').filter_map(pair).collect();
    Some(Request { method, path: path.to_owned(), query, body, account: account.map(str::to_owned) })
}
