//! DKM's audit log: what was released, changed or refused, in a form that nobody can change unnoticed.
//!
//! | to do this | use |
//! |---|---|
//! | write entries, each durable under a signed checkpoint before it is acknowledged | [`store::Log`] |
//! | check a whole log offline, in a folder or wherever its files are served | [`verify::verify`] |
//! | prove an entry, or that the log has only grown | [`tree::Tree`] |
//! | hand such a proof to somebody else | [`proof`] |
//! | check such a proof | [`proof::InclusionProof::verify`], [`merkle`], [`checkpoint::Checkpoint::verify_extends`] |
//! | have others cosign what the log shows | [`witness`], [`store::Log::witness`] |
//! | take in what Windows and Samba have recorded | [`ingest`] |
//! | decide whose signatures a checkpoint needs | [`trust::Trust`] |
//!
//! The tree is that of RFC 6962; notes, checkpoints, cosignatures and tiles are those of C2SP, so that other programs
//! can verify a log too. Without witnesses a log is evidence against its operator only to those who hold an earlier checkpoint.

#![forbid(unsafe_code)]

pub mod checkpoint;
mod cosignature;
pub mod entry;
#[cfg(feature = "http")]
pub mod http;
pub mod ingest;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod source;
mod steps;
pub mod store;
pub mod tile;
pub mod tree;
pub mod trust;
pub mod verify;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use entry::Entry;
pub use note::{LogKey, VerifierKey};
pub use store::Log;
pub use trust::Trust;
