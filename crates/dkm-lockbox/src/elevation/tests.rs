use dkm_core::record::Person;
use dkm_core::roster::Roster;
use dkm_core::{Context, Digest, GroupId, InstanceId, Timestamp};

use super::*;
use crate::testing::{
    ALL, HOUR_MS, ROSTER, T0, answer, approved_by, ask, begun, context, force_in, in_force, request, roster,
    sign,
};
use crate::{Decision, Lockbox, Mode, Refusal, RequestError, Scope, statement};

const MALLORY: &str = "account-mallory";
const BLOB: Digest = Digest([9; 32]);

fn active(request: Request) -> Elevation {
    let roster = roster();
    let mut elevation = approved_by(request, ALL);
    let event = elevation.activate(MALLORY, T0, &in_force(&roster)).unwrap();
    elevation.apply(&event).unwrap();
    elevation
}

type Forge = fn(&mut Request);

#[test]
fn the_whole_way() {
    let roster = roster();
    let force = in_force(&roster);
    let mut elevation = approved_by(request(), &ALL[..2]);
    assert_eq!(elevation.status(T0, &force), Status::Pending);
    let missing = elevation.missing(&force).unwrap();
    assert_eq!((missing.len(), missing[0].0.name.as_str(), missing[0].1), (1, "legal", 1));
    let refused = elevation.activate(MALLORY, T0, &force);
    assert_eq!(refused, Err(Refusal::Status { status: Status::Pending }));
    let last = answer(elevation.request(), "dave", "legal", Decision::Approve);
    let at = T0.plus(HOUR_MS);
    let event = elevation.answer(last, at, &force).unwrap();
    elevation.apply(&event).unwrap();
    // The time runs from the activation, not from the request or the approval.
    let at = at.plus(HOUR_MS - 1);
    assert_eq!(elevation.status(at, &force), Status::Approved { until: at.plus(1) });
    let event = elevation.activate(MALLORY, at, &force).unwrap();
    elevation.apply(&event).unwrap();
    let until = at.plus(1_800_000);
    assert_eq!(elevation.goes_on(MALLORY, until.minus(1), &force), Ok(until));
    let event = elevation.open(MALLORY, BLOB, &context(), 10, until.minus(1), &force).unwrap();
    elevation.apply(&event).unwrap();
    assert_eq!(elevation.used(), (1, 10));
    assert_eq!(elevation.status(until, &force), Status::Ended(Ending::Finished));
    for refused in [
        elevation.open(MALLORY, BLOB, &context(), 10, until, &force).unwrap_err(),
        elevation.activate(MALLORY, until, &force).unwrap_err(),
        elevation.goes_on(MALLORY, until, &force).unwrap_err(),
    ] {
        assert_eq!(refused, Refusal::Status { status: Status::Ended(Ending::Finished) });
    }
    assert!(!elevation.review_is_due());
}

#[test]
fn a_request_is_what_the_roster_allows_to_whoever_asks() {
    let roster = roster();
    let begin = |request: Request, account: &str| {
        Lockbox::default().begin(request.id, ask(&request), account, T0, &in_force(&roster))
    };
    assert!(begin(request(), MALLORY).is_ok());
    for account in ["account-of-nobody", "mallory", ""] {
        assert!(begin(request(), account).is_err(), "{account}");
    }
    let with = |change: fn(&mut Request)| {
        let mut request = request();
        change(&mut request);
        begin(request, MALLORY).unwrap_err()
    };
    assert_eq!(with(|r| r.duration_s = 3_601), Refusal::TooLong { asked_s: 3_601, max_s: 3_600 });
    // Also when such a request came to be recorded.
    let forged: [(Ending, Forge); 11] = [
        (Ending::Invalid, |r| r.not_after = T0.plus(48 * HOUR_MS)),
        (Ending::Invalid, |r| r.activation_window_s = 7_200),
        (Ending::Invalid, |r| r.made = T0.plus(1)),
        (Ending::Invalid, |r| r.duration_s = 3_601),
        (Ending::Invalid, |r| r.instance = InstanceId([9; 16])),
        (Ending::Invalid, |r| r.group = GroupId([9; 16])),
        (Ending::Invalid, |r| r.requester.person = "erin".into()),
        (Ending::Invalid, |r| r.requester.account = "account-of-nobody".into()),
        (Ending::Invalid, |r| r.reason = "pay \u{202E}lla".into()),
        (Ending::Void, |r| r.policy = vec![Digest([8; 32])]),
        (Ending::Void, |r| r.roster = vec![ROSTER, Digest([8; 32])]),
    ];
    for (how, change) in forged {
        let mut request = request();
        change(&mut request);
        let mut elevation = begun(request.clone());
        for (who, place) in ALL {
            let answer = answer(&request, who, place, Decision::Approve);
            force_in(&mut elevation, Event::Answered { at: T0, answer });
        }
        assert_eq!(elevation.status(T0, &in_force(&roster)), Status::Ended(how), "{request:?}");
    }
    let odd: [(&str, Forge); 12] = [
        ("reason", |r| r.reason = " ".into()),
        ("reason", |r| r.reason = "ok\nmode: brokered".into()),
        ("reason", |r| r.reason = "pay \u{202E}lla".into()),
        ("reason", |r| r.reason = "x".repeat(4097)),
        ("ticket", |r| r.ticket = "x".repeat(257)),
        ("ticket", |r| r.ticket = "INC\u{200B}1".into()),
        ("scope", |r| r.scope = None),
        ("scope", |r| r.mode = Mode::Direct),
        ("scope", |r| r.scope.as_mut().unwrap().context = Context::new()),
        ("scope", |r| r.scope.as_mut().unwrap().blobs = vec![BLOB, BLOB]),
        ("scope", |r| r.scope.as_mut().unwrap().count_max = 0),
        ("duration", |r| r.duration_s = 0),
    ];
    for (field, change) in odd {
        let refused = with(change);
        let Refusal::Request(RequestError { field: found, .. }) = &refused else { panic!("{refused}") };
        assert_eq!(*found, field, "{refused}");
    }
}

#[test]
fn what_the_roster_has_no_rules_for_is_refused() {
    let begin = |request: Request, roster: &Roster| {
        Lockbox::default().begin(request.id, ask(&request), MALLORY, T0, &in_force(roster))
    };
    let mut bare = roster();
    bare.elevation = None;
    let refused = begin(request(), &bare).unwrap_err();
    assert_eq!(refused, Refusal::NotAllowed { what: "elevated access" });
    let mut narrow = roster();
    if let Some(rules) = &mut narrow.elevation {
        rules.direct = None;
        rules.break_glass = None;
    }
    let direct = || Request { mode: Mode::Direct, scope: None, ..request() };
    for asked in [direct(), Request { break_glass: true, ..request() }] {
        assert!(matches!(begin(asked, &narrow), Err(Refusal::NotAllowed { .. })));
    }
    let mut free = roster();
    free.levels.clear();
    assert!(begin(request(), &free).is_err());
    // Two people of one account.
    let mut twice = roster();
    twice.persons.push(Person { id: "zoe".into(), keys: Vec::new(), accounts: vec![MALLORY.into()] });
    let refused = begin(request(), &twice).unwrap_err();
    assert_eq!(refused, Refusal::UnknownPerson { account: MALLORY.into() });
}

#[test]
fn whoever_asks_does_not_decide() {
    let roster = roster();
    let elevation = approved_by(request(), &[]);
    // Mallory is an approver at this level.
    let own = answer(elevation.request(), "mallory", "manager", Decision::Approve);
    let refused = elevation.answer(own, T0, &in_force(&roster)).unwrap_err();
    assert_eq!(refused, Refusal::OwnRequest { person: "mallory".into() });
    // Under a second name: with an account of his, or with a key of his and another comment.
    let zoe = |key: &str, account: &str| Person {
        id: "zoe".into(),
        keys: vec![key.into()],
        accounts: vec![account.into()],
    };
    for (zoe, key) in [
        (zoe("key of-zoe", "account-mallory-admin"), "key of-zoe"),
        (zoe("key of-mallory again", "account-zoe"), "key of-mallory again"),
    ] {
        let mut second = roster.clone();
        second.persons[5].accounts.push("account-mallory-admin".into());
        second.persons[5].keys = vec!["key of-mallory".into()];
        second.persons.push(zoe);
        second.levels[0].approvers.push("zoe".into());
        let text = statement(&request(), Decision::Approve, "manager", "zoe");
        let own =
            Answer { signature: sign(key, &text), ..answer(&request(), "zoe", "manager", Decision::Approve) };
        let refused = elevation.answer(own, T0, &in_force(&second)).unwrap_err();
        assert_eq!(refused, Refusal::OwnRequest { person: "zoe".into() });
    }
    // An account that two people have is nobody's.
    let mut shared = roster.clone();
    shared.persons.push(zoe("key of-zoe", MALLORY));
    assert_eq!(elevation.status(T0, &in_force(&shared)), Status::Ended(Ending::Invalid));
}

#[test]
fn one_key_counts_once_under_whatever_name() {
    let mut roster = roster();
    roster.persons[2].keys = vec!["key one carol".into()];
    roster.persons[3].keys = vec!["key one dave".into()];
    let force = in_force(&roster);
    let mut elevation = approved_by(request(), &ALL[..1]);
    let say = |who: &str| {
        let text = statement(&request(), Decision::Approve, "legal", who);
        Answer {
            signature: sign(&format!("key one {who}"), &text),
            ..answer(&request(), who, "legal", Decision::Approve)
        }
    };
    let record = elevation.answer(say("carol"), T0, &force).unwrap();
    elevation.apply(&record).unwrap();
    let refused = elevation.answer(say("dave"), T0, &force);
    assert_eq!(refused, Err(Refusal::SameKey { person: "dave".into() }));
    force_in(&mut elevation, Event::Answered { at: T0, answer: say("dave") });
    assert_eq!(elevation.status(T0, &force), Status::Pending);
}

#[test]
fn an_approval_counts_for_one_request_one_decision_and_one_level() {
    let roster = roster();
    let force = in_force(&roster);
    let elevation = approved_by(request(), &[]);
    let good = answer(&request(), "alice", "manager", Decision::Approve);
    assert!(elevation.answer(good.clone(), T0, &force).is_ok());
    let others: [fn(&mut Request); 8] = [
        |r| r.id.0[0] ^= 1,
        |r| r.instance.0[0] ^= 1,
        |r| r.reason.push('.'),
        |r| r.duration_s += 1,
        |r| r.requester.account.push('x'),
        |r| r.scope.as_mut().unwrap().bytes_max += 1,
        |r| r.break_glass = true,
        |r| r.policy = vec![Digest([8; 32])],
    ];
    for change in others {
        let mut other = request();
        change(&mut other);
        let replayed = answer(&other, "alice", "manager", Decision::Approve);
        assert_eq!(
            elevation.answer(replayed, T0, &force),
            Err(Refusal::Signature { person: "alice".into() })
        );
    }
    for odd in [
        Answer { level: "legal".into(), ..good.clone() },
        Answer { approver: "bob".into(), ..good.clone() },
        Answer { decision: Decision::Deny, ..good.clone() },
        Answer {
            signature: sign("key-bob", &statement(&request(), Decision::Approve, "manager", "alice")),
            ..good
        },
    ] {
        assert!(matches!(elevation.answer(odd, T0, &force), Err(Refusal::Signature { .. })));
    }
    let strangers = [("carol", "manager"), ("erin", "manager"), ("nobody", "manager"), ("alice", "privacy")];
    for (who, place) in strangers {
        let stray = answer(&request(), who, place, Decision::Approve);
        assert!(matches!(elevation.answer(stray, T0, &force), Err(Refusal::NotAnApprover { .. })), "{who}");
    }
}

#[test]
fn levels_approve_in_order_by_different_people() {
    let roster = roster();
    let force = in_force(&roster);
    let say = |elevation: &Elevation, who: &str, level: &str| {
        elevation.answer(answer(&request(), who, level, Decision::Approve), T0, &force)
    };
    let elevation = approved_by(request(), &[]);
    assert_eq!(say(&elevation, "carol", "legal"), Err(Refusal::NotYet { level: "manager".into() }));
    // Alice stands at both levels, and is one person.
    let elevation = approved_by(request(), &[("alice", "manager")]);
    let answered = Refusal::Answered { person: "alice".into(), level: "manager".into() };
    assert_eq!(say(&elevation, "alice", "legal"), Err(answered.clone()));
    assert_eq!(say(&elevation, "alice", "manager"), Err(answered));
    assert!(
        matches!(say(&elevation, "bob", "manager"), Err(Refusal::Complete { .. })),
        "the level has all it needs"
    );
    assert!(say(&elevation, "carol", "legal").is_ok());
    // Even if such answers came to be recorded, they count once.
    let mut forged = elevation;
    for (who, place) in [("alice", "legal"), ("carol", "legal"), ("carol", "legal")] {
        force_in(
            &mut forged,
            Event::Answered { at: T0, answer: answer(&request(), who, place, Decision::Approve) },
        );
    }
    assert_eq!(forged.status(T0, &force), Status::Pending);
}

#[test]
fn a_denial_or_revocation_beats_any_approval() {
    let roster = roster();
    let force = in_force(&roster);
    let deny =
        |level| answer(&request(), if level == "manager" { "alice" } else { "carol" }, level, Decision::Deny);
    for mut elevation in [
        approved_by(request(), &[]),
        approved_by(request(), &ALL[..1]),
        approved_by(request(), ALL),
        active(request()),
    ] {
        // Out of turn, too, and by somebody who has approved.
        let event = elevation.answer(deny("legal"), T0, &force).unwrap();
        elevation.apply(&event).unwrap();
        assert_eq!(elevation.status(T0, &force), Status::Denied);
        assert!(elevation.activate(MALLORY, T0, &force).is_err());
        assert!(elevation.open(MALLORY, BLOB, &context(), 1, T0, &force).is_err());
        assert!(elevation.answer(deny("manager"), T0, &force).is_err());
    }
    for account in [MALLORY, "account-erin", "account-bob", "account-carol"] {
        let mut elevation = active(request());
        let event = elevation.revoke(account, T0, &force).unwrap();
        elevation.apply(&event).unwrap();
        assert_eq!(elevation.status(T0, &force), Status::Revoked);
        assert!(elevation.revoked_by().is_some());
        assert!(elevation.goes_on(MALLORY, T0, &force).is_err());
    }
    let stranger = Person { id: "zoe".into(), keys: Vec::new(), accounts: vec!["account-zoe".into()] };
    let mut larger = roster.clone();
    larger.persons.push(stranger);
    assert!(matches!(
        active(request()).revoke("account-zoe", T0, &in_force(&larger)),
        Err(Refusal::NotYours { .. })
    ));
}

#[test]
fn what_is_not_answered_or_used_in_time_ends() {
    let roster = roster();
    let force = in_force(&roster);
    let end = T0.plus(24 * HOUR_MS);
    let elevation = approved_by(request(), &ALL[..2]);
    assert_eq!(elevation.status(end.minus(1), &force), Status::Pending);
    assert_eq!(elevation.status(end, &force), Status::Ended(Ending::Expired));
    let late = answer(&request(), "dave", "legal", Decision::Approve);
    assert!(elevation.answer(late.clone(), end, &force).is_err());
    // A late approval that came to be recorded does not count.
    let mut forged = elevation;
    force_in(&mut forged, Event::Answered { at: end, answer: late });
    assert_eq!(forged.status(end, &force), Status::Ended(Ending::Expired));
    let approved = approved_by(request(), ALL);
    assert_eq!(approved.status(T0.plus(HOUR_MS), &force), Status::Ended(Ending::Lapsed));
    assert!(approved.activate(MALLORY, T0.plus(HOUR_MS), &force).is_err());
}

#[test]
fn a_change_of_policy_or_roster_voids_it() {
    let roster = roster();
    let other = [Digest([8; 32])];
    for elevation in [approved_by(request(), &[]), approved_by(request(), ALL), active(request())] {
        for changed in [
            InForce { policy: &other, ..in_force(&roster) },
            InForce { rosters: &other, ..in_force(&roster) },
        ] {
            assert_eq!(elevation.status(T0, &changed), Status::Ended(Ending::Void));
            assert!(elevation.goes_on(MALLORY, T0, &changed).is_err());
        }
    }
    // Whoever lost his place as an approver approves nothing, even where nobody noticed the change.
    let mut without = roster;
    without.levels[0].approvers = vec!["alice".into()];
    assert_eq!(active(request()).status(T0, &in_force(&without)), Status::Ended(Ending::Invalid));
    assert_eq!(approved_by(request(), ALL).status(T0, &in_force(&without)), Status::Pending);
}

#[test]
fn a_grant_opens_what_it_names_and_no_more() {
    let roster = roster();
    let force = in_force(&roster);
    let mut named = request();
    named.scope = Some(Scope { blobs: vec![BLOB], context: context(), count_max: 2, bytes_max: 100 });
    let mut elevation = active(named);
    let open = |elevation: &Elevation, who: &str, blob, context: &Context, bytes| {
        elevation.open(who, blob, context, bytes, T0, &force)
    };
    let wider = context().with("folder", "inbox").unwrap();
    let others = Context::new().with("account", "18").unwrap();
    assert!(open(&elevation, MALLORY, BLOB, &wider, 1).is_ok(), "a blob may have more context");
    for (who, blob, context) in [
        (MALLORY, BLOB, &others),
        (MALLORY, Digest([8; 32]), &wider),
        (MALLORY, BLOB, &Context::new()),
        ("account-bob", BLOB, &wider),
    ] {
        assert!(open(&elevation, who, blob, context, 1).is_err());
    }
    assert_eq!(open(&elevation, MALLORY, BLOB, &wider, 101), Err(Refusal::UsedUp { what: "bytes" }));
    assert!(open(&elevation, MALLORY, BLOB, &wider, u64::MAX).is_err());
    for bytes in [60, 40] {
        let event = open(&elevation, MALLORY, BLOB, &wider, bytes).unwrap();
        elevation.apply(&event).unwrap();
    }
    assert_eq!(open(&elevation, MALLORY, BLOB, &wider, 0), Err(Refusal::UsedUp { what: "blobs" }));
}

#[test]
fn direct_access_takes_more_levels_and_opens_nothing_through_the_server() {
    let roster = roster();
    let force = in_force(&roster);
    let direct = Request { mode: Mode::Direct, scope: None, ..request() };
    let mut elevation = approved_by(direct, ALL);
    assert_eq!(elevation.missing(&force).unwrap()[0].0.name, "privacy");
    let last = answer(elevation.request(), "erin", "privacy", Decision::Approve);
    let event = elevation.answer(last, T0, &force).unwrap();
    elevation.apply(&event).unwrap();
    let event = elevation.activate(MALLORY, T0, &force).unwrap();
    elevation.apply(&event).unwrap();
    assert!(elevation.goes_on(MALLORY, T0, &force).is_ok());
    assert!(matches!(
        elevation.open(MALLORY, BLOB, &context(), 1, T0, &force),
        Err(Refusal::OutOfScope { .. })
    ));
}

#[test]
fn an_emergency_takes_its_own_levels_and_is_reviewed() {
    let roster = roster();
    let force = in_force(&roster);
    let mut elevation = approved_by(Request { break_glass: true, ..request() }, &[("erin", "on call")]);
    assert!(elevation.review("account-erin", T0, &force).is_err(), "nothing was done yet");
    let event = elevation.activate(MALLORY, T0, &force).unwrap();
    elevation.apply(&event).unwrap();
    assert!(elevation.review_is_due());
    assert!(elevation.review(MALLORY, T0, &force).is_err(), "not by himself");
    // Long after it has ended, too.
    let event = elevation.review("account-carol", T0.plus(900 * HOUR_MS), &force).unwrap();
    elevation.apply(&event).unwrap();
    assert!(!elevation.review_is_due());
    // The approvals of an ordinary request are none of an emergency.
    let ordinary = answer(&request(), "erin", "on call", Decision::Approve);
    let refused = approved_by(request(), &[]).answer(ordinary, T0, &force);
    assert!(matches!(refused, Err(Refusal::NotAnApprover { .. })));
}

#[test]
fn a_second_activation_moves_nothing() {
    let roster = roster();
    let force = in_force(&roster);
    let mut elevation = active(request());
    let until = T0.plus(1_800_000);
    let later = Timestamp(until.0 - 1);
    assert!(elevation.activate(MALLORY, later, &force).is_err());
    force_in(&mut elevation, Event::Activated { at: later, until: later.plus(1_800_000) });
    assert_eq!(elevation.status(later, &force), Status::Active { until });
    assert_eq!(elevation.status(until, &force), Status::Ended(Ending::Finished));
    // And one that no approval stands behind gives nothing.
    let mut forged = approved_by(request(), &ALL[..2]);
    force_in(&mut forged, Event::Activated { at: T0, until });
    assert_eq!(forged.status(T0, &force), Status::Ended(Ending::Invalid));
}

#[test]
fn a_withdrawn_request_is_over() {
    let roster = roster();
    let force = in_force(&roster);
    let mut elevation = approved_by(request(), ALL);
    assert!(elevation.withdraw("account-bob", T0, &force).is_err());
    let event = elevation.withdraw(MALLORY, T0, &force).unwrap();
    elevation.apply(&event).unwrap();
    assert_eq!(elevation.status(T0, &force), Status::Withdrawn);
    assert!(elevation.activate(MALLORY, T0, &force).is_err());
    assert!(active(request()).withdraw(MALLORY, T0, &force).is_err(), "what is used is ended, not withdrawn");
}
