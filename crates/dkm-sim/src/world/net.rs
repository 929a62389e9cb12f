//! Messages between clients and replicas, and replication between replicas.

use std::collections::BTreeSet;
use std::sync::Arc;

use dkm_core::SlotName;
use dkm_core::member::{Reading, Rights};
use dkm_core::record::{Change, Purpose, Record};
use dkm_core::ring::Observed;

use super::client::{Round, Then};
use super::{Answer, Ask, Event, World};
use crate::store::Put;

impl World {
    /// Whether a message between them arrives now.
    pub(crate) fn reaches(&self, client: usize, site: usize) -> bool {
        let (c, s) = (&self.clients[client], &self.sites[site]);
        s.is_there() && c.side == s.side && !c.cut.contains(&site)
    }

    fn meet(&self, from: usize, to: usize) -> bool {
        let (a, b) = (&self.sites[from], &self.sites[to]);
        a.is_there() && b.is_there() && a.side == b.side
    }

    /// Asks these replicas the same; `then` happens when all have answered or the deadline has passed.
    pub(crate) fn ask(&mut self, client: usize, sites: &[usize], ask: &Ask, then: Then) {
        let half = self.dials.policy.io_deadline_ms / 2;
        let round = self.clients[client].next_round;
        let epoch = self.clients[client].epoch;
        self.clients[client].next_round += 1;
        for site in sites {
            let arrival = self.now + self.rng.below(half + 1);
            // A connection keeps the order of what is sent on it.
            let arrival = arrival.max(self.clients[client].arrives[*site]);
            self.clients[client].arrives[*site] = arrival;
            let event =
                Event::Arrive { client, epoch, round, site: *site, ask: ask.clone(), asked: self.now };
            self.at(arrival, event);
        }
        let round_ends = Round { waiting: sites.to_vec(), answered: Vec::new(), put: None, then };
        self.clients[client].rounds.insert(round, round_ends);
        self.after(self.dials.policy.io_deadline_ms, Event::RoundEnd { client, epoch, round });
    }

    /// Reads every replica on fresh connections.
    pub(crate) fn read_all(&mut self, client: usize, then: Then) {
        let sites: Vec<usize> = (0..self.sites.len()).collect();
        self.ask(client, &sites, &Ask::Read, then);
    }

    pub(super) fn arrive(
        &mut self,
        client: usize,
        epoch: u64,
        round: u64,
        site: usize,
        ask: Ask,
        asked: u64,
    ) {
        if !self.reaches(client, site) {
            return;
        }
        let denied = self.sites[site].denies.contains(&client);
        let answer = match ask {
            _ if denied => Answer::Denied,
            Ask::Read => Answer::Records {
                incarnation: self.sites[site].replaced,
                present: self.sites[site].shown(),
                unread: self.sites[site].store.unread.clone(),
            },
            Ask::Put(seen) => {
                let put = self.put_at(site, &seen);
                let dies = !self.calm && self.rng.chance(self.dials.crash_permille / 4) && self.may_disturb();
                if put == Put::Created && dies {
                    // The replica dies after the record is durable and before it says so.
                    self.site_down(site);
                    return;
                }
                Answer::Put(put)
            }
            Ask::Bury(key, tombstone) => {
                self.put_at(site, &tombstone);
                self.sites[site].store.shred(key);
                Answer::Shredded
            }
        };
        let half = self.dials.policy.io_deadline_ms / 2;
        let arrival = (self.now + self.rng.below(half + 1)).max(self.clients[client].replies[site]);
        self.clients[client].replies[site] = arrival;
        self.at(arrival, Event::Reply { client, epoch, round, site, answer, asked });
    }

    pub(super) fn reply(
        &mut self,
        client: usize,
        epoch: u64,
        round: u64,
        site: usize,
        answer: Answer,
        asked: u64,
    ) {
        if self.clients[client].epoch != epoch || !self.reaches(client, site) {
            return;
        }
        // What was asked before a denial and comes after it does not count.
        let stale = self.clients[client].denied_at.is_some_and(|at| asked <= at);
        match answer {
            _ if stale => {}
            Answer::Denied => {
                self.tally.denials += 1;
                self.note("denied", client as u64, || format!("client {client} by replica {site}"));
                let c = &mut self.clients[client];
                c.member.deny();
                c.denied_at = Some(self.now);
                c.told_denied = true;
                c.read.clear();
            }
            Answer::Records { incarnation, .. } if incarnation != self.sites[site].replaced => return,
            Answer::Records { present, unread, .. } => self.take_reading(client, site, present, unread),
            Answer::Put(put) => {
                if let Some(r) = self.clients[client].rounds.get_mut(&round) {
                    r.put = Some(put);
                }
            }
            Answer::Shredded => {}
        }
        let Some(r) = self.clients[client].rounds.get_mut(&round) else { return };
        r.waiting.retain(|s| *s != site);
        if !stale {
            r.answered.push(site);
        }
        if r.waiting.is_empty() {
            self.finish_round(client, round);
        }
    }

    fn take_reading(
        &mut self,
        client: usize,
        site: usize,
        present: Vec<Arc<Observed>>,
        unread: BTreeSet<SlotName>,
    ) {
        self.tally.readings += 1;
        let clock = self.clock(client);
        let (replica, shown) = (self.sites[site].store.id, self.sites[site].shown_clock(self.now));
        let incarnation = (site, self.sites[site].replaced);
        for seen in &present {
            match &seen.record {
                Record::Key(key) if seen.verified => {
                    self.clients[client].read.entry(key.id).or_default().insert(incarnation);
                }
                Record::Status(status) if status.change == Change::Destroyed => {
                    self.clients[client].saw_destroyed.insert(status.key);
                }
                _ => {}
            }
        }
        let c = &mut self.clients[client];
        c.member.set_rights(Rights { read: true, create: true, own: client == 0 });
        let reading = Reading { replica, clock: Some(shown), present };
        c.member.observe(clock, &reading);
        c.member.note_unread(unread);
        c.told_denied = false;
        c.last_reading = Some(self.now);
        self.check_time(client);
    }

    /// A store takes a record from an author, attests it, and passes it on.
    pub(crate) fn put_at(&mut self, site: usize, seen: &Arc<Observed>) -> Put {
        let mut attested = seen.attested.clone();
        attested.created = self.sites[site].clock(self.now);
        let seen = Arc::new(Observed { attested, ..(**seen).clone() });
        self.check_flood(site, &seen);
        let put = self.sites[site].store.put(seen.clone());
        self.note("put", site as u64, || {
            format!("{} {}/{} on replica {site}: {put:?}", seen.attested.creator, seen.room, seen.name)
        });
        match put {
            Put::Created => {
                self.learn(&seen);
                for other in 0..self.sites.len() {
                    if other != site {
                        let delay = self.rng.below(self.dials.policy.replication_bound_ms + 1);
                        self.after(delay, Event::Replicate { from: site, to: other, record: seen.clone() });
                    }
                }
            }
            Put::Taken => self.tally.taken += 1,
            Put::Tombstoned => self.tally.erased += 1,
        }
        put
    }

    /// Keeps the simulation's own account of what owners and users have decided.
    fn learn(&mut self, seen: &Observed) {
        let now = self.now;
        match &seen.record {
            Record::Status(status) => {
                self.check_destruction(status);
                if status.purpose != Purpose::InUse {
                    self.owner_decisions.push(now);
                }
                let Some(facts) = self.facts.get_mut(&status.key) else { return };
                match (status.change, status.purpose) {
                    (Change::Suspended, Purpose::CoolingOff) => {
                        facts.cooling_from = Some(now);
                        facts.noticed_at = None;
                        self.tally.cooling += 1;
                    }
                    (Change::Resumed, Purpose::InUse) => {
                        if facts.cooling_from.is_some() && facts.noticed_at.is_none() && !facts.destroyed {
                            facts.noticed_at = Some(now);
                            self.tally.aborted += 1;
                        }
                    }
                    (Change::Destroyed, _) => {
                        self.tally.destroyed += u64::from(!facts.destroyed);
                        facts.destroyed = true;
                        facts.touched = true;
                    }
                    _ => facts.touched = true,
                }
            }
            Record::Exposed(exposed) if seen.attested.creator.0 != super::adversary::NAME => {
                let until = exposed.until_ms.saturating_sub(super::BASE_MS) + self.dials.policy.clock_skew_ms;
                self.exposed_until = self.exposed_until.max(until);
                self.tally.exposures += 1;
            }
            _ => {}
        }
    }

    pub(super) fn replicate(&mut self, from: usize, to: usize, record: &Arc<Observed>) {
        if self.meet(from, to) && self.sites[to].store.merge(record) {
            self.tally.erased += 1;
        }
    }

    /// Two replicas that reach each other again show each other all they have.
    pub(super) fn exchange(&mut self, from: usize, to: usize) {
        if !self.meet(from, to) {
            return;
        }
        let unread = self.sites[from].store.unread.clone();
        self.sites[to].store.unread.extend(unread);
        let records: Vec<Arc<Observed>> = self.sites[from].store.records.values().cloned().collect();
        for record in records {
            if self.sites[to].store.merge(&record) {
                self.tally.erased += 1;
            }
        }
    }

    /// Brings two-way exchanges on the way for all replicas that now reach each other.
    pub(crate) fn exchange_soon(&mut self, among: &[(usize, usize)]) {
        for (from, to) in among {
            if self.meet(*from, *to) {
                let delay = self.rng.below(self.dials.policy.replication_bound_ms + 1);
                self.after(delay, Event::Exchange { from: *from, to: *to });
            }
        }
    }

    /// All ordered pairs of replicas that do not reach each other now.
    pub(crate) fn apart(&self) -> Vec<(usize, usize)> {
        let n = self.sites.len();
        (0..n)
            .flat_map(|a| (0..n).map(move |b| (a, b)))
            .filter(|(a, b)| a != b && !self.meet(*a, *b))
            .collect()
    }
}
