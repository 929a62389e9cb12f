//! Elevated access as people use it: the `dkm` and `dkmd` commands, over TLS with enrolled certificates and over the Unix
//! socket, with keys of `ssh-keygen`, in an `ssh-agent` or in files.

// What a helper of a test unwraps fails the test that called it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![forbid(unsafe_code)]

mod attacks;
mod direct;
#[cfg(feature = "active-directory")]
mod domain;
#[cfg(feature = "active-directory")]
mod domain_ends;
#[cfg(feature = "active-directory")]
mod domain_late;
#[cfg(feature = "active-directory")]
mod kerberos;
mod offline;
mod rosters;
mod server;
mod story;
mod world;
