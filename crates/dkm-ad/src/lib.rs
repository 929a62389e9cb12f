//! A DKM repository in Active Directory Domain Services: the keys are objects of the directory, one security group
//! reads them, and the domain's own replication carries them.

#![forbid(unsafe_code)]

mod accounts;
pub mod audit;
mod client;
mod discovery;
pub mod doctor;
pub mod elevation;
pub mod init;
mod ldap;
mod name;
pub mod negotiate;
mod patience;
pub mod people;
pub mod repair;
mod replica;
mod repository;
mod roles;
pub mod security;
mod url;
pub mod windows;

pub use client::{DEFAULT_ROOT_KEYS, open};
pub use discovery::Presence;
pub use ldap::{Identity, LdapError, Transport};
pub use repository::{AdRepository, Limits};
pub use url::{AdUrl, Controller, DEFAULT_CONTAINER, ParseAdUrlError};
