//! The invariants that are checked at every step.

use dkm_core::KeyId;
use dkm_core::member::UnprotectRefusal;
use dkm_core::record::{Change, Origin, Record, StatusRecord};
use dkm_core::ring::Observed;

use super::{BASE_MS, World, short};
use crate::violation::Kind;

/// A clock this far off is not a matter of skew.
const YEARS_OFF_MS: u64 = 86_400_000;

impl World {
    /// Whether a client's process goes by a time that is years off.
    pub(super) fn is_off(&self, client: usize) -> bool {
        self.clock(client).0.abs_diff(BASE_MS + self.now) > YEARS_OFF_MS
    }

    /// For how long a client that reaches every replica must have done so before it knows all that it has to know:
    /// replication bound + refresh × (1 + jitter) + 2 deadlines.
    pub(super) fn learning_ms(&self) -> u64 {
        let p = &self.dials.policy;
        p.replication_bound_ms + p.refresh_interval_max_ms() + 2 * p.io_deadline_ms
    }

    /// Since when a client reaches every replica there is, and they each other; none if it does not.
    fn whole_since(&self, client: usize) -> Option<u64> {
        let c = &self.clients[client];
        if !c.running || c.brief || c.removed || c.told_denied {
            return None;
        }
        let there: Vec<usize> = (0..self.sites.len()).filter(|s| !self.sites[*s].lost).collect();
        let whole = there.iter().all(|s| self.reaches(client, *s) && self.sites[*s].withholding.is_none());
        whole.then(|| c.started_at.max(c.changed_at).max(self.sites_changed_at))
    }

    /// A client is about to hand out a blob.
    pub(super) fn check_protect(&mut self, client: usize, key: KeyId) {
        self.check_reach(client, "protects");
        let Some(facts) = self.facts.get(&key).cloned() else {
            self.violate(Kind::Planted, || format!("client {client} protects with an unknown key"));
            return;
        };
        if let Some(plant) = facts.plant
            && !self.is_excused(&facts)
        {
            self.violate(Kind::Planted, || {
                format!("client {client} protects with {}, planted as {plant}", short(key))
            });
        }
        let read = self.clients[client].read.get(&key).map_or(0, std::collections::BTreeSet::len);
        let needed = self.dials.needed;
        if read < needed {
            self.violate(Kind::NotReadBack, || {
                format!("client {client} protects with {}, read from {read} of {needed} replicas", short(key))
            });
        }
        if self.is_off(client) {
            self.violate(Kind::ClockOff, || format!("client {client} protects, its clock being years off"));
        }
        if facts.destroyed || (facts.cooling_from.is_some() && facts.noticed_at.is_none()) {
            self.violate(Kind::DestroyedInUse, || {
                format!(
                    "client {client} protects with {}, whose destruction began at {:?} ms",
                    short(key),
                    facts.cooling_from
                )
            });
        }
        let urgent = facts.urgent || (facts.plant.is_some() && self.is_excused(&facts));
        self.check_others_can_open(client, key, urgent.then_some(facts.put_at));
        if let Some(facts) = self.facts.get_mut(&key)
            && !facts.used
        {
            facts.used = true;
            self.tally.rollovers += u64::from(facts.predecessor.is_some());
        }
    }

    /// Whether a planted key came at a moment at which any creator may make one for immediate use: the protecting key was
    /// exposed or is compromised, by the word of what an owner decided so shortly before or after that clocks and
    /// refreshes do not tell the order.
    fn is_excused(&self, plant: &super::Facts) -> bool {
        let p = &self.dials.policy;
        let skew = 2 * p.clock_skew_ms + p.io_deadline_ms;
        let lag = self.learning_ms() + skew;
        plant.excused
            || self.owner_decisions.iter().any(|at| *at <= plant.put_at + skew && plant.put_at <= *at + lag)
            || self.facts.values().any(|f| {
                f.plant.is_none() && f.urgent && f.automatic && f.put_at.abs_diff(plant.put_at) <= skew
            })
    }

    /// Whoever is connected and refreshed can open what is protected now.
    fn check_others_can_open(&mut self, client: usize, key: KeyId, urgent_since: Option<u64>) {
        let learning = self.learning_ms();
        if urgent_since.is_some_and(|at| self.now - at <= learning) {
            return;
        }
        for other in 0..self.clients.len() {
            let Some(since) = self.whole_since(other) else { continue };
            if other == client || self.now - since <= learning {
                continue;
            }
            let clock = self.clock(other);
            let leave = self.clients[other].member.unprotect_leave(clock, key, true);
            if let Err(refusal) = leave
                && !matches!(refusal, UnprotectRefusal::Destroyed { .. })
            {
                self.violate(Kind::TooEarly, || {
                    format!(
                        "client {client} protects with {} and client {other}, undisturbed since {since} ms, can't open it: {refusal}",
                        short(key)
                    )
                });
            }
        }
    }

    /// A client opens a blob.
    pub(super) fn check_open(&mut self, client: usize, key: KeyId) {
        self.check_reach(client, "opens");
        if self.clients[client].saw_destroyed.contains(&key) {
            self.violate(Kind::Returned, || {
                format!("client {client} opens with {}, whose tombstone it has read", short(key))
            });
        }
    }

    fn check_reach(&mut self, client: usize, what: &str) {
        let grace = self.dials.policy.offline_grace_ms;
        let c = &self.clients[client];
        if c.told_denied {
            self.violate(Kind::AfterDenial, || format!("client {client} {what} after it was denied"));
            return;
        }
        let silent = c.last_reading.map(|at| self.now - at);
        if silent.is_none_or(|ms| ms > grace) {
            self.violate(Kind::AfterGrace, || {
                format!(
                    "client {client} {what}, {silent:?} ms after its last reading, the grace being {grace} ms"
                )
            });
        }
    }

    /// Within a process, time does not go back.
    pub(super) fn check_time(&mut self, client: usize) {
        let clock = self.clock(client);
        let now = self.clients[client].member.advance(clock);
        let highest = self.clients[client].highest;
        if now < highest {
            self.violate(Kind::TimeWentBack, || format!("client {client}: from {highest} to {now}"));
        }
        self.clients[client].highest = now;
    }

    /// A replica that has a successor takes no other one: keys per rollover ≤ replicas not yet converged.
    pub(super) fn check_flood(&mut self, site: usize, seen: &Observed) {
        let Record::Key(new) = &seen.record else { return };
        if new.origin != Origin::Rolled {
            return;
        }
        let Some(facts) = self.facts.get(&new.id) else { return };
        // What a replica hides nobody can adopt.
        let hides = self.sites[site].withholding.is_some();
        if !facts.automatic || hides || self.sites[site].store.is_taken(seen.room, &seen.name) {
            return;
        }
        let predecessor = new.predecessor;
        let of_this_rollover = |f: &super::Facts| f.predecessor == predecessor && predecessor.is_some();
        // A planted record may have taken the slot for some clients and not yet for others.
        // So may a key made by hand, whose reason not everybody has heard of.
        let disturbs = |f: &super::Facts| f.plant.is_some() || (!f.automatic && f.predecessor.is_some());
        if self.facts.values().any(|f| disturbs(f) && of_this_rollover(f)) {
            return;
        }
        // Not everybody has heard of the reason for an urgent key while replicas are apart, or if its record was lost.
        let p = &self.dials.policy;
        let reasons_are_known = self.dials.losses.is_empty()
            && self.apart().is_empty()
            && self.now - self.sites_changed_at > p.replication_bound_ms + 2 * p.io_deadline_ms;
        let mut other = None;
        let mut elsewhere = false;
        for (at, s) in self.sites.iter().enumerate() {
            for record in s.store.records.values() {
                let Record::Key(known) = &record.record else { continue };
                // One that came back from an archive succeeds nobody.
                if known.origin != Origin::Rolled {
                    continue;
                }
                let Some(f) = self.facts.get(&known.id) else { continue };
                // An owner's decision about any key, and an exposure, begin another rollover.
                let counts = f.automatic && of_this_rollover(f) && known.id != new.id && !f.touched;
                let counts = counts && (!f.urgent || reasons_are_known);
                if counts
                    && self.exposed_until < f.put_at
                    && self.owner_decisions.last().is_none_or(|at| *at < f.put_at)
                {
                    elsewhere = true;
                    if at == site {
                        other = Some(known.id);
                    }
                }
            }
        }
        self.tally.twins += u64::from(elsewhere);
        if let Some(other) = other {
            let (new, site) = (new.id, site);
            self.violate(Kind::Flood, || {
                format!(
                    "replica {site} takes {} although it holds {} after the same key",
                    short(new),
                    short(other)
                )
            });
        }
    }

    /// A tombstone must not meet a key whose use was noticed in time.
    pub(super) fn check_destruction(&mut self, status: &StatusRecord) {
        if status.change != Change::Destroyed {
            return;
        }
        let Some(facts) = self.facts.get(&status.key) else { return };
        if let Some(noticed) = facts.noticed_at
            && !facts.destroyed
            && self.sites_changed_at <= noticed
            && self.now - noticed > self.learning_ms()
        {
            let key = status.key;
            self.violate(Kind::DestroyedInUse, || {
                format!("{} is destroyed although its use was noticed at {noticed} ms", short(key))
            });
        }
    }
}
