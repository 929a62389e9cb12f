//! What owners do: roll, suspend, resume.

use std::time::Duration;

use dkm_core::plan::{Cause, Plan, plan_manual};
use dkm_core::policy::Policy;
use dkm_core::record::{Change, Purpose, Record, StatusRecord};
use dkm_core::ring::{KeyState, RingKey};
use dkm_core::{Digest, KeyId, Timestamp};

use super::rollover::Made;
use super::{Engine, Need};
use crate::journal::EventKind;
use crate::{Error, Result};

/// How often an owner's operation tries anew when another one came first.
pub(super) const ATTEMPTS: u32 = 8;

/// What is not on enough replicas yet is looked for after this time, then after twice the time, and so on.
const READ_BACK_FIRST: Duration = Duration::from_millis(50);
/// But no less often than this.
const READ_BACK_EVERY: Duration = Duration::from_secs(5);

/// A key that was made, or that waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: KeyId,
    /// From when it protects.
    pub activates_at: Timestamp,
    /// Whether it had been made before, and waits for its activation.
    pub was_there: bool,
}

/// What came of rolling away from all keys that there were.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rolled {
    /// The new key.
    pub key: NewKey,
    /// Keys that waited for their activation, and are archived instead.
    pub archived: Vec<KeyId>,
}

pub(super) fn refused(what: &str, why: impl Into<String>, advice: impl Into<String>) -> Error {
    Error::Refused { what: what.to_owned(), why: why.into(), advice: advice.into() }
}

impl Engine {
    /// Fails early, with words, where the repository would deny.
    pub(super) fn must_own(&self, what: &str) -> Result<()> {
        if self.rights().own {
            return Ok(());
        }
        Err(Error::NoRight { what: what.to_owned(), right: "add control records (owner)" })
    }

    /// A key of the ring as it was read last.
    pub(super) fn ring_key(&self, id: KeyId) -> Result<RingKey> {
        self.state().member.ring().key(id).cloned().ok_or(Error::NoKey { key: id })
    }

    /// Makes a successor now. It protects after the activation delay. A key that waits already will do.
    pub(crate) fn roll(&self, reason: &str) -> Result<NewKey> {
        self.roll_unless_waiting(reason, |_| true)
    }

    /// As [`Engine::roll`], but only a key that waits already and is one of the `good` will do.
    pub(crate) fn roll_unless_waiting(&self, reason: &str, good: impl Fn(KeyId) -> bool) -> Result<NewKey> {
        for _ in 0..ATTEMPTS {
            self.refresh(Need::Fresh)?;
            if !self.rights().create {
                return Err(Error::NoRight {
                    what: "rolling the key".to_owned(),
                    right: "add keys (creator)",
                });
            }
            let now = self.parts.clock.now();
            self.refuse_if_clock_is_off("rolling the key")?;
            if let Some(waiting) = self.waiting_key(now)?.filter(|waiting| good(waiting.key)) {
                return Ok(waiting);
            }
            if let Some(key) = self.make_by_hand(now, Cause::Manual, reason)? {
                return Ok(key);
            }
        }
        Err(refused(
            "rolling the key",
            "other clients keep making keys at the same time",
            "look at dkm key list, then try again",
        ))
    }

    pub(super) fn refuse_if_clock_is_off(&self, what: &str) -> Result<()> {
        let off = self.state().member.clock_off_ms();
        off.map_or(Ok(()), |off_ms| {
            Err(refused(
                what,
                format!("this machine's clock is {off_ms} ms from the repository's"),
                "set the clock, then try again",
            ))
        })
    }

    /// A key that may protect and only waits for its activation, which comes no later than that of a key made now: one
    /// that was made for the end of the present key's time is no answer to somebody who wants another key soon.
    fn waiting_key(&self, now: Timestamp) -> Result<Option<NewKey>> {
        let policy = self.policy()?;
        let soon = now.plus(policy.activation_delay_ms).plus(policy.creation_margin_ms());
        let state = self.state();
        let mut waiting = state.member.ring().keys.iter().filter(|k| k.may_ever_protect());
        Ok(waiting.find(|k| k.activation() > now && k.activation() <= soon).map(|k| NewKey {
            key: k.id(),
            activates_at: k.activation(),
            was_there: true,
        }))
    }

    /// Makes a successor whatever waits already, and archives what waits: nobody who could read the keys before knows
    /// the one that takes over next.
    pub(crate) fn roll_fresh(&self, reason: &str) -> Result<Rolled> {
        self.refresh(Need::Fresh)?;
        self.must_own("archiving the keys that wait")?;
        let now = self.parts.clock.now();
        let key = self.roll_unless_waiting(reason, |_| false)?;
        let archived = self.deactivate_waiting(now, |id| id != key.key, reason)?;
        Ok(Rolled { key, archived })
    }

    /// Keys that would take over after `now`, but for these.
    pub(super) fn keys_waiting(&self, now: Timestamp, which: impl Fn(KeyId) -> bool) -> Vec<RingKey> {
        let state = self.state();
        let keys = state.member.ring().keys.iter();
        keys.filter(|k| which(k.id()) && k.may_ever_protect() && k.activation() > now).cloned().collect()
    }

    /// Archives those of the keys that only wait for their activation, so that they never protect.
    pub(crate) fn deactivate_waiting(
        &self,
        now: Timestamp,
        which: impl Fn(KeyId) -> bool,
        reason: &str,
    ) -> Result<Vec<KeyId>> {
        let mut archived = Vec::new();
        for key in self.keys_waiting(now, which) {
            self.record(EventKind::KeyDeactivated, Some(key.id()), Some(reason), |_| {})?;
            self.put_status(&key, Change::Deactivated, Purpose::Ordinary, reason, key.status.heads.clone())?;
            archived.push(key.id());
        }
        Ok(archived)
    }

    /// One attempt to make a key because somebody asks; none if another client's key came first.
    pub(super) fn make_by_hand(&self, now: Timestamp, cause: Cause, reason: &str) -> Result<Option<NewKey>> {
        let plan = plan_manual(self.state().member.ring(), now, cause);
        let Some(Plan::CreateKey { predecessor, activates_at, .. }) = plan else {
            return Err(refused(
                "making a key",
                "the group has no key that another could succeed",
                "look at the findings: dkm doctor",
            ));
        };
        let made = self.make_key(Some(predecessor), activates_at, reason)?;
        Ok(match made {
            Made::Created(key) => Some(key),
            Made::Adopted => None,
        })
    }

    /// Stops a key from protecting until it is resumed.
    pub(crate) fn suspend(&self, key: KeyId, reason: &str) -> Result<()> {
        let what = "suspending the key";
        let found = self.begin(what, key)?;
        let state = found.state(self.parts.clock.now());
        if matches!(state, KeyState::Destroyed | KeyState::Compromised | KeyState::Suspended) {
            return Err(refused(what, format!("it is {state}"), "dkm key list shows the states"));
        }
        self.record(EventKind::KeySuspended, Some(key), Some(reason), |_| {})?;
        self.put_status(&found, Change::Suspended, Purpose::Ordinary, reason, found.status.heads.clone())
    }

    /// Cancels a key's suspensions, those before a destruction too.
    pub(crate) fn resume(&self, key: KeyId, reason: &str) -> Result<()> {
        let what = "resuming the key";
        let found = self.begin(what, key)?;
        if found.status.destroyed.is_some() || found.status.suspensions.is_empty() {
            let state = found.state(self.parts.clock.now());
            return Err(refused(
                what,
                format!("it is {state}, not suspended"),
                "dkm key list shows the states",
            ));
        }
        self.record(EventKind::KeyResumed, Some(key), Some(reason), |_| {})?;
        self.put_status(&found, Change::Resumed, Purpose::Ordinary, reason, found.status.suspensions.clone())
    }

    /// Reads until a key is usable here: read back whole from as many replicas as policy asks for.
    pub(crate) fn await_usable(&self, key: KeyId, what: &str) -> Result<()> {
        let policy = self.policy()?;
        let needed = policy.replicas_needed(self.parts.repository.replicas());
        let mut read_from = 0;
        let mut first = true;
        let usable = self.repeat_for_replication(|| {
            if !std::mem::take(&mut first) {
                self.refresh(Need::Fresh)?;
            }
            let state = self.state();
            let verified = state.member.ring().key(key).is_some_and(|k| k.verified);
            read_from = if verified { state.member.read_from(key) } else { 0 };
            Ok(read_from >= needed)
        })?;
        if usable {
            return self.await_beginning(key, &policy);
        }
        Err(refused(
            what,
            format!("the new key {key} was read from {read_from} of {needed} replicas only"),
            "check the replicas (dkm doctor), then try again; the new key is kept",
        ))
    }

    /// Looks again and again, for as long as replication may take, whether something is done; whether it was.
    pub(super) fn repeat_for_replication(&self, mut is_done: impl FnMut() -> Result<bool>) -> Result<bool> {
        let policy = self.policy()?;
        let clock = &self.parts.clock;
        let deadline =
            clock.now().plus(policy.replication_bound_ms).plus(policy.io_deadline_ms.saturating_mul(2));
        let mut wait = READ_BACK_FIRST;
        while !is_done()? {
            if clock.now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(wait);
            // Replication may take hours, and each look is a reading of all replicas.
            wait = wait.saturating_mul(2).min(READ_BACK_EVERY);
        }
        Ok(true)
    }

    /// Waits until a key that is to protect at once has begun. Our clock goes in ticks, and the repository's may be
    /// ahead of it by a tick or by the skew: for so long a key made now would not protect yet.
    fn await_beginning(&self, key: KeyId, policy: &Policy) -> Result<()> {
        const TICK_MS: u64 = 10;
        let ahead_ms = self.ring_key(key)?.activation().since(self.parts.clock.now());
        if ahead_ms > 0 {
            let wait_ms = ahead_ms.min(policy.clock_skew_ms).saturating_add(TICK_MS);
            std::thread::sleep(Duration::from_millis(wait_ms));
            self.refresh(Need::Fresh)?;
        }
        Ok(())
    }

    /// Reads anew, checks the right, and finds the key.
    pub(super) fn begin(&self, what: &str, key: KeyId) -> Result<RingKey> {
        self.refresh(Need::Fresh)?;
        self.must_own(what)?;
        self.ring_key(key)
    }

    /// Writes a status about a key and reads it back.
    pub(super) fn put_status(
        &self,
        key: &RingKey,
        change: Change,
        purpose: Purpose,
        reason: &str,
        answers: Vec<Digest>,
    ) -> Result<()> {
        let record = self.status_record(key, change, purpose, reason, answers);
        let slot = record.slot(self.group, 0);
        // Named by its content: a slot that is taken holds this very record.
        if purpose == Purpose::InUse {
            // A member's call waits for this; whoever destroys reads all replicas first.
            self.put(&record, &slot)?;
            self.refresh(Need::Fresh)?;
        } else {
            self.put_everywhere(&record, &slot)?;
        }
        let digest = Digest::of(&record.encode(self.group));
        let state = self.state();
        let ring = state.member.ring();
        let status = ring.key(key.id()).map(|key| &key.status).or_else(|| ring.tombstones.get(&key.id()));
        if status.is_some_and(|status| status.heads.contains(&digest)) {
            return Ok(());
        }
        // Whoever is told that a key is compromised or destroyed relies on it.
        Err(refused(
            "changing the key's state",
            format!("the change was written to slot {slot} but does not count"),
            "the repository's word on its author or access control differs from the policy's owners; dkm doctor shows it",
        ))
    }

    pub(super) fn status_record(
        &self,
        key: &RingKey,
        change: Change,
        purpose: Purpose,
        reason: &str,
        mut answers: Vec<Digest>,
    ) -> Record {
        answers.sort_unstable();
        answers.dedup();
        Record::Status(StatusRecord {
            key: key.id(),
            change,
            purpose,
            reason: reason.to_owned(),
            epoch: key.status.epoch.saturating_add(1),
            answers,
            when_ms: self.parts.clock.now().0,
        })
    }

    /// Writes down that a key was needed in its cooling-off time: its destruction is called off. Where that can't be
    /// done, the plaintext is given all the same, since withholding it would help nobody; but it is told everywhere.
    pub(super) fn notice_use(&self, id: KeyId) {
        let noted = self.note_use(id);
        // A journal that can't be written is no reason to leave the destruction on: the data would be lost.
        let recorded = match noted {
            Ok(()) => {
                self.state().unnoted.remove(&id);
                self.record(EventKind::DestructionAborted, Some(id), None, |_| {})
            }
            Err(error) => {
                tracing::error!(group = %self.group, key = %id, %error, "this key is in use, and that it is to be destroyed was not called off");
                let first = self.state().unnoted.insert(id, error.to_string()).is_none();
                // Once: each blob of the key comes by here.
                if first {
                    self.record(EventKind::UseNotNoted, Some(id), None, |event| {
                        event.detail = Some(error.to_string());
                    })
                } else {
                    Ok(())
                }
            }
        };
        if let Err(error) = recorded {
            tracing::error!(group = %self.group, key = %id, %error, "the use of a key that is to be destroyed was not recorded");
        }
    }

    fn note_use(&self, id: KeyId) -> Result<()> {
        if !self.rights().create {
            return Err(Error::NoRight {
                what: "calling off a destruction".to_owned(),
                right: "add keys (creator)",
            });
        }
        let key = self.ring_key(id)?;
        let heads = key.status.heads.clone();
        self.put_status(&key, Change::Resumed, Purpose::InUse, "needed by a member", heads)
    }
}
