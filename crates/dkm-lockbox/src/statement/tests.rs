use std::collections::BTreeMap;

use dkm_core::{Context, GroupId, InstanceId, RequestId};
use proptest::prelude::*;

use super::*;
use crate::request::{Mode, Requester};
use crate::testing::{T0, request};

#[test]
fn a_statement_says_all_that_is_asked_for() {
    let mut request = request();
    if let Some(scope) = &mut request.scope {
        scope.blobs = vec![Digest([7; 32])];
        scope.context = Context::new().with("account", "alice \"a\"").unwrap().with("box", "in").unwrap();
    }
    let text = statement(&request, Decision::Approve, "legal", "carol");
    assert_eq!(
        text,
        "dkm-approval: 1\n\
         instance: 04040404-0404-0404-0404-040404040404\n\
         request: 03030303-0303-0303-0303-030303030303\n\
         decision: approve\n\
         level: \"legal\"\n\
         group: 05050505-0505-0505-0505-050505050505\n\
         policy: 0101010101010101010101010101010101010101010101010101010101010101\n\
         roster: 0202020202020202020202020202020202020202020202020202020202020202\n\
         requester: \"mallory\"\n\
         requester-account: \"account-mallory\"\n\
         approver: \"carol\"\n\
         reason: \"mail of account 17 is not fetched\"\n\
         ticket: \"INC-4711\"\n\
         mode: brokered\n\
         break-glass: no\n\
         scope-blob: 0707070707070707070707070707070707070707070707070707070707070707\n\
         scope-context: \"account\" = hex:616c69636520226122\n\
         scope-context: \"box\" = \"in\"\n\
         scope-count: 2\n\
         scope-bytes: 1000\n\
         duration: 1800 s\n\
         made: 2027-01-15T08:00:00.000Z\n\
         not-after: 2027-01-16T08:00:00.000Z\n\
         activation-window: 3600 s\n"
    );
    request.mode = Mode::Direct;
    request.scope = None;
    let text = statement(&request, Decision::Deny, "legal", "carol");
    assert!(text.contains("decision: deny\n") && text.contains("mode: direct\n"));
    assert!(text.contains("scope: every key of the group\n"));
}

#[test]
fn times_beyond_any_calendar_are_told() {
    assert_eq!(time(T0), "2027-01-15T08:00:00.000Z");
    assert_eq!(time(Timestamp(u64::MAX)), "18446744073709551615 ms");
}

fn small_text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "a\"", "hex:61", "a\nreason: b", "\\", "é", "\u{202E}"])
        .prop_map(str::to_owned)
}

fn small_request() -> impl Strategy<Value = Request> {
    let texts = (small_text(), small_text(), small_text(), small_text());
    let scope = prop::option::of((
        prop::collection::btree_set(0u8..3, 0..3),
        prop::collection::btree_map(prop::sample::select(vec!["k", "k\" = \""]), small_text(), 0..3),
        1u64..3,
    ));
    (texts, scope, 0u8..2, any::<bool>(), 1u64..3, 1u64..3).prop_map(
        |((person, account, reason, ticket), scope, id, break_glass, duration_s, window)| Request {
            id: RequestId([id; 16]),
            instance: InstanceId([id; 16]),
            group: GroupId([id; 16]),
            requester: Requester { person, account },
            reason,
            ticket,
            mode: if scope.is_some() { Mode::Brokered } else { Mode::Direct },
            scope: scope.map(|(blobs, pairs, count_max)| Scope {
                blobs: blobs.into_iter().map(|blob| Digest([blob; 32])).collect(),
                context: pairs
                    .iter()
                    .fold(Context::new(), |context, (key, value)| context.with(key, value).unwrap()),
                count_max,
                bytes_max: count_max,
            }),
            break_glass,
            duration_s,
            activation_window_s: window,
            ..request()
        },
    )
}

proptest! {
    // Whatever is signed, is signed of one request, decision, level and approver only, whether or not they pass the
    // checks of a request.
    #[test]
    fn different_requests_have_different_statements(
        all in prop::collection::vec((small_request(), any::<bool>(), small_text(), small_text()), 2..40),
    ) {
        let mut known = BTreeMap::new();
        for (request, deny, level, approver) in all {
            let decision = if deny { Decision::Deny } else { Decision::Approve };
            let text = statement(&request, decision, &level, &approver);
            prop_assert!(text.lines().all(|line| line.contains(": ")));
            let said = (request, decision, level, approver);
            let before = known.entry(text).or_insert_with(|| said.clone());
            prop_assert_eq!(&*before, &said);
        }
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(request in small_request(), deny: bool, level in small_text(), who in small_text()) {
        let decision = if deny { Decision::Deny } else { Decision::Approve };
        let said = Statement { request, decision, level, approver: who };
        match Statement::parse(&said.text()) {
            Ok(read) => prop_assert_eq!(read, said),
            Err(StatementError::Request(_)) => prop_assert!(said.request.check().is_err()),
            Err(why) => prop_assert!(false, "{}: {}", why, said.text()),
        }
    }

    #[test]
    fn a_changed_statement_is_another_or_none(place: prop::sample::Index, with: char) {
        let said = Statement {
            request: request(),
            decision: Decision::Approve,
            level: "legal".into(),
            approver: "carol".into(),
        };
        let mut text: Vec<char> = said.text().chars().collect();
        let place = place.index(text.len());
        text[place] = with;
        let text: String = text.into_iter().collect();
        if let Ok(read) = Statement::parse(&text) {
            prop_assert_eq!(read.text(), text.clone());
            prop_assert_eq!(read == said, text == said.text());
        }
    }
}

#[test]
fn what_is_no_statement_says_why() {
    let text = statement(&request(), Decision::Approve, "legal", "carol");
    assert!(Statement::parse(&text).is_ok());
    let odd = [
        (text.replace("dkm-approval: 1", "dkm-approval: 2"), StatementError::Version("2".into())),
        (format!("{text}more: 1\n"), StatementError::Longer),
        (text.replace("mode: brokered\n", ""), StatementError::Line("mode")),
        (text.replace("1800 s", "+1800 s"), StatementError::NotCanonical),
        (text.replace("\"legal\"", "hex:6c6567616c"), StatementError::NotCanonical),
        (text.trim_end().to_owned(), StatementError::Line("activation-window")),
        (" ".repeat(200_000), StatementError::TooLong(200_000)),
    ];
    for (text, why) in odd {
        assert_eq!(Statement::parse(&text), Err(why), "{text}");
    }
}
