//! The group record: identity, name and birth of a group.

use minicbor::{Decode, Encode};

use super::check_text;
use crate::id::{Digest, RepositoryId};

/// Longest name of a group, in bytes.
pub const GROUP_NAME_LEN_MAX: usize = 128;

/// A group. Clients pin its id; the name is for people and is no authority.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GroupRecord {
    /// 1 to 128 of `[a-z0-9._-]`.
    #[n(0)]
    pub name: String,
    /// Creation time in milliseconds since the epoch, as its author says: a hint.
    #[n(1)]
    pub created_at_ms: u64,
    /// The repository for which the group was made; a group copied elsewhere says so.
    #[n(2)]
    pub repository: RepositoryId,
    /// Digest of the first roster, pinned by clients: later rosters must descend from it.
    #[n(3)]
    pub roster_genesis: Option<Digest>,
    /// What the group is for, up to 1 KiB.
    #[n(4)]
    pub description: Option<String>,
}

impl GroupRecord {
    pub(super) fn check(&self) -> Result<(), String> {
        check_group_name(&self.name)?;
        self.description.as_deref().map_or(Ok(()), |text| check_text("description", text, 1024))
    }
}

/// Checks a group's name.
///
/// # Errors
/// The text says what a name must be like.
pub fn check_group_name(name: &str) -> Result<(), String> {
    let fits = (1..=GROUP_NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if fits {
        Ok(())
    } else {
        Err(format!("group name {name:?} is not 1 to {GROUP_NAME_LEN_MAX} of a-z, 0-9, '.', '_' and '-'"))
    }
}
