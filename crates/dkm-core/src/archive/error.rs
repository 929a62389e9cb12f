//! Why an archive is refused.

use super::{ARCHIVE_ENTRIES_MAX, ARCHIVE_LEN_MAX};
use crate::id::{GroupId, KeyId};
use crate::record::RecordError;

/// Why bytes are not an archive that this program can use, or why an archive cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// More than [`ARCHIVE_LEN_MAX`] bytes.
    #[error("archive of {len} bytes is larger than the limit of {ARCHIVE_LEN_MAX}")]
    TooLarge {
        /// Length found, in bytes.
        len: usize,
    },
    /// More than [`ARCHIVE_ENTRIES_MAX`] entries.
    #[error("archive has {entries} entries, the limit is {ARCHIVE_ENTRIES_MAX}")]
    TooManyEntries {
        /// Number of entries found.
        entries: usize,
    },
    /// It does not begin as an archive begins: another file was sealed, or the seal is still on.
    #[error("this is not a DKM archive; if it is sealed, open it with `age` first")]
    NotAnArchive,
    /// Written by a newer program.
    #[error("archive version {version} is not known to this program; upgrade it to read the archive")]
    UnknownVersion {
        /// Version found.
        version: u64,
    },
    /// Begins as an archive, but is not of its shape.
    #[error("archive is malformed: {0}")]
    Malformed(String),
    /// The same content has another, canonical encoding, or something follows the archive.
    #[error("archive is not in its canonical encoding")]
    NotCanonical,
    /// Well formed, but a value is outside its limits.
    #[error("archive holds an invalid value: {0}")]
    Invalid(String),
    /// A record that cannot be read, though its kind and version are known.
    #[error("entry {index}: {error}")]
    Record {
        /// Number of the entry, from 0.
        index: usize,
        /// What is wrong with the record.
        error: RecordError,
    },
    /// A record of another group.
    #[error("entry {index} belongs to group {found}, not to the archive's")]
    ForeignGroup {
        /// Number of the entry, from 0.
        index: usize,
        /// The record's group.
        found: GroupId,
    },
    /// A key without its material, or with material that is still wrapped: only a root key could open it.
    #[error("entry {index}: key {key} comes without plain material")]
    KeyNotPlain {
        /// Number of the entry, from 0.
        index: usize,
        /// The key.
        key: KeyId,
    },
    /// A key whose material gives another id.
    #[error("entry {index}: the material of key {key} does not give its id")]
    KeyNotVerified {
        /// Number of the entry, from 0.
        index: usize,
        /// The key.
        key: KeyId,
    },
}
