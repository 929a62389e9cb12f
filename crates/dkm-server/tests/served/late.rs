//! A request that goes on for long does nothing that its sender may not do any more.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use dkm_remote::wire::{Kind, NewPrincipal};

use crate::daemon::{Daemon, database};

#[test]
fn an_administrator_who_is_disabled_does_not_finish_what_he_has_begun() {
    let daemon = Daemon::start();
    // Whoever runs this test, as a person.
    let uids = vec![rustix::process::geteuid().as_raw()];
    let new = NewPrincipal { kind: Kind::Person, uids, administrator: true, auditor: false };
    daemon.directory().add_principal("person:me", &new).unwrap();

    let body = br#"{"kind":"person","administrator":true}"#;
    let mut stream = UnixStream::connect(daemon.path("socket")).unwrap();
    let head = format!(
        "PUT /v1/principals/person:friend HTTP/1.1\r\nhost: dkmd\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It is known who asks: now the server waits for the body.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    daemon.directory().disable_principal("person:me").unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let friends = "SELECT count(*) FROM principals WHERE account = 'person:friend'";
    let friends: i64 = database(&daemon.data()).query_row(friends, [], |row| row.get(0)).unwrap();
    assert_eq!(friends, 0);
}
