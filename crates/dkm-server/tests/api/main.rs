//! The API, asked without a network: who may do what, what is recorded, and what happens when it can't be.

mod attacks;
mod audit;
mod enrolment;
mod roles;
mod support;
