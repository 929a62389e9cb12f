//! What this account may do with a group, and who else may do what: from modes, owners and groups alone.

use dkm_core::Room;
use dkm_core::member::Rights;
use rustix::fs::{Access, AtFlags, Stat, accessat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

use super::folder::{Folder, TEMPORARY};
use super::room::is_foreign;
use super::template::{Template, has_acl, has_default_acl, mode_of};
use crate::accounts;
use crate::repository::AccessLine;

/// Most names that are looked at of a room when access is described.
const NAMES_MAX: usize = 300_000;
/// So many records with a wrong access control are named one by one.
const NAMED_MAX: usize = 5;

pub(super) fn rights(group: &Folder) -> Result<Rights, Errno> {
    let keys = group.stat_of(Room::Keys.as_str())?;
    let read = may(group, Room::Keys, Access::READ_OK | Access::EXEC_OK)? && reads_records(&keys)?;
    Ok(Rights {
        read,
        // The owner of the folder could add without being able to read what others add: that makes no creator.
        create: read && may(group, Room::Keys, Access::WRITE_OK | Access::EXEC_OK)?,
        own: may(group, Room::Control, Access::WRITE_OK | Access::EXEC_OK)?,
    })
}

fn may(group: &Folder, room: Room, access: Access) -> Result<bool, Errno> {
    match accessat(group, room.as_str(), access, AtFlags::EACCESS) {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether records in a room's folder are readable: their group is the folder's, which its owner need not be in.
fn reads_records(room: &Stat) -> Result<bool, Errno> {
    let me = geteuid();
    let shared = mode_of(room) & 0o070 != 0;
    if me.is_root() || !shared {
        return Ok(me.is_root() || me.as_raw() == room.st_uid);
    }
    Ok(getegid().as_raw() == room.st_gid || getgroups()?.iter().any(|gid| gid.as_raw() == room.st_gid))
}

fn user(uid: u32) -> String {
    accounts::user_by_id(uid).map_or_else(|| format!("uid:{uid}"), |u| format!("uid:{uid} ({})", u.name))
}

pub(super) fn describe(root: &Folder, groups: &Folder, group: &Folder) -> Result<Vec<AccessLine>, Errno> {
    let stat = group.stat()?;
    let control = group.stat_of(Room::Control.as_str())?;
    let keys = group.stat_of(Room::Keys.as_str())?;
    let template = Template::of_room(Room::Keys, mode_of(&keys))
        .unwrap_or(Template { shared: mode_of(&control) & 0o070 != 0, members_create: true });

    let mut lines = Vec::new();
    let mut line = |who: String, may: &str, alarming| {
        lines.push(AccessLine { who, may: may.to_owned(), alarming });
    };
    line(user(control.st_uid), "own the group: set policy, change states of keys, add keys", false);
    if template.shared {
        let may = if template.members_create { "read and add keys" } else { "read keys" };
        readers(keys.st_gid, may, &mut line);
    }
    line("uid:0 (root)".to_owned(), "do everything: no mode stops root", false);

    for (what, folder) in [("the repository's folder", root), ("the folder of groups", groups)] {
        let stat = folder.stat()?;
        let mode = mode_of(&stat);
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            let may =
                format!("replace whole groups: {what} has mode {mode:04o} and no sticky bit (chmod +t)");
            line("others".to_owned(), &may, true);
        }
    }
    folder_lines("the group's folder", &stat, Some(template.group_mode()), &mut line);
    for room in Room::ALL {
        let folder = group.child(room.as_str())?;
        let room_stat = folder.stat()?;
        let what = format!("the folder {room}");
        folder_lines(&what, &room_stat, Some(template.room_mode(room)), &mut line);
        if (room_stat.st_uid, room_stat.st_gid) != (stat.st_uid, stat.st_gid) {
            line(
                user(room_stat.st_uid),
                &format!("own {what}, which another than the group's owner has"),
                true,
            );
        }
        if has_acl(&folder) || has_default_acl(&folder) {
            line("others".to_owned(), &format!("use {what} by an access control list (setfacl -b)"), true);
        }
        records(room, &folder, template, &room_stat, &mut line)?;
    }
    if has_acl(group) || has_default_acl(group) {
        line("others".to_owned(), "enter the group's folder by an access control list (setfacl -b)", true);
    }
    Ok(lines)
}

fn readers(gid: u32, may: &str, line: &mut impl FnMut(String, &str, bool)) {
    let Some(found) = accounts::group_by_id(gid) else {
        return line(format!("gid:{gid}"), may, false);
    };
    line(format!("gid:{gid} ({})", found.name), may, false);
    let mut members = found.members;
    members.extend(accounts::users_with_primary(gid));
    members.sort();
    members.dedup();
    for name in members {
        let who = accounts::user_id(&name).map_or_else(|| name.clone(), |uid| format!("uid:{uid} ({name})"));
        line(who, &format!("{may}, as a member of gid:{gid}"), false);
    }
}

fn folder_lines(what: &str, stat: &Stat, template: Option<u32>, line: &mut impl FnMut(String, &str, bool)) {
    let mode = mode_of(stat);
    let Some(template) = template.filter(|template| *template != mode) else { return };
    let who = if mode & 0o007 != 0 { "others" } else { "the Unix group" };
    let may = format!("use {what} otherwise than meant: it has mode {mode:04o} instead of {template:04o}");
    line(who.to_owned(), &may, true);
}

/// Records whose access control is not the template's; such keys do not protect.
fn records(
    room: Room,
    folder: &Folder,
    template: Template,
    room_stat: &Stat,
    line: &mut impl FnMut(String, &str, bool),
) -> Result<(), Errno> {
    let mut wrong = 0usize;
    for name in folder.names(NAMES_MAX)? {
        let stat = match folder.stat_of(&name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        let why = if is_foreign(&name, &stat) {
            "is no record".to_owned()
        } else if name.starts_with(TEMPORARY) {
            continue;
        } else if mode_of(&stat) != template.record_mode() {
            format!("has mode {:04o} instead of {:04o}", mode_of(&stat), template.record_mode())
        } else if template.shared && stat.st_gid != room_stat.st_gid {
            format!("belongs to gid:{} instead of gid:{}", stat.st_gid, room_stat.st_gid)
        } else if stat.st_nlink != 1 {
            "has another name somewhere".to_owned()
        } else {
            continue;
        };
        wrong += 1;
        if wrong <= NAMED_MAX {
            line(user(stat.st_uid), &format!("decide on {room}/{name}, which {why}"), true);
        }
    }
    if wrong > NAMED_MAX {
        line("others".to_owned(), &format!("decide on {} more records of {room}", wrong - NAMED_MAX), true);
    }
    Ok(())
}
