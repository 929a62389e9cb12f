//! Access control entries (MS-DTYP §2.4.4).

use std::ops::BitOr;

use super::{AccessMask, DescriptorError, Guid, Sid, wire};

/// The kinds of entries whose fields this codec reads (MS-DTYP §2.4.4.1).
///
/// Whether an entry is of the object form (§2.4.4.3, .4, .10 …) is not part of the kind: it is, when it has a GUID
/// or [`Entry::object_form`] says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AceKind {
    /// Grants rights.
    Allow,
    /// Refuses rights.
    Deny,
    /// Has accesses logged; stands in a SACL.
    Audit,
}

/// How an entry is inherited and what it audits (MS-DTYP §2.4.4.1, `AceFlags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AceFlags(pub u8);

impl AceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `OI`: children that are no containers inherit. The directory knows containers only.
    pub const OBJECT_INHERIT: Self = Self(0x01);
    /// `CI`: children inherit.
    pub const CONTAINER_INHERIT: Self = Self(0x02);
    /// `NP`: children inherit, their children don't.
    pub const NO_PROPAGATE: Self = Self(0x04);
    /// `IO`: doesn't count on the object itself, only on what inherits it.
    pub const INHERIT_ONLY: Self = Self(0x08);
    /// `ID`: came from the parent.
    pub const INHERITED: Self = Self(0x10);
    /// `SA`: audit what succeeds.
    pub const SUCCESSFUL: Self = Self(0x40);
    /// `FA`: audit what is refused.
    pub const FAILED: Self = Self(0x80);
    /// All that SDDL has letters for.
    pub(super) const LETTERS: [(&'static str, Self); 7] = [
        ("OI", Self::OBJECT_INHERIT),
        ("CI", Self::CONTAINER_INHERIT),
        ("NP", Self::NO_PROPAGATE),
        ("IO", Self::INHERIT_ONLY),
        ("ID", Self::INHERITED),
        ("SA", Self::SUCCESSFUL),
        ("FA", Self::FAILED),
    ];

    /// Whether all of `other`'s flags are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for AceFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One entry of an ACL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ace {
    /// An entry whose every field is known.
    Entry(Entry),
    /// An entry kept as it came: a conditional (callback) one, an alarm, a label, or a kind of the future.
    Opaque(Opaque),
}

/// An allow, deny or audit entry, for the whole object or for the part that a GUID names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it does.
    pub kind: AceKind,
    /// Whether it is written in the object form. An object form without a GUID means the same as the plain form; it
    /// is kept apart because its bytes differ. The plain form is written only if there is no GUID either.
    pub object_form: bool,
    /// Inheritance and audit flags.
    pub flags: AceFlags,
    /// The rights.
    pub mask: AccessMask,
    /// The attribute, property set, extended right or child class that the rights are limited to.
    pub object: Option<Guid>,
    /// The only class that inherits the entry.
    pub inherited_object: Option<Guid>,
    /// Who.
    pub trustee: Sid,
    /// Bytes after the trustee, which an ordinary entry doesn't have. At most 64 KiB, a multiple of four.
    pub data: Vec<u8>,
}

/// An entry of which only the head is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Opaque {
    /// The type's number (MS-DTYP §2.4.4.1).
    pub kind: u8,
    /// Inheritance and audit flags.
    pub flags: AceFlags,
    /// All after the four bytes of the head.
    pub body: Vec<u8>,
}

const HEAD: usize = 4;
/// `ACE_OBJECT_TYPE_PRESENT` (MS-DTYP §2.4.4.3).
const OBJECT_PRESENT: u32 = 1;
/// `ACE_INHERITED_OBJECT_TYPE_PRESENT` (MS-DTYP §2.4.4.3).
const INHERITED_OBJECT_PRESENT: u32 = 2;

impl Entry {
    /// An entry for the whole object.
    #[must_use]
    pub const fn new(kind: AceKind, mask: AccessMask, trustee: Sid) -> Self {
        Self {
            kind,
            object_form: false,
            flags: AceFlags::NONE,
            mask,
            object: None,
            inherited_object: None,
            trustee,
            data: Vec::new(),
        }
    }

    /// Grants `mask` to `trustee`.
    #[must_use]
    pub const fn allow(mask: AccessMask, trustee: Sid) -> Self {
        Self::new(AceKind::Allow, mask, trustee)
    }

    /// Refuses `mask` to `trustee`.
    #[must_use]
    pub const fn deny(mask: AccessMask, trustee: Sid) -> Self {
        Self::new(AceKind::Deny, mask, trustee)
    }

    /// Limited to this attribute, property set, extended right or child class.
    #[must_use]
    pub fn on(mut self, object: Guid) -> Self {
        self.object = Some(object);
        self.object_form = true;
        self
    }

    /// With these flags.
    #[must_use]
    pub fn flagged(mut self, flags: AceFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Whether the entry counts on the object that holds it (MS-DTYP §2.5.3.2 skips the others).
    #[must_use]
    pub const fn is_effective(&self) -> bool {
        !self.flags.contains(AceFlags::INHERIT_ONLY)
    }

    /// Whether the bytes are of the object form.
    pub(super) const fn is_object(&self) -> bool {
        self.object_form || self.object.is_some() || self.inherited_object.is_some()
    }

    const fn type_number(&self) -> u8 {
        let plain = match self.kind {
            AceKind::Allow => 0,
            AceKind::Deny => 1,
            AceKind::Audit => 2,
        };
        if self.is_object() { plain + 5 } else { plain }
    }

    /// The entry in these bytes; `None` if its flags have bits that this codec can't keep.
    fn parse(number: u8, flags: AceFlags, body: &[u8]) -> Result<Option<Self>, DescriptorError> {
        const WHAT: &str = "access control entry";
        let (kind, object_form) = match number {
            0 => (AceKind::Allow, false),
            1 => (AceKind::Deny, false),
            2 => (AceKind::Audit, false),
            5 => (AceKind::Allow, true),
            6 => (AceKind::Deny, true),
            7 => (AceKind::Audit, true),
            _ => return Ok(None),
        };
        let mask = AccessMask(wire::u32_at(WHAT, body, 0)?);
        let (mut at, mut object, mut inherited_object) = (4, None, None);
        if object_form {
            let present = wire::u32_at(WHAT, body, at)?;
            at += 4;
            if present & !(OBJECT_PRESENT | INHERITED_OBJECT_PRESENT) != 0 {
                return Ok(None);
            }
            if present & OBJECT_PRESENT != 0 {
                object = Some(Guid::read(body, at)?);
                at += 16;
            }
            if present & INHERITED_OBJECT_PRESENT != 0 {
                inherited_object = Some(Guid::read(body, at)?);
                at += 16;
            }
        }
        let trustee = Sid::read("trustee", body, at)?;
        let data = body.get(at + trustee.encoded_len()..).unwrap_or_default().to_vec();
        Ok(Some(Self { kind, object_form, flags, mask, object, inherited_object, trustee, data }))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.mask.0.to_le_bytes());
        if self.is_object() {
            let mut present = 0;
            if self.object.is_some() {
                present |= OBJECT_PRESENT;
            }
            if self.inherited_object.is_some() {
                present |= INHERITED_OBJECT_PRESENT;
            }
            out.extend(present.to_le_bytes());
            for guid in [self.object, self.inherited_object].into_iter().flatten() {
                out.extend(guid.to_bytes());
            }
        }
        self.trustee.write(out);
        out.extend(&self.data);
    }
}

impl Ace {
    /// The flags of either form.
    #[must_use]
    pub const fn flags(&self) -> AceFlags {
        match self {
            Self::Entry(entry) => entry.flags,
            Self::Opaque(opaque) => opaque.flags,
        }
    }

    /// The entry, if its fields are known.
    #[must_use]
    pub const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::Opaque(_) => None,
        }
    }

    /// Reads the entry at `at`; returns it with the offset after it.
    pub(super) fn read(bytes: &[u8], at: usize) -> Result<(Self, usize), DescriptorError> {
        const WHAT: &str = "access control entry";
        let [kind, flags, low, high] = wire::array::<HEAD>(WHAT, bytes, at)?;
        let flags = AceFlags(flags);
        let size = usize::from(u16::from_le_bytes([low, high]));
        // AceSize is a multiple of four (MS-DTYP §2.4.4.2 and on).
        if size < HEAD || !size.is_multiple_of(4) {
            return Err(DescriptorError::Length { what: WHAT, found: size });
        }
        let end = at + size;
        let body = bytes.get(at + HEAD..end).ok_or(DescriptorError::Truncated {
            what: WHAT,
            at,
            need: size,
            have: bytes.len().saturating_sub(at),
        })?;
        let ace = match Entry::parse(kind, flags, body)? {
            Some(entry) => Self::Entry(entry),
            None => Self::Opaque(Opaque { kind, flags, body: body.to_vec() }),
        };
        Ok((ace, end))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), DescriptorError> {
        let start = out.len();
        let (kind, flags) = match self {
            Self::Entry(entry) => (entry.type_number(), entry.flags),
            Self::Opaque(opaque) => (opaque.kind, opaque.flags),
        };
        out.extend([kind, flags.0, 0, 0]);
        match self {
            Self::Entry(entry) => entry.write(out),
            Self::Opaque(opaque) => out.extend(&opaque.body),
        }
        let length = out.len() - start;
        if !length.is_multiple_of(4) {
            return Err(DescriptorError::Length { what: "access control entry", found: length });
        }
        let size =
            u16::try_from(length).map_err(|_| DescriptorError::TooLong { what: "access control entry" })?;
        out[start + 2..start + 4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    }
}

impl From<Entry> for Ace {
    fn from(entry: Entry) -> Self {
        Self::Entry(entry)
    }
}
