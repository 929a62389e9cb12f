//! Every order in which approvers, the requester, attackers, a clock and a change of the roster can act on one request,
//! explored exhaustively. What must hold is written down a second time here, by other means than the crate's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use std::collections::BTreeSet;

use dkm_core::record::{ApprovalLevel, ElevationRules, Person};
use dkm_core::roster::Roster;
use dkm_core::{Context, Digest, GroupId, InstanceId, RequestId, Timestamp};
use dkm_lockbox::clock::Clock;
use dkm_lockbox::{Answer, Decision, Elevation, Event, InForce, Mode, Request, Requester, Scope, statement};
use stateright::{Checker, Model, Property};

/// A tick of the clock.
const TICK_MS: u64 = 60_000;
const T0: Timestamp = Timestamp(1_800_000_000_000);
/// How far the clock may be set back without that being noticed.
const SKEW_MS: u64 = TICK_MS;
const POLICY: &[Digest] = &[Digest([1; 32])];
const ROSTERS: [&[Digest]; 2] = [&[Digest([2; 32])], &[Digest([3; 32])]];
const MALLORY: &str = "account-mallory";
const BLOB: Digest = Digest([9; 32]);
/// Ticks after which nothing new happens any more.
const TICKS_MAX: u64 = 4;

fn roster() -> Roster {
    let person = |id: &str| Person {
        id: id.into(),
        keys: vec![format!("key-{id}")],
        accounts: vec![format!("account-{id}")],
    };
    let level = |name: &str, approvers: &[&str]| ApprovalLevel {
        name: name.into(),
        approvers: approvers.iter().map(|a| (*a).into()).collect(),
        quorum: 1,
    };
    Roster {
        persons: ["alice", "bob", "carol", "mallory"].map(person).into(),
        // Alice stands at both levels; whoever asks is an approver, too.
        levels: vec![level("manager", &["alice", "bob", "mallory"]), level("legal", &["alice", "carol"])],
        change_delay_ms: 0,
        elevation: Some(ElevationRules {
            duration_max_ms: 2 * TICK_MS,
            untouched_ms: 3 * TICK_MS,
            activation_window_ms: 2 * TICK_MS,
            revokers: Vec::new(),
            direct: None,
            break_glass: None,
        }),
    }
}

fn request(reason: &str) -> Request {
    Request {
        id: RequestId([3; 16]),
        instance: InstanceId([4; 16]),
        group: GroupId([5; 16]),
        policy: POLICY.to_vec(),
        roster: ROSTERS[0].to_vec(),
        requester: Requester { person: "mallory".into(), account: MALLORY.into() },
        reason: reason.into(),
        ticket: String::new(),
        mode: Mode::Brokered,
        scope: Some(Scope { blobs: vec![BLOB], context: Context::new(), count_max: 1, bytes_max: 1 }),
        break_glass: false,
        duration_s: 2 * TICK_MS / 1_000,
        made: T0,
        not_after: T0.plus(3 * TICK_MS),
        activation_window_s: 2 * TICK_MS / 1_000,
    }
}

/// A signature that says whose it is and of what.
fn sign(key: &str, message: &[u8]) -> String {
    format!("{key} {}", Digest::of(message))
}

fn verify(line: &str, namespace: &str, message: &[u8], armored: &str) -> bool {
    namespace == dkm_lockbox::NAMESPACE && armored == sign(line, message)
}

/// As one that forgot to look.
fn verify_nothing(_: &str, _: &str, _: &[u8], _: &str) -> bool {
    true
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// What the system's clock says.
    clock: Timestamp,
    /// The highest time that was seen.
    highest: Timestamp,
    roster: usize,
    events: Vec<Event>,
    /// The roster in force at each event.
    rosters: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Answer { who: &'static str, level: &'static str, decision: Decision, fault: Fault },
    Withdraw,
    Activate,
    Revoke(&'static str),
    Open,
    Tick,
    SetBack(u64),
    ChangeRoster,
    RestoreRoster,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Signed by the requester in the approver's name.
    Forged,
    /// Signed by the approver, of a request with another reason.
    OtherReason,
    /// Signed by the approver, at the other level.
    OtherLevel,
}

struct World {
    roster: Roster,
    verify: fn(&str, &str, &[u8], &str) -> bool,
}

impl World {
    fn elevation(&self, state: &State) -> Elevation {
        let mut elevation = Elevation::new(request("why"));
        state.events.iter().for_each(|event| elevation.apply(event));
        elevation
    }

    fn answer(who: &str, level: &str, decision: Decision, fault: Fault) -> Answer {
        let other = if level == "legal" { "manager" } else { "legal" };
        let text = match fault {
            Fault::None | Fault::Forged => statement(&request("why"), decision, level, who),
            Fault::OtherReason => statement(&request("harmless"), decision, level, who),
            Fault::OtherLevel => statement(&request("why"), decision, other, who),
        };
        let key = if fault == Fault::Forged { "key-mallory".to_owned() } else { format!("key-{who}") };
        Answer { approver: who.into(), level: level.into(), decision, signature: sign(&key, text.as_bytes()) }
    }
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State { clock: T0, highest: T0, roster: 0, events: Vec::new(), rosters: Vec::new() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        let people = [
            ("alice", "manager"),
            ("alice", "legal"),
            ("bob", "manager"),
            ("carol", "legal"),
            ("mallory", "manager"),
        ];
        for (who, level) in people {
            for fault in [Fault::None, Fault::Forged, Fault::OtherReason, Fault::OtherLevel] {
                actions.push(Step::Answer { who, level, decision: Decision::Approve, fault });
            }
        }
        actions.push(Step::Answer {
            who: "carol",
            level: "legal",
            decision: Decision::Deny,
            fault: Fault::None,
        });
        actions.extend([Step::Withdraw, Step::Activate, Step::Open, Step::Tick]);
        actions.extend([Step::Revoke("account-bob"), Step::Revoke(MALLORY)]);
        actions.extend([Step::SetBack(SKEW_MS), Step::SetBack(3 * TICK_MS)]);
        actions.push(if state.roster == 0 { Step::ChangeRoster } else { Step::RestoreRoster });
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        match step {
            Step::Tick => next.clock = state.clock.plus(TICK_MS),
            Step::SetBack(by) => next.clock = state.clock.minus(by),
            Step::ChangeRoster => next.roster = 1,
            Step::RestoreRoster => next.roster = 0,
            _ => {
                let mut clock = Clock::new(state.highest);
                let now = clock.now(state.clock, SKEW_MS).ok()?;
                next.highest = clock.highest();
                let verify = self.verify;
                let force = InForce {
                    policy: POLICY,
                    rosters: ROSTERS[state.roster],
                    roster: &self.roster,
                    verify: &verify,
                };
                let elevation = self.elevation(state);
                let event = match step {
                    Step::Answer { who, level, decision, fault } => {
                        elevation.answer(Self::answer(who, level, decision, fault), now, &force)
                    }
                    Step::Withdraw => elevation.withdraw(MALLORY, now, &force),
                    Step::Activate => elevation.activate(MALLORY, now, &force),
                    Step::Revoke(account) => elevation.revoke(account, now, &force),
                    _ => elevation.open(MALLORY, BLOB, &Context::new(), 1, now, &force),
                };
                next.events.push(event.ok()?);
                next.rosters.push(state.roster);
            }
        }
        Some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let ticks = TICKS_MAX * TICK_MS;
        (T0.minus(SKEW_MS)..=T0.plus(ticks)).contains(&state.clock)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is opened was approved by all levels, and in time", |_, state: &State| {
                opened_rightly(state)
            }),
            Property::always("access begins once", |_, state: &State| {
                state.events.iter().filter(|event| matches!(event, Event::Activated { .. })).count() <= 1
            }),
            Property::sometimes("blobs are opened", |_, state: &State| {
                state.events.iter().any(|event| matches!(event, Event::Opened { .. }))
            }),
            Property::sometimes("access is denied although all approve", |_, state: &State| {
                state.events.len() > 2
                    && matches!(
                        state.events.last(),
                        Some(Event::Answered { answer: Answer { decision: Decision::Deny, .. }, .. })
                    )
            }),
        ]
    }
}

/// Whether each opening has behind it all that it must have, told from the events alone.
fn opened_rightly(state: &State) -> bool {
    state.events.iter().enumerate().all(|(place, event)| {
        let Event::Opened { at, .. } = event else { return true };
        let before = &state.events[..place];
        let begun = before.iter().enumerate().find_map(|(place, event)| match event {
            Event::Activated { at, .. } => Some((place, *at)),
            _ => None,
        });
        let Some((activation, begun)) = begun else { return false };
        let signed = |who: &str, level: &str| {
            let text = statement(&request("why"), Decision::Approve, level, who);
            before[..activation].iter().any(|event| {
                matches!(event, Event::Answered { at, answer }
                    if answer.signature == sign(&format!("key-{who}"), text.as_bytes()) && *at < T0.plus(3 * TICK_MS))
            })
        };
        let managers: BTreeSet<&str> = ["alice", "bob"].into_iter().filter(|who| signed(who, "manager")).collect();
        let legal: BTreeSet<&str> = ["alice", "carol"].into_iter().filter(|who| signed(who, "legal")).collect();
        // One of each, and not the same person.
        let approved = managers.iter().any(|manager| legal.iter().any(|other| manager != other));
        let ended = before.iter().any(|event| {
            matches!(event, Event::Revoked { .. } | Event::Withdrawn { .. })
                || matches!(event, Event::Answered { answer, .. } if answer.decision == Decision::Deny)
        });
        let in_time = begun <= *at && *at < begun.plus(2 * TICK_MS);
        approved && !ended && in_time && state.rosters[place] == 0
    })
}

#[test]
fn no_order_of_steps_opens_what_was_not_granted() {
    let checker = World { roster: roster(), verify }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000, "{}", checker.unique_state_count());
}

#[test]
fn a_server_that_does_not_verify_signatures_is_found_out() {
    let checker = World { roster: roster(), verify: verify_nothing }.checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("what is opened was approved by all levels, and in time").is_some());
}
