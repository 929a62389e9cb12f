//! The repository against a real domain: Samba, with accounts, groups and tickets of its own.

// A test may stop at the first fault, and tells on its standard streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod access;
mod attacks;
mod audit;
mod conformance;
mod doctor;
mod elevation;
mod owners;
mod person;
mod refresh;
mod removal;
mod repair;
mod shown;
mod stage;
mod story;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the other tests against domains need all of it")]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        access::TESTS,
        attacks::TESTS,
        audit::TESTS,
        audit::PATHS,
        conformance::TESTS,
        doctor::TESTS,
        elevation::TESTS,
        elevation::ENDING,
        elevation::MISUSE,
        elevation::ROLES,
        elevation::SWEEPING,
        owners::TESTS,
        refresh::TESTS,
        removal::TESTS,
        repair::TESTS,
        repair::REPLACE,
        shown::TESTS,
        story::TESTS,
    ]
    .concat();
    support::run(&dkm_testbed::Options::default(), false, tests)
}
