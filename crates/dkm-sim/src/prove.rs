//! The proof that the simulation can fail: with a safeguard switched off, its harm must be noticed.

use crate::off::Off;
use crate::run::run_seed;
use crate::violation::Violation;

/// Seeds that may pass before the harm is found.
pub const SEEDS_MAX: u64 = 20_000;

/// What became of one switch.
#[derive(Debug, Clone)]
pub struct Proof {
    /// What was off.
    pub off: Off,
    /// Seeds that were run.
    pub seeds: u64,
    /// The harm; none if nothing was noticed.
    pub found: Option<Violation>,
}

/// Switches one safeguard off and runs seeds until its harm is found, at most `seeds_max` of them.
#[must_use]
pub fn prove(off: Off, from: u64, seeds_max: u64) -> Proof {
    let mut seeds = 0;
    while seeds < seeds_max {
        let seed = from.wrapping_add(seeds);
        seeds += 1;
        let found = run_seed(seed, Some(off), false).violations.into_iter().find(|v| v.kind == off.harm());
        if found.is_some() {
            return Proof { off, seeds, found };
        }
    }
    Proof { off, seeds, found: None }
}
