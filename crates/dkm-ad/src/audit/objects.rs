//! Kinds B, C, D and K: the group's own objects, each compared with its template.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dkm::repository::RepositoryError;
use dkm_core::{GroupId, Room};

use super::directory::{Directory, Object};
use super::holders::Right;
use super::judge::{Judge, Meaning, meaning};
use super::kind::PathKind;
use super::report::Effect;
use crate::ldap::{Scope, Search, all_of, any_of, equal, not, present};
use crate::replica::records::{BYTES, PUBLIC, is_note};
use crate::replica::rooms::{exposures_mark, mark, marks};
use crate::repository::AdRepository;
use crate::roles;
use crate::security::check::Grant;
use crate::security::{AccessMask, Deviation, SecurityDescriptor, Sid, Template, Trustees, compare};

/// Where a group's objects are, and who should have access.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) keys: Rc<Object>,
    control: Rc<Object>,
    /// The room of exposures, in a group with elevators.
    exposures: Option<Rc<Object>>,
    pub(super) trustees: Trustees,
}

impl Layout {
    /// Finds a group's rooms, wherever in the container they were moved to.
    pub(super) fn find(
        repository: &AdRepository,
        number: usize,
        directory: &mut Directory<'_>,
        group: GroupId,
    ) -> Result<Self, RepositoryError> {
        let shared = repository.shared();
        // A contact in a room may bear a room's mark: whoever adds keys can make one.
        let filter = all_of(vec![
            equal("objectClass", "container"),
            any_of(marks(group).map(|mark| equal("displayName", mark)).to_vec()),
        ]);
        let found = directory.in_container(filter, "the group's rooms")?;
        let one = |room| {
            let mark = mark(group, room);
            let mut those =
                found.iter().filter(|object| object.display_name.as_deref() == Some(mark.as_str()));
            match (those.next(), those.next()) {
                (Some(object), None) => Ok(object.clone()),
                (None, _) => Err(RepositoryError::NotFound {
                    location: shared.place(number),
                    what: format!("group {group}"),
                }),
                (Some(_), Some(_)) => Err(shared
                    .odd(number, &format!("two objects say that they are room {room} of group {group}"))),
            }
        };
        let (keys, control) = (one(Room::Keys)?, one(Room::Control)?);
        let exposures_mark = exposures_mark(group);
        let exposures =
            found.iter().find(|object| object.display_name.as_ref() == Some(&exposures_mark)).cloned();
        let values = control.description.iter().map(String::as_bytes);
        let trustees = roles::from_values(&directory.domain, values).ok_or_else(|| {
            let why = format!(
                "who has access to group {group} is not written down as this program knows it, or this account \
                 may not read it"
            );
            shared.odd(number, &why)
        })?;
        Ok(Self { keys, control, exposures, trustees })
    }
}

const READS: Meaning = meaning(PathKind::B, Effect::Reads, "reads key objects without being a member");
const TAKES: Meaning = meaning(PathKind::C, Effect::OneStep, "takes over an object of the group");
const OWNS: Meaning =
    meaning(PathKind::C, Effect::OneStep, "owns an object of the group, and so writes its DACL");
const WRITES: Meaning = meaning(PathKind::D, Effect::OneStep, "writes the DACL of an object of the group");

/// Looks at the key objects, the rooms, and what holds them.
pub(super) fn control(judge: &mut Judge<'_, '_>, layout: &Layout) -> Result<(), RepositoryError> {
    keys(judge, layout)?;
    let trustees = &layout.trustees;
    type OfOwner = fn(&Trustees, Sid) -> Template;
    let rooms: [(Option<&Rc<Object>>, OfOwner); 3] = [
        (Some(&layout.keys), Trustees::keys),
        (Some(&layout.control), Trustees::control),
        (layout.exposures.as_ref(), Trustees::exposures),
    ];
    for (object, template) in rooms {
        let Some(object) = object else { continue };
        holder(judge, object)?;
        if let Some(descriptor) = &object.descriptor {
            let owner = descriptor.owner.unwrap_or(Sid::SYSTEM);
            let template = template(trustees, owner);
            deviations(judge, descriptor, &template, std::slice::from_ref(&object.dn), false)?;
        }
    }
    let mut above = judge.directory.above(&layout.keys.dn)?.into_iter();
    if let Some((dn, group)) = above.next() {
        match &group {
            Some(group) => {
                holder(judge, group)?;
                if let Some(descriptor) = &group.descriptor {
                    let owner = descriptor.owner.unwrap_or(Sid::SYSTEM);
                    deviations(judge, descriptor, &trustees.group(owner), std::slice::from_ref(&dn), false)?;
                }
            }
            None => judge.draft.unchecked(PathKind::D, format!("who controls {dn}"), UNSEEN),
        }
    }
    for (dn, object) in above {
        match object {
            // The domain's head is looked at as kind I.
            Some(_) if dn.eq_ignore_ascii_case(&judge.directory.domain_dn()) => {}
            Some(object) => replaces(judge, &object)?,
            None => judge.draft.unchecked(PathKind::K, format!("who controls {dn}"), UNSEEN),
        }
    }
    Ok(())
}

const UNSEEN: &str = "this account does not see it";

/// A room, or the group's container.
fn holder(judge: &mut Judge<'_, '_>, object: &Object) -> Result<(), RepositoryError> {
    let rights = [(WRITES, Right::Any(AccessMask::WRITE_DAC)), (TAKES, Right::Any(AccessMask::WRITE_OWNER))];
    judge.rights(object, &rights, 0)?;
    judge.owner(object, OWNS)
}

/// What is above the group: who controls that can put other objects into its place.
fn replaces(judge: &mut Judge<'_, '_>, object: &Object) -> Result<(), RepositoryError> {
    let what = "can delete the group and put another into its place, by rights on a container above";
    let replaces = meaning(PathKind::K, Effect::OneStep, what);
    let rights = [
        (replaces, Right::Any(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER)),
        (meaning(PathKind::K, Effect::Other, "can delete the group"), Right::Any(AccessMask::DELETE_TREE)),
    ];
    judge.rights(object, &rights, 1)?;
    judge.owner(object, replaces)
}

/// Every key object. Thousands of them have a handful of different descriptors.
fn keys(judge: &mut Judge<'_, '_>, layout: &Layout) -> Result<(), RepositoryError> {
    let search = Search {
        base: layout.keys.dn.clone(),
        scope: Scope::Children,
        filter: present("objectClass"),
        attributes: vec!["nTSecurityDescriptor"],
        paged: true,
    };
    let found = judge.directory.search(&search, "the key objects")?;
    let notes = notes(judge, layout)?;
    let mut by_descriptor: BTreeMap<(Vec<u8>, bool), Vec<String>> = BTreeMap::new();
    let mut unread = Vec::new();
    for object in &found {
        match object.bytes("nTSecurityDescriptor") {
            Some(bytes) => {
                let kind = (bytes.to_vec(), notes.contains(&object.dn));
                by_descriptor.entry(kind).or_default().push(object.dn.clone());
            }
            None => unread.push(object.dn.clone()),
        }
    }
    if !unread.is_empty() {
        judge.draft.unchecked(
            PathKind::B,
            format!("the descriptors of {} of {} key objects", unread.len(), found.len()),
            "this account may not read them; members, owners, administrators and auditors may, where access is as it \
             should be",
        );
    }
    for ((bytes, is_note), objects) in by_descriptor {
        let Ok(descriptor) = SecurityDescriptor::parse(&bytes) else {
            let what = format!("the descriptor of {}", objects.join(", "));
            judge.draft.unchecked(PathKind::B, what, "it is damaged");
            continue;
        };
        if is_note {
            note(judge, layout, &descriptor, &objects)?;
        } else {
            key(judge, layout, &descriptor, &objects)?;
        }
    }
    Ok(())
}

/// Objects in the room of keys that are notes and no keys: owners, administrators and auditors read them whole. What this
/// account can't read counts as a key.
fn notes(judge: &mut Judge<'_, '_>, layout: &Layout) -> Result<BTreeSet<String>, RepositoryError> {
    let search = Search {
        base: layout.keys.dn.clone(),
        scope: Scope::Children,
        filter: all_of(vec![present("objectClass"), not(present(PUBLIC))]),
        attributes: vec![BYTES],
        paged: true,
    };
    let found = judge.directory.search(&search, "the notes among the keys")?;
    let notes = found.iter().filter(|found| found.bytes(BYTES).is_some_and(is_note));
    Ok(notes.map(|found| found.dn.clone()).collect())
}

/// The descriptor of a note: whoever rewrites it could make it a key's, and no more.
fn note(
    judge: &mut Judge<'_, '_>,
    layout: &Layout,
    descriptor: &SecurityDescriptor,
    objects: &[String],
) -> Result<(), RepositoryError> {
    let owner = descriptor.owner.unwrap_or(Sid::SYSTEM);
    deviations(judge, descriptor, &layout.trustees.control_record(owner), objects, false)
}

fn key(
    judge: &mut Judge<'_, '_>,
    layout: &Layout,
    descriptor: &SecurityDescriptor,
    objects: &[String],
) -> Result<(), RepositoryError> {
    let bytes = judge.directory.key_bytes();
    let place = judge.directory.record(descriptor);
    let unknown = place.unknown_entries();
    let ruler = place.ruling_owner();
    let rights = [
        (READS, Right::Read(bytes)),
        (TAKES, Right::Any(AccessMask::WRITE_OWNER)),
        (WRITES, Right::Any(AccessMask::WRITE_DAC)),
    ];
    let held = rights.map(|(meaning, right)| (meaning, place.holders(right)));
    if let Some(first) = objects.first() {
        judge.judge_entries(PathKind::B, first, &unknown);
    }
    for (meaning, holders) in held {
        let is_reader = |holder: &Sid| layout.trustees.all_readers().any(|readers| readers == holder);
        for holder in holders.into_iter().filter(|holder| !is_reader(holder)) {
            judge.path(meaning, holder, objects, None)?;
        }
    }
    if let Some(owner) = ruler {
        judge.path(OWNS, owner, objects, None)?;
    }
    if let Some(owner) = descriptor.owner
        && !layout.trustees.creators.contains(&owner)
    {
        let made = "made keys, and is no creator of the group: no client should protect under them";
        judge.path(meaning(PathKind::K, Effect::OneStep, made), owner, objects, None)?;
    }
    let owner = descriptor.owner.unwrap_or(Sid::SYSTEM);
    deviations(judge, descriptor, &layout.trustees.key_record(owner), objects, true)
}

/// What a descriptor grants beyond its template, but what the other kinds tell of: reading, taking over, the DACL.
fn deviations(
    judge: &mut Judge<'_, '_>,
    found: &SecurityDescriptor,
    template: &Template,
    objects: &[String],
    is_key: bool,
) -> Result<(), RepositoryError> {
    let told = AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER;
    let told = if is_key { told | AccessMask::READ_PROPERTY } else { told };
    let adds = AccessMask::CREATE_CHILD
        | AccessMask::WRITE_PROPERTY
        | AccessMask::WRITE_VALIDATED
        | AccessMask::CONTROL_ACCESS;
    let mut wider = BTreeSet::new();
    for deviation in compare(found, template).iter().filter(|deviation| deviation.widens()) {
        match deviation {
            Deviation::ExtraTrustee { granted: Grant { trustee, mask, .. } }
            | Deviation::WiderRights { granted: Grant { trustee, mask, .. } } => {
                let more = *mask & !told;
                if !more.is_empty() {
                    wider.insert((more.intersects(adds), *trustee));
                }
            }
            Deviation::NotProtected => judge.draft.unchecked(
                PathKind::K,
                format!("what {} may inherit", objects.first().map_or("an object", String::as_str)),
                "its DACL is not protected: what is put on a container above comes into it",
            ),
            // Owners and entries of other kinds are told of where they are judged; a missing DACL is everyone's.
            _ => {}
        }
    }
    judge.directory.know(&wider.iter().map(|(_, trustee)| *trustee).collect())?;
    for (adds, trustee) in wider {
        let meaning = if adds {
            meaning(
                PathKind::K,
                Effect::OneStep,
                "writes or adds to the group's objects, beyond the template",
            )
        } else {
            meaning(PathKind::K, Effect::Other, "sees or deletes the group's objects, beyond the template")
        };
        judge.path(meaning, trustee, objects, None)?;
    }
    Ok(())
}
