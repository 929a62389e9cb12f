//! The end of a seed: all partitions heal, everybody reads, and what was promised is asked for.

use dkm_core::member::{Member, ProtectRefusal, Reading};
use dkm_core::record::{Change, Record};
use dkm_core::ring::{KeyState, Ring, RingKey};
use dkm_core::{KeyId, Timestamp};

use super::{BASE_MS, Blob, Event, World, short};
use crate::violation::Kind;

/// What clients must agree on of a key.
type Agreed = (KeyId, Timestamp, KeyState, bool);

fn agreed(ring: &Ring, now: Timestamp, read_until: Timestamp) -> Vec<Agreed> {
    let keys = ring.keys.iter().filter(|k| k.status.destroyed.is_none() && k.attested.created <= read_until);
    // Of an archived key it does not matter any more whether it might have protected: that may depend on the record of
    // a key that was destroyed since, which only long-lived clients still remember.
    let may = |k: &RingKey| k.may_ever_protect() && k.state(now) != KeyState::Deactivated;
    keys.map(|k| (k.id(), k.activation(), k.state(now), may(k))).collect()
}

impl World {
    /// Heals everything, waits, and asks.
    pub(super) fn finish(&mut self) {
        self.calm = true;
        self.note("calm", 0, String::new);
        let partition = self.partition_number();
        self.handle(Event::Heal { partition });
        for site in 0..self.sites.len() {
            self.site_up(site);
            for client in 0..self.clients.len() {
                if self.clients[client].cut.contains(&site) {
                    self.mend(client, site);
                }
            }
        }
        self.owner_settles();
        for client in 0..self.clients.len() {
            if !self.clients[client].running && !self.clients[client].brief {
                let epoch = self.clients[client].epoch;
                self.at(self.now, Event::Start { client, epoch });
            }
        }
        let p = &self.dials.policy;
        // Long enough for everybody to read twice, for an overdue key to be made, and for it to become active.
        let quiet = p.replication_bound_ms * 22
            + p.refresh_interval_max_ms() * 3
            + p.activation_delay_ms
            + p.creation_margin_ms() * 2
            + 8 * p.io_deadline_ms
            + p.clock_skew_ms;
        let end = self.now + quiet;
        self.until(end);
        self.silent = true;
        let learning = self.learning_ms();
        self.until(self.now + learning);
        self.check_blobs();
        self.check_destroyed();
        self.check_removed();
        let undisturbed = self.dials.losses.is_empty();
        if undisturbed {
            self.check_agreement();
        }
        let withheld = self.sites.iter().any(|s| s.withholding.is_some());
        let left = self.sites.iter().filter(|s| !s.lost).count();
        if !withheld && left >= self.dials.needed {
            self.check_progress();
        }
    }

    /// A client that starts now and reads every replica that is left.
    fn fresh(&self) -> Member {
        let clock = Timestamp(BASE_MS + self.now);
        let mut member = Member::new([0xff; 16], self.sites.len(), None, self.safeguards);
        for site in self.sites.iter().filter(|s| s.is_there()) {
            let reading = Reading {
                replica: site.store.id,
                clock: Some(site.shown_clock(self.now)),
                present: site.shown(),
            };
            member.observe(clock, &reading);
        }
        member
    }

    /// Every blob that protect returned opens, unless its key was destroyed.
    fn check_blobs(&mut self) {
        let clock = Timestamp(BASE_MS + self.now);
        let mut fresh = self.fresh();
        for Blob { key, client, at } in std::mem::take(&mut self.blobs) {
            if self.facts.get(&key).is_some_and(|f| f.destroyed) {
                continue;
            }
            match fresh.unprotect_leave(clock, key, true) {
                Ok(_) => self.tally.reopened += 1,
                Err(refusal) => self.violate(Kind::Lost, || {
                    format!("the blob that client {client} made at {at} ms with {}: {refusal}", short(key))
                }),
            }
        }
    }

    /// What was destroyed lies nowhere and opens nowhere.
    fn check_destroyed(&mut self) {
        let destroyed: Vec<KeyId> =
            self.facts.iter().filter(|(_, f)| f.destroyed).map(|(id, _)| *id).collect();
        // A tombstone that was lost with its replica before it reached another one has destroyed nothing.
        let destroyed: Vec<KeyId> = destroyed.into_iter().filter(|key| self.is_buried(*key)).collect();
        let mut fresh = self.fresh();
        let clock = Timestamp(BASE_MS + self.now);
        for key in destroyed {
            for site in 0..self.sites.len() {
                if self.sites[site].is_there() && self.sites[site].store.holds(key) {
                    self.violate(Kind::Returned, || {
                        format!("replica {site} holds {}, which was destroyed", short(key))
                    });
                }
            }
            let mut opens = fresh.unprotect_leave(clock, key, true).is_ok();
            for client in 0..self.clients.len() {
                let clock = self.clock(client);
                let c = &mut self.clients[client];
                if c.running && !c.brief && c.member.unprotect_leave(clock, key, true).is_ok() {
                    opens = true;
                }
            }
            if opens {
                self.violate(Kind::Returned, || format!("{} opens, but was destroyed", short(key)));
            }
        }
    }

    /// Whether a tombstone lies on a replica that is left.
    fn is_buried(&self, key: KeyId) -> bool {
        self.sites.iter().filter(|s| s.is_there()).flat_map(|s| s.store.records.values()).any(
            |seen| matches!(&seen.record, Record::Status(s) if s.key == key && s.change == Change::Destroyed),
        )
    }

    /// Whoever was removed has been told, or is out of reach.
    fn check_removed(&mut self) {
        for client in 0..self.clients.len() {
            if !self.clients[client].removed || !self.clients[client].running || self.clients[client].brief {
                continue;
            }
            let clock = self.clock(client);
            if self.clients[client].member.protecting_key(clock).is_ok() {
                self.violate(Kind::AfterDenial, || format!("client {client} was removed and protects"));
            }
        }
    }

    /// Long-lived clients whose clock is right, that are members, and that have read after the heal.
    fn settled_clients(&self) -> Vec<usize> {
        (0..self.clients.len())
            .filter(|client| {
                let c = &self.clients[*client];
                c.running && !c.brief && !c.removed && !self.is_off(*client)
            })
            .collect()
    }

    /// All clients derive the same from what they have read, in whatever order they have read it.
    fn check_agreement(&mut self) {
        let now = Timestamp(BASE_MS + self.now);
        // What was made a moment ago is still on its way to some.
        let read_until = now.minus(self.learning_ms() + self.dials.policy.clock_skew_ms);
        let fresh = agreed(self.fresh().ring(), now, read_until);
        for client in self.settled_clients() {
            let theirs = agreed(self.clients[client].member.ring(), now, read_until);
            if theirs != fresh {
                let odd: Vec<String> = theirs
                    .iter()
                    .filter(|k| !fresh.contains(k))
                    .chain(fresh.iter().filter(|k| !theirs.contains(k)))
                    .map(|(id, at, state, may)| format!("{} {at} {state} {may}", short(*id)))
                    .collect();
                self.violate(Kind::Diverged, || {
                    format!("client {client} does not agree with a fresh one: {}", odd.join("; "))
                });
            }
        }
    }

    /// After the calm everybody protects.
    fn check_progress(&mut self) {
        let clock = Timestamp(BASE_MS + self.now);
        let mut fresh = self.fresh();
        // A limit that leaves no time for an overdue key to be made and to become active stops everybody for a while.
        let p = &self.dials.policy;
        let needs =
            p.replication_bound_ms * 20 + p.activation_delay_ms + p.creation_margin_ms() + self.learning_ms();
        let tight = p.overdue_refuse_after_ms.is_some_and(|limit| limit < needs);
        let allowed = |refusal: &ProtectRefusal| tight && matches!(refusal, ProtectRefusal::Overdue { .. });
        let refusal = fresh.protecting_key(clock).err();
        if let Some(refusal) = refusal.filter(|r| !allowed(r)) {
            self.violate(Kind::Stuck, || format!("a fresh client does not protect: {refusal}"));
        }
        for client in self.settled_clients() {
            let clock = self.clock(client);
            if let Err(refusal) = self.clients[client].member.protecting_key(clock)
                && !allowed(&refusal)
            {
                self.violate(Kind::Stuck, || format!("client {client} does not protect: {refusal}"));
            }
        }
    }
}
