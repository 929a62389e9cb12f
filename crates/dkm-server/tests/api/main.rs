//! The API, asked without a network: who may do what, what is recorded, and what happens when it can't be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod attacks;
mod audit;
mod direct;
mod elevation;
mod enrolment;
mod log;
mod metrics;
mod openapi;
mod people;
mod roles;
mod support;
mod together;
