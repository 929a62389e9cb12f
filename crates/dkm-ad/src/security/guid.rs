//! GUIDs as the directory writes them: the first three fields little-endian (MS-DTYP §2.3.4.2).

use std::fmt;
use std::str::FromStr;

use super::{DescriptorError, SddlError, wire};

/// A schema class, attribute, property set or extended right, by its GUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// Class `container` (MS-ADSC).
pub const CLASS_CONTAINER: Guid = Guid::active_directory(0xbf967a8b, 0x0de6, 0xa285);
/// Class `contact` (MS-ADSC): the class of every DKM record.
pub const CLASS_CONTACT: Guid =
    Guid::new(0x5cb41ed0, 0x0e4c, 0x11d0, [0xa2, 0x86, 0x00, 0xaa, 0x00, 0x30, 0x49, 0xe2]);
/// Class `group` (MS-ADSC).
pub const CLASS_GROUP: Guid = Guid::active_directory(0xbf967a9c, 0x0de6, 0xa285);
/// Class `user` (MS-ADSC).
pub const CLASS_USER: Guid = Guid::active_directory(0xbf967aba, 0x0de6, 0xa285);
/// Attribute `member` (MS-ADA2), also the validated write Self-Membership (MS-ADTS §5.1.3.2.2).
pub const ATTRIBUTE_MEMBER: Guid = Guid::active_directory(0xbf9679c0, 0x0de6, 0xa285);
/// Attribute `description` (MS-ADA1).
pub const ATTRIBUTE_DESCRIPTION: Guid = Guid::active_directory(0xbf967950, 0x0de6, 0xa285);
/// Attribute `thumbnailPhoto` (MS-ADA3).
pub const ATTRIBUTE_THUMBNAIL_PHOTO: Guid =
    Guid::new(0x8d3bca50, 0x1d7e, 0x11d0, [0xa0, 0x81, 0x00, 0xaa, 0x00, 0x6c, 0x33, 0xed]);
/// Attribute `displayName` (MS-ADA1).
pub const ATTRIBUTE_DISPLAY_NAME: Guid = Guid::active_directory(0xbf967953, 0x0de6, 0xa285);
/// Attribute `info` (MS-ADA1).
pub const ATTRIBUTE_INFO: Guid = Guid::active_directory(0xbf96793e, 0x0de6, 0xa285);
/// Attribute `whenCreated` (MS-ADA3).
pub const ATTRIBUTE_WHEN_CREATED: Guid = Guid::active_directory(0xbf967a78, 0x0de6, 0xa285);
/// Attribute `uSNChanged` (MS-ADA3).
pub const ATTRIBUTE_USN_CHANGED: Guid = Guid::active_directory(0xbf967a6f, 0x0de6, 0xa285);
/// Property set Public Information (MS-ADTS §3.1.1.2.3.3): `objectClass`, `name`, `cn`, `objectGUID` and other names.
pub const SET_PUBLIC_INFORMATION: Guid =
    Guid::new(0xe48d0154, 0xbcf8, 0x11d1, [0x87, 0x02, 0x00, 0xc0, 0x4f, 0xb9, 0x60, 0x50]);
/// Attribute `servicePrincipalName` (MS-ADA3), also the validated write Validated-SPN (MS-ADTS §5.1.3.2.2).
pub const ATTRIBUTE_SERVICE_PRINCIPAL_NAME: Guid =
    Guid::new(0xf3a64788, 0x5306, 0x11d1, [0xa9, 0xc5, 0x00, 0x00, 0xf8, 0x03, 0x67, 0xc1]);
/// Attribute `msDS-KeyCredentialLink` (MS-ADA2).
pub const ATTRIBUTE_KEY_CREDENTIAL_LINK: Guid =
    Guid::new(0x5b47d60f, 0x6090, 0x40b2, [0x9f, 0x37, 0x2a, 0x4d, 0xe8, 0x8f, 0x30, 0x63]);
/// Extended right User-Force-Change-Password (MS-ADTS §5.1.3.2.1): set a password without knowing the old one.
pub const RIGHT_RESET_PASSWORD: Guid =
    Guid::new(0x00299570, 0x246d, 0x11d0, [0xa7, 0x68, 0x00, 0xaa, 0x00, 0x6e, 0x05, 0x29]);
/// Extended right DS-Replication-Get-Changes (MS-ADTS §5.1.3.2.1).
pub const RIGHT_REPLICATION_GET_CHANGES: Guid =
    Guid::new(0x1131f6aa, 0x9c07, 0x11d1, [0xf7, 0x9f, 0x00, 0xc0, 0x4f, 0xc2, 0xdc, 0xd2]);
/// Extended right DS-Replication-Get-Changes-All (MS-ADTS §5.1.3.2.1): with secrets.
pub const RIGHT_REPLICATION_GET_CHANGES_ALL: Guid =
    Guid::new(0x1131f6ad, 0x9c07, 0x11d1, [0xf7, 0x9f, 0x00, 0xc0, 0x4f, 0xc2, 0xdc, 0xd2]);
/// Extended right DS-Replication-Get-Changes-In-Filtered-Set (MS-ADTS §5.1.3.2.1).
pub const RIGHT_REPLICATION_GET_CHANGES_FILTERED: Guid =
    Guid::new(0x89e95b76, 0x444d, 0x4c62, [0x99, 0x1a, 0x0f, 0xac, 0xbe, 0xda, 0x64, 0x0c]);
/// Extended right DS-Set-Owner (MS-ADTS §5.1.3.2.1): on the domain's head, give any object any owner.
pub const RIGHT_SET_OWNER: Guid =
    Guid::new(0x4125c71f, 0x7fac, 0x4ff0, [0xbc, 0xb7, 0xf0, 0x9a, 0x41, 0x32, 0x52, 0x86]);

impl Guid {
    /// From the four fields of the text form `AAAAAAAA-BBBB-CCCC-DDDD-DDDDDDDDDDDD`.
    #[must_use]
    pub const fn new(first: u32, second: u16, third: u16, last: [u8; 8]) -> Self {
        let (a, b, c) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
        Self([
            a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], last[0], last[1], last[2], last[3], last[4],
            last[5], last[6], last[7],
        ])
    }

    /// The base schema's GUIDs share their tail.
    const fn active_directory(first: u32, second: u16, fourth: u16) -> Self {
        let [high, low] = fourth.to_be_bytes();
        Self::new(first, second, 0x11d0, [high, low, 0x00, 0xaa, 0x00, 0x30, 0x49, 0xe2])
    }

    /// From the 16 bytes on the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    pub(super) fn read(bytes: &[u8], at: usize) -> Result<Self, DescriptorError> {
        wire::array("object GUID", bytes, at).map(Self)
    }
}

/// The usual text, lower case, without braces.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, last @ ..] = self.0;
        let (a, b, c) = (
            u32::from_le_bytes([a0, a1, a2, a3]),
            u16::from_le_bytes([b0, b1]),
            u16::from_le_bytes([c0, c1]),
        );
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{:02x}{:02x}-", last[0], last[1])?;
        last[2..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

/// 36 characters, either case, no braces.
impl FromStr for Guid {
    type Err = SddlError;

    fn from_str(text: &str) -> Result<Self, SddlError> {
        let expected = |at| SddlError::Expected { expected: "a GUID of 36 characters", at };
        let characters = text.as_bytes();
        if characters.len() != 36 {
            return Err(expected(characters.len().min(36)));
        }
        let mut digits = [0_u8; 32];
        let mut filled = 0;
        for (at, &character) in characters.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if character != b'-' {
                    return Err(expected(at));
                }
                continue;
            }
            digits[filled] = match character {
                b'0'..=b'9' => character - b'0',
                b'a'..=b'f' => character - b'a' + 10,
                b'A'..=b'F' => character - b'A' + 10,
                _ => return Err(expected(at)),
            };
            filled += 1;
        }
        let mut bytes = [0_u8; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_fields_are_little_endian() {
        let wire =
            [0xd0, 0x1e, 0xb4, 0x5c, 0x4c, 0x0e, 0xd0, 0x11, 0xa2, 0x86, 0x00, 0xaa, 0x00, 0x30, 0x49, 0xe2];
        assert_eq!(CLASS_CONTACT.to_bytes(), wire);
        assert_eq!(CLASS_CONTACT.to_string(), "5cb41ed0-0e4c-11d0-a286-00aa003049e2");
        assert_eq!("5CB41ED0-0e4c-11d0-a286-00aa003049e2".parse(), Ok(CLASS_CONTACT));
        assert_eq!(ATTRIBUTE_MEMBER.to_string(), "bf9679c0-0de6-11d0-a285-00aa003049e2");
    }

    #[test]
    fn only_the_plain_form_is_a_guid() {
        for text in [
            "",
            "{5cb41ed0-0e4c-11d0-a286-00aa003049e2}",
            "5cb41ed00e4c11d0a28600aa003049e2",
            "5cb41ed0-0e4c-11d0-a286-00aa003049e",
            "5cb41ed0-0e4c-11d0-a286-00aa003049eg",
            "5cb41ed0-0e4c-11d0-a286+00aa003049e2",
            "5cb41ed0-0e4c-11d0-a286-00aa00304é2",
        ] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }
}
