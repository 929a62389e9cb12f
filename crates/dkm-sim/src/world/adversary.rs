//! A malicious creator: a member with the right to add keys, who adds what must never protect.

use dkm_core::record::{Family, KeyRecord, Material, Origin, Record};
use dkm_core::{KeyId, SlotName, Timestamp};
use zeroize::Zeroizing;

use super::{BASE_MS, Event, Facts, World, number, short};
use crate::store::Put;

/// The name under which stores know the malicious creator.
pub(crate) const NAME: &str = "client:mallory";

/// What is planted.
#[derive(Debug, Clone, Copy)]
enum Plant {
    WrongSlot,
    FarFuture,
    Backdated,
    WrongId,
    Flood,
    HighestAttempt,
    OldMaterial,
    CopyOfCurrent,
    NewFirstKey,
    Litter,
}

impl Plant {
    const ALL: [Self; 10] = [
        Self::WrongSlot,
        Self::FarFuture,
        Self::Backdated,
        Self::WrongId,
        Self::Flood,
        Self::HighestAttempt,
        Self::OldMaterial,
        Self::CopyOfCurrent,
        Self::NewFirstKey,
        Self::Litter,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::WrongSlot => "a key in a wrong slot",
            Self::FarFuture => "a far-future key",
            Self::Backdated => "a backdated key",
            Self::WrongId => "a key whose material does not give its id",
            Self::Flood => "one of a flood of slots",
            Self::HighestAttempt => "a key with the highest attempt",
            Self::OldMaterial => "an old key made new",
            Self::CopyOfCurrent => "a copy of the current key",
            Self::NewFirstKey => "another first key",
            Self::Litter => "litter in a slot",
        }
    }
}

impl World {
    /// The malicious creator plants something at a replica that it reaches.
    pub(super) fn plant(&mut self) {
        if self.calm {
            return;
        }
        let again = self.around(self.dials.plant_every_ms.unwrap_or(1));
        self.after(again, Event::Plant);
        let there: Vec<usize> = (0..self.sites.len()).filter(|s| self.sites[*s].is_there()).collect();
        let Some(site) = self.rng.pick(&there) else { return };
        let Some(what) = self.rng.pick(&Plant::ALL) else { return };
        let Some((current, old)) = self.current_at(site) else { return };
        let excused = self.is_urgent();
        match what {
            Plant::Flood => {
                for attempt in 0..u32::try_from(self.rng.range(3, 12)).unwrap_or(3) {
                    let at = BASE_MS + self.now;
                    let key = self.forge(Some(current), attempt, at);
                    self.plant_key(site, what, key, None, excused);
                }
            }
            Plant::WrongSlot => {
                let key = self.forge(Some(current), 0, BASE_MS + self.now + self.far_ms() / 2);
                let slot = SlotName::for_key(Some(current), u32::try_from(self.rng.range(1, 3)).unwrap_or(1));
                self.plant_key(site, what, key, Some(slot), excused);
            }
            Plant::FarFuture => {
                let attempt = self.free_attempt(site, current);
                let key = self.forge(Some(current), attempt, BASE_MS + self.now + self.far_ms());
                self.plant_key(site, what, key, None, excused);
            }
            Plant::Backdated => {
                let attempt = self.free_attempt(site, current);
                let mut key = self.forge(Some(current), attempt, BASE_MS);
                key.created_at_ms = BASE_MS;
                self.plant_key(site, what, key, None, excused);
            }
            Plant::WrongId => {
                let mut key = self.forge(Some(current), 0, BASE_MS + self.now + self.far_ms() / 8);
                key.id = if self.rng.chance(500) { current } else { KeyId(self.rng.bytes()) };
                let slot = SlotName::for_key(Some(current), self.free_attempt(site, current));
                self.plant_key(site, what, key, Some(slot), excused);
            }
            Plant::HighestAttempt => {
                let slot = self.rng.chance(500).then(|| SlotName::for_key(None, 77));
                let key = self.forge(Some(current), u32::MAX, BASE_MS + self.now);
                self.plant_key(site, what, key, slot, excused);
            }
            Plant::OldMaterial | Plant::CopyOfCurrent => {
                let id = if matches!(what, Plant::OldMaterial) { old } else { current };
                let Some(known) = self.materials.get(&id).cloned() else { return };
                let attempt = self.free_attempt(site, current);
                let delay = self.dials.policy.activation_delay_ms * self.rng.range(0, 2);
                let key = KeyRecord {
                    created_at_ms: self.rng.next_u64() >> 20,
                    activates_at_ms: BASE_MS + self.now + delay,
                    predecessor: Some(current),
                    attempt,
                    ..known
                };
                self.plant_key(site, what, key, None, excused);
            }
            Plant::NewFirstKey => {
                let attempt = u32::try_from(self.rng.below(3)).unwrap_or(0);
                let key = self.forge(None, attempt, BASE_MS + self.now);
                self.plant_key(site, what, key, None, excused);
            }
            Plant::Litter => {
                // Something that is no key, in the slot where the next key would go.
                let slot = SlotName::for_key(Some(current), self.free_attempt(site, current));
                let litter = Record::Exposed(dkm_core::record::ExposedRecord {
                    from_ms: 1,
                    until_ms: 2,
                    who: "nobody".to_owned(),
                    grant: format!("{}", self.now),
                });
                let mut seen = (*self.observed(&litter, slot, NAME)).clone();
                seen.room = dkm_core::Room::Keys;
                let id = KeyId(self.rng.bytes());
                self.mark_plant(id, Some(current), what, excused);
                if self.rng.chance(500) {
                    // Bytes that are no record at all, on every replica that is there.
                    for other in there {
                        self.sites[other].store.unread.insert(seen.name.clone());
                    }
                    self.tally.planted += 1;
                    return;
                }
                self.put_at(site, &std::sync::Arc::new(seen));
            }
        }
    }

    fn far_ms(&self) -> u64 {
        self.dials.policy.rotation_period_ms * 50
    }

    /// The key that protects, by a replica's word, and one before it.
    fn current_at(&self, site: usize) -> Option<(KeyId, KeyId)> {
        let site = &self.sites[site];
        let now = site.clock(self.now);
        let records = site.store.records.values().map(AsRef::as_ref);
        let ring = dkm_core::ring::Ring::derive(records, now, self.safeguards);
        let current = ring.protecting(now).next()?.id();
        let old = ring.keys.first()?.id();
        Some((current, old))
    }

    fn free_attempt(&self, site: usize, predecessor: KeyId) -> u32 {
        let store = &self.sites[site].store;
        (0..32)
            .find(|a| !store.is_taken(dkm_core::Room::Keys, &SlotName::for_key(Some(predecessor), *a)))
            .unwrap_or(0)
    }

    fn forge(&mut self, predecessor: Option<KeyId>, attempt: u32, activates_at_ms: u64) -> KeyRecord {
        let material = self.rng.bytes::<32>();
        KeyRecord {
            id: dkm_core::kdf::key_id(self.group, Family::Native, &material),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: BASE_MS + self.now,
            activates_at_ms,
            predecessor,
            attempt,
            material: Material::Plain(Zeroizing::new(material)),
            guid: None,
        }
    }

    fn plant_key(&mut self, site: usize, what: Plant, key: KeyRecord, slot: Option<SlotName>, excused: bool) {
        let slot = slot.unwrap_or_else(|| key.slot());
        self.mark_plant(key.id, key.predecessor, what, excused);
        self.note("plant", number(key.id), || {
            let at = Timestamp(key.activates_at_ms).since(Timestamp(BASE_MS));
            format!("{}, {}, active at {at} ms, replica {site}", what.as_str(), short(key.id))
        });
        let seen = self.observed(&Record::Key(key), slot, NAME);
        if self.put_at(site, &seen) == Put::Created {
            self.tally.planted += 1;
        }
    }

    /// Whether, by the word of some replica, or of a client that still knows what a lost replica said, the key that protects
    /// was exposed or is compromised: then a key with a short delay is what every creator should make.
    fn is_urgent(&self) -> bool {
        let skew_ms = self.dials.policy.clock_skew_ms;
        let replicas = self.sites.iter().any(|site| {
            let now = site.clock(self.now).plus(skew_ms);
            let records = site.store.records.values().map(AsRef::as_ref);
            let ring = dkm_core::ring::Ring::derive(records, now, self.safeguards);
            ring.protecting(now).next().is_none_or(|k| k.exposure_ended(now).is_some())
        });
        replicas
            || (0..self.clients.len()).any(|client| {
                let now = self.clock(client).plus(skew_ms);
                let ring = self.clients[client].member.ring();
                ring.protecting(now).next().is_some_and(|k| k.exposure_ended(now).is_some())
            })
    }

    /// Remembers what was planted. An honest key of the same id stays honest, but the rollover is disturbed.
    fn mark_plant(&mut self, id: KeyId, predecessor: Option<KeyId>, what: Plant, excused: bool) {
        let plant = Facts {
            plant: Some(what.as_str()),
            urgent: excused,
            excused,
            predecessor,
            put_at: self.now,
            ..Facts::default()
        };
        if self.facts.contains_key(&id) {
            let other = KeyId(self.rng.bytes());
            self.facts.insert(other, plant);
        } else {
            self.facts.insert(id, plant);
        }
    }
}
