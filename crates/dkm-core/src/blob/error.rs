//! What can be wrong with a blob.

use crate::id::{GroupId, KeyId};

/// Why a blob is not opened, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// It does not begin like a blob: another file, or damaged at the start.
    #[error("this is not a DKM blob")]
    NotABlob,
    /// Written by a newer program, or damaged.
    #[error("blob version {version} is not known to this program")]
    UnknownVersion {
        /// Version found.
        version: u8,
    },
    /// Written by a newer program, or damaged.
    #[error("suite {suite} is not known to this program")]
    UnknownSuite {
        /// Suite found.
        suite: u16,
    },
    /// Written by a newer program, or damaged.
    #[error("flags {flags:#04x} are not known to this program")]
    UnknownFlags {
        /// Flags found.
        flags: u8,
    },
    /// Not one of the sizes that a blob may have: damaged.
    #[error("chunk size {size} is none of 4, 16, 64, 256 KiB and 1 MiB")]
    BadChunkSize {
        /// Size found, in bytes.
        size: u32,
    },
    /// It ends too early, or has a length that no blob has: cut off on its way, or something was appended.
    #[error("the blob is cut off, or has a length that no blob has")]
    Truncated,
    /// Longer than 2^48 bytes.
    #[error("longer than the limit of 2^48 bytes")]
    TooLarge,
    /// It belongs to another group than the handle's.
    #[error("the blob belongs to group {found}, not to {expected}")]
    WrongGroup {
        /// Group in the header.
        found: GroupId,
        /// Group of the handle.
        expected: GroupId,
    },
    /// It names another key than the one given.
    #[error("the blob was protected with key {found}, not with {expected}")]
    WrongKey {
        /// Key in the header.
        found: KeyId,
        /// Key given.
        expected: KeyId,
    },
    /// The key belongs to another family, such as imported Windows DKM keys.
    #[error("key {key} is not for DKM's own blobs")]
    ForeignFamily {
        /// The key.
        key: KeyId,
    },
    /// The commitment does not fit: another context than at protect, or a damaged header.
    #[error("the context is not the one given at protect, or the blob's header is damaged")]
    WrongContext,
    /// A chunk is not what was sealed at its place: damaged, moved, or forged.
    #[error("chunk {chunk} is damaged, missing or not in its place")]
    Corrupt {
        /// Index of the chunk, from 0.
        chunk: u64,
    },
    /// The reader or writer failed.
    #[error("{0}")]
    Io(String),
}
