//! The crowd: hundreds to ten thousand clients on a few replicas, nothing broken, a few rollovers. How many of them make
//! a key?
//!
//! Clients draw their turns so that, in the scale of the draw's own exponential, they come as a Poisson process: if the
//! first one acts at time t and the others learn of it after a gap g, the number of those that act in the gap is
//! geometric, with a chance of exp(−20·g/W) to be none, *however many clients there are*. The gap is the replication
//! bound plus the time that the first one's last look and put, and the other's last look, may take. The bound on acting
//! clients is where the geometric distribution's tail falls below 10⁻¹², see [`acting_max`].

use std::collections::BTreeMap;
use std::sync::Arc;

use dkm_core::kdf::key_id;
use dkm_core::member::{Member, Reading, Rights};
use dkm_core::plan::Plan;
use dkm_core::policy::{LEAD_PER_REPLICATION_BOUND, Policy};
use dkm_core::record::{Family, KeyRecord, Material, Origin, PolicyRecord, PublicPart, Record};
use dkm_core::ring::Observed;
use dkm_core::{Attestation, Digest, GroupId, KeyId, Principal, ReplicaId, SlotName, Timestamp};
use zeroize::Zeroizing;

use crate::off::Off;
use crate::rng::Rng;
use crate::store::{Put, Store};
use crate::tally::Tally;
use crate::trace::Trace;
use crate::violation::{Kind, Violation};

const BASE_MS: u64 = 1_800_000_000_000;
/// The natural logarithm of 10¹².
const LN_RARE: f64 = 27.631;

/// How many clients a seed's crowd has; none for an ordinary seed.
#[must_use]
pub(crate) fn crowd_of(seed: u64) -> Option<usize> {
    match seed {
        s if s % 50_000 == 7 => Some(10_000),
        s if s % 1_000 == 9 => Some(500),
        _ => None,
    }
}

/// The most clients that may act in one rollover: the number that is exceeded once in 10¹² rollovers.
fn acting_max(policy: &Policy) -> u64 {
    let gap = policy.replication_bound_ms + 3 * policy.io_deadline_ms;
    // Milliseconds of a policy are far below 2^52: exact in an f64.
    #[allow(clippy::cast_precision_loss)]
    let scaled = (LEAD_PER_REPLICATION_BOUND * gap) as f64 / policy.lead_window_ms.max(1) as f64;
    let others = LN_RARE / -(1.0 - (-scaled).exp()).ln();
    // At most some thousands for any gap that is a small part of the window.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let others = others.min(1e9) as u64;
    others.saturating_add(2)
}

enum Event {
    /// Reads all replicas, then plans.
    Look {
        client: usize,
        of: Want,
    },
    /// Puts the key that was planned.
    Put {
        client: usize,
        site: usize,
        plan: Plan,
    },
    Replicate {
        to: usize,
        record: Arc<Observed>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Refresh,
    Turn,
    LastLook,
}

struct Crowd {
    seed: u64,
    rng: Rng,
    policy: Policy,
    group: GroupId,
    off: Option<Off>,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    order: u64,
    stores: Vec<Store>,
    /// Counts the changes of each store, so that nobody reads again what has not changed.
    changes: Vec<u64>,
    members: Vec<Member>,
    seen: Vec<Vec<u64>>,
    turns: Vec<u64>,
    /// By predecessor: clients that acted, and keys that stores took.
    acted: BTreeMap<KeyId, u64>,
    made: BTreeMap<KeyId, u64>,
    tally: Tally,
    trace: Trace,
    violations: Vec<Violation>,
}

/// Runs a seed with a crowd.
pub(crate) fn run(
    seed: u64,
    clients: usize,
    off: Option<Off>,
    tracing: bool,
) -> (Tally, Vec<Violation>, Trace) {
    let mut rng = Rng::new(seed);
    let replicas = rng.index(3) + 2;
    let policy = draw_policy(&mut rng);
    let mut crowd = Crowd {
        seed,
        group: GroupId(rng.bytes()),
        off,
        now: 0,
        queue: BTreeMap::new(),
        order: 0,
        stores: (0..replicas).map(|_| Store::new(ReplicaId(rng.bytes()), true)).collect(),
        changes: vec![1; replicas],
        members: (0..clients)
            .map(|_| Member::new(rng.bytes(), replicas, Some(Timestamp(BASE_MS)), Off::safeguards(off)))
            .collect(),
        seen: vec![vec![0; replicas]; clients],
        turns: vec![0; clients],
        acted: BTreeMap::new(),
        made: BTreeMap::new(),
        tally: Tally { seeds: 1, crowds: 1, clients: clients as u64, ..Tally::default() },
        trace: Trace::new(seed, tracing),
        violations: Vec::new(),
        policy,
        rng,
    };
    crowd.found();
    let end = crowd.policy.rotation_period_ms * if clients > 1_000 { 1 } else { 3 };
    crowd.until(end);
    crowd.judge();
    (crowd.tally, crowd.violations, crowd.trace)
}

fn draw_policy(rng: &mut Rng) -> Policy {
    let mut policy = Policy::for_directory();
    policy.replication_bound_ms = rng.range(200, 2_000);
    policy.io_deadline_ms = (policy.replication_bound_ms / 10).max(1);
    policy.clock_skew_ms = 0;
    policy.lead_window_ms = policy.replication_bound_ms * 20 * rng.range(1, 3);
    policy.refresh_interval_ms = policy.lead_window_ms / 3;
    policy.refresh_jitter_permille = 500;
    policy.activation_delay_ms = policy.activation_delay_min_ms();
    policy.rotation_period_ms =
        policy.lead_window_ms + policy.activation_delay_ms + policy.creation_margin_ms();
    // Everybody has started and read when the window begins.
    policy.rotation_period_ms += policy.refresh_interval_max_ms() * 2;
    // Nobody has to read again what has not changed.
    policy.offline_grace_ms = policy.rotation_period_ms * 10;
    policy
}

impl Crowd {
    fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), event);
    }

    fn observed(&self, record: &Record, name: SlotName) -> Arc<Observed> {
        let digest = Digest::of(&record.encode(self.group));
        let mut record = record.clone();
        if let Record::Key(key) = &mut record {
            key.material = Material::None;
        }
        let attested = Attestation {
            creator: Principal("somebody".to_owned()),
            created: Timestamp(BASE_MS + self.now),
            template_ok: true,
        };
        let public = PublicPart::NotKept;
        Arc::new(Observed { room: record.room(), name, digest, record, attested, verified: true, public })
    }

    fn new_key(
        &mut self,
        predecessor: Option<KeyId>,
        attempt: u32,
        activates_at: Timestamp,
    ) -> Arc<Observed> {
        let material = self.rng.bytes::<32>();
        let key = KeyRecord {
            id: key_id(self.group, Family::Native, &material),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: BASE_MS + self.now,
            activates_at_ms: activates_at.0,
            predecessor,
            attempt,
            material: Material::Plain(Zeroizing::new(material)),
            guid: None,
        };
        let slot = if self.off == Some(Off::SlotNames) {
            SlotName::for_content("key", Digest(self.rng.bytes()))
        } else {
            key.slot()
        };
        self.observed(&Record::Key(key), slot)
    }

    fn found(&mut self) {
        let policy = Record::Policy(PolicyRecord {
            version: 1,
            previous: Vec::new(),
            created_at_ms: BASE_MS,
            policy: self.policy.clone(),
        });
        let policy = self.observed(&policy, SlotName::for_chained("policy", &[], 0));
        let first = self.new_key(None, 0, Timestamp(BASE_MS));
        for store in &mut self.stores {
            store.put(policy.clone());
            store.put(first.clone());
        }
        for client in 0..self.members.len() {
            let soon = self.rng.below(self.policy.refresh_interval_ms);
            self.at(soon, Event::Look { client, of: Want::Refresh });
        }
    }

    fn until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            match event {
                Event::Look { client, of } => self.look(client, of),
                Event::Put { client, site, plan } => self.put(client, site, plan),
                Event::Replicate { to, record } => {
                    self.stores[to].merge(&record);
                    self.changes[to] += 1;
                }
            }
        }
    }

    /// How long a look or a put takes: never no time, at most the deadline.
    fn takes_ms(&mut self) -> u64 {
        self.rng.range(self.policy.io_deadline_ms / 4, self.policy.io_deadline_ms)
    }

    fn look(&mut self, client: usize, of: Want) {
        let clock = Timestamp(BASE_MS + self.now);
        for site in 0..self.stores.len() {
            if self.seen[client][site] == self.changes[site] {
                continue;
            }
            self.seen[client][site] = self.changes[site];
            self.tally.readings += 1;
            let present = self.stores[site].records.values().cloned().collect();
            let reading = Reading { replica: self.stores[site].id, clock: Some(clock), present };
            self.members[client].set_rights(Rights { read: true, create: true, own: false });
            self.members[client].observe(clock, &reading);
        }
        if of == Want::Refresh {
            let p = &self.policy;
            let spread = p.refresh_interval_max_ms() - p.refresh_interval_ms;
            let next = self.now + p.refresh_interval_ms + self.rng.below(spread + 1);
            self.at(next, Event::Look { client, of: Want::Refresh });
        }
        match self.members[client].plan(clock) {
            plan @ Plan::CreateKey { .. } if of == Want::LastLook => {
                let site = self.rng.index(self.stores.len());
                let lands = self.now + self.takes_ms();
                self.at(lands, Event::Put { client, site, plan });
            }
            Plan::CreateKey { .. } => {
                let looks = self.now + self.takes_ms();
                self.at(looks, Event::Look { client, of: Want::LastLook });
            }
            Plan::Nothing { until } | Plan::Overdue { turn: Some(until), .. } if until > clock => {
                let wake = until.0 - BASE_MS;
                if self.turns[client] != wake {
                    self.turns[client] = wake;
                    self.at(wake, Event::Look { client, of: Want::Turn });
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, client: usize, site: usize, plan: Plan) {
        let Plan::CreateKey { predecessor, attempt, activates_at, .. } = plan else { return };
        *self.acted.entry(predecessor).or_default() += 1;
        let key = self.new_key(Some(predecessor), attempt, activates_at);
        let put = self.stores[site].put(key.clone());
        self.trace.note(self.now, "put", client as u64, || {
            format!("client {client} on replica {site}, {}: {put:?}", key.name)
        });
        if put != Put::Created {
            self.tally.taken += 1;
            return;
        }
        self.tally.keys += 1;
        *self.made.entry(predecessor).or_default() += 1;
        self.changes[site] += 1;
        for to in 0..self.stores.len() {
            if to != site {
                let arrives = self.now + self.rng.below(self.policy.replication_bound_ms + 1);
                self.at(arrives, Event::Replicate { to, record: key.clone() });
            }
        }
    }

    fn judge(&mut self) {
        let most = acting_max(&self.policy);
        let mut violations = Vec::new();
        let mut flood = |what: String| {
            violations.push(Violation { seed: self.seed, kind: Kind::Flood, at_ms: self.now, what });
        };
        if self.made.is_empty() {
            flood("nobody made a key in the whole window".to_owned());
        }
        for acted in self.acted.values() {
            if *acted > most {
                flood(format!("{acted} clients made a key for one rollover, at most {most} may"));
            }
        }
        for made in self.made.values() {
            self.tally.rollovers += 1;
            self.tally.twins += made - 1;
            if *made > self.stores.len() as u64 {
                flood(format!("{made} keys for one rollover on {} replicas", self.stores.len()));
            }
        }
        self.violations.extend(violations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_does_not_depend_on_the_number_of_clients_and_grows_with_the_gap() {
        let mut policy = Policy::for_directory();
        let calm = acting_max(&policy);
        assert!((2..=10).contains(&calm), "{calm}");
        policy.replication_bound_ms = policy.lead_window_ms / 20;
        assert!(acting_max(&policy) > calm);
    }

    #[test]
    fn a_crowd_rolls_with_few_keys_and_floods_without_jitter() {
        let (tally, violations, _) = run(9, 300, None, false);
        assert_eq!(violations, []);
        assert!(tally.keys >= 2);
        let (_, violations, _) = run(9, 300, Some(Off::Jitter), false);
        assert_eq!(violations.first().map(|v| v.kind), Some(Kind::Flood));
    }
}
