use dkm_core::{Context, Digest};
use proptest::prelude::*;

use super::*;
use crate::testing::{T0, answer, first, request};
use crate::{Decision, Mode, Scope};

fn all() -> Vec<Record> {
    let direct = Request { mode: Mode::Direct, scope: None, break_glass: true, ..request() };
    let scope = Scope {
        blobs: vec![Digest([1; 32]), Digest([2; 32])],
        context: Context::new().with([0xFF], [0x00]).unwrap(),
        count_max: u64::MAX,
        bytes_max: u64::MAX,
    };
    let requests = [request(), direct, Request { scope: Some(scope), ..request() }];
    let mut brought = first(request());
    if let Event::Requested { submitted, .. } = &mut brought.event {
        *submitted = Some(Submission { at: T0, by: "person:bob".into(), signature: "x".into() });
    }
    let firsts = requests.into_iter().map(first).chain([brought]);
    let answered =
        |decision| Event::Answered { at: T0, answer: answer(&request(), "bob", "manager", decision) };
    let endings = [Ending::Expired, Ending::Lapsed, Ending::Void, Ending::Finished, Ending::Invalid];
    let events = [
        answered(Decision::Approve),
        answered(Decision::Deny),
        Event::Withdrawn { at: T0 },
        Event::Activated { at: T0, until: T0.plus(1) },
        Event::Revoked { at: T0, by: "erin".into() },
        Event::Opened { at: T0, blob: Digest([9; 32]), bytes: u64::MAX },
        Event::Continued { at: T0, blob: Digest([9; 32]), bytes: 0 },
        Event::Reviewed { at: T0, by: String::new() },
        Event::UsedOffline {
            at: T0,
            usage: Usage { by: "erin".into(), from: T0, what: "restored".into(), signature: "x".into() },
            answers: vec![answer(&request(), "bob", "manager", Decision::Approve)],
        },
    ];
    let events = events.into_iter().chain(endings.map(|how| Event::Ended { at: T0, how }));
    let rest = events.enumerate().map(|(place, event)| Record {
        request: request().id,
        number: u64::try_from(place).unwrap() + 1,
        event,
    });
    firsts.chain(rest).collect()
}

#[test]
fn records_are_read_as_they_were_written() {
    for record in all() {
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes).as_ref(), Ok(&record));
        for cut in 0..bytes.len() {
            assert!(Record::decode(&bytes[..cut]).is_err(), "{record:?} {cut}");
        }
        let longer = [bytes.as_slice(), b"\0"].concat();
        assert_eq!(Record::decode(&longer), Err(RecordError::NotCanonical));
        assert!(!record.event.name().is_empty() && record.event.at() == T0);
    }
}

#[test]
fn what_this_program_does_not_know_is_told() {
    let record = Record { request: request().id, number: 1, event: Event::Withdrawn { at: T0 } };
    let bytes = record.encode();
    assert_eq!(&bytes[..2], [0x84, 1]);
    let mut newer = bytes.clone();
    newer[1] = 2;
    assert_eq!(Record::decode(&newer), Err(RecordError::UnknownVersion { version: 2 }));
    // The event: an array of its number and its fields.
    let place = bytes.len() - 11;
    assert_eq!(&bytes[place..place + 2], [0x82, 3]);
    let mut unknown = bytes;
    unknown[place + 1] = 23;
    assert!(matches!(Record::decode(&unknown), Err(RecordError::Malformed(_))));
    assert_eq!(Record::decode(&vec![0; 70_000]), Err(RecordError::TooLarge(70_000)));
}

#[test]
fn a_request_that_was_made_at_the_server_is_stored_as_ever() {
    let bytes = first(request()).encode();
    // The event: an array of its number and the request alone.
    assert_eq!(&bytes[2 + 17 + 1..][..2], [0x82, 1]);
}

proptest! {
    #[test]
    fn a_changed_record_is_another_or_none(which: prop::sample::Index, place: prop::sample::Index, bit in 0u32..8) {
        let records = all();
        let record = which.get(&records);
        let mut bytes = record.encode();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(other) = Record::decode(&bytes) {
            prop_assert_ne!(&other, record);
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn rubbish_is_no_record(bytes: Vec<u8>) {
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}
