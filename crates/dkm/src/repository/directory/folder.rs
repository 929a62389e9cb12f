//! Folders held by descriptor. Every name below the repository's own is opened relative to its folder and never
//! through a symbolic link, so that nobody can lead a reader or writer elsewhere by swapping a component.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fchmod, fchown, fstat, fsync, mkdirat,
    openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::step::step;
use crate::unix;

/// Names that begin so are being written; they are no records.
pub(super) const TEMPORARY: &str = ".tmp-";

/// An open folder.
pub(super) struct Folder {
    fd: OwnedFd,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Folder(..)")
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens the folder that a user names; only here are symbolic links followed.
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        openat(CWD, path, FLAGS, Mode::empty()).map(|fd| Self { fd })
    }

    pub(super) fn child(&self, name: &str) -> Result<Self, Errno> {
        openat(&self.fd, name, FLAGS | OFlags::NOFOLLOW, Mode::empty()).map(|fd| Self { fd })
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        fstat(&self.fd)
    }

    pub(super) fn stat_of(&self, name: &str) -> Result<Stat, Errno> {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn holds(&self, name: &str) -> Result<bool, Errno> {
        match self.stat_of(name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Names in the folder, but `.` and `..`; those that are not UTF-8 are none of ours.
    ///
    /// # Errors
    /// `E2BIG` for more than `limit`.
    pub(super) fn names(&self, limit: usize) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(_) if names.len() >= limit => return Err(Errno::TOOBIG),
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    /// Makes the names in the folder durable. File systems that can't, or can't be changed, have nothing to lose.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        step("sync a folder")?;
        match fsync(&self.fd) {
            Ok(()) | Err(Errno::INVAL | Errno::ROFS) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a folder that nobody but the caller can enter; one that is there already is opened.
    pub(super) fn make(&self, name: &str) -> Result<Self, Errno> {
        step("make a folder")?;
        match mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.child(name),
            Err(error) => Err(error),
        }
    }

    /// Gives the folder its final owner, group and mode, in this order: a change of owner may clear mode bits.
    pub(super) fn set_access(&self, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
        let now = self.stat()?;
        if (now.st_uid, now.st_gid) != (uid, gid) {
            step("give a folder away")?;
            fchown(&self.fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        step("set a folder's mode")?;
        fchmod(&self.fd, Mode::from_raw_mode(mode))?;
        let now = self.stat()?;
        // The kernel drops the set-group-id bit silently for a group that the caller is not in.
        if now.st_mode & 0o7777 == mode { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Renames within the folder; `false` if the new name is taken, which keeps what it holds.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> Result<bool, Errno> {
        step("rename")?;
        let renamed = if lacks_rename() {
            Err(Errno::INVAL)
        } else {
            renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE)
        };
        match renamed {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // Some file systems (NFS among them) cannot refuse to replace while renaming.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.rename_by_other_means(from, to),
            Err(error) => Err(error),
        }
    }

    fn rename_by_other_means(&self, from: &str, to: &str) -> Result<bool, Errno> {
        if FileType::from_raw_mode(self.stat_of(from)?.st_mode) == FileType::Directory {
            // A folder never replaces one that holds anything, and a group's always does.
            return match renameat(&self.fd, from, &self.fd, to) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
                Err(error) => Err(error),
            };
        }
        match rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(error),
        }
        // Another writer of this account may have swept it away already.
        self.remove(from).map(|()| true)
    }

    /// Removes a file; one that is gone already is success.
    pub(super) fn remove(&self, name: &str) -> Result<(), Errno> {
        step("unlink")?;
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes a folder that is empty.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), Errno> {
        step("remove a folder")?;
        unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
    }

    /// Writes a whole file under a free name, durably: `false` if the name is taken. Whatever happens on the way, the
    /// name is free or holds the whole file, and errors leave nothing behind.
    pub(super) fn add(&self, name: &str, bytes: &[u8], access: &FileAccess) -> Result<bool, Errno> {
        if self.holds(name)? {
            return Ok(false);
        }
        let temporary = unix::temporary_name(TEMPORARY).map_err(|_| Errno::IO)?;
        step("create a temporary file")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, &*temporary, flags, Mode::RUSR)?;
        let added = write(&fd, bytes, access).and_then(|()| self.rename_new(&temporary, name));
        if !matches!(added, Ok(true)) {
            // What can't be removed now is removed later, by its age.
            let _ = self.remove(&temporary);
        }
        if added? { self.sync().map(|()| true) } else { Ok(false) }
    }
}

/// Owner, group and mode of a new file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileAccess {
    /// If not the caller.
    pub(super) uid: Option<u32>,
    /// If not as the folder gives it.
    pub(super) gid: Option<u32>,
    pub(super) mode: u32,
}

/// In fault-injection builds files are written in pieces, so that a test can stop between two of them.
const PIECE_LEN: usize = if cfg!(any(test, feature = "fault-injection")) { 64 } else { usize::MAX };

fn write(fd: &OwnedFd, bytes: &[u8], access: &FileAccess) -> Result<(), Errno> {
    let mut left = bytes;
    while !left.is_empty() {
        step("write a piece")?;
        let piece = left.get(..PIECE_LEN).unwrap_or(left);
        match rustix::io::write(fd, piece) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => left = left.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    let now = fstat(fd)?;
    let uid = access.uid.filter(|uid| *uid != now.st_uid).map(Uid::from_raw);
    let gid = access.gid.filter(|gid| *gid != now.st_gid).map(Gid::from_raw);
    if uid.is_some() || gid.is_some() {
        step("give a file away")?;
        fchown(fd, uid, gid)?;
    }
    step("set a file's mode")?;
    fchmod(fd, Mode::from_raw_mode(access.mode))?;
    step("sync a file")?;
    fsync(fd)
}

/// Whether a test pretends that the file system cannot rename without replacing.
fn lacks_rename() -> bool {
    cfg!(any(test, feature = "fault-injection")) && std::env::var_os("DKM_FAULT_NO_RENAME").is_some()
}
