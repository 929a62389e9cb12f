//! Troubles: partitions, cut links, crashes, losses, removals, clocks that jump.

use super::site::{Site, Withholding};
use super::{Event, World};
use crate::dials::Loss;

impl World {
    pub(super) fn begin_troubles(&mut self) {
        let d = self.dials.clone();
        for (every, event) in [
            (d.partition_every_ms, Event::Partition),
            (d.cut_every_ms, Event::Cut),
            (d.restart_every_ms, Event::Restart),
            (d.replica_crash_every_ms, Event::SiteCrash),
            (d.owner_every_ms, Event::Owner),
            (d.plant_every_ms, Event::Plant),
        ] {
            if let Some(every) = every {
                let first = self.around(every);
                self.after(first, event);
            }
        }
        for index in 0..d.losses.len() {
            let when = self.rng.below(d.run_ms);
            self.at(when, Event::Lose { index });
        }
        if d.removals {
            let when = self.rng.below(d.run_ms);
            self.at(when, Event::Remove);
        }
        if d.jumps {
            let when = self.rng.below(d.run_ms);
            self.at(when, Event::Jump);
        }
        let when = self.rng.below(d.run_ms);
        self.at(when, Event::Remember);
    }

    /// Keeps what replicas hold now, for a restore of one of them from its backup.
    pub(super) fn remember(&mut self) {
        for site in &mut self.sites {
            site.older = Some(site.store.clone());
        }
        self.keep_archive();
    }

    pub(super) fn partition(&mut self) {
        if self.calm {
            return;
        }
        let again = self.around(self.dials.partition_every_ms.unwrap_or(1));
        self.after(again, Event::Partition);
        if self.partition % 2 == 1 || !self.may_disturb() {
            // One at a time.
            return;
        }
        self.partition += 1;
        self.tally.partitions += 1;
        let sides = self.rng.range(2, 3);
        let mut draw = || u8::try_from(self.rng.below(sides)).unwrap_or(0);
        let of_sites: Vec<u8> = self.sites.iter().map(|_| draw()).collect();
        let of_clients: Vec<u8> = self.clients.iter().map(|_| draw()).collect();
        self.set_sides(&of_sites, &of_clients);
        let lasts = self.rng.range(1, self.dials.partition_max_ms);
        let partition = self.partition;
        self.after(lasts, Event::Heal { partition });
        self.note("partition", partition, || format!("replicas {of_sites:?}, clients {of_clients:?}"));
    }

    /// Where keys are destroyed, policy's grace must cover the longest time for which replicas have not converged: two
    /// troubles in a row would be one long one.
    pub(super) fn may_disturb(&self) -> bool {
        let converged = self.apart().is_empty() || self.sites.iter().any(|s| s.lost);
        !self.dials.destroys
            || (converged && self.now - self.sites_changed_at > self.dials.policy.replication_bound_ms)
    }

    pub(super) fn heal(&mut self, partition: u64) {
        if partition != self.partition || partition.is_multiple_of(2) {
            return;
        }
        self.partition += 1;
        let (sites, clients) = (vec![0; self.sites.len()], vec![0; self.clients.len()]);
        self.set_sides(&sites, &clients);
        self.note("heal", partition, String::new);
    }

    fn set_sides(&mut self, of_sites: &[u8], of_clients: &[u8]) {
        let apart = self.apart();
        for (site, side) in self.sites.iter_mut().zip(of_sites) {
            site.side = *side;
        }
        for (client, side) in self.clients.iter_mut().zip(of_clients) {
            client.side = *side;
            client.changed_at = self.now;
        }
        self.sites_changed_at = self.now;
        self.exchange_soon(&apart);
    }

    pub(super) fn cut(&mut self) {
        if self.calm {
            return;
        }
        let again = self.around(self.dials.cut_every_ms.unwrap_or(1));
        self.after(again, Event::Cut);
        let (client, site) = (self.rng.index(self.clients.len()), self.rng.index(self.sites.len()));
        self.clients[client].cut.insert(site);
        self.clients[client].changed_at = self.now;
        self.tally.cuts += 1;
        let lasts = self.rng.range(1, self.dials.partition_max_ms);
        self.after(lasts, Event::Mend { client, site });
        self.note("cut", client as u64, || format!("client {client} from replica {site}"));
    }

    pub(super) fn mend(&mut self, client: usize, site: usize) {
        self.clients[client].cut.remove(&site);
        self.clients[client].changed_at = self.now;
    }

    pub(super) fn restart_some(&mut self) {
        if self.calm {
            return;
        }
        let again = self.around(self.dials.restart_every_ms.unwrap_or(1));
        self.after(again, Event::Restart);
        let client = self.rng.index(self.clients.len());
        if self.clients[client].running {
            self.tally.restarts += 1;
            self.crash(client);
        }
    }

    pub(super) fn site_crash(&mut self) {
        if self.calm {
            return;
        }
        let again = self.around(self.dials.replica_crash_every_ms.unwrap_or(1));
        self.after(again, Event::SiteCrash);
        let site = self.rng.index(self.sites.len());
        if self.sites[site].is_there() && self.may_disturb() {
            self.site_down(site);
        }
    }

    pub(super) fn site_down(&mut self, site: usize) {
        self.tally.replica_crashes += 1;
        self.sites[site].up = false;
        self.sites_changed_at = self.now;
        // Longer than a partition would be a partition.
        let lasts =
            self.rng.range(1, self.dials.partition_max_ms.min(self.dials.policy.refresh_interval_ms * 3));
        self.after(lasts, Event::SiteUp { site });
        self.note("down", site as u64, || format!("replica {site}"));
    }

    pub(super) fn site_up(&mut self, site: usize) {
        if self.sites[site].up {
            return;
        }
        let apart = self.apart();
        self.sites[site].up = true;
        self.sites_changed_at = self.now;
        self.exchange_soon(&apart);
        self.note("up", site as u64, || format!("replica {site}"));
    }

    /// A replica that may be lost is lost.
    pub(super) fn lose(&mut self, index: usize) {
        if self.calm {
            return;
        }
        let Some(loss) = self.dials.losses.get(index).copied() else { return };
        let whole: Vec<usize> = (0..self.sites.len())
            .filter(|s| {
                let site = &self.sites[*s];
                !site.lost && site.withholding.is_none() && site.replaced == 0 && !site.was_set_back
            })
            .collect();
        // One that is apart from the others hurts most.
        let lonely: Vec<usize> =
            whole.iter().copied().filter(|s| self.sites[*s].side != self.sites[whole[0]].side).collect();
        let choice = if self.rng.chance(500) && !lonely.is_empty() { &lonely } else { &whole };
        let Some(site) = self.rng.pick(choice) else { return };
        self.note("lose", site as u64, || format!("replica {site}: {loss:?}"));
        self.sites_changed_at = self.now;
        match loss {
            Loss::Gone => {
                self.sites[site].lost = true;
                self.tally.losses += 1;
            }
            Loss::Replaced => {
                self.tally.losses += 1;
                let id = dkm_core::ReplicaId(self.rng.bytes());
                let old = &self.sites[site];
                let mut new = Site::new(id, old.skew_ms, self.off != Some(crate::off::Off::Tombstones));
                new.side = old.side;
                new.denies = old.denies.clone();
                new.replaced = old.replaced + 1;
                new.up = false;
                self.sites[site] = new;
                self.site_up(site);
            }
            Loss::SetBack => {
                self.tally.set_back += 1;
                self.sites[site].was_set_back = true;
                if let Some(older) = self.sites[site].older.clone() {
                    let up = self.sites[site].up;
                    self.sites[site].store.set_back(&older);
                    self.sites[site].up = false;
                    if up {
                        self.site_up(site);
                    }
                }
            }
            Loss::Withholding => {
                self.tally.withholding += 1;
                let newest =
                    self.rng.chance(500).then(|| self.sites[site].clock(self.rng.below(self.now + 1)));
                let hides_below =
                    if newest.is_none() { u8::try_from(self.rng.range(1, 255)).unwrap_or(1) } else { 0 };
                let lie_ms = if self.rng.chance(300) { self.draw_years() } else { 0 };
                self.sites[site].withholding = Some(Withholding { newest, hides_below, lie_ms });
            }
        }
    }

    /// Somebody leaves the group: each replica learns of it in its own time.
    pub(super) fn remove_some(&mut self) {
        if self.calm || self.clients.len() < 3 {
            return;
        }
        let client = 2 + self.rng.index(self.clients.len() - 2);
        self.clients[client].removed = true;
        self.tally.removals += 1;
        for site in 0..self.sites.len() {
            let delay = self.rng.below(self.dials.policy.replication_bound_ms + 1);
            self.after(delay, Event::DenyAt { client, site });
        }
        self.note("remove", client as u64, || format!("client {client}"));
    }

    /// A machine's clock jumps by years.
    pub(super) fn jump_some(&mut self) {
        if self.calm || self.clients.len() < 3 {
            return;
        }
        let years = self.draw_years();
        self.clients[1].skew_ms += years;
        self.clients[1].changed_at = self.now;
        self.tally.clocks_off += 1;
        self.note("jump", 1, || format!("client 1 by {years} ms"));
    }
}
