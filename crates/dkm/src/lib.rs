//! DKM's client library: protect and unprotect with a group's rolling, archived keys.
//!
//! | you have | you call |
//! |---|---|
//! | a secret in memory, a blocking program | [`blocking::Group::protect`], [`blocking::Group::unprotect`] |
//! | the same, an asynchronous program | [`Group::protect`], [`Group::unprotect`] |
//! | a file or a stream of any length | [`blocking::Group::protect_stream`], [`blocking::Group::unprotect_stream`] |
//! | a range of a large blob | [`blocking::Group::open_seekable`] |
//! | stored blobs of an old key | [`blocking::Group::reprotect`], or in bulk [`reprotect`] |
//! | keys to be kept elsewhere | [`archive`] |
//! | a repository that has lost keys which this process still has | [`blocking::Group::republish`] |
//! | blobs of Windows DKM (AD FS) | [`windows`], [`blocking::Group::reprotect_windows`] |
//! | a place of your own for keys | [`repository::Repository`], and its [`repository::conformance`] suite |
//!
//! ```no_run
//! use dkm::blocking::{Client, Options};
//! use dkm::{Context, Location};
//!
//! # fn main() -> dkm::Result<()> {
//! let client = Client::open(&Location::directory("/var/lib/dkm"), Options::default())?;
//! let group = client.group("mail-tokens")?;
//! let context = Context::new().with("account", "alice@example.org")?;
//! let blob = group.protect(&context, b"refresh token")?;
//! assert_eq!(&*group.unprotect(&context, &blob)?, b"refresh token");
//! # Ok(())
//! # }
//! ```
//!
//! Access is the repository's affair: whoever can read a group's keys can open its blobs. What this library checks
//! (states, suites, policy) is hygiene.

#![deny(unsafe_code)]

mod accounts;
pub mod archive;
mod background;
pub mod blocking;
mod client;
#[doc(hidden)]
pub mod clock;
mod engine;
mod error;
mod escrow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
mod json_lines;
mod location;
mod off_thread;
mod progress;
mod reading;
pub mod repository;
pub mod reprotect;
pub mod root_key;
mod secret;
mod steps;
mod stream;
mod unix;
pub mod usage;
mod view;
mod walk;
pub mod windows;

pub use client::{Client, Group};
/// The formats and decisions that this library stands on.
pub use dkm_core as core;
pub use dkm_core::policy::Policy;
pub use dkm_core::{Context, Digest, GroupId, KeyGuid, KeyId, Plaintext, Suite, Timestamp};
pub use engine::{
    Compromise, Compromised, Destruction, KeyFate, NewKey, Ranges, Reprotected, Republished, RepublishedKey,
    Rolled, RootKeyUse, RootKeys, Rosters, Streamed, WindowsImport,
};
pub use error::{Error, ErrorKind, Result};
pub use escrow::{Escrow, FolderEscrow};
pub use json_lines::{JsonPointer, LINE_LEN_MAX, ParsePointerError};
pub use location::Location;
pub use progress::Progress;
pub use secret::{Protection, harden_process};
pub use view::{KeyFault, ReplicaReport, View};
