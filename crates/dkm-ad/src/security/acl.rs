//! Access control lists (MS-DTYP §2.4.5).

use super::{Ace, DescriptorError, Entry, wire};

/// `ACL_REVISION_DS` (MS-DTYP §2.4.5): the one in which object entries may stand; the directory's own.
pub const REVISION_DS: u8 = 4;
/// `ACL_REVISION` (MS-DTYP §2.4.5): of lists without object entries.
pub const REVISION: u8 = 2;

const HEAD: usize = 8;

/// The entries, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acl {
    /// [`REVISION_DS`] or [`REVISION`].
    pub revision: u8,
    /// The entries.
    pub entries: Vec<Ace>,
}

/// A list of a descriptor, which may be missing in two ways.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum AclSlot {
    /// The control flags call it absent: it says nothing.
    #[default]
    Absent,
    /// Present without a list. A DACL of that kind gives everyone everything (MS-ADTS §5.1.3.3.1).
    Null,
    /// A list. An empty DACL gives nobody anything.
    Present(Acl),
}

impl AclSlot {
    /// The list, if there is one.
    #[must_use]
    pub const fn acl(&self) -> Option<&Acl> {
        match self {
            Self::Present(acl) => Some(acl),
            Self::Absent | Self::Null => None,
        }
    }
}

impl Acl {
    /// A list of the directory's revision.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self { revision: REVISION_DS, entries: entries.into_iter().map(Ace::Entry).collect() }
    }

    /// Reads the list at `at`. Room between the last entry and the list's end is slack, which Windows leaves for
    /// more entries; it isn't kept.
    pub(super) fn read(what: &'static str, bytes: &[u8], at: usize) -> Result<Self, DescriptorError> {
        let [revision, reserved, ..] = wire::array::<HEAD>(what, bytes, at)?;
        let size = usize::from(wire::u16_at(what, bytes, at + 2)?);
        let count = wire::u16_at(what, bytes, at + 4)?;
        if revision != REVISION && revision != REVISION_DS {
            return Err(DescriptorError::Revision { what, found: revision });
        }
        if reserved != 0 || wire::u16_at(what, bytes, at + 6)? != 0 {
            return Err(DescriptorError::Reserved { what });
        }
        let have = bytes.len() - at;
        if size < HEAD {
            return Err(DescriptorError::Length { what, found: size });
        }
        let list =
            bytes.get(at..at + size).ok_or(DescriptorError::Truncated { what, at, need: size, have })?;
        let mut entries = Vec::new();
        let mut next = HEAD;
        for _ in 0..count {
            let (ace, end) = Ace::read(list, next)?;
            entries.push(ace);
            next = end;
        }
        Ok(Self { revision, entries })
    }

    pub(super) fn write(&self, what: &'static str, out: &mut Vec<u8>) -> Result<(), DescriptorError> {
        let start = out.len();
        let too_long = DescriptorError::TooLong { what };
        let count = u16::try_from(self.entries.len()).map_err(|_| too_long.clone())?;
        if self.revision != REVISION && self.revision != REVISION_DS {
            return Err(DescriptorError::Revision { what, found: self.revision });
        }
        out.extend([self.revision, 0, 0, 0]);
        out.extend(count.to_le_bytes());
        out.extend([0, 0]);
        for ace in &self.entries {
            ace.write(out)?;
        }
        let size = u16::try_from(out.len() - start).map_err(|_| too_long)?;
        out[start + 2..start + 4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    }
}
