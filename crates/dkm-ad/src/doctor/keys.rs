//! A group's key objects: whether something was written to them after they were made. They are never changed by DKM, so
//! that every second version of an attribute is somebody else's work.

use std::collections::BTreeMap;

use dkm_core::GroupId;

use super::dc::Dc;
use super::metadata::{COMMON_NAME, DESCRIPTOR, NAME, Stamp, stamps};
use super::report::{Area, Draft};
use super::text::plain;
use crate::ldap::{Scope, Search, all_of, any_of, equal};
use crate::replica::rooms::mark;
use crate::roles;
use crate::security::{Deviation, Guid, SecurityDescriptor, Trustees, compare};

/// How many objects are named; the others are counted.
const NAMED_MAX: usize = 10;

/// A room of the group, where this account sees it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) room: dkm_core::Room,
    pub(super) dn: String,
    /// Who should have access, which the control room tells.
    trustees: Option<Trustees>,
}

/// A group's rooms, wherever in the container they were moved to.
///
/// # Errors
/// In words for people.
pub(super) fn rooms(dc: &mut Dc, container: &str, group: GroupId) -> Result<Vec<Room>, String> {
    let marks = dkm_core::Room::ALL.map(|room| (room, mark(group, room)));
    let search = Search {
        base: container.to_owned(),
        scope: Scope::Subtree,
        // Creators add contacts with whatever names they like, and may not make containers.
        filter: all_of(vec![
            equal("objectClass", "container"),
            any_of(marks.iter().map(|(_, mark)| equal("displayName", mark)).collect()),
        ]),
        attributes: vec!["displayName", "description"],
        paged: false,
    };
    let found = dc.search(&search)?;
    let domain = dc.domain;
    let room = |object: &crate::ldap::Found| {
        let mark = object.text("displayName")?;
        let (room, _) = marks.iter().find(|(_, known)| known == mark)?;
        let trustees = roles::from_values(&domain, object.values("description"));
        Some(Room { room: *room, dn: object.dn.clone(), trustees })
    };
    let rooms: Vec<Room> = found.iter().filter_map(room).collect();
    let twice = |room| rooms.iter().filter(|found| found.room == room).count() > 1;
    match dkm_core::Room::ALL.into_iter().find(|room| twice(*room)) {
        // Only who may make containers here could do that; what is meant is not for us to guess.
        Some(room) => Err(format!("two objects say that they are room {room} of the group")),
        None => Ok(rooms),
    }
}

/// Looks at every key object that this account may read. `hosts`: names of databases.
pub(super) fn look(dc: &mut Dc, rooms: &[Room], hosts: &BTreeMap<[u8; 16], String>, draft: &mut Draft) {
    let Some(keys) = rooms.iter().find(|room| room.room == dkm_core::Room::Keys) else {
        let why = "this account does not see the room";
        draft.not_checked(
            Area::Keys,
            "the group's key objects",
            why,
            "run it as a member of the readers group",
        );
        return;
    };
    let search = Search {
        base: keys.dn.clone(),
        scope: Scope::Children,
        filter: equal("objectClass", "contact"),
        attributes: vec!["replPropertyMetaData", "nTSecurityDescriptor"],
        paged: true,
    };
    let found = match dc.search(&search) {
        Ok(found) => found,
        Err(why) => {
            draft.not_checked(Area::Keys, "the group's key objects", why, "run it again");
            return;
        }
    };
    let trustees = rooms.iter().find_map(|room| room.trustees.as_ref());
    let (mut unread, mut sound, mut changed, mut restored) = (0usize, 0usize, Vec::new(), Vec::new());
    for object in &found {
        let Some(all) = object.bytes("replPropertyMetaData").and_then(stamps) else {
            unread += 1;
            continue;
        };
        let later: Vec<Stamp> = all.into_iter().filter(is_later).collect();
        if later.is_empty() {
            sound += 1;
            continue;
        }
        let descriptor =
            object.bytes("nTSecurityDescriptor").and_then(|bytes| SecurityDescriptor::parse(bytes).ok());
        let owner = descriptor.as_ref().and_then(|descriptor| descriptor.owner);
        let who = owner.map_or_else(|| "not seen".to_owned(), |sid| sid.to_string());
        let what = format!("{}: {}; owner {who}", plain(&object.dn), told(&later, hosts));
        let as_it_should_be =
            descriptor.zip(owner).zip(trustees).is_some_and(|((found, owner), trustees)| {
                !compare(&found, &trustees.key_record(owner)).iter().any(Deviation::widens)
            });
        if as_it_should_be && later.iter().all(|stamp| stamp.attribute == DESCRIPTOR) {
            restored.push(format!("{what}; now it gives nobody more than it should"));
        } else {
            changed.push(what);
        }
    }
    tell(changed, draft, |what, draft| {
        draft.warning(
            Area::Keys,
            what,
            "only dkm group repair-access and replace-readers do that: look at the object's descriptor and at the domain controller's log; the directory \
             does not say who wrote; dkm doctor tells whether the key still protects",
        );
    });
    tell(restored, draft, |what, draft| {
        draft.note(
            Area::Keys,
            what,
            "if nobody repaired or narrowed access then, it was open for a time: dkm key roll, and dkm reprotect",
        );
    });
    if sound > 0 {
        draft.good(
            Area::Keys,
            format!("as they were made, descriptors included: {sound} of {} key objects", found.len()),
        );
    }
    if unread > 0 {
        draft.not_checked(
            Area::Keys,
            &format!("{unread} of {} key objects", found.len()),
            "this account may not read their metadata",
            "run it as a member of the readers group",
        );
    }
    if found.is_empty() {
        draft.not_checked(
            Area::Keys,
            "the group's key objects",
            "this account sees none",
            "run it as a member of the readers group",
        );
    }
}

/// Tells the first of many objects, and how many more there are.
fn tell(all: Vec<String>, draft: &mut Draft, each: impl Fn(String, &mut Draft)) {
    let more = all.len().saturating_sub(NAMED_MAX);
    all.into_iter().take(NAMED_MAX).for_each(|what| each(what, draft));
    if more > 0 {
        each(format!("so are more key objects: {more}"), draft);
    }
}

/// Whether an attribute was written after the object was made, names aside: replication renames one of two that meet.
fn is_later(stamp: &Stamp) -> bool {
    stamp.version > 1 && ![NAME, COMMON_NAME].contains(&stamp.attribute)
}

fn told(later: &[Stamp], hosts: &BTreeMap<[u8; 16], String>) -> String {
    let one = |stamp: &Stamp| {
        let what = if stamp.attribute == DESCRIPTOR {
            "its descriptor was written again".to_owned()
        } else {
            format!("attribute {:#x} was written again", stamp.attribute)
        };
        let host = hosts
            .get(&stamp.invocation)
            .cloned()
            .unwrap_or_else(|| format!("database {}", Guid::from_bytes(stamp.invocation)));
        let when = super::text::at(stamp.when);
        format!("{what}, version {}, last at {when} on {host}", stamp.version)
    };
    later.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use dkm_core::Timestamp;

    use super::*;

    #[test]
    fn a_descriptor_written_again_is_told_with_time_and_place() {
        let stamp = Stamp { attribute: DESCRIPTOR, version: 2, when: Timestamp(5_000), invocation: [7; 16] };
        assert!(is_later(&stamp));
        assert!(!is_later(&Stamp { version: 1, ..stamp }));
        assert!(!is_later(&Stamp { attribute: NAME, ..stamp }));
        let hosts = BTreeMap::from([([7; 16], "dc1".to_owned())]);
        let text = told(&[stamp], &hosts);
        assert_eq!(text, "its descriptor was written again, version 2, last at 1970-01-01T00:00:05Z on dc1");
        let text = told(&[Stamp { attribute: 0x15, ..stamp }], &BTreeMap::new());
        assert!(text.contains("attribute 0x15") && text.contains("database 07070707-"), "{text}");
    }
}
