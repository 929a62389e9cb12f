//! Where a record lies in a repository: its room and the name of its slot.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::id::{Digest, KeyId};

/// The two rooms of a group: keys (readers read, creators add) and control (readers read, owners add).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Group, policy, roster, status and exposed records; only owners add.
    Control,
    /// Key records and use notices; creators add.
    Keys,
}

impl Room {
    /// Both rooms, in the order in which they are read: control first, so that a tombstone is known before its key.
    pub const ALL: [Self; 2] = [Self::Control, Self::Keys];

    /// The room's name in folders and directories.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Keys => "keys",
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Name of a record's slot: 1 to 64 of `[a-z0-9-]`.
///
/// Names of slots for which clients race (a key's successor, the next policy) are a function of the predecessor and
/// an attempt number, so that a create-only put admits one record per replica. All others carry the record's digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotName(Arc<str>);

/// Why a text is not the name of a slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a slot: expected 1 to 64 of a-z, 0-9 and hyphen")]
pub struct ParseSlotNameError;

/// Longest name of a slot, in bytes.
pub const SLOT_NAME_LEN_MAX: usize = 64;

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn derived(prefix: &str, parts: &[&[u8]]) -> SlotName {
    let mut input = Vec::with_capacity(96);
    input.extend_from_slice(b"dkm slot\0");
    input.extend_from_slice(prefix.as_bytes());
    input.push(0);
    for part in parts {
        input.extend_from_slice(part);
    }
    let digest = Digest::of(&input);
    let (head, _) = digest.as_bytes().split_at(16);
    SlotName(format!("{prefix}-{}", hex(head)).into())
}

impl SlotName {
    /// Slot of the key that succeeds `predecessor` (none: the group's first key), on the `attempt`-th try.
    #[must_use]
    pub fn for_key(predecessor: Option<KeyId>, attempt: u32) -> Self {
        let predecessor = predecessor.unwrap_or_default();
        derived("key", &[predecessor.as_bytes(), &attempt.to_be_bytes()])
    }

    /// Slot of a key that came back from an archive.
    #[must_use]
    pub fn for_restored_key(key: KeyId) -> Self {
        Self(["restored-", &hex(key.as_bytes())].concat().into())
    }

    /// Slot of a key taken over from another system.
    #[must_use]
    pub fn for_imported_key(key: KeyId) -> Self {
        Self(["imported-", &hex(key.as_bytes())].concat().into())
    }

    /// Slot of a chained record (policy, roster): a function of what it follows, so that one author wins per replica.
    #[must_use]
    pub fn for_chained(kind: &str, previous: &[Digest], attempt: u32) -> Self {
        let mut parts: Vec<&[u8]> = previous.iter().map(|d| d.as_bytes().as_slice()).collect();
        let attempt = attempt.to_be_bytes();
        parts.push(&attempt);
        derived(kind, &parts)
    }

    /// Slot of a record named by its own content: writing it twice is writing it once.
    #[must_use]
    pub fn for_content(kind: &str, digest: Digest) -> Self {
        let (head, _) = digest.as_bytes().split_at(16);
        Self(format!("{kind}-{}", hex(head)).into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SlotName {
    type Err = ParseSlotNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=SLOT_NAME_LEN_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.into())) } else { Err(ParseSlotNameError) }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a repository says wrote a record: `uid:1000`, a SID such as `S-1-5-21-…`, or a service's authenticated name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Principal(pub String);

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the repository, not the record, says about a record's origin. Only this is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The author as the repository authenticated it (AD: owner SID; directory: file owner).
    pub creator: Principal,
    /// When the repository took the record (AD: whenCreated; directory: modification time).
    pub created: crate::Timestamp,
    /// Whether the record's own access control equals the template of its room.
    pub template_ok: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_racing_slots_depend_on_predecessor_and_attempt_only() {
        let a = KeyId([1; 16]);
        assert_eq!(SlotName::for_key(Some(a), 0), SlotName::for_key(Some(a), 0));
        assert_ne!(SlotName::for_key(Some(a), 0), SlotName::for_key(Some(a), 1));
        assert_ne!(SlotName::for_key(Some(a), 0), SlotName::for_key(None, 0));
        assert_ne!(
            SlotName::for_chained("policy", &[Digest([1; 32])], 0),
            SlotName::for_chained("roster", &[Digest([1; 32])], 0)
        );
    }

    #[test]
    fn made_names_parse_and_foreign_ones_do_not() {
        for name in [
            SlotName::for_key(None, u32::MAX),
            SlotName::for_restored_key(KeyId([9; 16])),
            SlotName::for_content("status", Digest([7; 32])),
        ] {
            assert_eq!(name.as_str().parse::<SlotName>().unwrap(), name);
        }
        for text in ["", "A", "../x", "a/b", "a.b", &"a".repeat(65)] {
            assert!(text.parse::<SlotName>().is_err(), "{text}");
        }
    }
}
