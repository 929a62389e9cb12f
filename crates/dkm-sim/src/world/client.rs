//! A client: reads, protects, opens, makes keys; crashes between any two steps.

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::KeyId;
use dkm_core::Timestamp;
use dkm_core::member::{Member, ProtectRefusal, UnprotectRefusal};
use dkm_core::plan::{Cause, Plan};
use dkm_core::record::{Change, Purpose, Record, StatusRecord};

use super::{Ask, BASE_MS, Blob, Event, World, number, short};
use crate::store::Put;
use crate::violation::Kind;

/// What follows a round of questions.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// Decide whether to make a key.
    Drive,
    /// The last look before a key is made.
    Create { predecessor: KeyId },
    /// The put of a key was answered, or was not.
    Created { seen: std::sync::Arc<dkm_core::ring::Observed> },
    /// A short-lived client protects and opens, then decides.
    Brief,
    /// Open a blob whose key was not known.
    Open { blob: usize },
    /// Nothing.
    Forget,
    /// The owner's job goes on.
    Job,
}

/// Questions under way.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) waiting: Vec<usize>,
    pub(crate) answered: Vec<usize>,
    pub(crate) put: Option<Put>,
    pub(crate) then: Then,
}

/// A client and its process.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) id: [u8; 16],
    pub(crate) member: Member,
    /// Counts its processes: what was meant for an earlier one does not reach a later one.
    pub(crate) epoch: u64,
    pub(crate) running: bool,
    pub(crate) brief: bool,
    pub(crate) removed: bool,
    /// Its machine's clock minus the true time.
    pub(crate) skew_ms: i64,
    pub(crate) started_at: u64,
    pub(crate) started_wall: u64,
    pub(crate) side: u8,
    /// Replicas that it cannot reach.
    pub(crate) cut: BTreeSet<usize>,
    /// When its links last changed.
    pub(crate) changed_at: u64,
    pub(crate) arrives: Vec<u64>,
    pub(crate) replies: Vec<u64>,
    pub(crate) rounds: BTreeMap<u64, Round>,
    pub(crate) next_round: u64,
    pub(crate) creating: bool,
    pub(crate) plan_at: Option<u64>,
    pub(crate) refresh_at: u64,
    /// From which replicas, and which of their incarnations, this process has read a key.
    pub(crate) read: BTreeMap<KeyId, BTreeSet<(usize, usize)>>,
    pub(crate) saw_destroyed: BTreeSet<KeyId>,
    pub(crate) last_reading: Option<u64>,
    pub(crate) denied_at: Option<u64>,
    pub(crate) told_denied: bool,
    pub(crate) highest: Timestamp,
}

impl Client {
    pub(crate) fn new(index: usize, id: [u8; 16], skew_ms: i64, replicas: usize) -> Self {
        Self {
            name: format!("client:{index}"),
            id,
            member: Member::new(id, replicas, None, dkm_core::safeguards::Safeguards::ALL),
            epoch: 0,
            running: false,
            brief: false,
            removed: false,
            skew_ms,
            started_at: 0,
            started_wall: 0,
            side: 0,
            cut: BTreeSet::new(),
            changed_at: 0,
            arrives: vec![0; replicas],
            replies: vec![0; replicas],
            rounds: BTreeMap::new(),
            next_round: 0,
            creating: false,
            plan_at: None,
            refresh_at: 0,
            read: BTreeMap::new(),
            saw_destroyed: BTreeSet::new(),
            last_reading: None,
            denied_at: None,
            told_denied: false,
            highest: Timestamp(0),
        }
    }
}

impl World {
    /// A new process with a cold cache.
    pub(super) fn start(&mut self, client: usize) {
        let now = self.now;
        let c = &mut self.clients[client];
        c.epoch += 1;
        c.running = true;
        c.started_at = now;
        c.started_wall = (BASE_MS + now).saturating_add_signed(c.skew_ms);
        let noticed = (!c.brief).then_some(Timestamp(c.started_wall));
        c.member = Member::new(c.id, self.dials.replicas, noticed, self.safeguards);
        c.rounds.clear();
        c.creating = false;
        c.plan_at = None;
        c.read.clear();
        c.saw_destroyed.clear();
        c.last_reading = None;
        c.denied_at = None;
        c.told_denied = false;
        c.highest = Timestamp(0);
        if client == 0 {
            self.owner_busy = false;
        }
        let epoch = self.clients[client].epoch;
        if self.clients[client].brief {
            self.read_all(client, Then::Brief);
        } else {
            self.refresh_due(client, epoch);
        }
    }

    /// The process dies; another one is started later.
    pub(super) fn crash(&mut self, client: usize) {
        self.note("crash", client as u64, || format!("client {client}"));
        let c = &mut self.clients[client];
        c.epoch += 1;
        c.running = false;
        c.rounds.clear();
        let epoch = c.epoch;
        if client == 0 {
            self.owner_busy = false;
        }
        if !self.clients[client].brief {
            let later = self.around(self.dials.policy.refresh_interval_ms);
            self.after(later, Event::Start { client, epoch });
        }
    }

    /// A crash between two steps of making a key.
    fn may_crash(&mut self, client: usize) -> bool {
        if self.calm || !self.rng.chance(self.dials.crash_permille) {
            return false;
        }
        self.tally.crashes_creating += 1;
        self.crash(client);
        true
    }

    pub(super) fn refresh_due(&mut self, client: usize, epoch: u64) {
        if self.clients[client].epoch != epoch || !self.clients[client].running {
            return;
        }
        let policy = &self.dials.policy;
        let spread = policy.refresh_interval_max_ms() - policy.refresh_interval_ms;
        let interval = policy.refresh_interval_ms + self.rng.below(spread + 1);
        self.clients[client].refresh_at = self.now + interval;
        self.after(interval, Event::Refresh { client, epoch });
        self.read_all(client, Then::Drive);
    }

    pub(super) fn finish_round(&mut self, client: usize, round: u64) {
        let Some(done) = self.clients[client].rounds.remove(&round) else { return };
        match done.then {
            Then::Drive => {
                if client == 0 && !done.answered.is_empty() && !self.silent {
                    self.owner_steps(&done.answered);
                }
                self.drive(client);
            }
            Then::Create { predecessor } => self.create(client, predecessor, &done.answered),
            Then::Created { seen } => {
                self.clients[client].creating = false;
                if done.put == Some(Put::Created) && !self.may_crash(client) {
                    self.clients[client].member.put_acknowledged(seen);
                }
                if self.clients[client].running {
                    self.read_all(client, Then::Drive);
                }
            }
            Then::Brief => {
                self.use_now(client);
                self.drive(client);
            }
            Then::Open { blob } => self.open(client, blob, true),
            Then::Forget => {}
            Then::Job => {
                self.owner_busy = false;
                self.read_all(client, Then::Drive);
            }
        }
    }

    /// Does what the plan says.
    pub(super) fn drive(&mut self, client: usize) {
        if !self.clients[client].running || self.clients[client].creating {
            return;
        }
        let clock = self.clock(client);
        let plan = self.clients[client].member.plan(clock);
        let until = match plan {
            Plan::CreateKey { predecessor, .. } => {
                self.clients[client].creating = true;
                if !self.may_crash(client) {
                    self.read_all(client, Then::Create { predecessor });
                }
                return;
            }
            Plan::Nothing { until } | Plan::Overdue { turn: Some(until), .. } => until,
            Plan::Overdue { turn: None, .. } | Plan::NoKey => return,
        };
        // Wake for the turn, if it comes before the next refresh.
        let wake = self.now.saturating_add(until.since(clock).max(1));
        let c = &self.clients[client];
        if until > clock && !c.brief && wake < c.refresh_at && c.plan_at.is_none_or(|at| wake < at) {
            let epoch = c.epoch;
            self.clients[client].plan_at = Some(wake);
            self.at(wake, Event::Plan { client, epoch });
        }
    }

    /// The last look is done: if the plan is still the same, the key is put.
    fn create(&mut self, client: usize, expected: KeyId, answered: &[usize]) {
        self.clients[client].creating = false;
        if answered.is_empty() || self.may_crash(client) {
            return;
        }
        let clock = self.clock(client);
        let plan = self.clients[client].member.plan(clock);
        if !matches!(plan, Plan::CreateKey { predecessor, .. } if predecessor == expected) {
            return;
        }
        if let Some(site) = self.rng.pick(answered) {
            self.put_key(client, site, plan, false);
        }
    }

    /// Makes the key of a plan and puts it at one replica.
    pub(super) fn put_key(&mut self, client: usize, site: usize, plan: Plan, by_hand: bool) -> Option<KeyId> {
        let Plan::CreateKey { predecessor, attempt, activates_at, cause } = plan else { return None };
        if self.is_off(client) {
            self.violate(Kind::ClockOff, || {
                format!("client {client} makes a key, its clock being years off")
            });
        }
        let urgent = matches!(cause, Cause::Compromise | Cause::Exposure);
        let (key, mut facts) = self.new_key(Some(predecessor), attempt, activates_at.0, urgent);
        facts.automatic = !by_hand;
        self.note("make", number(key.id), || {
            format!(
                "client {client} makes {} after {} attempt {attempt} ({cause:?}), active at {} ms, for replica {site}",
                short(key.id),
                short(predecessor),
                activates_at.0.saturating_sub(BASE_MS)
            )
        });
        let id = key.id;
        self.facts.insert(id, facts);
        self.tally.keys += 1;
        let name = self.clients[client].name.clone();
        let seen = self.observed_key(&key, &name);
        self.clients[client].creating = true;
        self.ask(client, &[site], &Ask::Put(seen.clone()), Then::Created { seen });
        Some(id)
    }

    pub(super) fn use_due(&mut self, client: usize) {
        if self.silent {
            return;
        }
        let again = self.around(self.dials.use_every_ms);
        self.after(again, Event::Use { client });
        if self.clients[client].brief {
            if !self.clients[client].creating || !self.clients[client].running {
                self.start(client);
            }
        } else if self.clients[client].running {
            self.use_now(client);
        }
    }

    /// Protects something, and opens something that somebody protected before.
    fn use_now(&mut self, client: usize) {
        self.check_time(client);
        let clock = self.clock(client);
        match self.clients[client].member.protecting_key(clock) {
            Ok(key) => {
                self.note("protect", number(key), || format!("client {client} with {}", short(key)));
                self.check_protect(client, key);
                self.tally.protected += 1;
                self.blobs.push(Blob { key, client, at: self.now });
            }
            Err(refusal) => {
                self.tally.refused += 1;
                self.tally.out_of_reach += u64::from(matches!(refusal, ProtectRefusal::OutOfReach { .. }));
                self.note("refuse", client as u64, || format!("client {client}: {refusal}"));
            }
        }
        if !self.blobs.is_empty() {
            // The latest are opened most.
            let far = if self.rng.chance(700) { 6 } else { 1_000 };
            let back = self.rng.index(self.blobs.len().min(far));
            self.open(client, self.blobs.len() - 1 - back, false);
        }
    }

    /// Opens a blob; an unknown key is looked for once.
    fn open(&mut self, client: usize, blob: usize, looked: bool) {
        let Some(Blob { key, .. }) = self.blobs.get(blob).copied() else { return };
        let clock = self.clock(client);
        match self.clients[client].member.unprotect_leave(clock, key, self.seed.is_multiple_of(2)) {
            Ok(leave) => {
                self.tally.opened += 1;
                self.note("open", number(key), || format!("client {client} with {}", short(key)));
                self.check_open(client, key);
                if leave.notice_use {
                    self.notice_use(client, key);
                }
            }
            Err(UnprotectRefusal::UnknownKey { .. }) if !looked => {
                self.read_all(client, Then::Open { blob });
            }
            Err(refusal) => {
                self.note("unopened", number(key), || format!("client {client}: {refusal}"));
            }
        }
    }

    fn notice_use(&mut self, client: usize, key: KeyId) {
        let clock = self.clock(client);
        let Some(found) = self.clients[client].member.ring().key(key) else { return };
        let record = Record::Status(StatusRecord {
            key,
            change: Change::Resumed,
            purpose: Purpose::InUse,
            reason: "needed by a member".to_owned(),
            epoch: found.status.epoch.saturating_add(1),
            answers: found.status.heads.clone(),
            when_ms: clock.0,
        });
        let sites: Vec<usize> = (0..self.sites.len()).filter(|s| self.reaches(client, *s)).collect();
        let Some(site) = self.rng.pick(&sites) else { return };
        let name = self.clients[client].name.clone();
        let seen = self.observed(&record, record.slot(self.group, 0), &name);
        self.ask(client, &[site], &Ask::Put(seen), Then::Forget);
    }
}
