//! The repository in a domain with two domain controllers: what replication, partitions, delays and losses do to it.

// A test may stop at the first fault, and tells on its standard streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../ad/conformance.rs"]
mod conformance;
mod discovery;
mod dns_attacks;
mod doctor;
mod outage;
mod partition;
mod removal;
mod repair;
#[path = "../ad/stage.rs"]
#[allow(dead_code, reason = "the tests with one domain controller need the rest")]
mod stage;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the tests of TLS need all of it")]
mod support;
mod two;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = discovery::as_client() {
        return code;
    }
    // The last one loses a domain controller.
    let tests = [
        conformance::TESTS,
        discovery::TESTS,
        dns_attacks::TESTS,
        doctor::TESTS,
        partition::TESTS,
        outage::TESTS,
        removal::TESTS,
        repair::TESTS,
        outage::LAST,
    ]
    .concat();
    support::run(&dkm_testbed::Options { dns: true, ..dkm_testbed::Options::two() }, true, tests)
}
