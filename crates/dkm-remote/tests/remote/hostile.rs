//! Servers that hang, lie, and talk without end; what stands in between; and answers that look like a decision.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dkm::repository::{Entry, Repository, RepositoryError};
use dkm_core::{GroupId, Room};
use dkm_remote::wire::{self, Code};
use dkm_remote::{Limits, RemoteRepository};
use rcgen::SanType;

use crate::support::api::{Api, problem};
use crate::support::{Answer, Authority, LIMITS, Request, SHORT, Server, World};

const ACCOUNT: &str = "service:mail";
const GROUP: GroupId = GroupId([7; 16]);

/// What a client of this account makes of a server.
fn connect(world: &World, url: &str, limits: Limits) -> Result<(), RepositoryError> {
    let url = format!("{url}?credentials={}", world.credentials(ACCOUNT).display());
    RemoteRepository::open(url.parse().unwrap(), limits).connect(0).map(drop)
}

/// Sees that an error is no decision, and says this.
fn unavailable(error: &RepositoryError, word: &str) {
    assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains(word), "{word}: {error}");
}

/// What is made of a server that answers everything with this.
fn answered(limits: Limits, answer: impl Fn() -> Answer + Send + Sync + 'static) -> RepositoryError {
    let world = World::new(0);
    let server = Server::tls(&world.authority, move |_| answer());
    connect(&world, &server.url, limits).unwrap_err()
}

fn raw(text: &str) -> RepositoryError {
    let bytes = text.as_bytes().to_vec();
    answered(LIMITS, move || Answer::Raw(bytes.clone()))
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let world = World::new(0);
    // Before TLS, which the system takes the connection for.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    unavailable(&connect(&world, &url, SHORT).unwrap_err(), "in time");
    // After the request.
    let patience = Limits { request: Duration::from_secs(2), ..LIMITS };
    let hangs = || Answer::Stream(Box::new(|_| std::thread::sleep(Duration::from_secs(60))));
    unavailable(&answered(patience, hangs), "in time");
    // Over a Unix socket too.
    let path = world.folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let unix = RemoteRepository::open(format!("unix:{}", path.display()).parse().unwrap(), SHORT);
    unavailable(&unix.connect(0).unwrap_err(), "in time");
}

#[test]
fn a_server_that_trickles_is_given_up() {
    let patience = Limits { request: Duration::from_secs(2), ..LIMITS };
    for head in ["HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "HTTP/1.1 200 OK\r\nX: ", ""] {
        let trickles = move || {
            Answer::Stream(Box::new(move |stream: &mut dyn Write| {
                let mut going = stream.write_all(head.as_bytes()).is_ok();
                while going {
                    std::thread::sleep(Duration::from_millis(20));
                    going = stream.write_all(b" ").and_then(|()| stream.flush()).is_ok();
                }
            }))
        };
        let error = answered(patience, trickles);
        assert!(matches!(error, RepositoryError::Unavailable { .. }), "{head}: {error:?}");
    }
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let endless = |head: &'static str, piece: &'static [u8]| {
        answered(LIMITS, move || {
            Answer::Stream(Box::new(move |stream: &mut dyn Write| {
                let mut going = stream.write_all(head.as_bytes()).is_ok();
                while going {
                    going = stream.write_all(piece).is_ok();
                }
            }))
        })
    };
    unavailable(
        &endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"8\r\n        \r\n"),
        "longer than",
    );
    unavailable(&endless("HTTP/1.1 200 OK\r\n\r\n", &[b' '; 1024]), "longer than");
    for (head, piece) in
        [("HTTP/1.1 200 OK\r\n", &b"X: y\r\n"[..]), ("HTTP/1.1 200 OK\r\nX: ", &[b'y'; 1024])]
    {
        let error = endless(head, piece);
        assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error:?}");
    }
    unavailable(&raw("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n"), "longer than");
}

#[test]
fn what_is_cut_short_or_garbage_is_no_answer() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"repository\":",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"re",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 999999 ?\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\0\0\0\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let error = raw(text);
        assert!(matches!(error, RepositoryError::Unavailable { .. }), "{text:?}: {error:?}");
    }
    let deep = "[".repeat(100_000);
    let error = answered(LIMITS, move || Answer::Json(200, deep.clone()));
    unavailable(&error, "not understood");
    let view = r#"{"repository":"x","replica":"y","clock_ms":0,"account":"a"}"#;
    unavailable(&answered(LIMITS, || Answer::Json(200, view.to_owned())), "not understood");
}

#[test]
fn only_a_status_and_a_code_that_agree_are_a_decision() {
    let denied = |status, code| answered(LIMITS, move || problem(status, code, "no"));
    assert!(matches!(denied(403, Code::Denied), RepositoryError::Denied { .. }));
    assert!(matches!(denied(401, Code::Unauthenticated), RepositoryError::Denied { .. }));
    for (status, code) in [
        (403, Code::Unauthenticated),
        (403, Code::Unavailable),
        (401, Code::Denied),
        (500, Code::Denied),
        (503, Code::Denied),
        (404, Code::Denied),
        (407, Code::Denied),
    ] {
        unavailable(&denied(status, code), "answers");
    }
    for status in [400, 401, 403, 404, 407, 409, 429, 500, 502, 503, 507, 511] {
        for body in ["<html>no</html>", "", "{}", r#"{"code":"denied"}"#, r#"{"code":7,"detail":"x"}"#] {
            unavailable(&answered(LIMITS, move || Answer::Json(status, body.to_owned())), "answers");
        }
    }
    unavailable(&denied(503, Code::AuditUnavailable), "audit");
    unavailable(&denied(429, Code::Busy), "too much");
    assert!(matches!(denied(507, Code::NoSpace), RepositoryError::NoSpace { .. }));
    assert!(matches!(denied(400, Code::Invalid), RepositoryError::Invalid(_)));
    assert!(matches!(denied(404, Code::NotFound), RepositoryError::NotARepository { .. }));
    // A server of later, with a code of later.
    let later = r#"{"code":"of-later","detail":"x","more":{}}"#;
    unavailable(&answered(LIMITS, || Answer::Json(403, later.to_owned())), "answers");
}

#[test]
fn a_servers_words_are_short_and_move_no_cursor() {
    let words = format!("\u{1b}[2J\r\n{}", "x".repeat(100_000));
    let error = answered(LIMITS, move || problem(503, Code::Unavailable, &words)).to_string();
    assert!(!error.contains(char::is_control) && error.len() < 2_000, "{}", error.len());
}

#[test]
fn nobody_is_followed_elsewhere() {
    let other = World::new(1);
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/v1/repository", other.servers[0].url);
        let redirect = format!("HTTP/1.1 {status} X\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        unavailable(&raw(&redirect), "elsewhere");
    }
    assert_eq!(other.servers[0].connections(), 0);
}

#[test]
fn servers_of_other_authorities_and_names_get_no_request() {
    let world = World::new(0);
    let asked = Arc::new(AtomicUsize::new(0));
    let server = |authority: &Authority, name: SanType| {
        let asked = asked.clone();
        Server::with_config(authority.server_config(name), move |_: &Request| {
            asked.fetch_add(1, Ordering::SeqCst);
            problem(403, Code::Denied, "no")
        })
    };
    let foreign = server(&Authority::new(), SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    unavailable(&connect(&world, &foreign.url, LIMITS).unwrap_err(), "not believed");
    let named = server(&world.authority, SanType::DnsName("other.example.com".try_into().unwrap()));
    unavailable(&connect(&world, &named.url, LIMITS).unwrap_err(), "other.example.com");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // What speaks no TLS gets nothing either.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    unavailable(&connect(&world, &url, LIMITS).unwrap_err(), "speak TLS");
}

#[test]
fn an_account_whose_certificate_has_ended_is_told_to_enrol_again() {
    let world = World::new(1);
    let folder = world.folder.path().join("ended");
    world.authority.write_credentials_until(&folder, ACCOUNT, Duration::from_secs(86_400), -3_600);
    let url = format!("{}?credentials={}", world.servers[0].url, folder.display());
    let error = RemoteRepository::open(url.parse().unwrap(), LIMITS).connect(0).unwrap_err();
    unavailable(&error, "enrol again");
}

#[test]
fn a_server_that_stops_knowing_the_account_is_believed_at_once() {
    let world = World::new(1);
    let api = Api::new(world.repository.clone(), 0, world.authority.clone());
    let known = Arc::new(AtomicUsize::new(0));
    let asks = known.clone();
    let server = Server::tls(&world.authority, move |request| match asks.fetch_add(1, Ordering::SeqCst) {
        0..3 => api.answer(request),
        _ => problem(401, Code::Unauthenticated, "this certificate was taken back"),
    });
    let url = format!("{}?credentials={}", server.url, world.credentials(ACCOUNT).display());
    let repository = RemoteRepository::open(url.parse().unwrap(), LIMITS);
    let mut connection = repository.connect(0).unwrap();
    connection.create_group(GROUP, &Default::default()).unwrap();
    connection.rights(GROUP).unwrap();
    for _ in 0..2 {
        let error = connection.list(GROUP, Room::Keys).unwrap_err();
        assert!(matches!(&error, RepositoryError::Denied { .. }), "{error:?}");
        assert!(error.to_string().contains("taken back"), "{error}");
    }
    let error = repository.connect(0).unwrap_err();
    assert!(matches!(error, RepositoryError::Denied { .. }), "{error:?}");
}

/// What is made of an answer to one request, after a good one to the first.
fn then(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Box<dyn dkm::repository::Replica> {
    let world = World::new(1);
    let api = Api::new(world.repository.clone(), 0, world.authority.clone());
    let server = Server::tls(&world.authority, move |request| match request.path.as_str() {
        "/v1/repository" => api.answer(request),
        _ => answer(),
    });
    let url = format!("{}?credentials={}", server.url, world.credentials(ACCOUNT).display());
    RemoteRepository::open(url.parse().unwrap(), LIMITS).connect(0).unwrap()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn lists_that_cannot_be_are_none() {
    let view = |whole, slot: &str, stamp: &str, mark: &str| {
        let entries = vec![wire::RoomEntry { slot: slot.to_owned(), stamp: stamp.to_owned() }];
        json(&wire::RoomView { whole, entries, mark: mark.to_owned() })
    };
    for body in [
        view(true, "../../etc", "00", "m"),
        view(true, "", "00", "m"),
        view(true, "a", "", "m"),
        view(true, "a", "00?stamp=11", "m"),
        view(true, "a", &"0".repeat(2_000), "m"),
        view(true, "a", "00", &"m".repeat(2_000)),
        view(false, "a", "00", "m"),
        r#"{"whole":true,"entries":[{}],"mark":"m"}"#.to_owned(),
    ] {
        let shown = body.clone();
        let mut connection = then(move || Answer::Json(200, body.clone()));
        let error = connection.changes(GROUP, Room::Keys, None).unwrap_err();
        assert!(matches!(error, RepositoryError::Unavailable { .. }), "{shown}: {error:?}");
        assert!(connection.list(GROUP, Room::Keys).is_err(), "{shown}");
    }
    // A mark that says nothing is none, and any text can be one.
    let mut connection = then(move || Answer::Json(200, view(true, "a", "00", "")));
    assert_eq!(connection.changes(GROUP, Room::Keys, None).unwrap().mark, None);
    connection.changes(GROUP, Room::Keys, Some(b"&?#/../ \r\nX: y")).unwrap();
}

#[test]
fn records_that_cannot_be_are_unreadable_and_not_shown() {
    let entry = Entry { name: "a".parse().unwrap(), stamp: b"00".to_vec() };
    let view = |record: String| {
        let stored = wire::StoredView {
            record: record.into(),
            public_only: false,
            creator: "service:x".to_owned(),
            created_ms: 0,
        };
        json(&stored)
    };
    for record in ["%%%SECRET", "U0VDUkVU=", &"QUFB".repeat(40_000)] {
        let body = view(record.to_owned());
        let error = then(move || Answer::Json(200, body.clone())).get(GROUP, Room::Keys, &entry).unwrap_err();
        assert!(matches!(error, RepositoryError::Unreadable { .. }), "{error:?}");
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
    for body in [
        r#"{"record":["SECRET"],"public_only":false,"creator":"x","created_ms":0}"#,
        r#"{"record":"U0VD","public_only":"SECRET","creator":"x","created_ms":0}"#,
        r#"{"record":"U0VD","public_only":false,"creator":"x","created_ms":"SECRET"}"#,
    ] {
        let error =
            then(move || Answer::Json(200, body.to_owned())).get(GROUP, Room::Keys, &entry).unwrap_err();
        unavailable(&error, "not understood");
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
    // One record that can't be served is not the whole room.
    let unreadable = || problem(500, Code::Unreadable, "its page is damaged");
    let error = then(unreadable).get(GROUP, Room::Keys, &entry).unwrap_err();
    assert!(matches!(error, RepositoryError::Unreadable { .. }), "{error:?}");
    // Stamps of another kind of repository name nothing here.
    let odd = Entry { stamp: vec![0xff, 0xfe], ..entry };
    let error = then(unreadable).get(GROUP, Room::Keys, &odd).unwrap_err();
    assert!(matches!(error, RepositoryError::NotFound { .. }), "{error:?}");
}

#[test]
fn a_put_whose_answer_is_lost_is_not_sent_again() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let mut connection = then(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Answer::Raw(Vec::new())
    });
    let put = connection.put(GROUP, Room::Keys, &"a".parse().unwrap(), b"x");
    unavailable(&put.unwrap_err(), "ended the connection");
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[test]
fn a_connection_that_was_kept_too_long_is_made_anew_for_what_is_read() {
    let world = World::new(1);
    let repository = world.open(ACCOUNT);
    let mut first = repository.connect(0).unwrap();
    first.create_group(GROUP, &Default::default()).unwrap();
    first.release();
    // Another store in its place is another replica.
    let count = Arc::new(AtomicUsize::new(0));
    let (asks, api) = (count.clone(), Api::new(world.repository.clone(), 0, world.authority.clone()));
    let server = Server::tls(&world.authority, move |request| match asks.fetch_add(1, Ordering::SeqCst) {
        1 | 4 => Answer::Raw(Vec::new()),
        5 => Answer::Json(
            200,
            json(&wire::RepositoryView {
                repository: dkm_core::RepositoryId([1; 16]).to_string(),
                replica: dkm_core::ReplicaId([2; 16]).to_string(),
                clock_ms: 0,
                account: String::new(),
            }),
        ),
        _ => api.answer(request),
    });
    let url = format!("{}?credentials={}", server.url, world.credentials(ACCOUNT).display());
    let mut connection = RemoteRepository::open(url.parse().unwrap(), LIMITS).connect(0).unwrap();
    connection.rights(GROUP).unwrap();
    assert_eq!(server.connections(), 2);
    unavailable(&connection.rights(GROUP).unwrap_err(), "in the place of");
}
