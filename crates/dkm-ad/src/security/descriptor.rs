//! The security descriptor in its self-relative form (MS-DTYP §2.4.6).

use std::ops::{BitOr, BitOrAssign};

use super::{Acl, AclSlot, DescriptorError, Sid, wire};

/// The longest descriptor that [`SecurityDescriptor::parse`] takes: two full lists, two SIDs, and room to spare. The
/// directory's own limit is 64 KiB.
pub const MAX_BYTES: usize = 256 * 1024;
/// The longest text that [`SecurityDescriptor::from_sddl`] takes.
pub const MAX_SDDL: usize = 1024 * 1024;

const HEAD: usize = 20;

/// The control flags (MS-DTYP §2.4.6), without the three that the parts themselves tell: whether there is a DACL or a
/// SACL, and the self-relative form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Control(u16);

impl Control {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The DACL must be computed from what is inherited (`AR`).
    pub const DACL_AUTO_INHERIT_REQ: Self = Self(0x0100);
    /// As above, for the SACL.
    pub const SACL_AUTO_INHERIT_REQ: Self = Self(0x0200);
    /// The DACL takes part in inheritance (`AI`).
    pub const DACL_AUTO_INHERITED: Self = Self(0x0400);
    /// As above, for the SACL.
    pub const SACL_AUTO_INHERITED: Self = Self(0x0800);
    /// Nothing is inherited into the DACL (`P`).
    pub const DACL_PROTECTED: Self = Self(0x1000);
    /// As above, for the SACL.
    pub const SACL_PROTECTED: Self = Self(0x2000);

    const DACL_PRESENT: u16 = 0x0004;
    const SACL_PRESENT: u16 = 0x0010;
    const SELF_RELATIVE: u16 = 0x8000;
    const FORM: u16 = Self::DACL_PRESENT | Self::SACL_PRESENT | Self::SELF_RELATIVE;

    /// These bits of the control word; those that the parts tell are dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & !Self::FORM)
    }

    /// The bits, as in the control word.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other`'s flags are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Control {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Control {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Who owns an object, who may do what with it, and what of that is logged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SecurityDescriptor {
    /// The control flags that the parts don't tell.
    pub control: Control,
    /// The resource manager's byte, `Sbz1`; zero in a descriptor that we make.
    pub resource_manager: u8,
    /// The owner, who may read the descriptor and write its DACL unless OWNER RIGHTS says otherwise.
    pub owner: Option<Sid>,
    /// The primary group; it plays no part in the directory's access check.
    pub group: Option<Sid>,
    /// What is audited.
    pub sacl: AclSlot,
    /// Who may do what.
    pub dacl: AclSlot,
}

impl SecurityDescriptor {
    /// Whether nothing is inherited into the DACL.
    #[must_use]
    pub const fn is_protected(&self) -> bool {
        self.control.contains(Control::DACL_PROTECTED)
    }

    /// Reads the self-relative form. The parts may lie in any order and with gaps; what [`to_bytes`](Self::to_bytes)
    /// gives is canonical.
    ///
    /// # Errors
    /// Whatever MS-DTYP §2.4.6 doesn't allow: see [`DescriptorError`]. A list with an offset but without its control
    /// flag is refused, as readers differ on what it means.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        const WHAT: &str = "security descriptor";
        if bytes.len() > MAX_BYTES {
            return Err(DescriptorError::TooLong { what: WHAT });
        }
        let [revision, resource_manager, ..] = wire::array::<HEAD>(WHAT, bytes, 0)?;
        let word = wire::u16_at(WHAT, bytes, 2)?;
        if revision != 1 {
            return Err(DescriptorError::Revision { what: WHAT, found: revision });
        }
        if word & Control::SELF_RELATIVE == 0 {
            return Err(DescriptorError::NotSelfRelative);
        }
        let sid = |what, field| {
            let at = part(what, bytes, field)?;
            at.map(|at| Sid::read(what, bytes, at)).transpose()
        };
        let list = |what, field, flag| match (part(what, bytes, field)?, word & flag != 0) {
            (Some(at), true) => Acl::read(what, bytes, at).map(AclSlot::Present),
            (None, true) => Ok(AclSlot::Null),
            (None, false) => Ok(AclSlot::Absent),
            (Some(_), false) => Err(DescriptorError::HiddenList { what }),
        };
        Ok(Self {
            control: Control::from_bits(word),
            resource_manager,
            owner: sid("owner", 4)?,
            group: sid("primary group", 8)?,
            sacl: list("SACL", 12, Control::SACL_PRESENT)?,
            dacl: list("DACL", 16, Control::DACL_PRESENT)?,
        })
    }

    /// The canonical self-relative form: owner, group, SACL, DACL, without gaps.
    ///
    /// # Errors
    /// A list of more than 65 535 bytes or entries, of an unknown revision, or with an entry whose bytes are no
    /// multiple of four.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DescriptorError> {
        let mut word = self.control.bits() | Control::SELF_RELATIVE;
        if self.sacl != AclSlot::Absent {
            word |= Control::SACL_PRESENT;
        }
        if self.dacl != AclSlot::Absent {
            word |= Control::DACL_PRESENT;
        }
        let mut out = vec![0; HEAD];
        out[0] = 1;
        out[1] = self.resource_manager;
        out[2..4].copy_from_slice(&word.to_le_bytes());
        for (sid, field) in [(self.owner, 4), (self.group, 8)] {
            if let Some(sid) = sid {
                place(&mut out, field)?;
                sid.write(&mut out);
            }
        }
        for (slot, field, what) in [(&self.sacl, 12, "SACL"), (&self.dacl, 16, "DACL")] {
            if let Some(acl) = slot.acl() {
                place(&mut out, field)?;
                acl.write(what, &mut out)?;
            }
        }
        Ok(out)
    }
}

/// The offset in the header's field `field`, if it points anywhere.
fn part(what: &'static str, bytes: &[u8], field: usize) -> Result<Option<usize>, DescriptorError> {
    let offset = wire::u32_at(what, bytes, field)?;
    let at = usize::try_from(offset).map_err(|_| DescriptorError::Offset { what, at: usize::MAX })?;
    match at {
        0 => Ok(None),
        at if at < HEAD || !at.is_multiple_of(4) => Err(DescriptorError::Offset { what, at }),
        at if at >= bytes.len() => Err(DescriptorError::Truncated { what, at, need: 1, have: 0 }),
        at => Ok(Some(at)),
    }
}

/// Notes the end of `out` as the offset of the part that follows.
fn place(out: &mut [u8], field: usize) -> Result<(), DescriptorError> {
    let at =
        u32::try_from(out.len()).map_err(|_| DescriptorError::TooLong { what: "security descriptor" })?;
    out[field..field + 4].copy_from_slice(&at.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{Ace, AceFlags, Opaque};

    fn sample() -> SecurityDescriptor {
        SecurityDescriptor::from_sddl(
            "O:SYG:BAD:PAI(A;;GA;;;SY)(OA;CIIO;CC;5cb41ed0-0e4c-11d0-a286-00aa003049e2;;WD)",
            None,
        )
        .unwrap()
    }

    #[test]
    fn bytes_are_those_of_the_standard() {
        // Taken apart by hand after MS-DTYP §2.4.6, .5 and .4.
        let bytes = sample().to_bytes().unwrap();
        let expected = [
            "01000494",
            "14000000",
            "20000000",
            "00000000",
            "30000000",                                 // head: P, AI, DACL present, self-relative
            "010100000000000512000000",                 // owner
            "01020000000000052000000020020000",         // group
            "0400440002000000",                         // DACL: revision 4, 68 bytes, 2 entries
            "0000140000000010010100000000000512000000", // (A;;GA;;;SY)
            "050a28000100000001000000d01eb45c4c0ed011a28600aa003049e2010100000000000100000000",
        ]
        .concat();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        assert_eq!(SecurityDescriptor::parse(&bytes), Ok(sample()));
    }

    #[test]
    fn null_absent_and_empty_lists_are_three_things() {
        let mut seen = Vec::new();
        for dacl in [AclSlot::Absent, AclSlot::Null, AclSlot::Present(Acl::new([]))] {
            let descriptor = SecurityDescriptor { dacl, ..SecurityDescriptor::default() };
            let bytes = descriptor.to_bytes().unwrap();
            assert_eq!(SecurityDescriptor::parse(&bytes), Ok(descriptor));
            seen.push(bytes);
        }
        assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    }

    #[test]
    fn entries_of_other_kinds_are_kept() {
        let mut descriptor = sample();
        let callback = Opaque {
            kind: 9,
            flags: AceFlags::CONTAINER_INHERIT,
            body: vec![1, 2, 3, 4, b'a', b'r', b't', b'x'],
        };
        if let AclSlot::Present(acl) = &mut descriptor.dacl {
            acl.entries.insert(1, Ace::Opaque(callback));
        }
        let bytes = descriptor.to_bytes().unwrap();
        assert_eq!(SecurityDescriptor::parse(&bytes), Ok(descriptor));
    }

    #[test]
    fn every_cut_is_an_error() {
        let whole = sample().to_bytes().unwrap();
        for end in 0..whole.len() {
            assert!(SecurityDescriptor::parse(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let whole = sample().to_bytes().unwrap();
        let with = |at: usize, value: u8| {
            let mut bytes = whole.clone();
            bytes[at] = value;
            SecurityDescriptor::parse(&bytes).unwrap_err()
        };
        assert_eq!(with(0, 2), DescriptorError::Revision { what: "security descriptor", found: 2 });
        assert_eq!(with(3, 0x14), DescriptorError::NotSelfRelative);
        assert_eq!(with(2, 0), DescriptorError::HiddenList { what: "DACL" });
        assert_eq!(with(4, 16), DescriptorError::Offset { what: "owner", at: 16 });
        assert_eq!(with(4, 22), DescriptorError::Offset { what: "owner", at: 22 });
        assert_eq!(with(20, 3), DescriptorError::Revision { what: "owner", found: 3 });
        assert_eq!(with(21, 16), DescriptorError::SubAuthorities { found: 16 });
        assert_eq!(with(48, 3), DescriptorError::Revision { what: "DACL", found: 3 });
        assert_eq!(with(49, 1), DescriptorError::Reserved { what: "DACL" });
        assert_eq!(with(54, 1), DescriptorError::Reserved { what: "DACL" });
        assert_eq!(with(50, 4), DescriptorError::Length { what: "DACL", found: 4 });
        assert_eq!(with(58, 3), DescriptorError::Length { what: "access control entry", found: 3 });
        assert_eq!(with(58, 22), DescriptorError::Length { what: "access control entry", found: 22 });
        assert!(matches!(with(52, 3), DescriptorError::Truncated { what: "access control entry", .. }));
        assert!(matches!(with(58, 16), DescriptorError::Truncated { what: "trustee", .. }));
    }

    #[test]
    fn too_much_is_refused() {
        assert_eq!(
            SecurityDescriptor::parse(&vec![0; MAX_BYTES + 1]),
            Err(DescriptorError::TooLong { what: "security descriptor" })
        );
        let long = Ace::Opaque(Opaque { kind: 9, flags: AceFlags::NONE, body: vec![0; 40_000] });
        let mut descriptor = sample();
        descriptor.dacl = AclSlot::Present(Acl { revision: 4, entries: vec![long.clone(), long] });
        assert_eq!(descriptor.to_bytes(), Err(DescriptorError::TooLong { what: "DACL" }));
        let odd = Ace::Opaque(Opaque { kind: 9, flags: AceFlags::NONE, body: vec![0; 3] });
        descriptor.dacl = AclSlot::Present(Acl { revision: 4, entries: vec![odd] });
        assert_eq!(
            descriptor.to_bytes(),
            Err(DescriptorError::Length { what: "access control entry", found: 7 })
        );
    }
}
