//! Traces, as a collector receives them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::text;

/// A collector of one thread, which tells of each request its head and its body.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap_or(0) > 0 {}
            let length = head
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            if tell.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, told)
}

struct Place {
    folder: tempfile::TempDir,
    server: Child,
}

impl Place {
    fn serving(endpoint: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(at("outside")).unwrap();
        let config = format!(
            "data = {:?}\ncheckpoint = {:?}\nunix = {{ socket = {:?} }}\ntelemetry = {{ endpoint = {endpoint:?} }}\n",
            at("data"),
            at("outside/last"),
            at("socket")
        );
        std::fs::write(at("dkmd.toml"), config).unwrap();
        let dkmd = |command: &str| {
            let mut dkmd = Command::new(env!("CARGO_BIN_EXE_dkmd"));
            dkmd.args([command, "--config", &at("dkmd.toml")]).stdout(Stdio::null()).stderr(Stdio::null());
            dkmd
        };
        assert!(dkmd("init").status().unwrap().success());
        let manager = UnixDatagram::bind(at("notify")).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let server = dkmd("serve").env("NOTIFY_SOCKET", at("notify")).spawn().unwrap();
        manager.recv(&mut [0; 64]).unwrap();
        Self { folder, server }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut socket = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        text(&answer)
    }

    fn stop(mut self) {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.server),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        assert!(self.server.wait().unwrap().success());
    }
}

#[test]
fn a_collector_gets_spans_and_nothing_that_a_caller_sent() {
    let (url, told) = collector();
    let place = Place::serving(&url);
    let put = place.ask("PUT", "/v1/principals/person:secret-name", r#"{"kind": "person"}"#);
    assert!(put.starts_with("HTTP/1.1 201"), "{put}");
    place.ask("GET", "/v1/groups/secret-group/rights?stamp=secret-stamp", "");
    place.ask("GET", "/secret-path", "");
    place.stop();
    let mut sent = String::new();
    while let Ok((head, body)) = told.recv_timeout(Duration::from_secs(10)) {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
        // Its texts stand in it as they are.
        sent += &text(&body);
        if sent.contains("GET other") {
            break;
        }
    }
    for expected in [
        "dkmd",
        "PUT /v1/principals/{name}",
        "GET /v1/groups/{group}/rights",
        "GET other",
        "http.response.status_code",
        "audit",
        "database",
        "manage-principals",
    ] {
        assert!(sent.contains(expected), "{expected} is not in what was sent");
    }
    assert!(!sent.contains("secret"), "what a caller sent is in a span");
}

#[test]
fn a_collector_that_is_not_there_is_missed_by_nobody() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::serving(&format!("http://{free}/v1/traces"));
    for _ in 0..20 {
        assert!(place.ask("GET", "/health", "").starts_with("HTTP/1.1 200"));
    }
    place.stop();
}
