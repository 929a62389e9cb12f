//! What a group consists of on a domain controller, and how each object's access control differs from what it should be.

use std::collections::{BTreeSet, HashSet};

use dkm::repository::RepositoryError;
use dkm_core::{GroupId, Room};

use crate::accounts;
use crate::ldap::{Found, Scope, Search, present};
use crate::name;
use crate::replica::AdReplica;
use crate::replica::rooms::Rooms;
use crate::security::{
    AceKind, AclSlot, Deviation, Entry, SecurityDescriptor, Sid, Template, Trustees, compare,
};

/// Accounts and groups that a domain's administrators make have higher numbers than those that it comes with.
const OWN_ACCOUNTS: u32 = 1000;

/// What an object is to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Holds the rooms.
    Container,
    Room(Room),
    Record(Room),
    /// A note among the keys that one of them is in use: it holds no secret.
    Note,
    /// The readers group's own object, where `group create` made it.
    Readers,
    /// The object of the group of temporary accounts.
    Elevated,
    /// The room of exposures.
    Exposures,
}

impl Kind {
    /// Whether who loses it loses all that is in it.
    pub(super) const fn holds_others(self) -> bool {
        matches!(self, Self::Container | Self::Room(_) | Self::Exposures)
    }
}

/// An object, as it was read.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) dn: String,
    pub(super) kind: Kind,
    /// The id of the key, where this account may read it.
    pub(super) key: Option<String>,
    /// None if this account may not read it.
    pub(super) descriptor: Option<SecurityDescriptor>,
}

/// What a record's object is, by its name: what it holds may not be read, and one that holds something else under such a
/// name counts for nothing.
fn kind_in(room: Room, dn: &str) -> Kind {
    let is_status = dn.get(3..).is_some_and(|name| name.starts_with("status-"));
    if room == Room::Keys && is_status { Kind::Note } else { Kind::Record(room) }
}

/// All objects of a group.
#[derive(Debug)]
pub(super) struct Survey {
    /// Who has access, as it is written down.
    pub(super) trustees: Trustees,
    /// The room where that is written down.
    pub(super) control: String,
    pub(super) objects: Vec<Object>,
    /// What should be there and is not seen.
    pub(super) unseen: Vec<String>,
    /// Owners of keys who must have taken them.
    pub(super) taken: BTreeSet<Sid>,
}

impl Object {
    fn of(found: &Found, kind: Kind) -> Self {
        let descriptor = found.bytes("nTSecurityDescriptor");
        Self {
            dn: found.dn.clone(),
            kind,
            key: (kind == Kind::Record(Room::Keys)).then(|| found.text("l").map(str::to_owned)).flatten(),
            descriptor: descriptor.and_then(|bytes| SecurityDescriptor::parse(bytes).ok()),
        }
    }

    pub(super) fn owner(&self) -> Option<Sid> {
        self.descriptor.as_ref().and_then(|descriptor| descriptor.owner)
    }

    /// What it should have, whoever owns it, with the refusals that stay.
    pub(super) fn template(&self, trustees: &Trustees, refusals: Refusals) -> Template {
        let owner = self.owner().unwrap_or(Sid::SYSTEM);
        let mut template = match self.kind {
            Kind::Container => trustees.group(owner),
            Kind::Room(Room::Keys) => trustees.keys(owner),
            Kind::Room(Room::Control) => trustees.control(owner),
            Kind::Record(Room::Keys) => trustees.key_record(owner),
            Kind::Record(Room::Control) | Kind::Note => trustees.control_record(owner),
            Kind::Readers => trustees.readers_group(owner),
            Kind::Elevated => trustees.elevated_group(owner),
            Kind::Exposures => trustees.exposures(owner),
        }
        .of_any_owner();
        let kept = self.refusals(trustees, refusals);
        if let AclSlot::Present(dacl) = &mut template.descriptor.dacl {
            drop(dacl.entries.splice(0..0, kept.into_iter().map(crate::security::Ace::Entry)));
        }
        template
    }

    /// Refusals of single accounts on what holds the records: that is how an operator ends reading at once, and to take
    /// them away would let those accounts in again.
    pub(super) fn refusals(&self, trustees: &Trustees, refusals: Refusals) -> Vec<Entry> {
        if refusals == Refusals::Lifted || !self.kind.holds_others() {
            return Vec::new();
        }
        let is_single = |sid: &Sid| {
            sid.parent() == Some(trustees.domain.sid) && sid.rid().is_some_and(|rid| rid >= OWN_ACCOUNTS)
        };
        let dacl = self.descriptor.as_ref().and_then(|descriptor| descriptor.dacl.acl());
        let entries = dacl.map_or(&[][..], |acl| &acl.entries).iter().filter_map(|ace| ace.entry());
        entries
            .filter(|entry| entry.kind == AceKind::Deny)
            .filter(|entry| is_single(&entry.trustee) && !trustees.names(&entry.trustee))
            .cloned()
            .collect()
    }

    /// How it differs from what it should be; none if its descriptor may not be read.
    pub(super) fn deviations(&self, trustees: &Trustees, refusals: Refusals) -> Option<Vec<Deviation>> {
        let found = self.descriptor.as_ref()?;
        Some(compare(found, &self.template(trustees, refusals)))
    }
}

/// What becomes of refusals of single accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refusals {
    /// They stay.
    #[default]
    Kept,
    /// They are taken away: those accounts have access again, if they are in a group that has.
    Lifted,
}

impl Survey {
    /// Reads all of a group's objects.
    ///
    /// # Errors
    /// The group is not seen, who should have access is not written down, or the domain controller fails.
    pub(super) fn take(replica: &mut AdReplica, group: GroupId) -> Result<Self, RepositoryError> {
        let rooms = replica.rooms_now(group)?;
        let trustees = rooms.trustees.clone().ok_or_else(|| {
            let why = format!(
                "who should have access to group {group} is not written down as this program knows it, or this \
                 account may not read it: the description of {}",
                rooms.at(Room::Control).dn
            );
            replica.shared.odd(replica.number, &why)
        })?;
        let mut survey = Self {
            control: rooms.at(Room::Control).dn.clone(),
            objects: Vec::new(),
            unseen: Vec::new(),
            taken: BTreeSet::new(),
            trustees,
        };
        survey.containers(replica, group, &rooms)?;
        for room in [Room::Control, Room::Keys] {
            survey.one(replica, name::by_guid(&rooms.at(room).guid), Kind::Room(room))?;
        }
        if let Some(exposures) = &rooms.exposures {
            survey.one(replica, name::by_guid(&exposures.guid), Kind::Exposures)?;
        }
        for room in [Room::Control, Room::Keys] {
            let search = Search {
                base: name::by_guid(&rooms.at(room).guid),
                scope: if room == Room::Control { Scope::Subtree } else { Scope::Children },
                // Whoever may see the room sees that its objects are there, whatever of them it may read.
                filter: present("objectClass"),
                attributes: vec!["nTSecurityDescriptor", "l"],
                paged: true,
            };
            let found = replica.search_room(group, &search)?;
            survey.taken.extend(replica.taken(room, &found, &rooms)?);
            let is_room = |found: &Found| {
                let places = [Some(rooms.at(room)), rooms.exposures.as_ref()];
                places.into_iter().flatten().any(|place| place.dn.eq_ignore_ascii_case(&found.dn))
            };
            let records = found.iter().filter(|found| !is_room(found));
            survey.objects.extend(records.map(|found| Object::of(found, kind_in(room, &found.dn))));
        }
        survey.groups(replica)?;
        Ok(survey)
    }

    /// What holds the rooms: usually one object.
    fn containers(
        &mut self,
        replica: &mut AdReplica,
        group: GroupId,
        rooms: &Rooms,
    ) -> Result<(), RepositoryError> {
        let mut dns = HashSet::new();
        for room in Room::ALL {
            let Some(dn) = name::parent(&rooms.at(room).dn) else { continue };
            if !dns.insert(dn.to_ascii_lowercase()) {
                continue;
            }
            let search = Search::base(dn, vec!["nTSecurityDescriptor", "displayName"]);
            match replica.connection.find(&search).map_err(replica.error(dn))? {
                // A room that was moved may be in something that is not the group's.
                Some(found) if found.text("displayName") == Some(&group.to_string()) => {
                    self.objects.push(Object::of(&found, Kind::Container));
                }
                Some(found) if found.text("displayName").is_some() => {}
                _ => self.unseen.push(dn.to_owned()),
            }
        }
        Ok(())
    }

    fn one(&mut self, replica: &mut AdReplica, base: String, kind: Kind) -> Result<(), RepositoryError> {
        let search = Search::base(base.as_str(), vec!["nTSecurityDescriptor"]);
        let found = replica.connection.find(&search).map_err(replica.error(&base))?;
        self.objects.extend(found.map(|found| Object::of(&found, kind)));
        Ok(())
    }

    /// The readers group's own object and that of temporary accounts, if they lie in the repository: others are made and
    /// cared for by others.
    fn groups(&mut self, replica: &mut AdReplica) -> Result<(), RepositoryError> {
        let container = replica.shared.url.container_dn().to_ascii_lowercase();
        let domain = replica.shared.url.domain_dn();
        let readers = (self.trustees.readers, Kind::Readers);
        let elevated = self.trustees.elevated.map(|sid| (sid, Kind::Elevated));
        for (sid, kind) in std::iter::once(readers).chain(elevated) {
            let sid = sid.to_string();
            let found =
                accounts::find(&mut replica.connection, &domain, &sid).map_err(replica.error(&sid))?;
            if let Ok(found) = found
                && found.dn.to_ascii_lowercase().ends_with(&format!(",{container}"))
            {
                self.one(replica, found.dn, kind)?;
            }
        }
        Ok(())
    }
}
