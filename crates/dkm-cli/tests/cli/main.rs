//! The command as users run it: whole runs, in a world of their own each.

// What a helper of a test unwraps fails the test that called it.
#![allow(clippy::unwrap_used)]
// A test that is skipped says so.
#![allow(clippy::print_stderr)]

mod access;
mod accounts;
mod audit;
mod audit_ingest;
mod configuration;
mod failures;
mod library;
mod quickstart;
mod readme;
mod reference;
mod rosters;
mod secrecy;
mod sessions;
mod streams;
mod support;
mod windows;
