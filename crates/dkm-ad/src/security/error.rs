//! What can be wrong with a descriptor, in bytes and in text.

use thiserror::Error;

/// Bytes that are no security descriptor, or a descriptor that has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The input ends before a field does.
    #[error("the {what} ends too early: {need} bytes needed at offset {at}, {have} there")]
    Truncated {
        /// The structure being read.
        what: &'static str,
        /// Where the field begins.
        at: usize,
        /// How long the field is.
        need: usize,
        /// How many bytes are left.
        have: usize,
    },
    /// A version number that this codec doesn't know.
    #[error("the {what} has revision {found}, which is not known")]
    Revision {
        /// The structure being read.
        what: &'static str,
        /// The number found.
        found: u8,
    },
    /// The descriptor is not in the self-relative form.
    #[error("the security descriptor is not self-relative")]
    NotSelfRelative,
    /// A part lies inside the header or at an odd place.
    #[error("the {what} lies at offset {at}, inside the header or not on a multiple of four")]
    Offset {
        /// The part.
        what: &'static str,
        /// Its offset.
        at: usize,
    },
    /// An offset is given for a list that the control flags call absent: readers would disagree on it.
    #[error("the {what} has an offset, but the control flags say that it is absent")]
    HiddenList {
        /// The list.
        what: &'static str,
    },
    /// A length field contradicts the structure's content or its alignment.
    #[error("the {what} gives its length as {found} bytes, which can't be")]
    Length {
        /// The structure being read.
        what: &'static str,
        /// The length found.
        found: usize,
    },
    /// A field that has to be zero isn't.
    #[error("a reserved field of the {what} is not zero")]
    Reserved {
        /// The structure being read.
        what: &'static str,
    },
    /// More sub-authorities than a SID can have.
    #[error("a SID has {found} sub-authorities, 15 are allowed")]
    SubAuthorities {
        /// The count found.
        found: usize,
    },
    /// The structure is larger than its length field can say, or than this codec takes.
    #[error("the {what} is too long")]
    TooLong {
        /// The structure.
        what: &'static str,
    },
}

/// Text that is no SDDL, SID or GUID, or a descriptor that SDDL can't express.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SddlError {
    /// Something else was expected here.
    #[error("expected {expected} at character {at}")]
    Expected {
        /// What would have been right.
        expected: &'static str,
        /// Offset in the text.
        at: usize,
    },
    /// A part that may stand once stands twice.
    #[error("the part {part}: stands twice")]
    Twice {
        /// `O`, `G`, `D` or `S`.
        part: char,
    },
    /// An abbreviation that is relative to a domain, without a domain to resolve it in.
    #[error("{abbreviation} names a principal of a domain, and no domain was given")]
    NeedsDomain {
        /// The abbreviation.
        abbreviation: String,
    },
    /// A word that this codec doesn't know.
    #[error("unknown {what} \"{word}\"")]
    Unknown {
        /// What the word should have been.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// A number that doesn't fit.
    #[error("a number is too large at character {at}")]
    Number {
        /// Offset in the text.
        at: usize,
    },
    /// A descriptor with something for which SDDL has no words.
    #[error("SDDL can't express {what}")]
    NotExpressible {
        /// What it is.
        what: &'static str,
    },
    /// The text is longer than [`MAX_SDDL`](super::descriptor::MAX_SDDL).
    #[error("the SDDL text is too long")]
    TooLong,
}
