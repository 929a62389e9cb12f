//! The deterministic simulation.

#![forbid(unsafe_code)]

mod dials;
mod off;
mod rng;
mod run;
mod store;
mod tally;
mod trace;
mod violation;
mod world;

pub use off::Off;
pub use run::{Outcome, Report, Span, run_seed, run_span};
pub use tally::Tally;
pub use violation::{Kind, Violation};
