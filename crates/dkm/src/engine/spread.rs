//! What an owner decides must neither be lost with one replica nor wait for the slowest replication.

use std::time::Duration;

use dkm_core::record::Record;
use dkm_core::{Digest, SlotName};

use super::{Engine, Need};
use crate::repository::Put;
use crate::{Error, Result};

/// How long the repository's own replication is waited for. It leaves one object; a record that is put twice is two of
/// them when the replicas meet, which readers take for one and administrators for a conflict.
const REPLICATION_MAX: Duration = Duration::from_secs(20);
/// Replicas are looked at after this time, then after twice the time, and so on.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// But no less often than this.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    /// Puts a control record on a replica, and sees to it that all others that answer have it too: by replication if that
    /// is quick, else by putting it there as well. Ends with a fresh reading.
    ///
    /// The record counts as soon as one replica holds it, so what fails on others is told as a warning.
    ///
    /// # Errors
    /// No replica took it, or none can be read.
    pub(super) fn put_everywhere(&self, record: &Record, slot: &SlotName) -> Result<Put> {
        let put = self.put(record, slot)?;
        self.refresh(Need::Fresh)?;
        if put != Put::Created || self.parts.repository.replicas() < 2 {
            return Ok(put);
        }
        let digest = Digest::of(&record.encode(self.group));
        let mut wait = FIRST_LOOK;
        let mut waited = Duration::ZERO;
        while self.some_lack(record, slot, digest) && waited < self.spread_wait() {
            std::thread::sleep(wait);
            waited += wait;
            wait = wait.saturating_mul(2).min(LOOK_EVERY);
            self.refresh(Need::Fresh)?;
        }
        if self.some_lack(record, slot, digest) {
            self.put_on_others(record, slot);
            self.refresh(Need::Fresh)?;
        }
        self.tell_if_few_hold(record, slot, digest);
        Ok(put)
    }

    fn spread_wait(&self) -> Duration {
        let bound = self.policy().map_or(Duration::ZERO, |p| Duration::from_millis(p.replication_bound_ms));
        bound.min(REPLICATION_MAX)
    }

    /// Whether a replica that was read lacks the record.
    fn some_lack(&self, record: &Record, slot: &SlotName, digest: Digest) -> bool {
        let state = self.state();
        let read = state.replicas.iter().filter(|report| report.error.is_none()).count();
        state.member.holders(record.room(), slot, digest) < read
    }

    fn put_on_others(&self, record: &Record, slot: &SlotName) {
        let bytes = record.encode(self.group);
        let lacking: Vec<usize> = {
            let state = self.state();
            let lacks = |id| !state.member.is_held_by(id, record.room(), slot, Digest::of(&bytes));
            let read = state.replicas.iter().filter(|report| report.error.is_none());
            read.filter(|report| report.id.is_some_and(lacks)).map(|report| report.number).collect()
        };
        for number in lacking {
            let put = self
                .parts
                .repository
                .connect(number)
                .and_then(|mut replica| replica.put(self.group, record.room(), slot, &bytes));
            if let Err(error) = put {
                tracing::warn!(group = %self.group, replica = number, %slot, %error, "a replica did not take what the others hold");
            }
        }
    }

    fn tell_if_few_hold(&self, record: &Record, slot: &SlotName, digest: Digest) {
        let known = self.parts.repository.replicas();
        let held = self.state().member.holders(record.room(), slot, digest);
        let needed = self.policy().map_or(1, |policy| policy.replicas_needed(known));
        if held < needed {
            tracing::warn!(
                group = %self.group, %slot, held, needed,
                "this counts, but would be lost with the replicas that hold it: look again when the others answer"
            );
        }
    }

    /// Fails where fewer replicas answer than policy wants a key read from: waiting would not help.
    ///
    /// # Errors
    /// [`Error::Refused`] says how many answer.
    pub(super) fn must_reach(&self, what: &str, needed: usize) -> Result<()> {
        let repository = &self.parts.repository;
        let replicas = repository.replicas();
        if needed < 2 {
            return Ok(());
        }
        let mut faults = Vec::new();
        for number in 0..replicas {
            if let Err(error) = repository.connect(number) {
                faults.push(error.to_string());
            }
        }
        let answer = replicas - faults.len();
        if answer >= needed {
            return Ok(());
        }
        Err(Error::Refused {
            what: what.to_owned(),
            why: format!(
                "{answer} of {replicas} replicas answer, and policy wants keys read from {needed} (min_replicas): {}",
                faults.join("; ")
            ),
            advice: "nothing was made: try again when the others answer, leave them out of the repository's URL, or set min_replicas=1"
                .to_owned(),
        })
    }
}
