//! Groups: finding them, making them under a hidden name, announcing them.

use dkm_core::{GroupId, Room};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::folder::Folder;
use super::place::Place;
use super::template::{Template, mode_of};
use crate::accounts;
use crate::repository::{GroupAccess, RepositoryError};

/// The folder of groups.
pub(super) const NAME: &str = "groups";

/// A group that is not announced has this before its name.
const STAGED: &str = ".new-";

/// Most names that are listed of the folder of groups.
const NAMES_MAX: usize = 100_000;

fn staged(group: GroupId) -> String {
    format!("{STAGED}{group}")
}

/// Opens a group's folder. A group that is not announced is there for who makes it, and for nobody else.
pub(super) fn open(groups: &Folder, group: GroupId) -> Result<Folder, Errno> {
    match groups.child(&group.to_string()) {
        Err(Errno::NOENT) => {}
        // Not a folder, or a way elsewhere: not a group.
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(Errno::NOENT),
        other => return other,
    }
    let name = staged(group);
    let owner = groups.stat_of(&name)?.st_uid;
    let me = geteuid();
    if !me.is_root() && me.as_raw() != owner {
        return Err(Errno::NOENT);
    }
    groups.child(&name)
}

/// Ids of the announced groups whose folder lets this account in. Other names are none of ours.
pub(super) fn list(groups: &Folder) -> Result<Vec<GroupId>, Errno> {
    let mut found = Vec::new();
    for name in groups.names(NAMES_MAX)? {
        let Ok(group) = name.parse::<GroupId>() else { continue };
        if group.to_string() != name {
            continue;
        }
        match groups.child(&name) {
            Ok(_) => found.push(group),
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error),
        }
    }
    // What is told is durable, whoever wrote it.
    groups.sync()?;
    Ok(found)
}

/// What a [`GroupAccess`] comes to here.
struct Ownership {
    uid: u32,
    gid: u32,
    template: Template,
}

fn resolve(place: &Place, access: &GroupAccess) -> Result<Ownership, RepositoryError> {
    let invalid = |why: String| Err(RepositoryError::Invalid(why));
    let me = geteuid();
    if !access.auditors.is_empty() {
        return Err(RepositoryError::Invalid(
            "a directory has no auditors: whoever may look at its files sees what an audit would".to_owned(),
        ));
    }
    if !access.elevators.is_empty() {
        return Err(RepositoryError::Invalid(
            "a directory has no elevators: nobody is let in for a time by its permissions".to_owned(),
        ));
    }
    let uid = match &access.owners[..] {
        [] => me.as_raw(),
        [name] => match accounts::user_id(name) {
            Some(uid) if uid == me.as_raw() || me.is_root() => uid,
            Some(_) => return Err(place.denied(format!("making {name} the owner (only root may)"))),
            None => return invalid(format!("there is no user {name:?}")),
        },
        _ => return invalid("a group in a directory repository has one owner".to_owned()),
    };
    let (gid, shared) = match &access.readers[..] {
        [] => (getegid().as_raw(), false),
        [name] => match accounts::group_id(name) {
            Some(gid) => (gid, true),
            None => return invalid(format!("there is no Unix group {name:?}")),
        },
        _ => {
            let why =
                "a group in a directory repository is read by one Unix group; make one of all the readers";
            return invalid(why.to_owned());
        }
    };
    let members_create = match &access.creators[..] {
        [] => true,
        [who] if who == "members" => true,
        [who] if who == "owner" => false,
        _ => {
            return invalid("creators in a directory repository are \"members\" or \"owner\"".to_owned());
        }
    };
    Ok(Ownership { uid, gid, template: Template { shared, members_create } })
}

/// Makes a group's rooms under a hidden name. What a crash has left of the same group is used and completed.
pub(super) fn create(
    place: &Place,
    groups: &Folder,
    group: GroupId,
    access: &GroupAccess,
) -> Result<(), RepositoryError> {
    let ownership = resolve(place, access)?;
    let what = format!("making group {group}");
    let error = |errno| place.error(&what, errno);
    if groups.holds(&group.to_string()).map_err(error)? {
        return Err(RepositoryError::Invalid(format!("group {group} is in {} already", place.url())));
    }
    let name = staged(group);
    let folder = groups.make(&name).map_err(error)?;
    let made = make_rooms(place, &folder, &ownership, access).and_then(|()| groups.sync().map_err(error));
    if made.is_err() {
        // Only what is empty goes: a room that holds records was there before.
        for room in Room::ALL {
            let _ = folder.remove_folder(room.as_str());
        }
        let _ = groups.remove_folder(&name);
    }
    made
}

fn make_rooms(
    place: &Place,
    folder: &Folder,
    ownership: &Ownership,
    access: &GroupAccess,
) -> Result<(), RepositoryError> {
    let error = |errno| place.error("making a group's rooms", errno);
    for room in Room::ALL {
        let room_folder = folder.make(room.as_str()).map_err(error)?;
        let mode = ownership.template.room_mode(room);
        room_folder.set_access(ownership.uid, ownership.gid, mode).map_err(|errno| match errno {
            Errno::PERM => {
                let readers = access.readers.first().map_or("", |name| name.as_str());
                place.denied(format!("giving a room to Unix group {readers} (only its members and root may)"))
            }
            errno => error(errno),
        })?;
        room_folder.sync().map_err(error)?;
    }
    folder.sync().map_err(error)
}

/// Gives a group its name. Announcing it twice is announcing it once.
pub(super) fn announce(place: &Place, groups: &Folder, group: GroupId) -> Result<(), RepositoryError> {
    let what = format!("group {group}");
    let error = |errno| place.error(&what, errno);
    let announced = group.to_string();
    if !groups.holds(&announced).map_err(error)? {
        let folder = open(groups, group).map_err(error)?;
        let control = folder.child(Room::Control.as_str()).and_then(|room| room.stat()).map_err(error)?;
        let shared = Template::of_room(Room::Control, mode_of(&control)).is_some_and(|t| t.shared);
        let mode = Template { shared, members_create: false }.group_mode();
        folder.set_access(control.st_uid, control.st_gid, mode).map_err(error)?;
        folder.sync().map_err(error)?;
        groups.rename_new(&staged(group), &announced).map_err(error)?;
    }
    groups.sync().map_err(error)
}
