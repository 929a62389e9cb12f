//! What can be wrong with a Windows blob.

use std::fmt;

use crate::id::KeyGuid;

/// Why a Windows blob is not opened, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowsBlobError {
    /// It does not begin like one.
    #[error("this is not a Windows DKM blob")]
    NotAWindowsBlob,
    /// Longer than the limit.
    #[error(
        "{len} bytes are more than a Windows DKM blob of at most {} may hold",
        super::WINDOWS_BLOB_LEN_MAX
    )]
    TooLarge {
        /// Length found, in bytes.
        len: usize,
    },
    /// It ends too early.
    #[error("the Windows DKM blob is cut off")]
    Truncated,
    /// Of a version that this program does not know.
    #[error("version {version} of Windows DKM blobs is not known to this program")]
    UnknownVersion {
        /// Version found.
        version: u32,
    },
    /// Protected by another method than encrypting first and authenticating then.
    #[error("method {method} of Windows DKM blobs is not known to this program")]
    UnknownMethod {
        /// Method found.
        method: u32,
    },
    /// A field is not what it must be, or not in its one form.
    #[error("the Windows DKM blob is malformed: its {field} {fault}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Another algorithm than the one that there is for this use.
    #[error("the Windows DKM blob names {found} as {field}, which is not known to this program")]
    UnknownAlgorithm {
        /// What it is used for.
        field: &'static str,
        /// Its object identifier.
        found: String,
    },
    /// More bytes follow than its lengths say.
    #[error("{extra} bytes follow after the end of the Windows DKM blob")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// It names another key than the one given.
    #[error("the Windows DKM blob was protected with key {found}, not with {expected}")]
    WrongKey {
        /// The key that the blob names.
        found: KeyGuid,
        /// The key given.
        expected: KeyGuid,
    },
    /// The authentication code does not fit.
    #[error("the Windows DKM blob is damaged or forged, or its key is another one of the same GUID")]
    WrongMac,
    /// Authentic, but what was encrypted is not padded as it must be: its writer made a mistake.
    #[error("the Windows DKM blob is authentic, but its content is not padded as it must be")]
    BadPadding,
    /// A key that does not have 32 bytes.
    #[error("Windows DKM key {guid} has {len} bytes; this program knows keys of 32")]
    KeyLength {
        /// The key.
        guid: KeyGuid,
        /// Its length, in bytes.
        len: usize,
    },
    /// The cryptographic library refused its work.
    #[error("the cryptographic library failed")]
    Cryptography,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Something else stands in its place.
    Tag {
        /// The tag found.
        found: u8,
        /// The tag that must stand there.
        expected: u8,
    },
    /// Its length is not in its shortest form, is indefinite, or is beyond all limits.
    Length,
    /// It has another size than it must have.
    Size {
        /// Size found, in bytes.
        found: usize,
        /// The size that it must have.
        expected: usize,
    },
    /// It is not a whole number of blocks, at least one, and a code.
    Blocks,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag { found, expected } => write!(f, "has tag {found:#04x} instead of {expected:#04x}"),
            Self::Length => f.write_str("has a length that is not canonical DER"),
            Self::Size { found, expected } => write!(f, "has {found} bytes instead of {expected}"),
            Self::Blocks => f.write_str("is not whole blocks and a MAC"),
        }
    }
}
