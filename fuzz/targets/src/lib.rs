//! What each fuzz target does with its input.
//!
//! A target takes any bytes and panics if the product breaks a promise on them. The same functions run under libFuzzer
//! (`cargo xtask fuzz`) and, on the seeds and on simple mutations of them, in the ordinary tests.

#![forbid(unsafe_code)]
// A panic is how a fuzz target reports.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

mod accounts;
mod archive;
mod audit;
mod blob;
mod context;
mod descriptor;
mod json;
mod location;
mod lockbox;
mod mutate;
mod names;
mod netlogon;
mod record;
mod root_key;
mod sealed;
mod windows;

pub use mutate::Mutator;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target by name. fuzz/fuzz_targets/ holds a file, and fuzz/seeds/ a folder, of the same name.
pub const TARGETS: &[(&str, Target)] = &[
    ("accounts", accounts::parse),
    ("archive", archive::decode),
    ("archive_identities", sealed::identities),
    ("archive_recipients", sealed::recipients),
    ("archive_sealed", sealed::open),
    ("audit_entry", audit::entry),
    ("audit_ingest", audit::ingest),
    ("audit_note", audit::note),
    ("audit_proof", audit::proof),
    ("audit_tile", audit::tile),
    ("blob_edit", blob::edit),
    ("blob_header", blob::header),
    ("blob_open", blob::open),
    ("context", context::decode),
    ("elevation_record", lockbox::record),
    ("json_lines", json::lines),
    ("json_pointer", json::pointer),
    ("location", location::parse),
    ("manifest", location::manifest),
    ("names", names::parse),
    ("netlogon", netlogon::parse),
    ("record", record::decode),
    ("root_key", root_key::line),
    ("security_descriptor", descriptor::parse),
    ("sshsig", lockbox::signature),
    ("statement", lockbox::statement),
    ("windows_blob", windows::blob),
    ("windows_ldif", windows::ldif),
];

/// Runs the target of this name.
///
/// # Panics
/// There is no such target, or the target found a fault.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(input);
}
