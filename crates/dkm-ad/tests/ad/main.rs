//! The repository against a real domain: Samba, with accounts, groups and tickets of its own.

mod audit;
mod conformance;
mod stage;
mod story;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the tests with two domain controllers need all of it")]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [audit::TESTS, conformance::TESTS, story::TESTS].concat();
    support::run(&dkm_testbed::Options::default(), false, tests)
}
