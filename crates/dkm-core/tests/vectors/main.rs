//! Reads the committed vectors, every blob in all three ways of reading. A failing vector is named.
//!
//! `cargo xtask vectors --check` proves that today's code writes these files; this proves that it reads them, refusals
//! included. testdata/vectors/README.md says what the files mean.

// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod blobs;
mod cases;
mod records;
mod rest;
mod windows;
