//! The world of one seed: clients, replicas, the network between them, and virtual time.

mod adversary;
mod check;
mod client;
mod finish;
mod net;
mod owner;
mod site;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dkm_core::kdf::key_id;
use dkm_core::record::{Family, GroupRecord, KeyRecord, Material, Origin, PolicyRecord, PublicPart, Record};
use dkm_core::ring::Observed;
use dkm_core::safeguards::Safeguards;
use dkm_core::{Attestation, Digest, GroupId, KeyId, Principal, RepositoryId, SlotName, Timestamp};
use zeroize::Zeroizing;

use crate::dials::Dials;
use crate::off::Off;
use crate::rng::Rng;
use crate::tally::Tally;
use crate::trace::Trace;
use crate::violation::{Kind, Violation};
use client::Client;
use owner::Job;
use site::Site;

/// The wall time at which every seed begins, in milliseconds since the epoch.
pub(crate) const BASE_MS: u64 = 1_800_000_000_000;
/// Violations kept of one seed.
const VIOLATIONS_MAX: usize = 16;

/// What the simulation itself knows of a key, whatever clients believe.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What a malicious creator planted it as; none for an honest key.
    pub(crate) plant: Option<&'static str>,
    /// It may be used before clients had time to learn of it: the first key, one after a compromise or an exposure.
    pub(crate) urgent: bool,
    /// Made by a client's own decision, not by an owner's.
    pub(crate) automatic: bool,
    /// Planted at a moment at which any creator may make a key for immediate use.
    pub(crate) excused: bool,
    pub(crate) predecessor: Option<KeyId>,
    pub(crate) put_at: u64,
    /// An owner has changed its state.
    pub(crate) touched: bool,
    /// When its destruction began; none when it was called off.
    pub(crate) cooling_from: Option<u64>,
    /// When a use in the cooling-off time was noticed.
    pub(crate) noticed_at: Option<u64>,
    pub(crate) destroyed: bool,
    pub(crate) used: bool,
}

/// A blob that protect returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blob {
    pub(crate) key: KeyId,
    pub(crate) client: usize,
    pub(crate) at: u64,
}

/// What a client asks of a replica.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Read,
    Put(Arc<Observed>),
    /// Brings the tombstone and erases.
    Bury(KeyId, Arc<Observed>),
}

/// What a replica answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What a replica of this incarnation showed.
    Records {
        incarnation: usize,
        present: Vec<Arc<Observed>>,
        /// Slots whose contents do not parse.
        unread: BTreeSet<SlotName>,
    },
    Put(crate::store::Put),
    Shredded,
    Denied,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Refresh { client: usize, epoch: u64 },
    Plan { client: usize, epoch: u64 },
    Use { client: usize },
    Start { client: usize, epoch: u64 },
    Arrive { client: usize, epoch: u64, round: u64, site: usize, ask: Ask, asked: u64 },
    Reply { client: usize, epoch: u64, round: u64, site: usize, answer: Answer, asked: u64 },
    RoundEnd { client: usize, epoch: u64, round: u64 },
    Replicate { from: usize, to: usize, record: Arc<Observed> },
    Exchange { from: usize, to: usize },
    Partition,
    Heal { partition: u64 },
    Cut,
    Mend { client: usize, site: usize },
    Restart,
    SiteCrash,
    SiteUp { site: usize },
    Lose { index: usize },
    Owner,
    Plant,
    Remove,
    DenyAt { client: usize, site: usize },
    Jump,
    Remember,
}

/// One seed's world.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) rng: Rng,
    pub(crate) dials: Dials,
    pub(crate) off: Option<Off>,
    pub(crate) safeguards: Safeguards,
    pub(crate) group: GroupId,
    pub(crate) now: u64,
    /// Troubles have ended for good.
    pub(crate) calm: bool,
    /// Nobody uses anything any more: only what is on its way still arrives.
    pub(crate) silent: bool,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    pub(crate) sites: Vec<Site>,
    pub(crate) clients: Vec<Client>,
    pub(crate) facts: BTreeMap<KeyId, Facts>,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) owner_busy: bool,
    pub(crate) archive: Vec<KeyRecord>,
    /// Every key ever made, with its material.
    pub(crate) materials: BTreeMap<KeyId, KeyRecord>,
    /// When a link between replicas, or a replica itself, last changed.
    pub(crate) sites_changed_at: u64,
    /// When an owner changed the state of a key.
    pub(crate) owner_decisions: Vec<u64>,
    /// When the last exposure ends.
    pub(crate) exposed_until: u64,
    partition: u64,
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<Violation>,
    pub(crate) trace: Trace,
}

impl World {
    pub(crate) fn new(seed: u64, off: Option<Off>, tracing: bool) -> Self {
        let mut rng = Rng::new(seed);
        let dials = Dials::draw(&mut rng);
        let mut world = Self {
            seed,
            group: GroupId(rng.bytes()),
            rng,
            off,
            safeguards: Off::safeguards(off),
            now: 0,
            calm: false,
            silent: false,
            queue: BTreeMap::new(),
            next_event: 0,
            sites: Vec::new(),
            clients: Vec::new(),
            facts: BTreeMap::new(),
            blobs: Vec::new(),
            jobs: Vec::new(),
            owner_busy: false,
            archive: Vec::new(),
            materials: BTreeMap::new(),
            sites_changed_at: 0,
            owner_decisions: Vec::new(),
            exposed_until: 0,
            partition: 0,
            tally: Tally { seeds: 1, clients: dials.clients as u64, ..Tally::default() },
            violations: Vec::new(),
            trace: Trace::new(seed, tracing),
            dials,
        };
        world.tally.adversaries = u64::from(world.dials.is_adversarial());
        world.populate();
        world
    }

    /// Runs the seed to its end.
    pub(crate) fn run(&mut self) {
        self.until(self.dials.run_ms);
        self.finish();
    }

    /// Handles all events up to a time.
    pub(crate) fn until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        let order = self.next_event;
        self.next_event += 1;
        self.queue.insert((at.max(self.now), order), event);
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now.saturating_add(ms), event);
    }

    /// A time around the mean, never 0.
    pub(crate) fn around(&mut self, mean_ms: u64) -> u64 {
        self.rng.range(mean_ms / 2, mean_ms + mean_ms / 2).max(1)
    }

    pub(crate) fn violate(&mut self, kind: Kind, what: impl FnOnce() -> String) {
        // The same again says nothing new.
        if self.violations.len() >= VIOLATIONS_MAX || self.violations.iter().any(|v| v.kind == kind) {
            return;
        }
        let violation = Violation { seed: self.seed, kind, at_ms: self.now, what: what() };
        self.trace.note(self.now, "VIOLATION", kind as u64, || violation.to_string());
        self.violations.push(violation);
    }

    fn partition_number(&self) -> u64 {
        self.partition
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Refresh { client, epoch } => self.refresh_due(client, epoch),
            Event::Plan { client, epoch } => {
                if self.clients[client].epoch == epoch {
                    self.clients[client].plan_at = None;
                    self.drive(client);
                }
            }
            Event::Use { client } => self.use_due(client),
            Event::Start { client, epoch } => {
                if self.clients[client].epoch == epoch {
                    self.start(client);
                }
            }
            Event::Arrive { client, epoch, round, site, ask, asked } => {
                self.arrive(client, epoch, round, site, ask, asked);
            }
            Event::Reply { client, epoch, round, site, answer, asked } => {
                self.reply(client, epoch, round, site, answer, asked);
            }
            Event::RoundEnd { client, epoch, round } => {
                if self.clients[client].epoch == epoch {
                    self.finish_round(client, round);
                }
            }
            Event::Replicate { from, to, record } => self.replicate(from, to, &record),
            Event::Exchange { from, to } => self.exchange(from, to),
            Event::Partition => self.partition(),
            Event::Heal { partition } => self.heal(partition),
            Event::Cut => self.cut(),
            Event::Mend { client, site } => self.mend(client, site),
            Event::Restart => self.restart_some(),
            Event::SiteCrash => self.site_crash(),
            Event::SiteUp { site } => self.site_up(site),
            Event::Lose { index } => self.lose(index),
            Event::Owner => self.owner_wakes(),
            Event::Plant => self.plant(),
            Event::Remove => self.remove_some(),
            Event::DenyAt { client, site } => {
                self.sites[site].denies.insert(client);
            }
            Event::Jump => self.jump_some(),
            Event::Remember => self.remember(),
        }
    }

    /// The group with its first key on the first replica, the clients, and the first of all troubles.
    fn populate(&mut self) {
        let skew = i64::try_from(self.dials.policy.clock_skew_ms / 2).unwrap_or(0);
        let keeps_tombstones = self.off != Some(Off::Tombstones);
        for _ in 0..self.dials.replicas {
            let id = dkm_core::ReplicaId(self.rng.bytes());
            let skew_ms = self.draw_skew(skew);
            self.sites.push(Site::new(id, skew_ms, keeps_tombstones));
        }
        for index in 0..self.dials.clients {
            let skew_ms = self.draw_skew(skew);
            let client = Client::new(index, self.rng.bytes(), skew_ms, self.dials.replicas);
            self.clients.push(client);
        }
        if self.dials.names_creators {
            let mut names: Vec<String> = self.clients.iter().map(|c| c.name.clone()).collect();
            if self.rng.chance(500) {
                names.push(adversary::NAME.to_owned());
            }
            names.sort();
            self.dials.policy.creators = Some(names);
            self.dials.policy.owners = Some(vec![self.clients[0].name.clone()]);
        }
        let last = self.clients.len();
        for index in last.saturating_sub(self.dials.brief).max(1)..last {
            self.clients[index].brief = true;
        }
        if self.dials.clocks_off > 0 && last > 2 {
            let years = self.draw_years();
            self.clients[1].skew_ms = years;
            self.tally.clocks_off += 1;
        }
        self.found_group();
        for index in 0..last {
            let soon = self.rng.below(self.dials.policy.refresh_interval_ms);
            let epoch = self.clients[index].epoch;
            self.after(soon, Event::Start { client: index, epoch });
            let first = soon + self.around(self.dials.use_every_ms);
            self.after(first, Event::Use { client: index });
        }
        self.begin_troubles();
    }

    fn draw_skew(&mut self, most: i64) -> i64 {
        let span = u64::try_from(most * 2 + 1).unwrap_or(1);
        i64::try_from(self.rng.below(span)).unwrap_or(0) - most
    }

    pub(crate) fn draw_years(&mut self) -> i64 {
        let ms = i64::try_from(self.rng.range(200, 2_000)).unwrap_or(0) * 86_400_000;
        if self.rng.chance(500) { ms } else { -ms }
    }

    fn found_group(&mut self) {
        let owner = self.clients[0].name.clone();
        let created_at_ms = BASE_MS;
        let group = Record::Group(GroupRecord {
            name: "simulated".to_owned(),
            created_at_ms,
            repository: RepositoryId([7; 16]),
            roster_genesis: None,
            description: None,
        });
        let policy = Record::Policy(PolicyRecord {
            version: 1,
            previous: Vec::new(),
            created_at_ms,
            policy: self.dials.policy.clone(),
        });
        let (key, facts) = self.new_key(None, 0, BASE_MS, true);
        let id = key.id;
        for record in [group, policy] {
            let seen = self.observed(&record, record.slot(self.group, 0), &owner);
            self.put_at(0, &seen);
        }
        let seen = self.observed_key(&key, &owner);
        self.put_at(0, &seen);
        self.facts.insert(id, facts);
        // A group is announced when its first key is usable.
        for site in 1..self.dials.needed {
            self.exchange(0, site);
        }
    }

    /// A fresh key with its material.
    pub(crate) fn new_key(
        &mut self,
        predecessor: Option<KeyId>,
        attempt: u32,
        activates_at_ms: u64,
        urgent: bool,
    ) -> (KeyRecord, Facts) {
        let material = self.rng.bytes::<32>();
        let key = KeyRecord {
            id: key_id(self.group, Family::Native, &material),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: BASE_MS + self.now,
            activates_at_ms,
            predecessor,
            attempt,
            material: Material::Plain(Zeroizing::new(material)),
            guid: None,
        };
        self.materials.insert(key.id, key.clone());
        let facts = Facts { urgent, predecessor, put_at: self.now, ..Facts::default() };
        (key, facts)
    }

    /// A record as its author hands it to a store, which then attests author and time.
    pub(crate) fn observed(&self, record: &Record, name: SlotName, author: &str) -> Arc<Observed> {
        let digest = Digest::of(&record.encode(self.group));
        let mut record = record.clone();
        let mut verified = true;
        if let Record::Key(key) = &mut record {
            verified = match &key.material {
                Material::Plain(bytes) => key_id(self.group, key.family, bytes) == key.id,
                _ => false,
            };
            key.material = Material::None;
        }
        Arc::new(Observed {
            room: record.room(),
            name,
            digest,
            record,
            attested: Attestation {
                creator: Principal(author.to_owned()),
                created: Timestamp(BASE_MS + self.now),
                template_ok: true,
            },
            verified,
            public: PublicPart::NotKept,
        })
    }

    /// A key in its slot; with slot names switched off, in a slot of its own.
    pub(crate) fn observed_key(&self, key: &KeyRecord, author: &str) -> Arc<Observed> {
        let record = Record::Key(key.clone());
        let name = if self.off == Some(Off::SlotNames) {
            SlotName::for_content("key", Digest::of(&record.encode(self.group)))
        } else {
            key.slot()
        };
        self.observed(&record, name, author)
    }

    /// The wall time that a client's process goes by: what its machine shows, but time that has passed since its start
    /// has passed, even if the machine's clock was set back.
    pub(crate) fn clock(&self, client: usize) -> Timestamp {
        let c = &self.clients[client];
        let wall = (BASE_MS + self.now).saturating_add_signed(c.skew_ms);
        let steady = c.started_wall.saturating_add(self.now - c.started_at);
        Timestamp(wall.max(steady))
    }

    pub(crate) fn note(&mut self, tag: &'static str, number: u64, text: impl FnOnce() -> String) {
        self.trace.note(self.now, tag, number, text);
    }
}

/// The first eight hexadecimal digits of a key's id, for traces.
pub(crate) fn short(key: KeyId) -> String {
    key.to_string().chars().take(8).collect()
}

/// The first eight bytes of a key's id as a number.
pub(crate) fn number(key: KeyId) -> u64 {
    let mut word = [0u8; 8];
    word.copy_from_slice(&key.as_bytes()[..8]);
    u64::from_le_bytes(word)
}
