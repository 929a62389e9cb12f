//! Whatever comes over a connection, the server answers with a refusal or hangs up, and serves everybody else.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::daemon::Daemon;

const ACCOUNT: &str = "service:mail";
const GROUP: &str = "00000000-0000-4000-8000-000000000000";

/// The status of each answer.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let heads = text.split("HTTP/1.1 ").skip(1);
    heads.filter_map(|head| head.get(..3)?.parse().ok()).collect()
}

/// What clients send, and what is close to it.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET ",
        "PUT ",
        "POST ",
        "DELETE ",
        "OPTIONS * ",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "/v1/whoami",
        "/v1/groups/",
        "/v1/groups/00000000000000000000000000000000/rooms/keys/x?stamp=",
        "/v1/log/tile/0/000",
        "/v1/requests/%00/answers",
        "/../../etc/passwd",
        "/%2e%2e/%2f",
        "?since=",
        "#",
        " HTTP/1.1\r\n",
        " HTTP/0.9\r\n",
        " HTTP/9.9\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "host: localhost\r\n",
        "host: \r\n",
        "content-length: 4\r\n",
        "content-length: -1\r\n",
        "content-length: 18446744073709551616\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "expect: 100-continue\r\n",
        "content-type: application/json\r\n",
        "content-type: application/octet-stream\r\n",
        "authorization: Negotiate ",
        "upgrade: h2c\r\nconnection: upgrade\r\n",
        "connection: close\r\n",
        "range: bytes=0-1,-\r\n",
        "ffffffffffffffffff\r\n",
        "0\r\n\r\n",
        "4\r\nabcd\r\n",
        "{\"kind\":",
        "[[[[[[[[",
        "\"\\ud800\"",
        "null",
        "1e999",
        "\u{0}",
    ]);
    prop_oneof![
        6 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => (any::<u8>(), 0..3000_usize).prop_map(|(byte, times)| vec![byte; times]),
    ]
}

fn serves(daemon: &Daemon) {
    assert_eq!(daemon.ask(ACCOUNT, "GET /v1/whoami", "").status, 200);
    assert_eq!(daemon.health(ACCOUNT).0, 200);
}

#[test]
fn rubbish_is_refused_or_not_answered_and_nobody_else_notices() {
    let daemon = Daemon::start();
    drop(daemon.enrolled(ACCOUNT));
    let requests = prop::collection::vec(piece(), 1..16).prop_map(|pieces| pieces.concat());
    let config = Config { failure_persistence: None, ..Config::with_cases(400) };
    let refused = Cell::new(0);
    TestRunner::new(config)
        .run(&requests, |request| {
            let answered = statuses(&daemon.raw(ACCOUNT, &request, true));
            // What it can't do at all it may say so: a version of HTTP, an encoding.
            prop_assert!(
                answered.iter().all(|status| *status < 500 || [501, 505].contains(status)),
                "{answered:?}"
            );
            refused.set(refused.get() + answered.len());
            Ok(())
        })
        .unwrap();
    assert!(refused.get() > 100, "{refused:?} answers to 400 requests");
    serves(&daemon);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let daemon = Daemon::start();
    drop(daemon.enrolled(ACCOUNT));
    let ask = |line: &str, head: &str, body: &[u8]| {
        let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}\r\n");
        statuses(&daemon.raw(ACCOUNT, &[head.as_bytes(), body].concat(), false))
    };
    let put = format!("PUT /v1/groups/{GROUP}/rooms/keys/y");
    let long = format!("x: {}\r\n", "y".repeat(4 << 20));
    let much = vec![b'a'; 8 << 20];
    let chunked = [b"100000\r\n".as_slice(), &much[..1 << 20], b"\r\n"].concat().repeat(8);
    for (what, head, body, expected) in [
        ("many headers", "x: y\r\n".repeat(1000).as_str(), [].as_slice(), 431),
        ("a long header", &long, &[], 431),
        ("a body just beyond the bound", "content-length: 1048577\r\n", &much[..1_048_577], 413),
        ("a body far beyond the bound", "content-length: 8388608\r\n", &much, 413),
        ("chunks without end", "transfer-encoding: chunked\r\n", &chunked, 413),
    ] {
        assert_eq!(ask(&put, head, body), [expected], "{what}");
    }
    let answered = ask(&format!("GET /{}", "a".repeat(1 << 20)), "", &[]);
    assert!(answered == [414] || answered == [431], "{answered:?}");
    serves(&daemon);
}

#[test]
fn what_is_no_tls_and_who_says_nothing_holds_nobody_up() {
    let daemon = Daemon::start();
    drop(daemon.enrolled(ACCOUNT));
    // Many that have connected, and wait: some before TLS, some at the socket.
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
    let socket: Vec<UnixStream> =
        (0..16).map(|_| UnixStream::connect(daemon.path("socket")).unwrap()).collect();
    for bytes in
        [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0x16, 3, 1, 0xff, 0xff], &[0; 5000], b"\x80\x2e\x01\x00\x02"]
    {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/"), "it is answered without TLS");
    }
    serves(&daemon);
    drop((silent, socket));
}
