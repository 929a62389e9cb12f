//! Access masks and the directory's meaning of their bits (MS-ADTS §5.1.3.2).

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AccessMask(pub u32);

impl AccessMask {
    /// No right.
    pub const NONE: Self = Self(0);
    /// `CC`: create a child, of one class if the entry has a GUID.
    pub const CREATE_CHILD: Self = Self(0x1);
    /// `DC`: delete a child.
    pub const DELETE_CHILD: Self = Self(0x2);
    /// `LC`: list the children.
    pub const LIST_CONTENTS: Self = Self(0x4);
    /// `SW`: a validated write.
    pub const WRITE_VALIDATED: Self = Self(0x8);
    /// `RP`: read attributes.
    pub const READ_PROPERTY: Self = Self(0x10);
    /// `WP`: write attributes.
    pub const WRITE_PROPERTY: Self = Self(0x20);
    /// `DT`: delete the object with everything below it.
    pub const DELETE_TREE: Self = Self(0x40);
    /// `LO`: see the object in list-object mode.
    pub const LIST_OBJECT: Self = Self(0x80);
    /// `CR`: an extended right, the one that the entry names, or all.
    pub const CONTROL_ACCESS: Self = Self(0x100);
    /// `SD`: delete the object.
    pub const DELETE: Self = Self(0x1_0000);
    /// `RC`: read the descriptor.
    pub const READ_CONTROL: Self = Self(0x2_0000);
    /// `WD`: write the DACL, thus give any right to anyone.
    pub const WRITE_DAC: Self = Self(0x4_0000);
    /// `WO`: take the object over.
    pub const WRITE_OWNER: Self = Self(0x8_0000);
    /// Read and write the SACL; a privilege, not an entry, grants it.
    pub const ACCESS_SYSTEM_SECURITY: Self = Self(0x100_0000);
    /// Asks for all there is; in an entry it has no meaning.
    pub const MAXIMUM_ALLOWED: Self = Self(0x200_0000);
    /// `GA`: all.
    pub const GENERIC_ALL: Self = Self(0x1000_0000);
    /// `GX`.
    pub const GENERIC_EXECUTE: Self = Self(0x2000_0000);
    /// `GW`.
    pub const GENERIC_WRITE: Self = Self(0x4000_0000);
    /// `GR`.
    pub const GENERIC_READ: Self = Self(0x8000_0000);

    /// Every right that the directory knows, what `GA` maps to (MS-ADTS §5.1.3.2).
    pub const ALL: Self = Self(0xf_01ff);
    /// List, read attributes and the descriptor: what `GR` maps to (MS-ADTS §5.1.3.2).
    pub const READ: Self = Self(0x2_0094);

    /// Whether all of `other`'s bits are here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other`'s bits is here.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The union, also in constants.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With the generic bits replaced by the directory's rights (MS-ADTS §5.1.3.2). A domain controller stores an
    /// entry so, thus only mapped masks can be compared.
    #[must_use]
    pub const fn mapped(self) -> Self {
        let mut bits = self.0 & 0x0fff_ffff;
        if self.intersects(Self::GENERIC_ALL) {
            bits |= Self::ALL.0;
        }
        if self.intersects(Self::GENERIC_READ) {
            bits |= Self::READ.0;
        }
        if self.intersects(Self::GENERIC_WRITE) {
            bits |= Self::READ_CONTROL.0 | Self::WRITE_PROPERTY.0 | Self::WRITE_VALIDATED.0;
        }
        if self.intersects(Self::GENERIC_EXECUTE) {
            bits |= Self::READ_CONTROL.0 | Self::LIST_CONTENTS.0;
        }
        Self(bits)
    }
}

impl BitOr for AccessMask {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for AccessMask {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for AccessMask {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for AccessMask {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// The two letters of each right (MS-DTYP §2.5.1.1), lowest bit first: the order in which Windows prints them.
pub(super) const LETTERS: [(&str, AccessMask); 17] = [
    ("CC", AccessMask::CREATE_CHILD),
    ("DC", AccessMask::DELETE_CHILD),
    ("LC", AccessMask::LIST_CONTENTS),
    ("SW", AccessMask::WRITE_VALIDATED),
    ("RP", AccessMask::READ_PROPERTY),
    ("WP", AccessMask::WRITE_PROPERTY),
    ("DT", AccessMask::DELETE_TREE),
    ("LO", AccessMask::LIST_OBJECT),
    ("CR", AccessMask::CONTROL_ACCESS),
    ("SD", AccessMask::DELETE),
    ("RC", AccessMask::READ_CONTROL),
    ("WD", AccessMask::WRITE_DAC),
    ("WO", AccessMask::WRITE_OWNER),
    ("GA", AccessMask::GENERIC_ALL),
    ("GX", AccessMask::GENERIC_EXECUTE),
    ("GW", AccessMask::GENERIC_WRITE),
    ("GR", AccessMask::GENERIC_READ),
];

/// SDDL's letters, or a hexadecimal number when a bit has none.
impl fmt::Display for AccessMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = LETTERS.iter().fold(0, |known, (_, right)| known | right.0);
        if self.0 & !known != 0 {
            return write!(f, "0x{:x}", self.0);
        }
        LETTERS
            .iter()
            .filter(|(_, right)| self.intersects(*right))
            .try_for_each(|(letters, _)| f.write_str(letters))
    }
}

impl fmt::Debug for AccessMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessMask({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_or_a_number() {
        assert_eq!((AccessMask::READ_CONTROL | AccessMask::READ_PROPERTY).to_string(), "RPRC");
        assert_eq!(AccessMask::ALL.to_string(), "CCDCLCSWRPWPDTLOCRSDRCWDWO");
        assert_eq!(AccessMask(0x200).to_string(), "0x200");
        assert_eq!(AccessMask(0x100_0001).to_string(), "0x1000001");
        assert_eq!(AccessMask::NONE.to_string(), "");
    }

    #[test]
    fn generic_rights_are_the_directorys() {
        assert_eq!(AccessMask::GENERIC_ALL.mapped(), AccessMask::ALL);
        assert_eq!(AccessMask::GENERIC_READ.mapped().to_string(), "LCRPLORC");
        assert_eq!(AccessMask::GENERIC_WRITE.mapped().to_string(), "SWWPRC");
        assert_eq!(AccessMask::GENERIC_EXECUTE.mapped().to_string(), "LCRC");
        assert_eq!((AccessMask::GENERIC_EXECUTE | AccessMask::DELETE).mapped().to_string(), "LCSDRC");
    }
}
