//! What the tests stand on: a roster of six people, and signatures that only say whose they are and of what.

use dkm_core::record::{ApprovalLevel, BreakGlass, ElevationRules, Person};
use dkm_core::roster::Roster;
use dkm_core::{Context, Digest, GroupId, InstanceId, RequestId, Timestamp};

use crate::{
    Answer, Ask, Decision, Elevation, Event, InForce, Mode, Record, Request, Requester, Scope, statement,
};

pub(crate) const T0: Timestamp = Timestamp(1_800_000_000_000);
pub(crate) const HOUR_MS: u64 = 3_600_000;

pub(crate) fn level(name: &str, approvers: &[&str], quorum: u32) -> ApprovalLevel {
    ApprovalLevel { name: name.into(), approvers: approvers.iter().map(|a| (*a).into()).collect(), quorum }
}

/// Mallory asks. Alice or Bob is the manager; Carol and Dave are legal; Erin is on call.
pub(crate) fn roster() -> Roster {
    let person = |id: &str| Person {
        id: id.into(),
        keys: vec![format!("key-{id}")],
        accounts: vec![format!("account-{id}")],
    };
    Roster {
        persons: ["alice", "bob", "carol", "dave", "erin", "mallory"].map(person).into(),
        levels: vec![
            level("manager", &["alice", "bob", "mallory"], 1),
            level("legal", &["alice", "carol", "dave"], 2),
        ],
        change_delay_ms: HOUR_MS,
        elevation: Some(ElevationRules {
            duration_max_ms: HOUR_MS,
            untouched_ms: 24 * HOUR_MS,
            activation_window_ms: HOUR_MS,
            revokers: vec!["erin".into()],
            direct: Some(vec![level("privacy", &["erin"], 1)]),
            break_glass: Some(BreakGlass {
                levels: vec![level("on call", &["erin"], 1)],
                duration_max_ms: HOUR_MS / 2,
                review_within_ms: 24 * HOUR_MS,
                direct: false,
            }),
        }),
    }
}

pub(crate) const POLICY: Digest = Digest([1; 32]);
pub(crate) const ROSTER: Digest = Digest([2; 32]);

pub(crate) fn request() -> Request {
    Request {
        id: RequestId([3; 16]),
        instance: InstanceId([4; 16]),
        group: GroupId([5; 16]),
        policy: vec![POLICY],
        roster: vec![ROSTER],
        requester: Requester { person: "mallory".into(), account: "account-mallory".into() },
        reason: "mail of account 17 is not fetched".into(),
        ticket: "INC-4711".into(),
        mode: Mode::Brokered,
        scope: Some(Scope { blobs: Vec::new(), context: context(), count_max: 2, bytes_max: 1_000 }),
        break_glass: false,
        duration_s: 1_800,
        made: T0,
        not_after: T0.plus(24 * HOUR_MS),
        activation_window_s: 3_600,
    }
}

pub(crate) fn context() -> Context {
    Context::new().with("account", "17").unwrap()
}

pub(crate) fn sign(key: &str, message: &str) -> String {
    format!("{key} {}", Digest::of(message.as_bytes()))
}

pub(crate) fn verify(line: &str, namespace: &str, message: &[u8], armored: &str) -> bool {
    namespace == "dkm-approval" && armored == format!("{line} {}", Digest::of(message))
}

pub(crate) fn in_force(roster: &Roster) -> InForce<'_> {
    InForce {
        instance: InstanceId([4; 16]),
        group: GroupId([5; 16]),
        policy: &[POLICY],
        rosters: &[ROSTER],
        roster,
        versions: &[],
        verify: &verify,
    }
}

pub(crate) fn answer(request: &Request, approver: &str, level: &str, decision: Decision) -> Answer {
    let text = statement(request, decision, level, approver);
    Answer {
        approver: approver.into(),
        level: level.into(),
        decision,
        signature: sign(&format!("key-{approver}"), &text),
    }
}

/// What the requester says of a request.
pub(crate) fn ask(request: &Request) -> Ask {
    Ask {
        reason: request.reason.clone(),
        ticket: request.ticket.clone(),
        mode: request.mode,
        scope: request.scope.clone(),
        break_glass: request.break_glass,
        duration_s: request.duration_s,
    }
}

/// A request as it stands in its first record.
pub(crate) fn first(request: Request) -> Record {
    Record {
        request: request.id,
        number: 0,
        event: Event::Requested { request: Box::new(request), submitted: None },
    }
}

/// A request with nothing come of it.
pub(crate) fn begun(request: Request) -> Elevation {
    Elevation::new(&first(request)).unwrap()
}

/// Takes an event whether or not it could come about.
pub(crate) fn force_in(elevation: &mut Elevation, event: Event) {
    let record = Record { request: elevation.request().id, number: elevation.next_number(), event };
    elevation.apply(&record).unwrap();
}

/// A request that was taken and approved by these, at T0.
pub(crate) fn approved_by(request: Request, approvals: &[(&str, &str)]) -> Elevation {
    let roster = roster();
    let force = in_force(&roster);
    let mut elevation = begun(request);
    for (approver, level) in approvals {
        let answer = answer(elevation.request(), approver, level, Decision::Approve);
        let record = elevation.answer(answer, T0, &force).unwrap();
        elevation.apply(&record).unwrap();
    }
    elevation
}

pub(crate) const ALL: &[(&str, &str)] = &[("bob", "manager"), ("carol", "legal"), ("dave", "legal")];
