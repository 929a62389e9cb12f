//! The runbooks of docs/operations.md, followed literally against real domain controllers.

#![cfg(feature = "active-directory")]
#![forbid(unsafe_code)]
// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod access;
mod lost;
mod page;
mod republish;
mod restore;
mod root_key;
mod service;
mod upgrade;
mod world;
