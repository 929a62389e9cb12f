use dkm_core::RequestId;

use super::*;
use crate::testing::{HOUR_MS, POLICY, ROSTER, T0, answer, force_in, in_force, request, roster};
use crate::{Decision, Lockbox, Mode, parse_request};

const MALLORY: &str = "account-mallory";
const WINDOW_MS: u64 = HOUR_MS;

/// Who has signed what, and for what.
fn sign(who: &str, namespace: &str, text: &str) -> String {
    format!("key-{who} {namespace} {}", Digest::of(text.as_bytes()))
}

fn verify(line: &str, namespace: &str, message: &[u8], armored: &str) -> bool {
    armored == format!("{line} {namespace} {}", Digest::of(message))
        || crate::testing::verify(line, namespace, message, armored)
}

fn force(roster: &Roster) -> InForce<'_> {
    InForce { verify: &verify, ..in_force(roster) }
}

fn asked() -> Request {
    Request { break_glass: true, ..request() }
}

fn signed(request: &Request) -> String {
    sign("mallory", REQUEST_NAMESPACE, &request_statement(request))
}

fn by(who: &str) -> Answer {
    answer(&asked(), who, "on call", Decision::Approve)
}

fn usage(who: &str, from: Timestamp) -> Usage {
    let mut usage = Usage { by: who.into(), from, what: "opened two blobs".into(), signature: String::new() };
    usage.signature = sign(who, USE_NAMESPACE, &usage.statement(&asked()));
    usage
}

fn gathered(answers: &[Answer]) -> Result<Status, Refusal> {
    let roster = roster();
    gather(&asked(), &signed(&asked()), answers, T0, &force(&roster))
        .map(|gathered| gathered.elevation.status(T0, &force(&roster)))
}

#[test]
fn files_come_to_what_the_same_would_come_to_at_a_server() {
    assert_eq!(gathered(&[]), Ok(Status::Pending));
    assert_eq!(gathered(&[by("erin")]).unwrap().name(), "approved");
    // By the same file twice nothing is gained or lost.
    assert_eq!(gathered(&[by("erin"), by("erin")]).unwrap().name(), "approved");
    let deny = answer(&asked(), "erin", "on call", Decision::Deny);
    assert_eq!(gathered(&[by("erin"), deny]), Ok(Status::Denied));
    // By himself, by who is none, at another level, of another request, signed by another.
    let other = Request { reason: "harmless".into(), ..asked() };
    let forged = Answer { signature: by("alice").signature, ..by("erin") };
    for bad in [
        by("mallory"),
        by("alice"),
        answer(&asked(), "bob", "manager", Decision::Approve),
        answer(&other, "erin", "on call", Decision::Approve),
        answer(&request(), "erin", "on call", Decision::Approve),
        forged,
    ] {
        let roster = roster();
        let gathered = gather(&asked(), &signed(&asked()), &[bad], T0, &force(&roster)).unwrap();
        assert_eq!(gathered.elevation.status(T0, &force(&roster)), Status::Pending);
        assert_eq!(gathered.refused.len(), 1);
    }
}

#[test]
fn levels_approve_in_their_order_in_whatever_order_the_files_are() {
    let mut roster = roster();
    let rules = roster.elevation.as_mut().unwrap().break_glass.as_mut().unwrap();
    rules.levels = vec![
        crate::testing::level("first", &["alice", "erin"], 1),
        crate::testing::level("then", &["erin", "bob", "mallory"], 2),
    ];
    rules.levels[1].approvers.push("carol".into());
    let force = force(&roster);
    let say = |who: &str, level: &str| answer(&asked(), who, level, Decision::Approve);
    let status = |answers: &[Answer]| {
        gather(&asked(), &signed(&asked()), answers, T0, &force).unwrap().elevation.status(T0, &force).name()
    };
    assert_eq!(status(&[say("bob", "then"), say("carol", "then"), say("alice", "first")]), "approved");
    assert_eq!(status(&[say("bob", "then"), say("carol", "then")]), "pending");
    // One person counts once, the requester never.
    assert_eq!(status(&[say("erin", "first"), say("erin", "then"), say("bob", "then")]), "pending");
    assert_eq!(status(&[say("alice", "first"), say("mallory", "then"), say("bob", "then")]), "pending");
}

#[test]
fn a_request_by_file_must_be_an_emergency_signed_in_force_and_in_time() {
    let roster = roster();
    let force = force(&roster);
    let refused =
        |request: Request, at: Timestamp| gather(&request, &signed(&request), &[], at, &force).is_err();
    assert!(!refused(asked(), T0));
    for bad in [
        request(),
        Request { instance: dkm_core::InstanceId([9; 16]), ..asked() },
        Request { group: dkm_core::GroupId([9; 16]), ..asked() },
        Request { policy: vec![Digest([9; 32])], ..asked() },
        Request { roster: vec![Digest([9; 32])], ..asked() },
        Request { duration_s: 3_600, ..asked() },
        Request { not_after: T0.plus(48 * HOUR_MS), ..asked() },
        Request { activation_window_s: 7_200, ..asked() },
        Request { mode: Mode::Direct, scope: None, ..asked() },
        Request { made: T0.plus(1), not_after: T0.plus(24 * HOUR_MS + 1), ..asked() },
    ] {
        assert!(refused(bad.clone(), T0), "{bad:?}");
    }
    assert!(!refused(asked(), T0.plus(WINDOW_MS - 1)));
    // A file does not say when somebody signed.
    assert!(refused(asked(), T0.plus(WINDOW_MS)));
    for signature in [
        sign("erin", REQUEST_NAMESPACE, &request_statement(&asked())),
        sign("mallory", "dkm-approval", &request_statement(&asked())),
        signed(&Request { reason: "harmless".into(), ..asked() }),
        String::new(),
    ] {
        assert!(gather(&asked(), &signature, &[], T0, &force).is_err());
    }
    // A key of his is not enough for an account that is not his.
    let other = Request {
        requester: crate::Requester { person: "mallory".into(), account: "account-bob".into() },
        ..asked()
    };
    assert!(refused(other, T0));
}

#[test]
fn what_a_requester_signs_is_read_back_and_is_no_approval() {
    let text = request_statement(&asked());
    assert_eq!(parse_request(&text), Ok(asked()));
    assert!(crate::Statement::parse(&text).is_err());
    let approval = crate::statement(&asked(), Decision::Approve, "on call", "erin");
    assert!(parse_request(&approval).is_err());
    for (from, to) in [
        ("break-glass: yes", "break-glass: no"),
        ("duration: 1800 s", "duration: 1801 s"),
        ("INC-4711", "INC-4712"),
    ] {
        let changed = parse_request(&text.replace(from, to)).unwrap();
        assert_ne!(changed, asked());
        let roster = roster();
        assert!(gather(&changed, &signed(&asked()), &[], T0, &force(&roster)).is_err(), "{to}");
    }
    assert!(parse_request(&text.replace("duration: 1800 s", "duration: 01800 s")).is_err());
    assert!(parse_request(&(text + "x: y\n")).is_err());
}

fn admitted(now: Timestamp) -> Result<Lockbox, Refusal> {
    let roster = roster();
    let mut lockbox = Lockbox::default();
    let record = lockbox.admit(asked(), signed(&asked()), "account-bob", now, &force(&roster))?;
    lockbox.apply(&Record::decode(&record.encode()).unwrap()).unwrap();
    Ok(lockbox)
}

#[test]
fn what_comes_later_goes_on_as_what_was_asked_for_at_the_server() {
    let roster = roster();
    let force = force(&roster);
    let later = T0.plus(10 * HOUR_MS);
    let mut lockbox = admitted(later).unwrap();
    let elevation = lockbox.get(asked().id).unwrap();
    assert_eq!(elevation.signature(), Some(signed(&asked()).as_str()));
    let record = elevation.answer(by("erin"), later, &force).unwrap();
    lockbox.apply(&record).unwrap();
    let status = lockbox.get(asked().id).unwrap().status(later, &force);
    assert_eq!(
        status,
        Status::Approved { until: later.plus(WINDOW_MS) },
        "the window runs from when the server heard of it"
    );
    // Again, by whomever, and under another content.
    for request in [asked(), Request { reason: "more".into(), ..asked() }] {
        let signature = signed(&request);
        let again = lockbox.admit(request, signature, MALLORY, later, &force);
        assert_eq!(again, Err(Refusal::Taken { request: asked().id }));
    }
    // What is too late, or too early, or not in force.
    let status = |status| Err(Refusal::Status { status });
    assert_eq!(admitted(T0.plus(24 * HOUR_MS)).map(drop), status(Status::Ended(Ending::Expired)));
    assert_eq!(admitted(T0.minus(1)).map(drop), Err(Refusal::NotYetMade { made: T0 }));
    let void = Request { id: RequestId([8; 16]), policy: vec![Digest([9; 32])], ..asked() };
    let signature = signed(&void);
    assert_eq!(
        lockbox.admit(void, signature, MALLORY, later, &force).map(drop),
        status(Status::Ended(Ending::Void))
    );
    let stranger = Request { id: RequestId([8; 16]), ..asked() };
    let signature = signed(&stranger);
    assert!(matches!(
        lockbox.admit(stranger, signature, "account-of-nobody", later, &force),
        Err(Refusal::UnknownPerson { .. })
    ));
    let ordinary = Request { id: RequestId([8; 16]), ..request() };
    let signature = signed(&ordinary);
    assert!(lockbox.admit(ordinary, signature, MALLORY, later, &force).is_err());
}

#[test]
fn what_was_used_gives_nothing_more_and_is_reviewed_before_anything_else() {
    let roster = roster();
    let force = force(&roster);
    // Long after it would have expired.
    let late = T0.plus(200 * HOUR_MS);
    let mut lockbox = Lockbox::default();
    let used = usage("carol", T0.plus(5));
    let record =
        lockbox.admit_used((asked(), signed(&asked())), &used, "account-carol", late, &force).unwrap();
    lockbox.apply(&record).unwrap();
    let elevation = lockbox.get(asked().id).unwrap();
    let record = elevation.use_offline(used.clone(), vec![by("erin")], late, &force).unwrap();
    let record = Record::decode(&record.encode()).unwrap();
    lockbox.apply(&record).unwrap();
    let elevation = lockbox.get(asked().id).unwrap();
    assert_eq!(elevation.status(late, &force), Status::UsedOffline);
    assert_eq!(elevation.was_approved_offline(&force), Some(true));
    assert!(elevation.activate(MALLORY, late, &force).is_err());
    assert!(elevation.answer(by("erin"), late, &force).is_err());
    assert!(elevation.use_offline(used, vec![], late, &force).is_err(), "once is enough");
    assert!(elevation.review_is_due());
    assert_eq!(lockbox.unreviewed().count(), 1);
    let ask = crate::testing::ask(&request());
    let again = lockbox.begin(RequestId([8; 16]), ask.clone(), MALLORY, late, &force);
    assert_eq!(again, Err(Refusal::ReviewOverdue { request: asked().id }));
    assert!(elevation.review(MALLORY, late, &force).is_err());
    let record = elevation.review("account-erin", late, &force).unwrap();
    lockbox.apply(&record).unwrap();
    assert!(lockbox.begin(RequestId([8; 16]), ask, MALLORY, late, &force).is_ok());
    // What comes to light afterwards is to be reviewed, too.
    let more = usage("bob", T0.plus(9));
    let record = lockbox.get(asked().id).unwrap().use_offline(more, vec![], late, &force).unwrap();
    lockbox.apply(&record).unwrap();
    assert_eq!(lockbox.unreviewed().count(), 1);
}

#[test]
fn use_is_recorded_whether_or_not_it_was_allowed_and_that_is_told() {
    let roster = roster();
    let force = force(&roster);
    let late = T0.plus(2 * HOUR_MS);
    let told = |answers: Vec<Answer>, from: Timestamp| {
        let mut lockbox = admitted(late).unwrap();
        let record = lockbox
            .get(asked().id)
            .unwrap()
            .use_offline(usage("carol", from), answers, late, &force)
            .unwrap();
        lockbox.apply(&record).unwrap();
        lockbox.get(asked().id).unwrap().was_approved_offline(&force)
    };
    assert_eq!(told(vec![by("erin")], T0), Some(true));
    assert_eq!(told(vec![], T0), Some(false));
    assert_eq!(told(vec![by("mallory")], T0), Some(false));
    assert_eq!(told(vec![by("erin")], T0.plus(WINDOW_MS)), Some(false));
    assert_eq!(told(vec![by("erin"), answer(&asked(), "erin", "on call", Decision::Deny)], T0), Some(false));
    // Nobody says it in another's name, of another time than that which was, or of another request.
    let elevation = admitted(late).unwrap().get(asked().id).unwrap().clone();
    let forged = Usage { by: "erin".into(), ..usage("carol", T0) };
    let changed = Usage { what: "nothing".into(), ..usage("carol", T0) };
    let moved = Usage { from: T0.plus(1), ..usage("carol", T0) };
    for bad in [forged, changed, moved, usage("zoe", T0), usage("carol", late.plus(1))] {
        assert!(elevation.use_offline(bad, vec![], late, &force).is_err());
    }
    // A request that was made at the server is used there.
    let mut online = crate::testing::begun(asked());
    assert!(online.use_offline(usage("carol", T0), vec![], late, &force).is_err());
    force_in(&mut online, Event::UsedOffline { at: late, usage: usage("carol", T0), answers: vec![] });
    assert_eq!(online.status(late, &force), Status::UsedOffline);
}

#[test]
fn a_roster_of_then_vouches_for_what_was_used_under_it() {
    let old = roster();
    let mut new = roster();
    new.persons.retain(|person| person.id != "erin");
    let version = dkm_core::roster::RosterVersion {
        digest: ROSTER,
        version: 1,
        previous: vec![],
        created: T0,
        author: String::new(),
        effective_at: T0,
        roster: old,
    };
    let (versions, other) = ([version], [Digest([7; 32])]);
    let force = InForce { rosters: &other, policy: &[POLICY], versions: &versions, ..force(&new) };
    let lockbox = Lockbox::default();
    assert!(lockbox.admit(asked(), signed(&asked()), MALLORY, T0, &force).is_err());
    let used = usage("erin", T0);
    let record = lockbox.admit_used((asked(), signed(&asked())), &used, MALLORY, T0, &force).unwrap();
    let mut elevation = Elevation::new(&record).unwrap();
    assert_eq!(elevation.status(T0, &force), Status::Ended(Ending::Void));
    let record = elevation.use_offline(used.clone(), vec![by("erin")], T0, &force).unwrap();
    elevation.apply(&record).unwrap();
    assert_eq!(elevation.was_approved_offline(&force), Some(true));
    // Not by one that had been replaced when it was used: whoever was approved by an old copy of it, was not.
    let next = |effective_at| dkm_core::roster::RosterVersion {
        digest: other[0],
        version: 2,
        previous: vec![ROSTER],
        effective_at,
        ..versions[0].clone()
    };
    for (effective_at, was) in [(T0.plus(1), true), (T0, false)] {
        let versions = [versions[0].clone(), next(effective_at)];
        let force = InForce { versions: &versions, ..force };
        assert_eq!(elevation.was_approved_offline(&force), Some(was));
    }
    // Whoever stood in neither has said nothing.
    let without = InForce { versions: &[], ..force };
    assert!(lockbox.admit_used((asked(), signed(&asked())), &used, MALLORY, T0, &without).is_err());
}
