//! A DKM repository in Active Directory Domain Services: the keys are objects of the directory, one security group
//! reads them, and the domain's own replication carries them.

#![forbid(unsafe_code)]

mod accounts;
mod discovery;
pub mod init;
mod ldap;
mod name;
mod replica;
mod repository;
mod roles;
pub mod security;
mod url;

pub use ldap::{Identity, LdapError};
pub use replica::READERS_GROUP;
pub use repository::{AdRepository, Limits};
pub use url::{AdUrl, Controller, DEFAULT_CONTAINER, ParseAdUrlError};
