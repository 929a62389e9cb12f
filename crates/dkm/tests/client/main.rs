//! The client against a repository in memory whose every fault can be switched, and a clock that stands still.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod asynchronous;
mod attacks;
mod buffers;
mod destruction;
mod faults;
mod lifecycle;
mod onlooker;
mod panics;
mod policy;
mod republish;
mod rollover;
mod rosters;
mod unknown;
mod waiting;
mod windows;
mod world;
