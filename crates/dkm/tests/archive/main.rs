//! Archives: everything that a group holds, sealed, opened by others' programs, and put back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod hostile;
mod interop;
mod restore;
mod sealed;
#[path = "../client/world.rs"]
mod world;
