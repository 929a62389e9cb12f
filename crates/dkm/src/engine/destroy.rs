//! Destruction: a waiting time, a cooling-off time in which any use calls it off, a tombstone, and erasure on every
//! replica (DESIGN §5).

use dkm_core::record::{Change, Purpose, Record};
use dkm_core::ring::RingKey;
use dkm_core::{KeyId, Room, Timestamp};

use super::lifecycle::refused;
use super::{Engine, Need};
use crate::Result;
use crate::journal::EventKind;
use crate::repository::RepositoryError;

/// How far a destruction has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destruction {
    /// The key is suspended; any use until then calls the destruction off. Ask again afterwards.
    CoolingOff {
        /// When the cooling-off time ends.
        until: Timestamp,
    },
    /// The tombstone stands, but some replicas have not confirmed that the material is gone. Ask again.
    Destroying {
        /// Replicas that have.
        confirmed: usize,
        /// Replicas that have not, and why.
        pending: Vec<String>,
    },
    /// Erased on every known replica.
    Destroyed {
        /// How many there are.
        replicas: usize,
    },
}

impl Destruction {
    /// What no destruction can reach.
    pub const BEYOND_REACH: &'static [&'static str] = &[
        "archives that were exported or kept in escrow",
        "backups and snapshots of the repository, together with the root key that wraps the keys in them",
        "the memory of clients that have the key and have not refreshed since",
        "what a disk keeps of erased files (wear levelling, copy on write, journals)",
        "whoever has copied the key",
    ];
}

impl Engine {
    /// Begins a destruction, or goes on with it as far as its waiting times allow.
    pub(crate) fn destroy(&self, id: KeyId, reason: &str) -> Result<Destruction> {
        let what = "destroying the key";
        let key = self.begin(what, id)?;
        if key.status.destroyed.is_some() {
            return self.erase_everywhere(&key, reason);
        }
        self.refuse_if_clock_is_off(what)?;
        let policy = self.policy()?;
        let now = self.parts.clock.now();
        if let Some(since) = key.status.cooling_off_since {
            let until = since.plus(policy.cooling_off_ms);
            if now < until {
                return Ok(Destruction::CoolingOff { until });
            }
            self.must_have_read_all(what)?;
            return self.bury(&key, reason);
        }
        let Some(since) = key.deactivated_since(now) else {
            return Err(refused(
                what,
                format!("it is {}, and only archived keys are destroyed", key.state(now)),
                "make another key (dkm key roll), wait until this one is archived, and re-protect what it protects",
            ));
        };
        let after = since.plus(policy.destroy_after_ms());
        if now < after {
            let days = after.since(now).div_ceil(dkm_core::time::DAY_MS);
            return Err(refused(
                what,
                format!(
                    "it has not been archived for long enough: clients out of reach may still protect with it for up to {days} more days"
                ),
                "wait; meanwhile dkm key usage and dkm reprotect find and renew what it protects",
            ));
        }
        self.record(EventKind::KeyCoolingOff, Some(id), Some(reason), |_| {})?;
        self.put_status(&key, Change::Suspended, Purpose::CoolingOff, reason, key.status.heads.clone())?;
        let since = self.ring_key(id)?.status.cooling_off_since.unwrap_or(now);
        Ok(Destruction::CoolingOff { until: since.plus(policy.cooling_off_ms) })
    }

    /// Destroys a key at once, whatever it protects. `typed` must be the key's whole id.
    pub(crate) fn destroy_now(&self, id: KeyId, typed: &str, reason: &str) -> Result<Destruction> {
        let what = "destroying the key at once";
        if typed != id.to_string() {
            return Err(refused(
                what,
                "the key id was not typed out",
                format!("everything it protects is lost for ever; if that is meant: --force --confirm {id}"),
            ));
        }
        let key = self.begin(what, id)?;
        let now = self.parts.clock.now();
        if self.state().member.ring().protecting(now).next().is_some_and(|k| k.id() == id) {
            return Err(refused(
                what,
                "it is the key that protects now",
                "make another key first: dkm key roll, or dkm key compromise, which replaces it at once",
            ));
        }
        if key.status.destroyed.is_some() {
            self.erase_everywhere(&key, reason)
        } else {
            self.bury(&key, reason)
        }
    }

    /// Somebody's need of the key may be noted on any replica.
    fn must_have_read_all(&self, what: &str) -> Result<()> {
        let state = self.state();
        let Some(unread) = state.replicas.iter().find(|replica| replica.error.is_some()) else {
            return Ok(());
        };
        Err(refused(
            what,
            format!("replica {} was not read, and may hold a note that the key is in use", unread.number),
            "try again when all replicas answer (dkm doctor shows them)",
        ))
    }

    /// Writes the tombstone and erases.
    fn bury(&self, key: &RingKey, reason: &str) -> Result<Destruction> {
        self.record(EventKind::KeyDestroyed, Some(key.id()), Some(reason), |_| {})?;
        self.put_status(key, Change::Destroyed, Purpose::Ordinary, reason, key.status.heads.clone())?;
        let key = self.ring_key(key.id())?;
        self.erase_everywhere(&key, reason)
    }

    /// Brings the tombstone to each replica and erases the material there.
    fn erase_everywhere(&self, key: &RingKey, reason: &str) -> Result<Destruction> {
        let replicas = self.parts.repository.replicas();
        let mut pending = Vec::new();
        for number in 0..replicas {
            match self.erase_on(number, key, reason) {
                Ok(None) => {}
                Ok(Some(why)) => pending.push(format!("replica {number}: {why}")),
                Err(error) => pending.push(format!("replica {number}: {error}")),
            }
        }
        self.refresh(Need::Fresh)?;
        Ok(if pending.is_empty() {
            Destruction::Destroyed { replicas }
        } else {
            Destruction::Destroying { confirmed: replicas - pending.len(), pending }
        })
    }

    /// Erases the key on a replica; why its material may still be there, if it may.
    fn erase_on(&self, number: usize, key: &RingKey, reason: &str) -> Result<Option<String>> {
        let mut replica = self.parts.repository.connect(number)?;
        let reads = replica.rights(self.group)?.read;
        let tombstone =
            self.status_record(key, Change::Destroyed, Purpose::Ordinary, reason, key.status.heads.clone());
        if !self.has_tombstone(replica.as_mut(), key.id())? {
            replica.put(
                self.group,
                Room::Control,
                &tombstone.slot(self.group, 0),
                &tombstone.encode(self.group),
            )?;
        }
        for _ in 0..2 {
            let mut left = false;
            let mut unseen = Vec::new();
            for entry in replica.list(self.group, Room::Keys)? {
                let stored = match replica.get(self.group, Room::Keys, &entry) {
                    Ok(stored) => stored,
                    Err(RepositoryError::NotFound { .. }) => continue,
                    // Whatever it is, nobody but its author can read it, and it counts nowhere.
                    Err(error @ RepositoryError::Unreadable { .. }) => {
                        tracing::warn!(group = %self.group, slot = %entry.name, %error, "not looked into for erasing");
                        // To a member it may be readable.
                        if !reads {
                            unseen.push(entry.name.to_string());
                        }
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                if matches!(stored.record(), Ok((_, Record::Key(found))) if found.id == key.id()) {
                    left = true;
                    replica.shred(self.group, &entry)?;
                }
            }
            if !left && unseen.is_empty() {
                return Ok(None);
            }
            if !left {
                return Ok(Some(format!(
                    "this account can't tell what {} hold; a member can (dkm doctor)",
                    unseen.join(", ")
                )));
            }
        }
        Ok(Some("the material is still there".to_owned()))
    }

    fn has_tombstone(&self, replica: &mut dyn crate::repository::Replica, key: KeyId) -> Result<bool> {
        for entry in replica.list(self.group, Room::Control)? {
            if !entry.name.as_str().starts_with("status-") {
                continue;
            }
            let stored = match replica.get(self.group, Room::Control, &entry) {
                Ok(stored) => stored,
                Err(RepositoryError::NotFound { .. } | RepositoryError::Unreadable { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Ok((_, Record::Status(status))) = Record::decode(&stored.bytes)
                && status.key == key
                && status.change == Change::Destroyed
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
