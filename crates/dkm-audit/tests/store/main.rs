//! The log in a folder, from outside: what is acknowledged stays, what is changed is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod anchored;
mod commit;
mod common;
mod crash;
mod disk;
mod http;
mod ingest;
mod interop;
mod rotation;
mod server;
mod tampering;
mod witness;
