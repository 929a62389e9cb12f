//! The repository over LDAPS: what it does over sealed LDAP, and whom it does not speak with.

// A test may stop at the first fault, and tells on its standard streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod acceptor;
mod authority;
mod bindings;
#[path = "../ad/conformance.rs"]
mod conformance;
mod refusals;
mod relay;
mod server;
#[path = "../ad/stage.rs"]
#[allow(dead_code, reason = "the tests with sealed connections need the rest")]
mod stage;
#[path = "../ad/story.rs"]
mod story;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the tests with sealed connections need the rest")]
mod support;

use std::process::ExitCode;

use dkm_testbed::Options;

fn main() -> ExitCode {
    let tests = [bindings::TESTS, conformance::TESTS, refusals::TESTS, relay::TESTS, story::TESTS].concat();
    support::run(&Options { sasl_inside_tls: true, ..Options::default() }, false, tests)
}
