//! A replica with its place in the network.

use std::collections::BTreeSet;
use std::sync::Arc;

use dkm_core::ring::Observed;
use dkm_core::{ReplicaId, Timestamp};

use super::BASE_MS;
use crate::store::Store;

/// How a replica withholds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Withholding {
    /// It shows nothing newer than this.
    pub(crate) newest: Option<Timestamp>,
    /// It hides the records whose digest begins with a byte below this.
    pub(crate) hides_below: u8,
    /// How far the clock that it shows is off, in milliseconds.
    pub(crate) lie_ms: i64,
}

/// A replica.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) skew_ms: i64,
    pub(crate) up: bool,
    pub(crate) lost: bool,
    /// Nodes of equal sides reach each other.
    pub(crate) side: u8,
    pub(crate) withholding: Option<Withholding>,
    /// What it held some time ago.
    pub(crate) older: Option<Store>,
    /// Clients that it denies.
    pub(crate) denies: BTreeSet<usize>,
    /// How often another replica took its place.
    pub(crate) replaced: usize,
    pub(crate) was_set_back: bool,
}

impl Site {
    pub(crate) fn new(id: ReplicaId, skew_ms: i64, keeps_tombstones: bool) -> Self {
        Self {
            store: Store::new(id, keeps_tombstones),
            skew_ms,
            up: true,
            lost: false,
            side: 0,
            withholding: None,
            older: None,
            denies: BTreeSet::new(),
            replaced: 0,
            was_set_back: false,
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.up && !self.lost
    }

    /// The time by which it attests.
    pub(crate) fn clock(&self, now: u64) -> Timestamp {
        Timestamp((BASE_MS + now).saturating_add_signed(self.skew_ms))
    }

    /// The time that it shows.
    pub(crate) fn shown_clock(&self, now: u64) -> Timestamp {
        let lie = self.withholding.map_or(0, |w| w.lie_ms);
        Timestamp(self.clock(now).0.saturating_add_signed(lie))
    }

    /// What it shows of its records.
    pub(crate) fn shown(&self) -> Vec<Arc<Observed>> {
        let records = self.store.records.values();
        match self.withholding {
            None => records.cloned().collect(),
            Some(w) => records
                .filter(|seen| {
                    w.newest.is_none_or(|newest| seen.attested.created <= newest)
                        && seen.digest.as_bytes()[0] >= w.hides_below
                })
                .cloned()
                .collect(),
        }
    }
}
