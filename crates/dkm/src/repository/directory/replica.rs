//! A connection to a directory repository.

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::member::Rights;
use dkm_core::record::RECORD_LEN_MAX;
use dkm_core::{GroupId, KeyId, Principal, ReplicaId, RepositoryId, Room, SlotName, Timestamp};
use rustix::io::Errno;

use super::folder::Folder;
use super::manifest::Manifest;
use super::place::Place;
use super::record::{Fault, RecordFile, folder_stamp, key_of};
use super::room::OpenRoom;
use super::{access, groups};
use crate::repository::{AccessLine, Entry, GroupAccess, Put, Replica, RepositoryError, Stored};

#[derive(Debug)]
pub(super) struct DirectoryReplica {
    place: Place,
    manifest: Manifest,
    root: Folder,
    groups: Folder,
    /// The room that was listed or read last: a ring's keys are read one after the other.
    last: Option<OpenRoom>,
    buried: BTreeMap<GroupId, Buried>,
    swept: BTreeSet<(GroupId, Room)>,
}

/// Tombstones as they were when the control room had this stamp.
#[derive(Debug, Default)]
struct Buried {
    at: Option<Vec<u8>>,
    keys: BTreeSet<KeyId>,
}

impl DirectoryReplica {
    pub(super) fn new(place: Place, manifest: Manifest, root: Folder) -> Result<Self, RepositoryError> {
        let groups = root.child(groups::NAME).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                place.not_a_repository(format!("it has no folder {}", groups::NAME))
            }
            errno => place.error("the folder of groups", errno),
        })?;
        Ok(Self {
            place,
            manifest,
            root,
            groups,
            last: None,
            buried: BTreeMap::new(),
            swept: BTreeSet::new(),
        })
    }

    fn open_room(&self, group: GroupId, room: Room) -> Result<OpenRoom, RepositoryError> {
        let what = format!("group {group}");
        let folder = groups::open(&self.groups, group).map_err(|errno| self.place.error(&what, errno))?;
        OpenRoom::open(&folder, group, room).map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => self.place.not_found(format!("room {room} of {what}")),
            errno => self.place.error(&format!("room {room} of {what}"), errno),
        })
    }

    /// Whether a key has a tombstone here, as the control room stands now.
    fn is_buried(&mut self, group: GroupId, key: KeyId) -> Result<bool, RepositoryError> {
        let control = self.open_room(group, Room::Control)?;
        let what = format!("tombstones of group {group}");
        let error = |errno| self.place.error(&what, errno);
        let at = folder_stamp(&control.stat().map_err(error)?);
        let buried = self.buried.entry(group).or_default();
        if at.is_none() || at != buried.at {
            *buried = Buried { at, keys: control.tombstones().map_err(error)? };
        }
        Ok(buried.keys.contains(&key))
    }

    fn fault(&self, name: &SlotName, fault: Fault) -> RepositoryError {
        let what = format!("record {name}");
        let location = self.place.url().to_owned();
        let unreadable = |why| RepositoryError::Unreadable { location, name: name.to_string(), why };
        match fault {
            Fault::Gone => self.place.not_found(what),
            Fault::Closed => unreadable("its own mode keeps this account from reading it".to_owned()),
            Fault::Odd(why) => unreadable(why),
            Fault::Failed(errno) => self.place.error(&what, errno),
        }
    }

    fn not_tombstoned(&self, name: &SlotName) -> RepositoryError {
        RepositoryError::NotTombstoned { location: self.place.url().to_owned(), name: name.to_string() }
    }
}

impl Replica for DirectoryReplica {
    fn repository(&self) -> RepositoryId {
        self.manifest.repository
    }

    fn id(&self) -> ReplicaId {
        self.manifest.replica
    }

    /// None: a file's time is this machine's clock again, or costs a write to learn.
    fn clock(&mut self) -> Result<Option<Timestamp>, RepositoryError> {
        Ok(None)
    }

    fn groups(&mut self) -> Result<Vec<GroupId>, RepositoryError> {
        groups::list(&self.groups).map_err(|errno| self.place.error("the folder of groups", errno))
    }

    fn rights(&mut self, group: GroupId) -> Result<Rights, RepositoryError> {
        let what = format!("group {group}");
        let error = |errno| self.place.error(&what, errno);
        let folder = groups::open(&self.groups, group).map_err(error)?;
        access::rights(&folder).map_err(error)
    }

    fn author(&mut self, group: GroupId, room: Room) -> Result<Option<Principal>, RepositoryError> {
        Ok(Some(Principal(format!("uid:{}", self.open_room(group, room)?.author()))))
    }

    fn list(&mut self, group: GroupId, room: Room) -> Result<Vec<Entry>, RepositoryError> {
        let open = self.open_room(group, room)?;
        let entries =
            open.list().map_err(|errno| self.place.error(&format!("room {room} of group {group}"), errno))?;
        self.last = Some(open);
        Ok(entries)
    }

    fn get(&mut self, group: GroupId, room: Room, entry: &Entry) -> Result<Stored, RepositoryError> {
        let open = match self.last.take().filter(|last| (last.group, last.room) == (group, room)) {
            Some(open) => open,
            None => self.open_room(group, room)?,
        };
        let stored = open
            .open_record(&entry.name)
            .and_then(|file| file.stored(open.template()))
            .map_err(|fault| self.fault(&entry.name, fault));
        self.last = Some(open);
        let stored = stored?;
        if room == Room::Keys && RecordFile::is_being_erased(&stored.bytes) {
            return Err(self.fault(&entry.name, Fault::Gone));
        }
        Ok(stored)
    }

    fn put(
        &mut self,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError> {
        if bytes.is_empty() || bytes.len() > RECORD_LEN_MAX {
            let len = bytes.len();
            return Err(RepositoryError::Invalid(format!(
                "a record has 1 to {RECORD_LEN_MAX} bytes, not {len}"
            )));
        }
        if RecordFile::is_being_erased(bytes) {
            return Err(RepositoryError::Invalid("these bytes stand for an erased record".to_owned()));
        }
        let open = self.open_room(group, room)?;
        let key = (room == Room::Keys).then(|| key_of(group, bytes)).flatten();
        if let Some(key) = key
            && self.is_buried(group, key)?
        {
            return Ok(Put::Tombstoned);
        }
        let what = format!("adding to {room} of group {group}");
        if !open.add(name, bytes).map_err(|errno| self.place.error(&what, errno))? {
            return Ok(Put::Taken);
        }
        // A tombstone may have come since the look above. Whoever wrote it either sees this record when it erases, or
        // its tombstone is seen here.
        if let Some(key) = key
            && self.is_buried(group, key)?
        {
            let file = match open.open_record(name) {
                Ok(file) => file,
                Err(Fault::Gone) => return Ok(Put::Tombstoned),
                Err(fault) => return Err(self.fault(name, fault)),
            };
            open.erase(name.as_str(), &file).map_err(|errno| self.place.error(&what, errno))?;
            return Ok(Put::Tombstoned);
        }
        if self.swept.insert((group, room))
            && let Err(error) = open.sweep()
        {
            // The record is durable; what others left behind does not change that.
            tracing::debug!(%error, "leftovers were not removed");
        }
        Ok(Put::Created)
    }

    fn shred(&mut self, group: GroupId, entry: &Entry) -> Result<(), RepositoryError> {
        let open = self.open_room(group, Room::Keys)?;
        let name = &entry.name;
        let what = format!("erasing record {name}");
        let read = open.open_record(name).and_then(|file| file.read().map(|bytes| (file, bytes)));
        let (file, bytes) = match read {
            Ok(read) => read,
            // Whoever removed it may have died before that was durable.
            Err(Fault::Gone) => return open.sync().map_err(|errno| self.place.error(&what, errno)),
            Err(Fault::Odd(_)) => return Err(self.not_tombstoned(name)),
            Err(Fault::Closed) => return Err(self.place.denied(what)),
            Err(fault) => return Err(self.fault(name, fault)),
        };
        let key = key_of(group, &bytes);
        let condemned = match key {
            Some(key) => self.is_buried(group, key)?,
            None => RecordFile::is_being_erased(&bytes),
        };
        if !condemned {
            return Err(self.not_tombstoned(name));
        }
        let error = |errno| self.place.error(&what, errno);
        // Unfinished writes first: after a crash the record is what brings a client back here.
        if let Some(key) = key {
            open.erase_temporaries(key).map_err(error)?;
        }
        let whole = open.erase(name.as_str(), &file).map_err(error)?;
        if whole {
            Ok(())
        } else {
            let why =
                format!("{what}: the file has another name somewhere, and only its author may overwrite it");
            Err(self.place.unavailable(why))
        }
    }

    fn create_group(&mut self, group: GroupId, access: &GroupAccess) -> Result<(), RepositoryError> {
        groups::create(&self.place, &self.groups, group, access)
    }

    fn announce_group(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        groups::announce(&self.place, &self.groups, group)
    }

    fn describe_access(&mut self, group: GroupId) -> Result<Vec<AccessLine>, RepositoryError> {
        let what = format!("group {group}");
        let error = |errno| self.place.error(&what, errno);
        let folder = groups::open(&self.groups, group).map_err(error)?;
        access::describe(&self.root, &self.groups, &folder).map_err(error)
    }
}
