//! The real `dkmd`, reached as its clients reach it: over mutual TLS with enrolled credentials, and over its socket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod broken;
mod conformance;
mod daemon;
mod full;
mod garbage;
mod killed;
mod late;
mod people;
mod plain;
mod strangers;
