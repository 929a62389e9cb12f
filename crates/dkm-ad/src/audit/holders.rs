//! Who holds which rights on an object, from its descriptor alone.

use std::collections::BTreeSet;

use crate::security::{Access, AccessMask, Ace, AceKind, Guid, OwnerRights, SecurityDescriptor, Sid, Token};

/// An attribute of the schema: its own GUID and that of its property set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) guid: Guid,
    pub(super) set: Option<Guid>,
}

/// A right that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Reads the attribute.
    Read(Attribute),
    /// Writes the attribute.
    Write(Attribute),
    /// The validated write.
    Validated(Guid),
    /// The extended right.
    Extended(Guid),
    /// Any of these on the object as a whole.
    Any(AccessMask),
    /// Deletes children of the class.
    DeleteChild(Guid),
}

impl Right {
    fn is_in(self, access: &Access<'_>) -> bool {
        match self {
            Self::Read(attribute) => access.may_read(attribute.guid, attribute.set),
            Self::Write(attribute) => access.may_write(attribute.guid, attribute.set),
            Self::Validated(right) => access.may_write_validated(right),
            Self::Extended(right) => access.control_access(right),
            Self::Any(mask) => access.on_object().intersects(mask),
            Self::DeleteChild(class) => access.may_delete_child(class),
        }
    }
}

/// Who a principal is on an object, beside its rights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) descriptor: &'a SecurityDescriptor,
    pub(super) owner_rights: OwnerRights,
    /// The object's class, for entries that name it.
    pub(super) class: Option<Guid>,
    /// The object's own SID.
    pub(super) sid: Option<Sid>,
}

impl Place<'_> {
    /// The trustees that are granted a right. What everybody holds is everybody's, and not told again of each; what the
    /// owner holds for being the owner is left to [`ruling_owner`](Self::ruling_owner).
    ///
    /// A refusal counts if it names the trustee or everybody: one that names a group which the trustee is in does not,
    /// so that rather too much is found than too little.
    pub(super) fn holders(&self, right: Right) -> Vec<Sid> {
        let unowned = SecurityDescriptor { owner: None, ..self.descriptor.clone() };
        Place { descriptor: &unowned, ..*self }.granted(right)
    }

    fn granted(&self, right: Right) -> Vec<Sid> {
        let everybody = [Sid::EVERYONE, Sid::AUTHENTICATED_USERS];
        let world = self.holds(right, everybody);
        self.trustees()
            .into_iter()
            .filter(|trustee| match *trustee {
                Sid::EVERYONE | Sid::ANONYMOUS => self.holds(right, [*trustee]),
                Sid::AUTHENTICATED_USERS => world && !self.holds(right, [Sid::EVERYONE]),
                trustee => !world && self.holds(right, [everybody[0], everybody[1], trustee]),
            })
            .collect()
    }

    /// The owner, if its being that lets it write the DACL.
    pub(super) fn ruling_owner(&self) -> Option<Sid> {
        let owner = self.descriptor.owner?;
        let unowned = SecurityDescriptor { owner: None, ..self.descriptor.clone() };
        let without = Place { descriptor: &unowned, ..*self };
        let right = Right::Any(AccessMask::WRITE_DAC);
        (self.holds(right, [owner]) && !without.holds(right, [owner])).then_some(owner)
    }

    fn holds(&self, right: Right, sids: impl IntoIterator<Item = Sid>) -> bool {
        let token = Token::new(sids);
        let mut access = Access::new(self.descriptor, &token, self.owner_rights);
        if let Some(class) = self.class {
            access = access.of_class(class);
        }
        if let Some(sid) = self.sid {
            access = access.of_principal(sid);
        }
        right.is_in(&access)
    }

    /// Everybody whom a grant names; PRINCIPAL SELF is the object itself. Without a DACL, everyone.
    fn trustees(&self) -> BTreeSet<Sid> {
        let Some(dacl) = self.descriptor.dacl.acl() else {
            return BTreeSet::from([Sid::EVERYONE]);
        };
        dacl.entries
            .iter()
            .filter_map(Ace::entry)
            .filter(|entry| entry.kind == AceKind::Allow && entry.is_effective())
            .filter_map(|entry| if entry.trustee == Sid::SELF { self.sid } else { Some(entry.trustee) })
            .filter(|trustee| !super::known::is_placeholder(trustee))
            .collect()
    }

    /// The types of entries that nobody here can judge, and that may grant something.
    pub(super) fn unknown_entries(&self) -> Vec<u8> {
        let token = Token::default();
        Access::new(self.descriptor, &token, self.owner_rights).unknown_entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{Domain, guid};

    fn holders(sddl: &str, right: Right) -> Vec<String> {
        let domain = Domain::single("S-1-5-21-1-2-3".parse().unwrap());
        let descriptor = SecurityDescriptor::from_sddl(sddl, Some(&domain)).unwrap();
        let place = Place {
            descriptor: &descriptor,
            owner_rights: OwnerRights::Honoured,
            class: None,
            sid: Some("S-1-5-21-1-2-3-1000".parse().unwrap()),
        };
        place.holders(right).iter().map(|sid| sid.to_sddl(Some(&domain))).collect()
    }

    const WRITE: Right =
        Right::Write(Attribute { guid: guid::ATTRIBUTE_MEMBER, set: Some(guid::CLASS_GROUP) });

    #[test]
    fn holders_are_those_whom_a_grant_names() {
        let member = guid::ATTRIBUTE_MEMBER;
        assert_eq!(holders(&format!("O:DAD:(OA;;WP;{member};;DU)(A;;RP;;;DC)"), WRITE), ["DU"]);
        assert_eq!(
            holders(&format!("O:DAD:(OA;;WP;{};;DU)", guid::CLASS_GROUP), WRITE),
            ["DU"],
            "by its set"
        );
        assert!(holders(&format!("O:DAD:(OA;;WP;{};;DU)", guid::CLASS_USER), WRITE).is_empty());
        assert_eq!(holders("O:DAD:(A;;WP;;;PS)", WRITE), ["S-1-5-21-1-2-3-1000"]);
        assert!(holders("O:DAD:(A;;GA;;;CO)(A;CIIO;GA;;;DU)", WRITE).is_empty());
        assert_eq!(holders("O:DAD:NO_ACCESS_CONTROL", WRITE), ["WD"]);
    }

    #[test]
    fn refusals_of_everybody_count_and_those_of_a_group_do_not() {
        assert!(holders("O:DAD:(D;;WP;;;WD)(A;;WP;;;DU)", WRITE).is_empty());
        assert!(holders("O:DAD:(D;;WP;;;DU)(A;;WP;;;DU)", WRITE).is_empty());
        assert_eq!(holders("O:DAD:(D;;WP;;;DC)(A;;WP;;;DU)", WRITE), ["DU"]);
    }

    #[test]
    fn what_everybody_holds_is_told_once() {
        assert_eq!(holders("O:DAD:(A;;WP;;;AU)(A;;WP;;;DU)", WRITE), ["AU"]);
        assert_eq!(holders("O:DAD:(A;;WP;;;AU)(A;;GA;;;WD)(A;;WP;;;DU)", WRITE), ["WD"]);
    }

    #[test]
    fn owners_rule_unless_their_rights_are_limited() {
        let rules = |sddl: &str, owner_rights| {
            let domain = Domain::single("S-1-5-21-1-2-3".parse().unwrap());
            let descriptor = SecurityDescriptor::from_sddl(sddl, Some(&domain)).unwrap();
            Place { descriptor: &descriptor, owner_rights, class: None, sid: None }.ruling_owner().is_some()
        };
        assert!(rules("O:DUD:(A;;RP;;;DU)", OwnerRights::Honoured));
        assert!(!rules("O:DUD:(A;;RC;;;OW)", OwnerRights::Honoured));
        assert!(rules("O:DUD:(A;;RC;;;OW)", OwnerRights::Ignored));
        assert!(!rules("O:DUD:(A;;WD;;;DU)(A;;RC;;;OW)", OwnerRights::Honoured), "that is a grant");
    }
}
