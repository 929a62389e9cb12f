//! The API, asked without a network: who may do what, what is recorded, and what happens when it can't be.

mod attacks;
mod audit;
mod elevation;
mod enrolment;
mod people;
mod roles;
mod support;
