//! The access check that a domain controller makes (MS-ADTS §5.1.3.3, on top of MS-DTYP §2.5.3.2).
//!
//! It answers for one object, from its descriptor and the SIDs of one principal. It doesn't know what lies outside of
//! the descriptor: replication rights on the domain's head, privileges other than the one named, a database's file.

use std::collections::BTreeSet;

use super::{AccessMask, Ace, AceKind, AclSlot, Entry, Guid, SecurityDescriptor, Sid};

/// Who asks: everything that a domain controller puts in the token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Token {
    /// The account, its groups with all nesting, and what everyone gets: Everyone, Authenticated Users …
    pub sids: BTreeSet<Sid>,
    /// Holds `SeTakeOwnershipPrivilege`, thus may take any object over (MS-ADTS §5.1.3.3.2). Administrators do on a
    /// domain controller.
    pub takes_ownership: bool,
}

impl Token {
    /// A token of these SIDs without privileges.
    pub fn new(sids: impl IntoIterator<Item = Sid>) -> Self {
        Self { sids: sids.into_iter().collect(), takes_ownership: false }
    }

    /// An authenticated account: with Everyone and Authenticated Users added to its own SIDs.
    pub fn authenticated(sids: impl IntoIterator<Item = Sid>) -> Self {
        Self::new(sids.into_iter().chain([Sid::EVERYONE, Sid::AUTHENTICATED_USERS]))
    }
}

/// Whether the server honours OWNER RIGHTS entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerRights {
    /// Windows Server 2008 and later (MS-DTYP §2.5.3.2): such an entry replaces what the owner may do implicitly.
    Honoured,
    /// Samba 4.17's directory: such an entry is for nobody, and the owner reads and writes the DACL.
    Ignored,
}

/// One principal's rights on one object.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    descriptor: &'a SecurityDescriptor,
    token: &'a Token,
    owner_rights: OwnerRights,
    class: Option<Guid>,
    object_sid: Option<Sid>,
}

impl<'a> Access<'a> {
    /// The rights of `token` on the object of `descriptor`.
    #[must_use]
    pub const fn new(
        descriptor: &'a SecurityDescriptor,
        token: &'a Token,
        owner_rights: OwnerRights,
    ) -> Self {
        Self { descriptor, token, owner_rights, class: None, object_sid: None }
    }

    /// Names the object's most specific class: the root of the tree of object types, so that entries for that class
    /// count (MS-ADTS §5.1.3.3.3).
    #[must_use]
    pub const fn of_class(mut self, class: Guid) -> Self {
        self.class = Some(class);
        self
    }

    /// Names the object's own `objectSid`, for which PRINCIPAL SELF stands (MS-DTYP §2.5.3.2).
    #[must_use]
    pub const fn of_principal(mut self, object_sid: Sid) -> Self {
        self.object_sid = Some(object_sid);
        self
    }

    /// The rights granted on the object as a whole: entries for a part of it don't count (MS-ADTS §5.1.3.3.2).
    #[must_use]
    pub fn on_object(&self) -> AccessMask {
        self.granted(&self.path([None, None]))
    }

    /// The rights granted on an attribute, by itself or through its property set or class (MS-ADTS §5.1.3.3.3).
    #[must_use]
    pub fn on_attribute(&self, attribute: Guid, property_set: Option<Guid>) -> AccessMask {
        self.granted(&self.path([property_set, Some(attribute)]))
    }

    /// `RP`: whether it reads the attribute.
    #[must_use]
    pub fn may_read(&self, attribute: Guid, property_set: Option<Guid>) -> bool {
        self.on_attribute(attribute, property_set).contains(AccessMask::READ_PROPERTY)
    }

    /// `WP`: whether it writes the attribute.
    #[must_use]
    pub fn may_write(&self, attribute: Guid, property_set: Option<Guid>) -> bool {
        self.on_attribute(attribute, property_set).contains(AccessMask::WRITE_PROPERTY)
    }

    /// `SW`: whether the validated write of this GUID is granted (MS-ADTS §5.1.3.3.5), such as adding itself to a
    /// group.
    #[must_use]
    pub fn may_write_validated(&self, right: Guid) -> bool {
        self.granted(&[right]).contains(AccessMask::WRITE_VALIDATED)
    }

    /// `CR`: whether the extended right of this GUID is granted (MS-ADTS §5.1.3.3.4), such as resetting a password.
    #[must_use]
    pub fn control_access(&self, right: Guid) -> bool {
        self.granted(&[right]).contains(AccessMask::CONTROL_ACCESS)
    }

    /// `CC`: whether it makes a child of the class.
    #[must_use]
    pub fn may_create_child(&self, class: Guid) -> bool {
        self.granted(&[class]).contains(AccessMask::CREATE_CHILD)
    }

    /// `DC`: whether it deletes children of the class.
    #[must_use]
    pub fn may_delete_child(&self, class: Guid) -> bool {
        self.granted(&[class]).contains(AccessMask::DELETE_CHILD)
    }

    /// `SD`: whether it deletes the object. The parent's [`may_delete_child`](Self::may_delete_child) suffices too.
    #[must_use]
    pub fn may_delete(&self) -> bool {
        self.on_object().contains(AccessMask::DELETE)
    }

    /// `DT`: whether it deletes the object with everything below it, whatever stands in the children's descriptors.
    #[must_use]
    pub fn may_delete_tree(&self) -> bool {
        self.on_object().contains(AccessMask::DELETE_TREE)
    }

    /// `LC`: whether it sees the object's children (MS-ADTS §5.1.3.3.6).
    #[must_use]
    pub fn may_list(&self) -> bool {
        self.on_object().contains(AccessMask::LIST_CONTENTS)
    }

    /// `RC`: whether it reads the descriptor.
    #[must_use]
    pub fn may_read_descriptor(&self) -> bool {
        self.on_object().contains(AccessMask::READ_CONTROL)
    }

    /// `WD`: whether it writes the DACL, thus can give itself any right.
    #[must_use]
    pub fn may_write_dacl(&self) -> bool {
        self.on_object().contains(AccessMask::WRITE_DAC)
    }

    /// `WO`: whether it takes the object over, thus can write the DACL next.
    #[must_use]
    pub fn may_write_owner(&self) -> bool {
        self.on_object().contains(AccessMask::WRITE_OWNER)
    }

    /// The types of the entries that this check can't judge, conditional ones for example. They are left out of every
    /// answer; who wants to be sure reports them.
    #[must_use]
    pub fn unknown_entries(&self) -> Vec<u8> {
        let entries = self.descriptor.dacl.acl().map_or(&[][..], |acl| &acl.entries);
        entries
            .iter()
            .filter_map(|ace| match ace {
                Ace::Opaque(opaque) => Some(opaque.kind),
                Ace::Entry(_) => None,
            })
            .collect()
    }

    fn path(&self, below: [Option<Guid>; 2]) -> Vec<Guid> {
        self.class.into_iter().chain(below.into_iter().flatten()).collect()
    }

    /// What is granted on the node of the object-type tree that `path` leads to. The first entry that speaks of a
    /// right decides on it (MS-DTYP §2.5.3.2); one with a GUID speaks only of the nodes below that GUID's.
    fn granted(&self, path: &[Guid]) -> AccessMask {
        let mut granted = self.implicit();
        let AclSlot::Present(dacl) = &self.descriptor.dacl else {
            // MS-ADTS §5.1.3.3.1: no DACL, no limits.
            return granted | AccessMask::ALL;
        };
        let mut refused = AccessMask::NONE;
        for entry in dacl.entries.iter().filter_map(Ace::entry) {
            let is_meant = entry.is_effective()
                && entry.object.is_none_or(|object| path.contains(&object))
                && self.is_trustee(entry);
            if !is_meant {
                continue;
            }
            let mask = entry.mask.mapped() & AccessMask::ALL;
            match entry.kind {
                AceKind::Allow => granted |= mask & !refused,
                AceKind::Deny => refused |= mask & !granted,
                AceKind::Audit => {}
            }
        }
        granted
    }

    /// What the owner and the holder of a privilege may do whatever the entries say.
    fn implicit(&self) -> AccessMask {
        let mut granted = AccessMask::NONE;
        if self.is_owner() && !self.has_owner_rights() {
            granted |= AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
        }
        if self.token.takes_ownership {
            granted |= AccessMask::WRITE_OWNER;
        }
        granted
    }

    fn is_owner(&self) -> bool {
        self.descriptor.owner.is_some_and(|owner| self.token.sids.contains(&owner))
    }

    fn has_owner_rights(&self) -> bool {
        let is_one = |entry: &Entry| entry.is_effective() && entry.trustee == Sid::OWNER_RIGHTS;
        self.owner_rights == OwnerRights::Honoured
            && self
                .descriptor
                .dacl
                .acl()
                .is_some_and(|acl| acl.entries.iter().filter_map(Ace::entry).any(is_one))
    }

    fn is_trustee(&self, entry: &Entry) -> bool {
        match entry.trustee {
            Sid::OWNER_RIGHTS => self.owner_rights == OwnerRights::Honoured && self.is_owner(),
            Sid::SELF => self.object_sid.is_some_and(|sid| self.token.sids.contains(&sid)),
            trustee => self.token.sids.contains(&trustee),
        }
    }
}

#[cfg(test)]
mod tests;
