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
mod tests {
    use super::*;
    use crate::security::guid::{
        ATTRIBUTE_MEMBER, ATTRIBUTE_THUMBNAIL_PHOTO, CLASS_CONTACT, CLASS_GROUP, CLASS_USER,
        RIGHT_RESET_PASSWORD,
    };
    use crate::security::{Domain, Trustees};

    /// The property set Personal Information (MS-ADTS §3.1.1.2.3.3).
    const PERSONAL: Guid =
        Guid::new(0x77b5b886, 0x944a, 0x11d1, [0xae, 0xbd, 0x00, 0x00, 0xf8, 0x03, 0x67, 0xc1]);

    fn sid(rid: u32) -> Sid {
        Sid::new(5, &[21, 1, 2, 3, rid]).unwrap()
    }

    fn descriptor(sddl: &str) -> SecurityDescriptor {
        let domain = Domain::single("S-1-5-21-1-2-3".parse().unwrap());
        SecurityDescriptor::from_sddl(&sddl.replace('#', "S-1-5-21-1-2-3-"), Some(&domain)).unwrap()
    }

    fn on(sddl: &str, token: &Token) -> String {
        Access::new(&descriptor(sddl), token, OwnerRights::Honoured).on_object().to_string()
    }

    #[test]
    fn the_first_entry_that_speaks_of_a_right_decides() {
        let token = Token::authenticated([sid(1000)]);
        assert_eq!(on("D:(D;;RP;;;#1000)(A;;RPWP;;;AU)", &token), "WP");
        assert_eq!(on("D:(A;;RPWP;;;AU)(D;;RP;;;#1000)", &token), "RPWP");
        assert_eq!(on("D:(A;IO;RP;;;AU)(A;;WP;;;#1001)", &token), "");
        assert_eq!(on("D:(D;CIIO;RP;;;AU)(A;;GR;;;#1000)", &token), "LCRPLORC");
        assert_eq!(on("D:", &token), "");
        assert_eq!(on("D:NO_ACCESS_CONTROL", &token), "CCDCLCSWRPWPDTLOCRSDRCWDWO");
        assert_eq!(on("O:SY", &token), "CCDCLCSWRPWPDTLOCRSDRCWDWO");
        assert_eq!(on("D:(A;;0x1000010;;;AU)", &token), "RP");
    }

    #[test]
    fn the_owner_is_limited_by_owner_rights_where_they_are_honoured() {
        let token = Token::new([sid(1000)]);
        assert_eq!(on("O:#1000D:(D;;WD;;;#1000)", &token), "RCWD");
        assert_eq!(on("O:#1000D:(A;;RC;;;OW)", &token), "RC");
        assert_eq!(on("O:#1000D:(A;;;;;OW)", &token), "");
        assert_eq!(on("O:#1000D:(A;CIIO;RC;;;OW)", &token), "RCWD");
        assert_eq!(on("O:#1001D:(A;;RC;;;OW)", &token), "");
        let limited = descriptor("O:#1000D:(A;;RPRC;;;OW)");
        let samba = Access::new(&limited, &token, OwnerRights::Ignored);
        assert!(samba.may_write_dacl() && samba.may_read_descriptor() && !samba.may_delete());
        assert_eq!(samba.on_object().to_string(), "RCWD");
    }

    #[test]
    fn a_privilege_takes_over() {
        let mut token = Token::new([sid(512)]);
        token.takes_ownership = true;
        assert_eq!(on("O:SYD:(D;;WO;;;WD)", &token), "WO");
    }

    #[test]
    fn an_entry_with_a_guid_speaks_of_that_part() {
        let token = Token::new([sid(1000)]);
        let by = |entry: String| {
            let descriptor = descriptor(&format!("D:{entry}"));
            let access = Access::new(&descriptor, &token, OwnerRights::Honoured).of_class(CLASS_USER);
            let whole = access.on_object().contains(AccessMask::READ_PROPERTY);
            (
                access.may_read(ATTRIBUTE_THUMBNAIL_PHOTO, Some(PERSONAL)),
                access.may_read(ATTRIBUTE_MEMBER, None),
                whole,
            )
        };
        assert_eq!(by(format!("(OA;;RP;{ATTRIBUTE_THUMBNAIL_PHOTO};;#1000)")), (true, false, false));
        assert_eq!(by(format!("(OA;;RP;{PERSONAL};;#1000)")), (true, false, false));
        assert_eq!(by(format!("(OA;;RP;{CLASS_USER};;#1000)")), (true, true, true));
        assert_eq!(by(format!("(OA;;RP;{CLASS_GROUP};;#1000)")), (false, false, false));
        assert_eq!(by("(OA;;RP;;;#1000)".to_owned()), (true, true, true));
        assert_eq!(by(format!("(OD;;RP;{PERSONAL};;#1000)(A;;RP;;;#1000)")), (false, true, true));
        assert_eq!(by(format!("(OD;;RP;{ATTRIBUTE_MEMBER};;#1000)(A;;RP;;;#1000)")), (true, false, true));
    }

    #[test]
    fn children_and_extended_rights_go_by_their_guid() {
        let token = Token::new([sid(1000)]);
        let held = descriptor(&format!(
            "D:(OA;;CCDC;{CLASS_CONTACT};;#1000)(OA;;CR;{RIGHT_RESET_PASSWORD};;#1000)(OA;;SW;{ATTRIBUTE_MEMBER};;#1000)\
             (A;;WPDTWO;;;#1000)"
        ));
        let access = Access::new(&held, &token, OwnerRights::Honoured);
        assert!(access.may_create_child(CLASS_CONTACT) && !access.may_create_child(CLASS_GROUP));
        assert!(access.may_delete_child(CLASS_CONTACT) && !access.may_delete_child(CLASS_GROUP));
        assert!(access.control_access(RIGHT_RESET_PASSWORD) && !access.control_access(PERSONAL));
        assert!(access.may_write_validated(ATTRIBUTE_MEMBER) && !access.may_write_validated(PERSONAL));
        assert!(access.may_write(ATTRIBUTE_MEMBER, None) && !access.may_read(ATTRIBUTE_MEMBER, None));
        assert!(access.may_delete_tree() && access.may_write_owner());
        assert!(!access.may_delete() && !access.may_list() && !access.may_write_dacl());
    }

    #[test]
    fn an_object_may_be_its_own_trustee() {
        let token = Token::new([sid(1000)]);
        let held = descriptor("D:(A;;WP;;;PS)");
        let access = Access::new(&held, &token, OwnerRights::Honoured);
        assert!(access.on_object().is_empty());
        assert_eq!(access.of_principal(sid(1000)).on_object(), AccessMask::WRITE_PROPERTY);
        assert!(access.of_principal(sid(1001)).on_object().is_empty());
    }

    #[test]
    fn conditional_entries_are_named_and_not_counted() {
        let mut held = descriptor("D:(A;;RP;;;WD)");
        if let AclSlot::Present(acl) = &mut held.dacl {
            let flags = crate::security::AceFlags::NONE;
            acl.entries.push(Ace::Opaque(crate::security::Opaque { kind: 9, flags, body: vec![0xff; 16] }));
        }
        let token = Token::authenticated([]);
        let access = Access::new(&held, &token, OwnerRights::Honoured);
        assert_eq!(access.unknown_entries(), [9]);
        assert_eq!(access.on_object(), AccessMask::READ_PROPERTY);
    }

    #[test]
    fn the_templates_do_what_they_say() {
        let trustees = Trustees {
            domain: Domain::single(Sid::new(5, &[21, 1, 2, 3]).unwrap()),
            readers: sid(1100),
            creators: vec![sid(1200)],
            owners: vec![sid(1300)],
            recovery: sid(1400),
            erasers: Vec::new(),
            administrators: vec![sid(512)],
        };
        let reader = Token::authenticated([sid(2000), sid(1100)]);
        let creator = Token::authenticated([sid(1200), sid(1100)]);
        let owner = Token::authenticated([sid(1300)]);
        let admin =
            Token { takes_ownership: true, ..Token::authenticated([sid(512), Sid::BUILTIN_ADMINISTRATORS]) };
        let outsider = Token::authenticated([sid(3000)]);
        let recovery = Token::authenticated([sid(1400)]);

        let key = trustees.key_record(sid(1200)).descriptor;
        let of = |token, owner_rights| Access::new(&key, token, owner_rights).of_class(CLASS_CONTACT);
        let rights = |token| of(token, OwnerRights::Honoured).on_object().to_string();
        assert_eq!(rights(&reader), "RPRC");
        assert_eq!(rights(&creator), "RPRC");
        assert_eq!(rights(&owner), "");
        assert_eq!(rights(&admin), "WO");
        assert_eq!(rights(&outsider), "");
        assert_eq!(rights(&recovery), "RCWD");
        assert!(of(&creator, OwnerRights::Ignored).may_write_dacl());
        assert!(of(&reader, OwnerRights::Ignored).may_read(ATTRIBUTE_THUMBNAIL_PHOTO, Some(PERSONAL)));

        let (keys, control) = (trustees.keys(sid(512)).descriptor, trustees.control(sid(512)).descriptor);
        let adds = |room, token| {
            let access = Access::new(room, token, OwnerRights::Honoured);
            (access.may_list(), access.may_create_child(CLASS_CONTACT))
        };
        assert_eq!((adds(&keys, &reader), adds(&control, &reader)), ((true, false), (true, false)));
        assert_eq!((adds(&keys, &creator), adds(&control, &creator)), ((true, true), (true, false)));
        assert_eq!((adds(&keys, &owner), adds(&control, &owner)), ((true, false), (true, true)));
        assert_eq!((adds(&keys, &outsider), adds(&control, &outsider)), ((false, false), (false, false)));

        let group = trustees.readers_group(sid(512)).descriptor;
        let on_group = |token| {
            let access = Access::new(&group, token, OwnerRights::Honoured).of_class(CLASS_GROUP);
            (access.may_write(ATTRIBUTE_MEMBER, None), access.may_delete() || access.may_delete_tree())
        };
        assert_eq!(on_group(&owner), (true, false));
        assert_eq!(on_group(&admin), (true, false));
        assert_eq!(on_group(&creator), (false, false));
        assert_eq!(on_group(&Token::authenticated([Sid::SYSTEM])), (true, false));
    }
}
