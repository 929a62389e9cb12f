//! `dkmd`, DKM's key service: for fleets without Active Directory, a repository that services reach over mutual TLS or a
//! Unix socket.
//!
//! * It knows **service accounts** and **people** ([`account`]). Only service accounts are ever members of a group.
//! * What somebody may do, [`catalog`] decides, for every request anew.
//! * Nothing leaves and nothing changes before that is in the audit log, durably ([`audit`], [`server`]).
//! * A database or log that is older than what the other, or the last checkpoint outside, knows of is not served
//!   ([`setup`]).

#![forbid(unsafe_code)]

pub mod account;
pub mod actions;
pub mod audit;
pub mod authority;
pub mod broker;
pub mod caller;
pub mod catalog;
pub mod config;
pub mod dev;
pub mod domain;
pub mod elevation;
mod http;
mod listen;
mod log_readers;
mod metrics;
pub mod problem;
pub mod run;
pub mod server;
pub mod setup;
pub mod store;
pub mod telemetry;
mod throttle;

pub use config::Config;
pub use http::{openapi, router};
pub use run::Running;
pub use server::Server;
