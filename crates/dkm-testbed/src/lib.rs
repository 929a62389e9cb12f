//! Real servers for tests: Samba Active Directory domains on loopback addresses, each in a folder of its own.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use dkm_testbed::{Domain, Options};
//!
//! let domain = Domain::start(&Options::default())?;
//! let account = domain.add_user("svc-a")?;
//! let cache = domain.ccache(&account, None)?;
//! // Any LDAP client, with domain.env() and KRB5CCNAME=cache, at domain.address().
//! # Ok(())
//! # }
//! ```
//!
//! Starting takes about a second; the first domain of a kind takes three more to be provisioned, and is kept as a
//! template in Cargo's target folder. Servers, files and network namespaces end with the process that started the
//! domain, a killed one too. Needs root and Debian's Samba packages: [`Domain::available`] says what is missing.

#![forbid(unsafe_code)]
// Namespaces, and signals at a parent's death; elsewhere the crate is empty.
#![cfg(target_os = "linux")]

mod accounts;
mod address;
mod admin;
mod availability;
mod backup;
mod controller;
mod domain;
mod files;
mod names;
mod network;
mod process;
mod second;
mod start;
mod tap;
mod template;

pub use accounts::{Account, Group};
pub use admin::{Entry, Scope};
pub use backup::Backup;
pub use controller::{Contact, Controller};
pub use domain::{Domain, Options};
pub use names::FIRST_SITE;
pub use tap::{Tap, Traffic};
