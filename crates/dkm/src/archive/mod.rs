//! Archives: a group's records with every key in the clear, sealed to `age` recipients.
//!
//! An archive is what is left when the repository or its root keys are lost. It opens without both, with the `age`
//! program too (`age -d`); what comes out is read by [`dkm_core::archive`]. Whoever holds one of the recipients'
//! identities holds every key in it, so an export is recorded before its first byte is released, and a restore is
//! followed by a new key.

mod export;
mod identities;
mod recipients;
mod restore;
pub(crate) mod seal;
mod ssh_integers;

use std::io::Read;

use dkm_core::archive::{Archive, ArchiveError};

pub(crate) use export::seal_escrow;
pub use export::{ExportSummary, export};
pub use identities::Identities;
pub use recipients::{Recipients, parse_recipients};
pub use restore::{RestoreOptions, RestoreSummary, restore, restore_group};
pub use seal::{Sealing, inspect};

use crate::Result;

/// Opens a sealed archive and checks every record in it.
///
/// # Errors
/// None of the identities opens it; it is damaged, or no archive.
pub fn open(reader: impl Read, identities: &Identities) -> Result<Archive> {
    let plain = seal::open(reader, identities)?;
    Archive::decode(&plain).map_err(|error| match error {
        // It was sealed, but something else was.
        ArchiveError::NotAnArchive => {
            crate::Error::Invalid("what was sealed is not a DKM archive".to_owned())
        }
        error => error.into(),
    })
}
