//! A DKM repository in Active Directory Domain Services: the keys are objects of the directory, one security group
//! reads them, and the domain's own replication carries them.

#![forbid(unsafe_code)]

pub mod security;
