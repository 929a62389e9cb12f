//! Protect and unprotect with a group's rolling, archived keys.

#![deny(unsafe_code)]

mod error;
pub mod journal;
mod reading;
pub mod repository;
pub mod root_key;
mod secret;
mod steps;
mod unix;
mod stream;

pub use error::{Error, ErrorKind, Result};
pub use secret::{Protection, harden_process};
