//! A group's two rooms: where they are, what this account may do in them, and what their records must look like.

use dkm::repository::RepositoryError;
use dkm_core::member::Rights;
use dkm_core::{Digest, GroupId, Room};

use crate::ldap::{Connection, Found, Scope, Search, all_of, any_of, equal};
use crate::name;
use crate::repository::{Greeting, Shared};
use crate::roles;
use crate::security::{Deviation, SecurityDescriptor, Sid, Trustees, compare};

/// The class of records.
pub(super) const CONTACT: &str = "contact";

/// A group's rooms, as a domain controller showed them.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    keys: Place,
    control: Place,
    /// The room of exposures, in a group with elevators.
    pub(crate) exposures: Option<Place>,
    pub(super) rights: Rights,
    /// Who stands in the descriptors; none if that can't be read, and then no record equals its template.
    pub(crate) trustees: Option<Trustees>,
    /// Of what is written down of it, so that a change shows.
    pub(super) roles: [u8; 8],
    /// How the rooms' own descriptors differ from what they should be.
    pub(super) deviations: Vec<(Room, Deviation)>,
}

/// Where a room is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) guid: [u8; 16],
    pub(crate) dn: String,
}

/// What a room's object carries in `displayName`: it is found by that, wherever it was moved to.
pub(crate) fn mark(group: GroupId, room: Room) -> String {
    format!("{group}/{room}")
}

/// What the room of exposures is called, in `control`: elevators write there.
pub(crate) const EXPOSURES: &str = "exposures";

/// What the room of exposures carries in `displayName`.
pub(crate) fn exposures_mark(group: GroupId) -> String {
    format!("{group}/{EXPOSURES}")
}

/// What any room of a group carries.
pub(crate) fn marks(group: GroupId) -> [String; 3] {
    let [one, other] = Room::ALL.map(|room| mark(group, room));
    [one, other, exposures_mark(group)]
}

/// Whether an object seems to lie in a room of exposures: by the name of what holds it, which those who add to it can't
/// choose.
pub(super) fn is_in_exposures(dn: &str) -> bool {
    let holder = name::parent(dn).and_then(|parent| parent.split(',').next());
    holder.is_some_and(|holder| holder.eq_ignore_ascii_case(&format!("CN={EXPOSURES}")))
}

/// The search for a group's rooms. Their parent is invisible to readers, they themselves are not.
pub(super) fn search(shared: &Shared, group: GroupId) -> Search {
    Search {
        base: shared.url.container_dn(),
        scope: Scope::Subtree,
        // Creators add contacts with whatever names they like, and may not make containers.
        filter: all_of(vec![
            equal("objectClass", "container"),
            any_of(marks(group).map(|mark| equal("displayName", mark)).to_vec()),
        ]),
        attributes: vec![
            "displayName",
            "objectGUID",
            "allowedChildClassesEffective",
            "nTSecurityDescriptor",
            "description",
        ],
        paged: false,
    }
}

impl Rooms {
    pub(crate) fn at(&self, room: Room) -> &Place {
        match room {
            Room::Keys => &self.keys,
            Room::Control => &self.control,
        }
    }

    /// Whether an object that a search in `control` found lies there, and not in the room of exposures: what is in
    /// neither, for one of them was moved a moment ago, counts for nothing either.
    pub(super) fn is_among_owners(&self, dn: &str) -> bool {
        self.exposures.is_none()
            || name::parent(dn).is_some_and(|holder| holder.eq_ignore_ascii_case(&self.control.dn))
    }

    /// Reads them now.
    ///
    /// # Errors
    /// Not there, or not seen.
    pub(super) fn read(
        shared: &Shared,
        number: usize,
        connection: &mut Connection,
        greeting: &Greeting,
        group: GroupId,
    ) -> Result<Self, RepositoryError> {
        let what = format!("group {group}");
        let found = connection.search(&search(shared, group)).map_err(|error| {
            match shared.error(number, &what, &error) {
                RepositoryError::NotFound { .. } => shared.unseen(number, greeting.replica, group),
                error => error,
            }
        })?;
        Self::of(shared, number, greeting, group, &found)
    }

    /// What a search for them found.
    ///
    /// # Errors
    /// As [`Rooms::read`].
    pub(super) fn of(
        shared: &Shared,
        number: usize,
        greeting: &Greeting,
        group: GroupId,
        found: &[Found],
    ) -> Result<Self, RepositoryError> {
        let what = format!("group {group}");
        let one_or_none = |mark: String| {
            let mut those = found.iter().filter(|found| found.text("displayName") == Some(&mark));
            match (those.next(), those.next()) {
                (found, None) => Ok(found),
                // Only who may make containers here could do that; what is meant is not for a client to guess.
                _ => Err(RepositoryError::Unavailable {
                    location: shared.place(number),
                    why: format!("two objects say that they are room {mark} of {what}"),
                }),
            }
        };
        let one = |room: Room| {
            one_or_none(mark(group, room))?.ok_or_else(|| shared.unseen(number, greeting.replica, group))
        };
        let (keys, control) = (one(Room::Keys)?, one(Room::Control)?);
        let place = |found: &Found| {
            let guid = found.bytes("objectGUID").and_then(|bytes| bytes.try_into().ok());
            let guid = guid.ok_or_else(|| shared.odd(number, &format!("{} has no objectGUID", found.dn)))?;
            Ok::<_, RepositoryError>(Place { guid, dn: found.dn.clone() })
        };
        let may_add = |found: &Found| {
            found
                .values("allowedChildClassesEffective")
                .any(|class| class.eq_ignore_ascii_case(CONTACT.as_bytes()))
        };
        let trustees = roles::from_values(&greeting.domain, control.values("description"));
        // Owners and administrators see the rooms, too, and read no key.
        let in_token = |trustees: &Trustees| trustees.all_readers().any(|sid| greeting.token.contains(sid));
        let read = trustees.as_ref().is_some_and(in_token);
        // A creator who was taken out of the readers group sees which keys there are, and when the next one is due: it must
        // not make one that only it knows.
        let rights = Rights { read, create: read && may_add(keys), own: may_add(control) };
        let exposures = one_or_none(exposures_mark(group))?;
        let deviations = deviations(trustees.as_ref(), keys, control, exposures);
        shared.has_seen(number, greeting.replica, group);
        let roles = digest(control.values("description"));
        let exposures = exposures.map(place).transpose()?;
        let (keys, control) = (place(keys)?, place(control)?);
        Ok(Self { keys, control, exposures, rights, trustees, roles, deviations })
    }

    /// A search in a room; in `control`, also in the room of exposures there.
    pub(super) fn search(&self, room: Room) -> Search {
        let is_deep = room == Room::Control && self.exposures.is_some();
        Search {
            base: name::by_guid(&self.at(room).guid),
            scope: if is_deep { Scope::Subtree } else { Scope::Children },
            filter: equal("objectClass", CONTACT),
            attributes: vec!["name", "displayName", "objectGUID", "uSNChanged"],
            paged: true,
        }
    }
}

/// A digest of values that have no order.
fn digest<'a>(values: impl Iterator<Item = &'a [u8]>) -> [u8; 8] {
    let mut values: Vec<&[u8]> = values.collect();
    values.sort_unstable();
    let Digest(digest) = Digest::of(&values.join(&b'\n'));
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

/// How the rooms' descriptors differ from their templates. Without a list of who should have access, that is all that
/// can be said.
fn deviations(
    trustees: Option<&Trustees>,
    keys: &Found,
    control: &Found,
    exposures: Option<&Found>,
) -> Vec<(Room, Deviation)> {
    let Some(trustees) = trustees else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let rooms = [(Room::Keys, Some(keys)), (Room::Control, Some(control)), (Room::Control, exposures)];
    for (at, (room, found)) in rooms.into_iter().enumerate() {
        let Some(found) = found else { continue };
        let descriptor =
            found.bytes("nTSecurityDescriptor").and_then(|bytes| SecurityDescriptor::parse(bytes).ok());
        let Some(descriptor) = descriptor else {
            all.push((room, Deviation::NoDacl));
            continue;
        };
        let owner = descriptor.owner.unwrap_or(Sid::SYSTEM);
        let template = match room {
            Room::Keys => trustees.keys(owner),
            Room::Control if at == 1 => trustees.control(owner),
            Room::Control => trustees.exposures(owner),
        };
        let differs = compare(&descriptor, &template).into_iter();
        // Somebody who was shut out by himself widens nothing for anybody; roles that are refused something are told.
        let told = differs.filter(|deviation| !is_shut_out(trustees, deviation));
        all.extend(told.map(|deviation| (room, deviation)));
    }
    all
}

/// Whether this is the refusal of an account that stands in no role.
fn is_shut_out(trustees: &Trustees, deviation: &Deviation) -> bool {
    matches!(deviation, Deviation::ExtraRefusal { refused }
        if refused.trustee.parent() == Some(trustees.domain.sid) && !trustees.names(&refused.trustee))
}
