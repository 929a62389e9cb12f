use dkm_core::{Digest, InstanceId};
use dkm_lockbox::Requester;

use super::*;

fn request(id: u8, reason: &str) -> Request {
    Request {
        id: RequestId([id; 16]),
        instance: InstanceId([4; 16]),
        group: GroupId([5; 16]),
        policy: vec![Digest([1; 32])],
        roster: vec![Digest([2; 32])],
        requester: Requester { person: "alice".into(), account: "person:alice".into() },
        reason: reason.into(),
        ticket: String::new(),
        mode: Mode::Direct,
        scope: None,
        break_glass: false,
        duration_s: 1,
        made: Timestamp(1),
        not_after: Timestamp(2),
        activation_window_s: 1,
    }
}

fn told(records: &[Record]) -> RequestView {
    RequestView {
        request: RequestId([3; 16]).to_string(),
        group: GroupId([5; 16]).to_string(),
        status: "approved\u{1b}[2J".into(),
        status_text: "approved\u{202e}".into(),
        records: records.iter().map(|record| BASE64_STANDARD.encode(record.encode())).collect(),
        missing: Vec::new(),
        domain: None,
        until_ms: None,
    }
}

fn first(request: Request) -> Record {
    Record {
        request: request.id,
        number: 0,
        event: Event::Requested { request: Box::new(request), submitted: None },
    }
}

#[test]
fn a_server_s_words_beside_the_records_move_no_terminal() {
    let asked = Asked::from_view(told(&[first(request(3, "x"))]), Some(RequestId([3; 16]))).unwrap();
    let text: String = asked.facts(None).iter().map(|(_, value)| value.as_str()).collect();
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    assert!(text.contains("approved<U+202E> (as the server says)"), "{text:?}");
    assert_eq!(asked.json(None)["status_verified"], false);
}

#[test]
fn records_that_are_not_those_of_the_request_are_not_shown() {
    let id = Some(RequestId([3; 16]));
    let later =
        Record { request: RequestId([3; 16]), number: 2, event: Event::Withdrawn { at: Timestamp(1) } };
    for records in [
        vec![],
        vec![first(request(4, "x"))],
        vec![first(request(3, "a\u{202e}b"))],
        vec![first(request(3, ""))],
        vec![first(request(3, "x")), later.clone()],
        vec![later],
    ] {
        let failure = Asked::from_view(told(&records), id).err().unwrap();
        assert_eq!(failure.exit_code, 5, "{}", failure.message);
    }
    let mut garbage = told(&[first(request(3, "x"))]);
    garbage.records[0].replace_range(0..4, "AAAA");
    assert_eq!(Asked::from_view(garbage, id).err().unwrap().exit_code, 5);
}
