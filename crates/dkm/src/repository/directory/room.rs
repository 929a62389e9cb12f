//! A room that is open: its records, tombstones and leftovers.

use std::collections::BTreeSet;

use dkm_core::record::{Change, Record};
use dkm_core::{GroupId, KeyId, Room, SlotName};
use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::process::geteuid;

use super::folder::{FileAccess, Folder, TEMPORARY};
use super::record::{self, Fault, Listing, RecordFile, RoomTemplate, key_of};
use super::template::{Template, has_acl, has_default_acl, is_file, mode_of};
use crate::repository::Entry;

/// Most names that are listed of a room: three for each key that a ring may have.
const NAMES_MAX: usize = 300_000;

/// A temporary file older than this belongs to a writer that has died.
const TEMPORARY_AGE_MAX_MS: u64 = 3_600_000;

/// A room of a group.
#[derive(Debug)]
pub(super) struct OpenRoom {
    pub(super) group: GroupId,
    pub(super) room: Room,
    folder: Folder,
    uid: u32,
    template: RoomTemplate,
}

impl OpenRoom {
    pub(super) fn open(group_folder: &Folder, group: GroupId, room: Room) -> Result<Self, Errno> {
        let folder = group_folder.child(room.as_str())?;
        let stat = folder.stat()?;
        let template = Template::of_room(room, mode_of(&stat))
            .filter(|_| !has_acl(&folder) && !has_default_acl(&folder));
        let template = RoomTemplate { template, gid: stat.st_gid };
        Ok(Self { group, room, folder, uid: stat.st_uid, template })
    }

    /// Names and stamps of the records. What the listing shows has been made durable, whoever wrote it: a reader may
    /// act on it at once.
    pub(super) fn list(&self) -> Result<Vec<Entry>, Errno> {
        let listing = Listing::begin()?;
        let mut entries = Vec::new();
        for name in self.folder.names(NAMES_MAX)? {
            let Ok(slot) = name.parse::<SlotName>() else { continue };
            match self.folder.stat_of(&name) {
                Ok(stat) => entries.push(Entry { name: slot, stamp: record::stamp(&stat, &listing) }),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        self.folder.sync()?;
        Ok(entries)
    }

    pub(super) fn open_record(&self, name: &SlotName) -> Result<RecordFile, Fault> {
        RecordFile::open(&self.folder, name.as_str())
    }

    pub(super) fn template(&self) -> RoomTemplate {
        self.template
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        self.folder.stat()
    }

    pub(super) fn sync(&self) -> Result<(), Errno> {
        self.folder.sync()
    }

    /// Who owns what this account adds. Root acts for the owner: what it adds must not be closed to him. A shared key stays
    /// root's, because an owner need not be a reader.
    pub(super) fn author(&self) -> u32 {
        let shared = self.template.template.is_some_and(|template| template.shared);
        let me = geteuid();
        if me.is_root() && (self.room == Room::Control || !shared) { self.uid } else { me.as_raw() }
    }

    /// Adds a record; `false` if its slot is taken.
    pub(super) fn add(&self, name: &SlotName, bytes: &[u8]) -> Result<bool, Errno> {
        let template = self.template.template.unwrap_or(Template { shared: false, members_create: false });
        let access = FileAccess {
            uid: Some(self.author()),
            gid: template.shared.then_some(self.template.gid),
            mode: template.record_mode(),
        };
        self.folder.add(name.as_str(), bytes, &access)
    }

    /// Keys that have a tombstone in this room, which must be the control room.
    pub(super) fn tombstones(&self) -> Result<BTreeSet<KeyId>, Errno> {
        let mut buried = BTreeSet::new();
        for name in self.folder.names(NAMES_MAX)? {
            let Ok(slot) = name.parse::<SlotName>() else { continue };
            let bytes = match self.open_record(&slot).and_then(|file| file.read()) {
                Ok(bytes) => bytes,
                Err(Fault::Gone | Fault::Closed | Fault::Odd(_)) => continue,
                Err(Fault::Failed(error)) => return Err(error),
            };
            if let Ok((of, Record::Status(status))) = Record::decode(&bytes)
                && of == self.group
                && status.change == Change::Destroyed
            {
                buried.insert(status.key);
            }
        }
        Ok(buried)
    }

    /// Overwrites and removes a file of this room. `Ok(false)`: it is removed, but its bytes live on under another name.
    pub(super) fn erase(&self, name: &str, file: &RecordFile) -> Result<bool, Errno> {
        let overwritten = match record::overwrite(&self.folder, name, file) {
            Ok(overwritten) => overwritten,
            // Not overwriting is no reason to keep it.
            Err(Errno::NOSPC | Errno::DQUOT | Errno::PERM | Errno::ACCESS) => false,
            Err(error) => return Err(error),
        };
        self.folder.remove(name)?;
        self.folder.sync()?;
        Ok(overwritten || file.stat.st_nlink < 2)
    }

    /// Removes what writers of this account have left behind. Never another's file, and never one that may be in use.
    pub(super) fn sweep(&self) -> Result<(), Errno> {
        let me = geteuid().as_raw();
        // By the file system's own clock, which need not be this machine's: the room was changed no later than now.
        let now = record::written(&self.folder.stat()?);
        self.each_temporary(|name, file| {
            let stale = now.since(record::written(&file.stat)) > TEMPORARY_AGE_MAX_MS;
            // With a second name it was linked to its slot already.
            if file.stat.st_uid == me && (stale || file.stat.st_nlink > 1) {
                self.folder.remove(name)?;
            }
            Ok(())
        })
    }

    /// Erases unfinished writes of a key's record, of whatever age.
    pub(super) fn erase_temporaries(&self, key: KeyId) -> Result<(), Errno> {
        self.each_temporary(|name, file| {
            let holds_key = file.read().is_ok_and(|bytes| key_of(self.group, &bytes) == Some(key));
            if holds_key { self.erase(name, file).map(|_| ()) } else { Ok(()) }
        })
    }

    fn each_temporary(
        &self,
        mut visit: impl FnMut(&str, &RecordFile) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        for name in self.folder.names(NAMES_MAX)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
            match RecordFile::open(&self.folder, name) {
                Ok(file) => visit(name, &file)?,
                Err(Fault::Gone | Fault::Closed | Fault::Odd(_)) => {}
                Err(Fault::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a name in a room stands for something that no program of this version has put there.
pub(super) fn is_foreign(name: &str, stat: &Stat) -> bool {
    !name.starts_with(TEMPORARY) && (name.parse::<SlotName>().is_err() || !is_file(stat))
}
