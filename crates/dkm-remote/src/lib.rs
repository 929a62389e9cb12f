//! Client of `dkmd`, the key service: a repository behind `https:` with mutual TLS, or behind a Unix socket whose server
//! asks the kernel who connects.

#![forbid(unsafe_code)]

mod client;
pub mod credentials;
mod directory;
mod elevations;
mod enrol;
mod http;
mod log;
mod problem;
mod replica;
mod repository;
mod url;
pub mod wire;

pub use client::{DEFAULT_ROOT_KEYS, open};
pub use directory::Directory;
pub use elevations::{ElevationError, Elevations, resolve_control};
pub use enrol::{Trust, enrol};
pub use http::Limits;
pub use log::RemoteLog;
pub use repository::RemoteRepository;
pub use url::{DEFAULT_CREDENTIALS, Endpoint, ParseRemoteUrlError, RemoteUrl};
