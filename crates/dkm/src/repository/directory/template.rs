//! Which modes a group's folders and files have, and whether they still have them.

use std::os::fd::AsFd;

use dkm_core::Room;
use rustix::fs::{FileType, Stat, fgetxattr_query};
use rustix::io::Errno;

/// Who shall read and create: what the modes of a group follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Template {
    /// The folders' Unix group reads; otherwise only their owner.
    pub(super) shared: bool,
    /// Readers add keys; otherwise only the owner.
    pub(super) members_create: bool,
}

/// Set-group-id on folders makes new files inherit the group; the sticky bit keeps members from each other's keys.
const PRIVATE: u32 = 0o700;
const READ_BY_GROUP: u32 = 0o2750;
const ADDED_BY_GROUP: u32 = 0o3770;

impl Template {
    pub(super) const fn group_mode(self) -> u32 {
        if self.shared { READ_BY_GROUP } else { PRIVATE }
    }

    pub(super) const fn room_mode(self, room: Room) -> u32 {
        match (self.shared, room) {
            (false, _) => PRIVATE,
            (true, Room::Keys) if self.members_create => ADDED_BY_GROUP,
            (true, _) => READ_BY_GROUP,
        }
    }

    /// The template that a room's mode stands for; none for a mode that no room is made with.
    pub(super) const fn of_room(room: Room, mode: u32) -> Option<Self> {
        match (mode & 0o7777, room) {
            (PRIVATE, _) => Some(Self { shared: false, members_create: false }),
            (READ_BY_GROUP, _) => Some(Self { shared: true, members_create: false }),
            (ADDED_BY_GROUP, Room::Keys) => Some(Self { shared: true, members_create: true }),
            _ => None,
        }
    }

    pub(super) const fn record_mode(self) -> u32 {
        if self.shared { 0o440 } else { 0o400 }
    }
}

/// Whether an access control list stands beside the mode.
pub(super) fn has_acl(fd: impl AsFd) -> bool {
    has_attribute(fd, "system.posix_acl_access")
}

/// Whether a folder hands an access control list down to what is made in it.
pub(super) fn has_default_acl(fd: impl AsFd) -> bool {
    has_attribute(fd, "system.posix_acl_default")
}

/// File systems without access control lists have none; one that cannot tell is not trusted.
fn has_attribute(fd: impl AsFd, name: &str) -> bool {
    !matches!(fgetxattr_query(fd, name), Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS))
}

/// A file's or folder's permission bits.
pub(super) const fn mode_of(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}
