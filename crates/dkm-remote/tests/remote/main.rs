//! The client against servers that speak the API of `dkmd` and hold a repository in memory, and against hostile ones.

// What a helper of a test unwraps fails the test that called it.
#![allow(clippy::unwrap_used)]

mod conformance;
mod enrolment;
mod hostile;
mod support;
