//! Whether an object's access control is the one that its template gives it.
//!
//! Compared is what a domain controller would decide, not the bytes: it may store `GA` as the rights that this maps to
//! (MS-ADTS §5.1.3.2), split an entry, or sort the list.

use std::collections::BTreeMap;
use std::fmt;

use super::{
    AccessMask, Ace, AceFlags, AceKind, AclSlot, Entry, Guid, OwnerRule, SecurityDescriptor, Sid, Template,
};

/// One way in which a descriptor is not its template's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deviation {
    /// There is no DACL: everyone may do everything (MS-ADTS §5.1.3.3.1).
    NoDacl,
    /// The DACL is not protected: the parent's entries can come in.
    NotProtected,
    /// Somebody else owns the object, or nobody does.
    OtherOwner {
        /// The owner found.
        found: Option<Sid>,
    },
    /// No OWNER RIGHTS entry limits the owner, who thus may write the DACL.
    OwnerUnrestricted,
    /// Somebody whom the template doesn't name has rights.
    ExtraTrustee {
        /// The rights.
        granted: Grant,
    },
    /// Somebody whom the template names has more rights than it gives, or on more than it names.
    WiderRights {
        /// What is more.
        granted: Grant,
    },
    /// Somebody lacks rights that the template gives.
    MissingRights {
        /// What is missing.
        granted: Grant,
    },
    /// Somebody is refused rights, which the template doesn't do.
    ExtraRefusal {
        /// What is refused.
        refused: Grant,
    },
    /// A refusal of the template is missing.
    MissingRefusal {
        /// What should be refused.
        refused: Grant,
    },
    /// A refusal stands behind a grant, which thus wins over it.
    Order,
    /// An entry whose meaning isn't known, such as a conditional one.
    UnknownEntry {
        /// Its type's number (MS-DTYP §2.4.4.1).
        kind: u8,
    },
}

/// Rights of one trustee on one part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub trustee: Sid,
    /// Which rights, none of them generic.
    pub mask: AccessMask,
    /// The attribute, property set, extended right or child class; `None` for the whole object.
    pub object: Option<Guid>,
    /// The only class that inherits them.
    pub inherited_object: Option<Guid>,
    /// How children inherit them.
    pub flags: AceFlags,
}

impl Deviation {
    /// Whether it lets somebody do what the template doesn't. A key with such a deviation is not protected with; the
    /// others only take something away, from a reader for example whose access was cut off early.
    #[must_use]
    pub const fn widens(&self) -> bool {
        !matches!(self, Self::MissingRights { .. } | Self::ExtraRefusal { .. })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.mask, self.trustee.to_sddl(None))?;
        if let Some(object) = self.object {
            write!(f, " on {object}")?;
        }
        if self.flags != AceFlags::NONE {
            f.write_str(" by inheritance")?;
        }
        Ok(())
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDacl => f.write_str("there is no DACL: everyone may do everything"),
            Self::NotProtected => f.write_str("the DACL is not protected from inheritance"),
            Self::OtherOwner { found: Some(owner) } => write!(f, "owned by {}", owner.to_sddl(None)),
            Self::OtherOwner { found: None } => f.write_str("owned by nobody"),
            Self::OwnerUnrestricted => f.write_str("no OWNER RIGHTS entry limits the owner"),
            Self::ExtraTrustee { granted } => write!(f, "an unexpected trustee: {granted}"),
            Self::WiderRights { granted } => write!(f, "more rights than the template gives: {granted}"),
            Self::MissingRights { granted } => write!(f, "rights are missing: {granted}"),
            Self::ExtraRefusal { refused } => write!(f, "an unexpected refusal: {refused}"),
            Self::MissingRefusal { refused } => write!(f, "a refusal is missing: {refused}"),
            Self::Order => f.write_str("a refusal stands behind a grant, which wins over it"),
            Self::UnknownEntry { kind } => write!(f, "an entry of the unknown or conditional kind {kind}"),
        }
    }
}

/// What tells two entries apart beside their rights.
type Key = (AceKind, Sid, Option<Guid>, Option<Guid>, AceFlags);

/// How `found` differs from `template`; empty if a domain controller decides by either as by the other.
///
/// The primary group isn't compared, as no access check asks for it (MS-ADTS §5.1.3.3), nor is the SACL, which only
/// holders of a privilege read. An entry that gives nothing counts for nothing. Where the domain controller doesn't
/// honour OWNER RIGHTS, the owner can write the DACL in spite of an exact match.
#[must_use]
pub fn compare(found: &SecurityDescriptor, template: &Template) -> Vec<Deviation> {
    let mut deviations = Vec::new();
    if let OwnerRule::OneOf(owners) = &template.owner
        && found.owner.is_none_or(|owner| !owners.contains(&owner))
    {
        deviations.push(Deviation::OtherOwner { found: found.owner });
    }
    let AclSlot::Present(dacl) = &found.dacl else {
        deviations.push(Deviation::NoDacl);
        return deviations;
    };
    if template.descriptor.is_protected() && !found.is_protected() {
        deviations.push(Deviation::NotProtected);
    }
    let unknown = dacl.entries.iter().filter_map(|ace| match ace {
        Ace::Opaque(opaque) => Some(Deviation::UnknownEntry { kind: opaque.kind }),
        Ace::Entry(_) => None,
    });
    deviations.extend(unknown);
    let expected = rights(template.descriptor.dacl.acl().map_or(&[], |acl| acl.entries.as_slice()));
    let actual = rights(&dacl.entries);
    compare_rights(&actual, &expected, &mut deviations);
    if is_out_of_order(&dacl.entries, &expected) {
        deviations.push(Deviation::Order);
    }
    deviations
}

fn compare_rights(
    actual: &BTreeMap<Key, AccessMask>,
    expected: &BTreeMap<Key, AccessMask>,
    deviations: &mut Vec<Deviation>,
) {
    for (key, mask) in actual {
        let (kind, trustee, ..) = *key;
        let extra = *mask & !covered(expected, key);
        if extra.is_empty() {
            continue;
        }
        let grant = grant(key, extra);
        let is_named = expected.keys().any(|(kind, who, ..)| *kind == AceKind::Allow && *who == trustee);
        deviations.push(match kind {
            AceKind::Deny => Deviation::ExtraRefusal { refused: grant },
            _ if is_named => Deviation::WiderRights { granted: grant },
            _ => Deviation::ExtraTrustee { granted: grant },
        });
    }
    for (key, mask) in expected {
        let (kind, trustee, ..) = *key;
        let missing = *mask & !covered(actual, key);
        if missing.is_empty() {
            continue;
        }
        let limits_owner = |key: &Key| {
            let (_, who, object, _, flags) = *key;
            who == Sid::OWNER_RIGHTS && object.is_none() && flags == AceFlags::NONE
        };
        deviations.push(match kind {
            AceKind::Deny => Deviation::MissingRefusal { refused: grant(key, missing) },
            _ if trustee == Sid::OWNER_RIGHTS && !actual.keys().any(limits_owner) => {
                Deviation::OwnerUnrestricted
            }
            _ => Deviation::MissingRights { granted: grant(key, missing) },
        });
    }
}

/// The rights that `all` has under `key`, or for the whole object, which covers its parts.
fn covered(all: &BTreeMap<Key, AccessMask>, key: &Key) -> AccessMask {
    let (kind, trustee, _, inherited, flags) = *key;
    let exact = all.get(key).copied().unwrap_or_default();
    exact | all.get(&(kind, trustee, None, inherited, flags)).copied().unwrap_or_default()
}

const fn grant(key: &Key, mask: AccessMask) -> Grant {
    let (_, trustee, object, inherited_object, flags) = *key;
    Grant { trustee, mask, object, inherited_object, flags }
}

/// The rights of each trustee, whatever the number of entries that give them: what counts on the object itself apart
/// from what its children inherit. Audit entries have no place here.
fn rights(entries: &[Ace]) -> BTreeMap<Key, AccessMask> {
    let mut rights = BTreeMap::new();
    let mut add = |key: Key, mask| *rights.entry(key).or_insert(AccessMask::NONE) |= mask;
    for entry in entries.iter().filter_map(Ace::entry).filter(|entry| entry.kind != AceKind::Audit) {
        let mask = effective(entry);
        // An OWNER RIGHTS entry without a right still limits the owner.
        if mask.is_empty() && entry.trustee != Sid::OWNER_RIGHTS {
            continue;
        }
        if entry.is_effective() {
            // The inheriting class says nothing of the object that holds the entry (MS-DTYP §2.5.3.2).
            add((entry.kind, entry.trustee, entry.object, None, AceFlags::NONE), mask);
        }
        // The directory knows no children that aren't containers, so `OI` alone inherits nothing.
        if entry.flags.contains(AceFlags::CONTAINER_INHERIT) {
            let inheritance = AceFlags::CONTAINER_INHERIT | AceFlags::INHERIT_ONLY;
            let once = entry.flags.0 & AceFlags::NO_PROPAGATE.0;
            let flags = inheritance | AceFlags(once);
            add((entry.kind, entry.trustee, entry.object, entry.inherited_object, flags), mask);
        }
    }
    rights
}

/// The rights without what has no meaning in the directory.
fn effective(entry: &Entry) -> AccessMask {
    entry.mask.mapped() & AccessMask::ALL.with(AccessMask::ACCESS_SYSTEM_SECURITY)
}

/// What of this entry is a refusal of the template's.
fn refused_by(entry: &Entry, expected: &BTreeMap<Key, AccessMask>) -> AccessMask {
    let is_meant = |key: &Key| {
        let (kind, trustee, object, _, flags) = *key;
        kind == AceKind::Deny
            && trustee == entry.trustee
            && flags == AceFlags::NONE
            && (entry.object.is_none() || entry.object == object)
    };
    let wanted = expected.iter().filter(|(key, _)| is_meant(key)).map(|(_, mask)| *mask);
    wanted.fold(AccessMask::NONE, AccessMask::with) & effective(entry)
}

/// Whether one of the template's refusals stands behind a grant that it overlaps: the first of the two decides
/// (MS-DTYP §2.5.3.2).
fn is_out_of_order(entries: &[Ace], expected: &BTreeMap<Key, AccessMask>) -> bool {
    let mut granted = AccessMask::NONE;
    for entry in entries.iter().filter_map(Ace::entry).filter(|entry| entry.is_effective()) {
        let refused = refused_by(entry, expected);
        match entry.kind {
            AceKind::Allow => granted |= effective(entry),
            AceKind::Deny if granted.intersects(refused) => return true,
            AceKind::Deny | AceKind::Audit => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
