//! Protect and unprotect with a group's rolling, archived keys.

#![deny(unsafe_code)]

mod error;
pub mod journal;
mod json_lines;
mod progress;
mod reading;
pub mod repository;
pub mod root_key;
mod secret;
mod steps;
mod stream;
mod unix;
pub mod usage;
mod walk;

pub use error::{Error, ErrorKind, Result};
pub use json_lines::{JsonPointer, LINE_LEN_MAX, ParsePointerError};
pub use progress::Progress;
pub use secret::{Protection, harden_process};
