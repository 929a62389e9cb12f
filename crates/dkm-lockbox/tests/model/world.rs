//! Who can do what, and what comes of it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use dkm_core::record::{ApprovalLevel, ElevationRules, Person};
use dkm_core::roster::Roster;
use dkm_core::{Context, Digest, GroupId, InstanceId, RequestId, Timestamp};
use dkm_lockbox::{
    Answer, Clock, Decision, Elevation, Event, InForce, Mode, Record, Refusal, Request, Requester, Scope,
    statement,
};
use stateright::{Model, Property};

use crate::{GRANTED, oracle};

/// A tick of the clock.
const TICK_MS: u64 = 60_000;
pub const T0: Timestamp = Timestamp(1_800_000_000_000);
/// How far the clock may be set back without that being noticed.
pub const SKEW_MS: u64 = TICK_MS;
pub const UNTOUCHED_MS: u64 = 2 * TICK_MS;
pub const WINDOW_MS: u64 = TICK_MS;
pub const DURATION_MS: u64 = TICK_MS;
/// After so much nothing can be open any more.
const TICKS_MAX: u64 = 4;
/// Records that are slipped into the store on one way: each is tried at every place among the others.
const SLIPPED_MAX: usize = 1;
/// Records of the longest way to an opening, and one more.
const RECORDS_MAX: usize = 5;
const INSTANCE: InstanceId = InstanceId([4; 16]);
const GROUP: GroupId = GroupId([5; 16]);
const POLICY: &[Digest] = &[Digest([1; 32])];
const ROSTERS: [&[Digest]; 2] = [&[Digest([2; 32])], &[Digest([3; 32])]];
const MALLORY: &str = "account mallory";
const SECOND: &str = "account mallory 2";
const BLOB: Digest = Digest([9; 32]);

fn roster() -> Roster {
    let person = |id: &str| Person {
        id: id.into(),
        keys: vec![format!("key {id}"), format!("key2 {id}")],
        accounts: vec![format!("account {id}"), format!("account {id} 2")],
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
            duration_max_ms: DURATION_MS,
            untouched_ms: UNTOUCHED_MS,
            activation_window_ms: WINDOW_MS,
            revokers: Vec::new(),
            direct: None,
            break_glass: None,
        }),
    }
}

pub fn request(reason: &str) -> Request {
    Request {
        id: RequestId([3; 16]),
        instance: INSTANCE,
        group: GROUP,
        policy: POLICY.to_vec(),
        roster: ROSTERS[0].to_vec(),
        requester: Requester { person: "mallory".into(), account: MALLORY.into() },
        reason: reason.into(),
        ticket: String::new(),
        mode: Mode::Brokered,
        scope: Some(Scope { blobs: vec![BLOB], context: Context::new(), count_max: 1, bytes_max: 1 }),
        break_glass: false,
        duration_s: DURATION_MS / 1_000,
        made: T0,
        not_after: T0.plus(UNTOUCHED_MS),
        activation_window_s: WINDOW_MS / 1_000,
    }
}

/// A signature that says whose it is and of what.
pub fn sign(key: &str, message: &[u8]) -> String {
    format!("{key} {}", Digest::of(message))
}

pub fn verify(line: &str, namespace: &str, message: &[u8], armored: &str) -> bool {
    namespace == dkm_lockbox::NAMESPACE && armored == sign(line, message)
}

/// As one that forgot to look.
pub fn trusting(_: &str, _: &str, _: &[u8], _: &str) -> bool {
    true
}

/// One record, and how the world was when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Did {
    record: Arc<Record>,
    /// What was done, as those who did it meant it.
    pub step: Step,
    /// What the system's clock said.
    pub clock: Timestamp,
    /// The roster in force.
    pub roster: usize,
}

impl Did {
    pub fn record(&self) -> Record {
        self.record.as_ref().clone()
    }
}

impl Hash for Did {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // What was meant follows from it: where two steps make one record, it is as good by either.
        self.record.encode().hash(state);
        self.clock.hash(state);
        self.roster.hash(state);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    clock: Timestamp,
    roster: usize,
    pub did: Vec<Did>,
    /// How many of the records no step has made.
    slipped: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Answer {
        who: &'static str,
        level: &'static str,
        decision: Decision,
        fault: Fault,
    },
    Withdraw,
    Activate(&'static str),
    Revoke(&'static str),
    Open(&'static str, Digest),
    End,
    Tick,
    Jump,
    SetBack(u64),
    ChangeRoster,
    RestoreRoster,
    /// A record goes into the store without a step.
    Slip(Slipped),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// None but that it is signed with another key of his.
    SecondKey,
    /// Signed by the requester in the approver's name.
    Forged,
    /// Signed by the approver, of a request with another reason.
    OtherReason,
    /// Signed by the approver, at the other level.
    OtherLevel,
}

/// A record that no step has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slipped {
    /// Access begins now, for as long as it may.
    Activated,
    /// Access begins now, for ever.
    ActivatedForEver,
    /// Carol is said to approve.
    Approval(Fault),
    /// What Bob really signed, dated back.
    DatedBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Through the steps only.
    Steps,
    /// Through records that are written to the store, too.
    Store,
}

pub struct World {
    pub verify: fn(&str, &str, &[u8], &str) -> bool,
    pub attack: Attack,
}

fn elevation(state: &State) -> Elevation {
    let request = request("why");
    let first = Record {
        request: request.id,
        number: 0,
        event: Event::Requested { request: Box::new(request), submitted: None },
    };
    let records: Vec<Record> = state.did.iter().map(Did::record).collect();
    Elevation::replay(&first, &records).unwrap()
}

fn answer(who: &str, level: &str, decision: Decision, fault: Fault) -> Answer {
    let other = if level == "legal" { "manager" } else { "legal" };
    let text = match fault {
        Fault::None | Fault::SecondKey | Fault::Forged => statement(&request("why"), decision, level, who),
        Fault::OtherReason => statement(&request("harmless"), decision, level, who),
        Fault::OtherLevel => statement(&request("why"), decision, other, who),
    };
    let key = match fault {
        Fault::Forged => "key mallory".to_owned(),
        Fault::SecondKey => format!("key2 {who}"),
        _ => format!("key {who}"),
    };
    Answer { approver: who.into(), level: level.into(), decision, signature: sign(&key, text.as_bytes()) }
}

impl World {
    /// Does a step, as a server does.
    fn record(&self, state: &State, step: Step) -> Option<Record> {
        let elevation = elevation(state);
        let mut clock = Clock::new(elevation.latest());
        let now = clock.now(state.clock, SKEW_MS).ok()?;
        let (verify, roster) = (self.verify, roster());
        let force = InForce {
            instance: INSTANCE,
            group: GROUP,
            policy: POLICY,
            rosters: ROSTERS[state.roster],
            roster: &roster,
            versions: &[],
            verify: &verify,
        };
        let slip = |event| Ok(Record { request: request("why").id, number: elevation.next_number(), event });
        let done: Result<Record, Refusal> = match step {
            Step::Answer { who, level, decision, fault } => {
                elevation.answer(answer(who, level, decision, fault), now, &force)
            }
            Step::Withdraw => elevation.withdraw(MALLORY, now, &force),
            Step::Activate(who) => elevation.activate(who, now, &force),
            Step::Revoke(who) => elevation.revoke(who, now, &force),
            Step::Open(who, blob) => elevation.open(who, blob, &Context::new(), 1, now, &force),
            Step::End => return elevation.end(now, &force),
            Step::Slip(Slipped::Activated) => {
                slip(Event::Activated { at: now, until: now.plus(DURATION_MS) })
            }
            Step::Slip(Slipped::ActivatedForEver) => {
                slip(Event::Activated { at: now, until: Timestamp::MAX })
            }
            Step::Slip(Slipped::Approval(fault)) => {
                slip(Event::Answered { at: now, answer: answer("carol", "legal", Decision::Approve, fault) })
            }
            Step::Slip(Slipped::DatedBack) => slip(Event::Answered {
                at: T0,
                answer: answer("bob", "manager", Decision::Approve, Fault::None),
            }),
            _ => return None,
        };
        done.ok()
    }
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State { clock: T0, roster: 0, did: Vec::new(), slipped: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        let approve = |who, level, fault| Step::Answer { who, level, decision: Decision::Approve, fault };
        let people = [
            ("alice", "manager"),
            ("alice", "legal"),
            ("bob", "manager"),
            ("carol", "legal"),
            ("mallory", "manager"),
        ];
        let faults = [Fault::Forged, Fault::OtherReason, Fault::OtherLevel];
        actions.extend(people.map(|(who, level)| approve(who, level, Fault::None)));
        actions.push(Step::Answer {
            who: "carol",
            level: "legal",
            decision: Decision::Deny,
            fault: Fault::None,
        });
        actions.extend([Step::Withdraw, Step::Activate(MALLORY), Step::Open(MALLORY, BLOB)]);
        actions.extend([Step::Revoke("account bob"), Step::End]);
        // Every time is reached by these two.
        actions.extend([Step::Tick, Step::SetBack(3 * TICK_MS)]);
        actions.push(if state.roster == 0 { Step::ChangeRoster } else { Step::RestoreRoster });
        // What a step refuses leaves the world as it was: it need not be tried again beside records that are slipped in.
        if self.attack == Attack::Steps {
            actions.extend([Step::Jump, Step::SetBack(SKEW_MS)]);
            actions.push(approve("alice", "legal", Fault::SecondKey));
            actions.extend(faults.map(|fault| approve("bob", "manager", fault)));
            actions.extend(faults.map(|fault| approve("carol", "legal", fault)));
            actions.extend([Step::Activate(SECOND), Step::Activate("account bob")]);
            actions.extend([Step::Open(MALLORY, Digest([8; 32])), Step::Open(SECOND, BLOB)]);
            actions.push(Step::Revoke("account of nobody"));
        }
        if self.attack == Attack::Store && state.slipped < SLIPPED_MAX {
            actions.extend([Step::Slip(Slipped::Activated), Step::Slip(Slipped::ActivatedForEver)]);
            actions.extend(faults.map(|fault| Step::Slip(Slipped::Approval(fault))));
            actions.push(Step::Slip(Slipped::DatedBack));
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        match step {
            Step::Tick => next.clock = state.clock.plus(TICK_MS),
            Step::Jump => next.clock = state.clock.plus(3 * TICK_MS),
            Step::SetBack(by) => next.clock = state.clock.minus(by),
            Step::ChangeRoster => next.roster = 1,
            Step::RestoreRoster => next.roster = 0,
            _ => {
                let record = Arc::new(self.record(state, step)?);
                next.slipped += usize::from(matches!(step, Step::Slip(_)));
                next.did.push(Did { record, step, clock: state.clock, roster: state.roster });
            }
        }
        Some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let is_opening = |did: &Did| matches!(did.record.event, Event::Opened { .. });
        // What can come after an opening: another one.
        let opened = state.did.iter().rev().skip(2).any(is_opening);
        let is_over = state.did.len() > RECORDS_MAX || opened;
        !is_over && (T0.minus(SKEW_MS)..=T0.plus(TICKS_MAX * TICK_MS)).contains(&state.clock)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(GRANTED, |world: &Self, state: &State| {
                oracle::opened_rightly(state, world.attack)
            }),
            Property::always("access begins once", |world: &Self, state: &State| {
                world.attack == Attack::Store || oracle::begun_once(state)
            }),
            Property::always("time does not go back", |world: &Self, state: &State| {
                world.attack == Attack::Store || oracle::in_order(state)
            }),
            Property::sometimes("a blob is opened", |_, state: &State| {
                state.did.last().is_some_and(|did| matches!(did.record.event, Event::Opened { .. }))
            }),
            Property::sometimes("access is denied while it is used", |_, state: &State| {
                let [.., opened, denied] = state.did.as_slice() else { return false };
                matches!(opened.record.event, Event::Opened { .. }) && denied.record.event.name() == "denied"
            }),
            Property::sometimes("a grant is found to be void", |_, state: &State| {
                let [.., activated, ended] = state.did.as_slice() else { return false };
                matches!(activated.record.event, Event::Activated { .. })
                    && ended.record.event.name() == "ended"
            }),
        ]
    }
}
