//! Unknown key ids: each costs a reading of the repository, so a flood of forged blobs must not become one of readings.

use std::collections::HashSet;

use dkm_core::{KeyId, Timestamp};

/// Readings that may follow each other at once.
const BURST: u32 = 8;
/// One more reading is allowed after this long, in milliseconds.
const REFILL_MS: u64 = 1_000;
/// Most ids that are remembered as unknown; beyond that the bucket alone protects.
const NEGATIVE_MAX: usize = 10_000;

/// What a group knows of unknown ids: one token bucket for all of them, and the negative answers since the last
/// reading.
#[derive(Debug)]
pub(super) struct Unknown {
    tokens: u32,
    refilled: Timestamp,
    negative: HashSet<KeyId>,
}

/// What to do about an unknown id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Read the repository.
    Read,
    /// Too many were looked for: only a reading that is under way anyway may find it.
    Wait,
    /// It was looked for since the last reading, in vain.
    InVain,
}

impl Unknown {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { tokens: BURST, refilled: now, negative: HashSet::new() }
    }

    /// Decides about an id, and takes a token if the repository is to be read.
    pub(super) fn ask(&mut self, key: KeyId, now: Timestamp) -> Lookup {
        let earned = now.since(self.refilled) / REFILL_MS;
        if earned > 0 {
            self.tokens = u32::try_from(earned).unwrap_or(BURST).saturating_add(self.tokens).min(BURST);
            self.refilled = self.refilled.plus(earned.saturating_mul(REFILL_MS));
        }
        if self.negative.contains(&key) {
            return Lookup::InVain;
        }
        if self.tokens == 0 {
            return Lookup::Wait;
        }
        self.tokens -= 1;
        Lookup::Read
    }

    /// Remembers that the id is in no replica that was read.
    pub(super) fn remember(&mut self, key: KeyId) {
        if self.negative.len() < NEGATIVE_MAX {
            self.negative.insert(key);
        }
    }

    /// Forgets all negative answers: a new reading was made.
    pub(super) fn forget(&mut self) {
        self.negative.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_unknown_ids_reads_a_few_times_and_then_once_a_second() {
        let mut unknown = Unknown::new(Timestamp(0));
        let mut id = 0u32;
        let mut flood = |unknown: &mut Unknown, now| {
            (0..1000)
                .filter(|_| {
                    id += 1;
                    let mut key = KeyId::default();
                    key.0[..4].copy_from_slice(&id.to_be_bytes());
                    unknown.ask(key, Timestamp(now)) == Lookup::Read
                })
                .count()
        };
        assert_eq!(flood(&mut unknown, 0), 8);
        assert_eq!(flood(&mut unknown, 999), 0);
        assert_eq!(flood(&mut unknown, 3_000), 3);
        assert_eq!(flood(&mut unknown, 1_000_000), 8);
    }

    #[test]
    fn a_negative_answer_lasts_until_the_next_reading() {
        let mut unknown = Unknown::new(Timestamp(0));
        let key = KeyId([1; 16]);
        assert_eq!(unknown.ask(key, Timestamp(0)), Lookup::Read);
        unknown.remember(key);
        assert_eq!(unknown.ask(key, Timestamp(0)), Lookup::InVain);
        unknown.forget();
        assert_eq!(unknown.ask(key, Timestamp(0)), Lookup::Read);
    }
}
