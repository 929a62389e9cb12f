//! Saying that others may know a key, and what takes its place.

use dkm_core::plan::Cause;
use dkm_core::record::{Change, Purpose};
use dkm_core::ring::{Distrust, RingKey};
use dkm_core::{KeyId, Timestamp};

use super::lifecycle::{ATTEMPTS, refused};
use super::{Engine, NewKey};
use crate::Result;
use crate::journal::EventKind;

/// How a compromise is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compromise {
    /// Leave keys that wait for their activation as they are: for who knows that they were not read.
    pub keep_waiting: bool,
    /// Say it at once, before there is another key: for an owner who may not make keys. If the key protects, nothing is
    /// protected until a creator's client has made another, as one that runs does when it has heard of it.
    pub at_once: bool,
}

/// What came of saying that a key is compromised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compromised {
    /// The key that protects in its place from now on; none if it did not protect, or was marked at once.
    pub replacement: Option<NewKey>,
    /// Whether it protected and nothing does in its place yet.
    pub unreplaced: bool,
    /// Keys that waited for their activation and are marked as compromised too: whoever knows the key that protected
    /// could read them as well, and they would have taken over from the replacement.
    pub also: Vec<KeyId>,
    /// Keys that wait for their activation and were left as they are.
    pub left: Vec<KeyId>,
}

const WHAT: &str = "marking the key as compromised";

impl Engine {
    /// Says that others may know a key. If it protects, another key is made usable first, and what waits for its
    /// activation is compromised too: it was there to be read by the same people, and would take over later.
    pub(crate) fn compromise(&self, key: KeyId, reason: &str, how: Compromise) -> Result<Compromised> {
        let found = self.begin(WHAT, key)?;
        if found.status.destroyed.is_some() {
            return Err(refused(WHAT, "it is destroyed", "nothing opens with it any more"));
        }
        let now = self.parts.clock.now();
        let protects = self.state().member.ring().protecting(now).next().is_some_and(|k| k.id() == key);
        if protects && !how.at_once && !self.rights().create {
            return Err(refused(
                WHAT,
                "it protects, and this account may not make the key that has to take over (creator)",
                "let an owner do it who is a creator, too; or say it at once (--at-once): nothing is protected then until \
                 a creator's client has made another key",
            ));
        }
        let mut done = Compromised::default();
        if protects {
            self.refuse_if_clock_is_off(WHAT)?;
            if !how.keep_waiting {
                // Before there is a replacement: a run that ends early is repeated while the key still protects.
                self.compromise_waiting(now, |_| true, reason, &mut done.also)?;
            }
            if !how.at_once {
                let new = self.replace_compromised(key, now, reason)?;
                done.replacement = Some(new);
                if !how.keep_waiting {
                    // Made by clients that had not heard of it yet.
                    self.compromise_waiting(now, |id| id != new.key, reason, &mut done.also)?;
                }
            }
        }
        if found.status.compromised.is_none() {
            self.mark_compromised(&self.ring_key(key)?, reason)?;
        }
        done.unreplaced =
            protects && how.at_once && self.state().member.ring().protecting(now).next().is_none();
        let replacement = done.replacement.map(|new| new.key);
        done.left = self.keys_waiting(now, |id| Some(id) != replacement).iter().map(RingKey::id).collect();
        Ok(done)
    }

    /// Marks what waits for its activation as compromised.
    fn compromise_waiting(
        &self,
        now: Timestamp,
        which: impl Fn(KeyId) -> bool,
        reason: &str,
        also: &mut Vec<KeyId>,
    ) -> Result<()> {
        for key in self.keys_waiting(now, which) {
            self.mark_compromised(&key, reason)?;
            also.push(key.id());
        }
        Ok(())
    }

    fn mark_compromised(&self, key: &RingKey, reason: &str) -> Result<()> {
        self.record(EventKind::KeyCompromised, Some(key.id()), Some(reason), |_| {})?;
        self.put_status(key, Change::Compromised, Purpose::Ordinary, reason, key.status.heads.clone())
    }

    /// Makes the key that takes over from a compromised one at once, and waits until it is usable here.
    fn replace_compromised(&self, key: KeyId, now: Timestamp, reason: &str) -> Result<NewKey> {
        for _ in 0..ATTEMPTS {
            let new = match self.begun_replacement(key, now)? {
                Some(new) => Some(new),
                None => self.make_by_hand(now, Cause::Compromise, reason)?,
            };
            if let Some(new) = new {
                self.await_usable(new.key, WHAT)?;
                return Ok(new);
            }
        }
        Err(refused(
            WHAT,
            "other clients keep making keys at the same time",
            "try again at once: until then the key goes on protecting",
        ))
    }

    /// The replacement that an earlier run of this account has made and could not finish, since too few replicas showed
    /// it. Until the compromise is said it counts for nothing, as any key without its delay. One that is older than the
    /// delay could have been read by whoever reads the ring, like a key that waits.
    fn begun_replacement(&self, key: KeyId, now: Timestamp) -> Result<Option<NewKey>> {
        let policy = self.policy()?;
        let state = self.state();
        let Some(author) = &state.author else { return Ok(None) };
        let is_begun = |k: &&RingKey| {
            let status = &k.status;
            let untouched = status.heads.is_empty() && status.destroyed.is_none();
            k.record.predecessor == Some(key)
                && k.verified
                && untouched
                && k.distrust == Some(Distrust::ShortDelay)
                && k.attested.creator == *author
                && k.activation() <= now.plus(policy.clock_skew_ms)
                && now <= k.attested.created.plus(policy.activation_delay_ms)
                && !k.is_exposed(now)
        };
        Ok(state.member.ring().keys.iter().rev().find(is_begun).map(|k| NewKey {
            key: k.id(),
            activates_at: k.activation(),
            was_there: true,
        }))
    }
}
