//! Answers of somebody who is not known.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use super::*;

/// An object without attributes, as an answer to the first request.
const ENTRY: &[u8] = &[0x30, 9, 2, 1, 1, 0x64, 4, 4, 0, 0x30, 0];
/// The end of the answer: success.
const DONE: &[u8] = &[0x30, 12, 2, 1, 1, 0x65, 7, 0x0A, 1, 0, 4, 0, 4, 0];

/// Asks somebody who answers the first question with these bytes and then waits for the client to go.
fn asked(answer: &[u8]) -> Result<Option<Found>, LdapError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            assert!(client.read(&mut [0; 1024]).unwrap() > 0);
            // It may be gone already.
            let _ = client.write_all(answer);
            while matches!(client.read(&mut [0; 1024]), Ok(1..)) {}
        });
        ask_unsigned(&[address], &Search::base("", vec!["netlogon"]), Duration::from_secs(60))
    })
}

#[test]
fn a_stranger_answers_with_one_object_and_not_with_64_kib() {
    assert!(asked(&[ENTRY, DONE].concat()).unwrap().is_some());
    assert!(asked(DONE).unwrap().is_none());
    // It is refused at its head: the rest never comes.
    let longest = u32::try_from(UNSIGNED_LEN_MAX).unwrap();
    for len in [longest, 1 << 24, u32::MAX >> 1] {
        let head = [&[0x30, 0x84][..], &len.to_be_bytes()].concat();
        let error = asked(&head).unwrap_err();
        assert!(matches!(&error, LdapError::Protocol(why) if why.contains("too long")), "{len}: {error:?}");
    }
    let error = asked(&[ENTRY, ENTRY, DONE].concat()).unwrap_err();
    assert!(matches!(&error, LdapError::Protocol(why) if why.contains("more than 1 object")), "{error:?}");
    // An answer to a question that was not asked is not kept.
    let mut other = ENTRY.to_vec();
    other[4] = 2;
    let error = asked(&[&other, DONE].concat()).unwrap_err();
    assert!(matches!(&error, LdapError::Protocol(_)), "{error:?}");
}
