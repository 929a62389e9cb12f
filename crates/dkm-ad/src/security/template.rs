//! The descriptors that DKM gives its objects.
//!
//! Every object gets its own explicit, protected descriptor when it is created: what a child gets by default lets
//! *Authenticated Users* read it (MS-ADTS §6.1.3, the class's default security descriptor). OWNER RIGHTS stands in
//! each, or else the owner could rewrite the DACL (MS-DTYP §2.5.3.2); Samba 4.17 doesn't honour it.
//!
//! The masks are frozen: a reader compares a key's descriptor with them ([`compare`](super::compare())) before it
//! protects with the key.

use super::{
    AccessMask, Ace, AceFlags, AceKind, Acl, AclSlot, Control, Domain, Entry, Guid, SecurityDescriptor, Sid,
    guid, sid,
};

/// `RPRC`: read a record and its descriptor.
pub const READ_RECORD: AccessMask = AccessMask::READ_PROPERTY.with(AccessMask::READ_CONTROL);
/// `LCRPLORC`: see a container, its attributes, its descriptor and what is in it; what `GR` maps to (MS-ADTS
/// §5.1.3.2).
pub const READ_ROOM: AccessMask = AccessMask::READ;
/// `SDDT`: what a delete-protected object refuses everyone.
pub const ANY_DELETION: AccessMask = AccessMask::DELETE.with(AccessMask::DELETE_TREE);

/// What of a key's object its owners, administrators and auditors read: what it takes to list and to judge the key, each by
/// itself. The property set Personal Information, which `info` is in, holds the key's bytes too.
pub const SHOWN_OF_KEYS: [Guid; 5] = [
    guid::SET_PUBLIC_INFORMATION,
    guid::ATTRIBUTE_DISPLAY_NAME,
    guid::ATTRIBUTE_INFO,
    guid::ATTRIBUTE_WHEN_CREATED,
    guid::ATTRIBUTE_USN_CHANGED,
];

/// Who stands in the descriptors of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trustees {
    /// The domain of the repository.
    pub domain: Domain,
    /// The group's dedicated readers group.
    pub readers: Sid,
    /// Readers groups that this one replaces, as long as that is not finished: objects may still name them.
    pub former: Vec<Sid>,
    /// Who adds keys.
    pub creators: Vec<Sid>,
    /// Who adds control records and manages the readers group.
    pub owners: Vec<Sid>,
    /// The empty group that could rewrite a DACL if all else fails.
    pub recovery: Sid,
    /// Who may delete keys' objects, for `destroy`, without reading them. Empty: nobody but the system.
    pub erasers: Vec<Sid>,
    /// Who makes and audits groups, usually Domain Admins: sees every room and container, reads no key.
    pub administrators: Vec<Sid>,
    /// Who audits the group: sees what administrators see, and changes nothing.
    pub auditors: Vec<Sid>,
    /// Who lets people in for a time: accounts, each by itself. They write down that keys are exposed, and shut accounts out
    /// of the room of keys.
    pub elevators: Vec<Sid>,
    /// The group of temporary accounts, a member of the readers group; none in a group without elevators.
    pub elevated: Option<Sid>,
}

/// Whose the object has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerRule {
    /// One of these. Empty: nobody's, thus always a deviation.
    OneOf(Vec<Sid>),
    /// Anybody's: the caller judges the owner itself, as a reader judges a key's creator.
    Any,
}

/// The descriptor that an object should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What the object is created with.
    pub descriptor: SecurityDescriptor,
    /// Whose it may be when it is read.
    pub owner: OwnerRule,
}

impl Template {
    fn new(owner: Sid, domain: &Domain, entries: Vec<Entry>) -> Self {
        Self {
            descriptor: SecurityDescriptor {
                control: Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED,
                owner: Some(owner),
                // Domain Admins: the rules on creation limit the owner only (MS-ADTS §6.1.3), and no check asks for it.
                group: domain.account(sid::rid::DOMAIN_ADMINS),
                dacl: AclSlot::Present(Acl::new(entries)),
                ..SecurityDescriptor::default()
            },
            owner: OwnerRule::OneOf(vec![owner]),
        }
    }

    /// The template with [`audit_reads`] as its SACL. To write it takes the right to manage auditing
    /// (`SeSecurityPrivilege`, MS-ADTS §6.1.3), which Administrators have and creators don't.
    #[must_use]
    pub fn audited(mut self) -> Self {
        self.descriptor.sacl = audit_reads();
        self
    }

    /// The template for an object of whoever made it.
    #[must_use]
    pub fn of_any_owner(mut self) -> Self {
        self.owner = OwnerRule::Any;
        self
    }
}

/// Logs each successful read of attributes by anyone, on the object and all below it: `S:(AU;CISA;RP;;;WD)`. Windows
/// writes event 4662 for it.
#[must_use]
pub fn audit_reads() -> AclSlot {
    AclSlot::Present(Acl::new([Entry::new(AceKind::Audit, AccessMask::READ_PROPERTY, Sid::EVERYONE)
        .flagged(AceFlags::CONTAINER_INHERIT | AceFlags::SUCCESSFUL)]))
}

/// Each once, in the order of the first mention.
fn once<'a>(sids: impl Iterator<Item = &'a Sid>) -> Vec<Sid> {
    let mut all: Vec<Sid> = Vec::new();
    for who in sids {
        if !all.contains(who) {
            all.push(*who);
        }
    }
    all
}

/// The entries that every object of DKM has.
fn base() -> Vec<Entry> {
    vec![
        Entry::allow(AccessMask::GENERIC_ALL, Sid::SYSTEM),
        Entry::allow(AccessMask::READ_CONTROL, Sid::OWNER_RIGHTS),
    ]
}

/// The container of temporary accounts: `elevators` make and delete them, and nobody else does anything.
#[must_use]
pub fn temporary(
    domain: &Domain,
    owner: Sid,
    administrators: &[Sid],
    auditors: &[Sid],
    elevators: &[Sid],
) -> Template {
    let mut entries = base();
    entries.extend(administrators.iter().chain(auditors).map(|who| Entry::allow(READ_ROOM, *who)));
    for who in elevators {
        entries.push(Entry::allow(READ_ROOM, *who));
        let children = AccessMask::CREATE_CHILD | AccessMask::DELETE_CHILD;
        entries.push(Entry::allow(children, *who).on(guid::CLASS_USER));
    }
    Template::new(owner, domain, entries)
}

/// A temporary account's object: `elevators` reset, disable and delete it, `onlookers` see it.
#[must_use]
pub fn temporary_account(domain: &Domain, owner: Sid, onlookers: &[Sid], elevators: &[Sid]) -> Template {
    let mut entries = base();
    entries.extend(onlookers.iter().map(|who| Entry::allow(READ_ROOM, *who)));
    for who in elevators {
        let manage = AccessMask::WRITE_PROPERTY | AccessMask::DELETE;
        entries.push(Entry::allow(READ_ROOM | manage, *who));
        entries.push(Entry::allow(AccessMask::CONTROL_ACCESS, *who).on(guid::RIGHT_RESET_PASSWORD));
    }
    Template::new(owner, domain, entries)
}

/// The repository's container. `administrators` create groups in it and open it to those who may list them; the
/// `listers` (auditors, and the groups' readers and owners) see which groups there are.
#[must_use]
pub fn container(domain: &Domain, owner: Sid, administrators: &[Sid], listers: &[Sid]) -> Template {
    let mut entries = base();
    for who in administrators {
        entries.push(Entry::allow(READ_ROOM | AccessMask::WRITE_DAC, *who));
        entries.push(Entry::allow(AccessMask::CREATE_CHILD, *who).on(guid::CLASS_CONTAINER));
        entries.push(Entry::allow(AccessMask::CREATE_CHILD, *who).on(guid::CLASS_GROUP));
    }
    entries.extend(listers.iter().map(|who| Entry::allow(READ_ROOM, *who)));
    Template::new(owner, domain, entries)
}

impl Trustees {
    /// Those who see a group and need not be readers, each once.
    pub(crate) fn onlookers(&self) -> Vec<Sid> {
        once(self.owners.iter().chain(&self.administrators).chain(&self.auditors))
    }

    /// Those who see everything but keys: onlookers and elevators, each once.
    fn watchers(&self) -> Vec<Sid> {
        let lists = [&self.owners, &self.administrators, &self.auditors, &self.elevators];
        once(lists.into_iter().flatten())
    }

    /// Whether somebody stands in this list in any role.
    #[must_use]
    pub fn names(&self, sid: &Sid) -> bool {
        let lists = [
            &self.former,
            &self.creators,
            &self.owners,
            &self.erasers,
            &self.administrators,
            &self.auditors,
            &self.elevators,
        ];
        [self.readers, self.recovery].contains(sid)
            || self.elevated.as_ref() == Some(sid)
            || lists.iter().any(|list| list.contains(sid))
    }

    /// Whether this account lets people in, and makes no keys.
    #[must_use]
    pub fn is_mere_elevator(&self, sid: &Sid) -> bool {
        self.elevators.contains(sid) && !self.creators.contains(sid)
    }

    /// A room that readers and onlookers see, and where the recovery group may write the DACL.
    fn room(&self) -> Vec<Entry> {
        let mut entries = base();
        entries.extend(self.all_readers().map(|who| Entry::allow(READ_ROOM, *who)));
        entries.extend(self.watchers().into_iter().map(|who| Entry::allow(READ_ROOM, who)));
        // It has to find what it puts right. No key is in these attributes.
        entries.push(Entry::allow(READ_ROOM | AccessMask::WRITE_DAC, self.recovery));
        entries
    }

    /// The readers group, and those that it replaces.
    pub fn all_readers(&self) -> impl Iterator<Item = &Sid> {
        std::iter::once(&self.readers).chain(&self.former)
    }

    /// The same without the readers groups that were replaced.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self { former: Vec::new(), ..self.clone() }
    }

    /// `WD`, and `RC` so that it can see what it writes over.
    fn recover(&self) -> Entry {
        Entry::allow(AccessMask::READ_CONTROL | AccessMask::WRITE_DAC, self.recovery)
    }

    /// The group's container, which holds the rooms; `administrators` make them.
    #[must_use]
    pub fn group(&self, owner: Sid) -> Template {
        let mut entries = self.room();
        for who in &self.administrators {
            entries.push(Entry::allow(AccessMask::CREATE_CHILD, *who).on(guid::CLASS_CONTAINER));
        }
        Template::new(owner, &self.domain, entries)
    }

    /// The room `keys`: readers read, creators add.
    #[must_use]
    pub fn keys(&self, owner: Sid) -> Template {
        let mut template = self.record_room(owner, &self.creators);
        if let AclSlot::Present(dacl) = &mut template.descriptor.dacl {
            // On the room, not on each record: whoever made a record can't keep it from being erased.
            let erase =
                |who: &Sid| Ace::Entry(Entry::allow(AccessMask::DELETE_CHILD, *who).on(guid::CLASS_CONTACT));
            dacl.entries.extend(self.erasers.iter().map(erase));
            // A refusal on the room ends reading at once, on connections that are open too.
            let shut = |who: &Sid| Ace::Entry(Entry::allow(AccessMask::WRITE_DAC, *who));
            dacl.entries.extend(self.elevators.iter().map(shut));
        }
        template
    }

    /// The room of exposures, inside of `control`: as that, but elevators add. It is a room of its own because not every
    /// domain controller says truly who made an object, and what is in `control` counts as an owner's.
    #[must_use]
    pub fn exposures(&self, owner: Sid) -> Template {
        self.record_room(owner, &self.elevators)
    }

    /// The room `control`: readers read, owners add. The recovery group may write down another readers group.
    #[must_use]
    pub fn control(&self, owner: Sid) -> Template {
        let mut template = self.record_room(owner, &self.owners);
        if let AclSlot::Present(dacl) = &mut template.descriptor.dacl {
            let write = Entry::allow(AccessMask::WRITE_PROPERTY, self.recovery);
            dacl.entries.push(Ace::Entry(write.on(guid::ATTRIBUTE_DESCRIPTION)));
        }
        template
    }

    fn record_room(&self, owner: Sid, adders: &[Sid]) -> Template {
        let mut entries = self.room();
        let create = |who: &Sid| Entry::allow(AccessMask::CREATE_CHILD, *who).on(guid::CLASS_CONTACT);
        entries.extend(adders.iter().map(create));
        Template::new(owner, &self.domain, entries)
    }

    /// A key's object, made by `creator`. Owners, administrators and auditors read [what is shown of
    /// keys](SHOWN_OF_KEYS), and no key. Nor does any entry let the creator write or delete what it made.
    #[must_use]
    pub fn key_record(&self, creator: Sid) -> Template {
        let mut entries = self.record();
        for who in self.onlookers() {
            entries.push(Entry::allow(AccessMask::READ_CONTROL, who));
            entries.extend(SHOWN_OF_KEYS.map(|part| Entry::allow(AccessMask::READ_PROPERTY, who).on(part)));
        }
        entries.push(self.recover());
        Template::new(creator, &self.domain, entries)
    }

    /// The object of a record that holds no secret, made by `creator`: a control record, or a note that a key is in use.
    /// Owners, administrators and auditors read it too.
    #[must_use]
    pub fn control_record(&self, creator: Sid) -> Template {
        let mut entries = self.record();
        entries.extend(self.watchers().into_iter().map(|who| Entry::allow(READ_RECORD, who)));
        // It reads what the group is called.
        entries.push(Entry::allow(READ_RECORD | AccessMask::WRITE_DAC, self.recovery));
        Template::new(creator, &self.domain, entries)
    }

    fn record(&self) -> Vec<Entry> {
        let mut entries = base();
        let readers = self.all_readers().map(|who| Entry::allow(READ_RECORD, *who));
        drop(entries.splice(1..1, readers));
        entries
    }

    /// The readers group's own object: nobody deletes it, only owners and administrators write its members. Refusals
    /// stand first, the canonical order (MS-DTYP §2.4.5).
    #[must_use]
    pub fn readers_group(&self, owner: Sid) -> Template {
        let mut entries = vec![Entry::deny(ANY_DELETION, Sid::EVERYONE)];
        entries.extend(self.room());
        let write = |who: &Sid| Entry::allow(AccessMask::WRITE_PROPERTY, *who).on(guid::ATTRIBUTE_MEMBER);
        entries.extend(self.owners.iter().chain(&self.administrators).map(write));
        Template::new(owner, &self.domain, entries)
    }

    /// The object of the group of temporary accounts: as the readers group's, but elevators write its members too.
    #[must_use]
    pub fn elevated_group(&self, owner: Sid) -> Template {
        let mut template = self.readers_group(owner);
        if let AclSlot::Present(dacl) = &mut template.descriptor.dacl {
            let write = |who: &Sid| {
                Ace::Entry(Entry::allow(AccessMask::WRITE_PROPERTY, *who).on(guid::ATTRIBUTE_MEMBER))
            };
            dacl.entries.extend(self.elevators.iter().map(write));
        }
        template
    }

    /// The recovery group's own object: as the readers group's, but only administrators write its members.
    #[must_use]
    pub fn recovery_group(&self, owner: Sid) -> Template {
        let mut entries = vec![Entry::deny(ANY_DELETION, Sid::EVERYONE)];
        entries.extend(base());
        entries.push(Entry::allow(READ_ROOM, self.readers));
        let others = self.owners.iter().chain(&self.auditors);
        entries.extend(others.map(|who| Entry::allow(READ_ROOM, *who)));
        for who in &self.administrators {
            entries.push(Entry::allow(READ_ROOM, *who));
            entries.push(Entry::allow(AccessMask::WRITE_PROPERTY, *who).on(guid::ATTRIBUTE_MEMBER));
        }
        Template::new(owner, &self.domain, entries)
    }
}

#[cfg(test)]
mod tests;
