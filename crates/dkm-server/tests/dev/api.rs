//! The description of the API, put to the test by a program that knows nothing else of the server; and what no client
//! sends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::{Dev, text};

/// What is held against each answer. That the description's own words are enough to be let in is not: the server knows
/// what is there.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,unsupported_method,allow_header_conformance";

/// As a member and owner of a group, as somebody who may ask for access, and as an administrator and auditor.
#[test]
fn the_server_does_what_its_description_says_and_nothing_makes_it_fail() {
    let Some(schemathesis) = std::env::var_os("DKM_SCHEMATHESIS") else {
        println!("skipped: cargo xtask test gets schemathesis, and runs this");
        return;
    };
    let dev = Dev::start(tempfile::tempdir().unwrap());
    let folder = dev.folder();
    let dkm = |arguments: &str| {
        let done = dev.run(&format!("dkm --repository unix:{}/socket {arguments}", folder.display()));
        assert!(done.status.success(), "{arguments}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    let url = dev.url();
    let at = |name: &str| folder.join(name).display().to_string();
    dkm("principal add person:root --administrator");
    dkm(&format!("principal token person:root -o {}", at("root.token")));
    dkm(&format!(
        "enrol {url} --token-file {} --ca {} --credentials {}",
        at("root.token"),
        at("data/authority.pem"),
        at("credentials/root")
    ));
    // What only the server knows, so that what is asked is there.
    let groups = dev
        .run(&format!("dkm --repository '{url}?credentials={}' group list --json", at("credentials/demo")));
    let groups: serde_json::Value = serde_json::from_slice(&groups.stdout).unwrap();
    let group = groups["groups"][0]["id"].as_str().unwrap();
    std::fs::write(folder.join("schemathesis.toml"), format!("[parameters]\n\"path.group\" = \"{group}\"\n"))
        .unwrap();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    for who in ["demo", "alice", "root"] {
        let done = Command::new(&schemathesis)
            .args([
                "--config-file",
                "schemathesis.toml",
                "run",
                document,
                "--url",
                &url,
                "--no-color",
                "--warnings",
                "off",
            ])
            .args(["--checks", CHECKS, "--max-examples", "10", "--seed", "4711", "--tls-verify"])
            .arg(folder.join("data/authority.pem"))
            .arg("--request-cert")
            .arg(folder.join("credentials").join(who).join("identity.pem"))
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = text(&done.stdout);
        assert!(done.status.success(), "as {who}: {said}{}", text(&done.stderr));
        assert!(said.contains("Tested: 36") || said.contains(" passed"), "{said}");
    }
    healthy(&dev);
}

fn healthy(dev: &Dev) {
    let health = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = exchange(dev, health, Duration::from_secs(60));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The beginning of what the server answers to some bytes; nothing if it says nothing for as long as this.
fn exchange(dev: &Dev, bytes: &[u8], patience: Duration) -> String {
    let mut socket = UnixStream::connect(dev.folder().join("socket")).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    // The server may end the connection before it has read all.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count) = socket.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
        if count == 0 || answer.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    text(&answer)
}

fn check(dev: &Dev, bytes: &[u8]) {
    // Some of what is sent is no whole request: the server rightly waits for the rest.
    let answer = exchange(dev, bytes, Duration::from_millis(300));
    if let Some(status) = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
        assert!(!status.starts_with('5'), "{}: {answer}", String::from_utf8_lossy(bytes));
    } else {
        assert!(answer.is_empty(), "{answer}");
    }
}

#[test]
fn garbage_in_the_place_of_http_harms_nobody() {
    let dev = Dev::start(tempfile::tempdir().unwrap());
    let many_headers: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = "x".repeat(1 << 20);
    let crafted: Vec<Vec<u8>> = vec![
        b"\0\0\0\0".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /health HTTP/9.9\r\n\r\n".to_vec(),
        b"GET http://evil/health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"CONNECT /health HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"GET /v1/groups HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"PUT /v1/principals/x HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        b"PUT /v1/principals/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec(),
        b"PUT /v1/principals/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            .to_vec(),
        b"PUT /v1/principals/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nhello".to_vec(),
        b"PUT /v1/principals/x HTTP/1.1\r\nhost: a\r\nexpect: 200-maybe\r\ncontent-length: 1\r\n\r\n".to_vec(),
        format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes(),
        format!("GET /health HTTP/1.1\r\n{many_headers}\r\n").into_bytes(),
        format!("GET /health HTTP/1.1\r\nhost: {long}\r\n\r\n").into_bytes(),
        format!("{long} /health HTTP/1.1\r\n\r\n").into_bytes(),
        format!("POST /v1/enrolment HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{}", 3 << 20, long.repeat(3)).into_bytes(),
        format!("POST /v1/enrolment HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n{}", "[".repeat(200_000)).into_bytes(),
    ];
    for bytes in &crafted {
        check(&dev, bytes);
    }
    // Good requests with something in them that is not.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let request = (
        "(GET|PUT|POST|DELETE|PATCH|HEAD|TRACE|[A-Z]{1,9})",
        "/(v1/)?(groups|principals|requests|log/tile|renewal|enrolment|[!-~]{0,12})(/[ -~]{0,40}){0,4}",
        proptest::collection::vec("[a-z-]{1,14}: [ -~]{0,30}", 0..6),
        proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        proptest::prelude::any::<u16>(),
    );
    for _ in 0..100 {
        use proptest::strategy::{Strategy, ValueTree};
        let (method, path, headers, body, cut) = request.new_tree(&mut runner).unwrap().current();
        let headers = headers.join("\r\n");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut bytes = [head.as_bytes(), &body].concat();
        let at = usize::from(cut) % bytes.len();
        if cut % 3 == 0 {
            bytes.truncate(at);
        } else if cut % 3 == 1 {
            bytes[at] ^= 0x80;
        }
        check(&dev, &bytes);
    }
    healthy(&dev);
}
