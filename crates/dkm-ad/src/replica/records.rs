//! Records as objects: what is listed, what is read together, and what the directory attests.

use std::collections::{BTreeSet, HashMap};

use dkm::repository::{Entry, RepositoryError, Stored};
use dkm_core::record::{Change, Record};
use dkm_core::{Attestation, GroupId, KeyId, Principal, Room, SlotName};
use zeroize::Zeroizing;

use crate::ldap::{Found, all_of, equal, greater_or_equal};
use crate::name;
use crate::security::{Deviation, SecurityDescriptor, Sid, Trustees, compare};

use super::ANNOUNCED;
use super::rooms::{CONTACT, Rooms};

/// The attribute that holds a record's bytes: up to 100 KiB, in no copy of the global catalogue, read by nobody whom the
/// object's own descriptor does not name.
pub(crate) const BYTES: &str = "thumbnailPhoto";
/// The attribute that holds the id of the key that a record is about, so that it can be asked for. Only a hint: the
/// record itself tells.
pub(crate) const KEY: &str = "l";

/// What is read of a record beside its names.
pub(super) const CONTENT: [&str; 3] = [BYTES, "whenCreated", "nTSecurityDescriptor"];

/// A listed object.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) entry: Entry,
    /// Its update sequence number on this domain controller: what changed later has a higher one.
    pub(super) usn: u64,
}

/// Objects of a room that were read together, waiting to be asked for.
#[derive(Debug, Default)]
pub(super) struct Batch {
    listed: HashMap<Entry, u64>,
    read: HashMap<Entry, Result<Stored, String>>,
    /// From this number on, everything was read.
    since: Option<u64>,
}

impl Listed {
    /// An object as a list shows it; none if it takes no slot. One that is at odds with itself takes the slot of its name
    /// and is read as no record: or whoever adds such objects could keep the slot for himself, unseen. Its stamp tells
    /// of the roles that its descriptor was compared with, too.
    pub(super) fn of(found: &Found, rooms: &Rooms) -> Option<Self> {
        let name = match slot_of(found) {
            Some(slot) => slot,
            None => found.text("name").filter(|name| *name != ANNOUNCED)?.parse().ok()?,
        };
        let usn: u64 = found.text("uSNChanged")?.parse().ok()?;
        let mut stamp = found.bytes("objectGUID")?.to_vec();
        stamp.extend_from_slice(&usn.to_be_bytes());
        stamp.extend_from_slice(&rooms.roles);
        Some(Self { entry: Entry { name, stamp }, usn })
    }
}

fn slot_of(found: &Found) -> Option<SlotName> {
    name::slot(found.text("name")?, found.text("displayName")?)
}

/// What the directory holds of a record. `trustees` tell what its descriptor must be; `taken` are owners who must have
/// taken a key, for they do not make any.
pub(super) fn stored(
    found: &Found,
    room: Room,
    trustees: Option<&Trustees>,
    taken: &BTreeSet<Sid>,
) -> Result<Stored, String> {
    if slot_of(found).is_none() {
        return Err("its name and its displayName do not agree".to_owned());
    }
    let descriptor = found
        .bytes("nTSecurityDescriptor")
        .ok_or("its descriptor may not be read")
        .and_then(|bytes| SecurityDescriptor::parse(bytes).map_err(|_| "its descriptor is damaged"))?;
    let owner = descriptor.owner.ok_or("nobody owns it")?;
    let created = found
        .text("whenCreated")
        .and_then(name::timestamp)
        .ok_or("the directory does not say when it was made")?;
    let bytes = found.bytes(BYTES).ok_or("its bytes may not be read, or it has none")?;
    let template_ok = trustees.is_some_and(|trustees| {
        let template = match room {
            Room::Keys => trustees.key_record(owner),
            Room::Control => trustees.control_record(owner),
        };
        let is_taken = room == Room::Keys && taken.contains(&owner);
        !is_taken && !compare(&descriptor, &template).iter().any(Deviation::widens)
    });
    Ok(Stored {
        bytes: Zeroizing::new(bytes.to_vec()),
        attested: Attestation { creator: Principal(owner.to_string()), created, template_ok },
    })
}

impl Batch {
    /// What was listed, newest knowledge first forgotten.
    pub(super) fn list(&mut self, listed: &[Listed]) {
        *self = Self {
            listed: listed.iter().map(|listed| (listed.entry.clone(), listed.usn)).collect(),
            ..Self::default()
        };
    }

    /// Takes in what was read with all contents, from a number on.
    pub(super) fn fill(
        &mut self,
        since: u64,
        found: &[Found],
        room: Room,
        rooms: &Rooms,
        taken: &BTreeSet<Sid>,
    ) {
        self.since = Some(self.since.map_or(since, |before| before.min(since)));
        for object in found {
            if let Some(listed) = Listed::of(object, rooms) {
                self.read.insert(listed.entry, stored(object, room, rooms.trustees.as_ref(), taken));
            }
        }
    }

    /// The number from which on to read so that this entry is among what comes; none if that was done.
    pub(super) fn wants(&self, entry: &Entry) -> Option<u64> {
        let usn = self.listed.get(entry).copied()?;
        self.since.is_none_or(|since| usn < since).then_some(usn)
    }

    /// Whether an entry was listed.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        self.listed.contains_key(entry)
    }

    pub(super) fn take(&mut self, entry: &Entry) -> Option<Result<Stored, String>> {
        self.read.remove(entry)
    }
}

impl Rooms {
    /// The search for all contents of a room that changed since.
    pub(super) fn contents(&self, room: Room, since: u64) -> crate::ldap::Search {
        let mut search = self.search(room);
        if since > 0 {
            search.filter = all_of(vec![
                equal("objectClass", CONTACT),
                greater_or_equal("uSNChanged", since.to_string()),
            ]);
        }
        search.attributes.extend(CONTENT);
        search
    }
}

/// The key that a record is about, and whether the record is its tombstone.
pub(super) fn about(group: GroupId, bytes: &[u8]) -> Option<(KeyId, bool)> {
    let (found, record) = Record::decode(bytes).ok()?;
    if found != group {
        return None;
    }
    match record {
        Record::Key(key) => Some((key.id, false)),
        Record::Status(status) => Some((status.key, status.change == Change::Destroyed)),
        _ => None,
    }
}

/// Who owns these objects.
pub(super) fn owners(found: &[Found]) -> BTreeSet<Sid> {
    found
        .iter()
        .filter_map(|found| SecurityDescriptor::parse(found.bytes("nTSecurityDescriptor")?).ok()?.owner)
        .collect()
}

/// The error for one record that is not served.
pub(super) fn unreadable(location: String, entry: &Entry, why: String) -> RepositoryError {
    RepositoryError::Unreadable { location, name: entry.name.to_string(), why }
}
