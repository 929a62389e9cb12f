//! Security descriptors: what must hold of any of them, and what Samba and its domain controller make of the same ones.

// What a helper of a test unwraps fails the test that called it.
#![allow(clippy::unwrap_used)]
// A test that is skipped says so.
#![allow(clippy::print_stderr)]

mod domain;
mod generate;
mod properties;
mod samba;
mod soundness;
