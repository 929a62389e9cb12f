//! Reading a replica: bytes become records, wrapped material is opened, and each key's id is verified.

use std::collections::HashMap;
use std::sync::Arc;

use dkm_core::blob::BlobKey;
use dkm_core::record::{Family, KeyRecord, Material, Record, RecordError, wrap_aad};
use dkm_core::ring::Observed;
use dkm_core::{Digest, GroupId, KeyId, RepositoryId, Room, SlotName};
use zeroize::Zeroizing;

use crate::repository::{Entry, Replica, RepositoryError, Stored};
use crate::root_key::{RootKeyError, RootKeyProvider};

/// A record that was read whole.
#[derive(Debug, Clone)]
pub(crate) struct ReadRecord {
    /// Where it lies.
    pub(crate) entry: Entry,
    /// The record without key material, for decisions.
    pub(crate) observed: Arc<Observed>,
    /// For a key: its verified material.
    pub(crate) material: Option<KeyMaterial>,
    /// Why the material of a key could not be opened; such a key is listed but unprotects nothing.
    pub(crate) fault: Option<RootKeyError>,
}

/// A key's material on its way to the vault or into an archive.
#[derive(Clone)]
pub(crate) struct KeyMaterial {
    pub(crate) id: KeyId,
    pub(crate) family: Family,
    pub(crate) bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyMaterial({})", self.id)
    }
}

/// A record that could not be used, and why. Unknown kinds and versions are among them; they never stop a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unread {
    pub(crate) room: Room,
    pub(crate) name: SlotName,
    pub(crate) why: String,
}

/// Everything that one replica holds of a group.
#[derive(Debug, Default)]
pub(crate) struct GroupReading {
    pub(crate) records: Vec<ReadRecord>,
    pub(crate) unread: Vec<Unread>,
}

/// What was read of a replica before, by room and entry: equal stamps need not be read again.
pub(crate) type Known = HashMap<(Room, Entry), Before>;

/// What a record came to when it was read before.
#[derive(Debug, Clone)]
pub(crate) enum Before {
    Record(Arc<Observed>),
    /// Its bytes are no record, and why: a room full of rubbish is not read anew each time.
    Rubbish(String),
}

/// Reads both rooms of a group, control first, so that a tombstone is known before its key. Entries in `known` are not
/// read again; they come without material.
///
/// # Errors
/// The replica fails or denies. A single record that is damaged or unknown is no error.
pub(crate) fn read_group(
    replica: &mut dyn Replica,
    group: GroupId,
    roots: &dyn RootKeyProvider,
    known: &mut Known,
) -> Result<GroupReading, RepositoryError> {
    let mut reading = GroupReading::default();
    let mut present = Known::new();
    let repository = replica.repository();
    for room in Room::ALL {
        for entry in replica.list(group, room)? {
            let at = (room, entry);
            if let Some(before) = known.get(&at) {
                match before {
                    Before::Record(observed) => reading.records.push(ReadRecord {
                        entry: at.1.clone(),
                        observed: observed.clone(),
                        material: None,
                        fault: None,
                    }),
                    Before::Rubbish(why) => {
                        reading.unread.push(Unread { room, name: at.1.name.clone(), why: why.clone() });
                    }
                }
                present.insert(at, before.clone());
                continue;
            }
            let stored = match replica.get(group, room, &at.1) {
                Ok(stored) => stored,
                // Shredded between list and get.
                Err(RepositoryError::NotFound { .. }) => continue,
                Err(RepositoryError::Unreadable { why, .. }) => {
                    reading.unread.push(Unread { room, name: at.1.name, why });
                    continue;
                }
                Err(error) => return Err(error),
            };
            match open_record(repository, group, room, &at.1, &stored, roots) {
                Ok(read) => {
                    // A key that did not open is tried again: its root key may come back.
                    if read.fault.is_none() {
                        present.insert(at, Before::Record(read.observed.clone()));
                    }
                    reading.records.push(read);
                }
                Err(why) => {
                    let why = why.to_string();
                    reading.unread.push(Unread { room, name: at.1.name.clone(), why: why.clone() });
                    present.insert(at, Before::Rubbish(why));
                }
            }
        }
    }
    *known = present;
    Ok(reading)
}

/// Opens one stored record.
///
/// # Errors
/// It is no record of this group that this program knows.
pub(crate) fn open_record(
    repository: RepositoryId,
    group: GroupId,
    room: Room,
    entry: &Entry,
    stored: &Stored,
    roots: &dyn RootKeyProvider,
) -> Result<ReadRecord, RecordError> {
    let (found, mut record) = Record::decode(&stored.bytes)?;
    if found != group {
        return Err(RecordError::Invalid(format!("it belongs to group {found}")));
    }
    let digest = Digest::of(&stored.bytes);
    let read = |record, verified| {
        Arc::new(Observed {
            room,
            name: entry.name.clone(),
            digest,
            record,
            attested: stored.attested.clone(),
            verified,
        })
    };
    let Record::Key(key) = &mut record else {
        return Ok(ReadRecord {
            entry: entry.clone(),
            observed: read(record, true),
            material: None,
            fault: None,
        });
    };
    let (material, fault) = match open_material(repository, group, key, roots) {
        Ok(bytes) => (bytes, None),
        Err(fault) => (None, Some(fault)),
    };
    key.material = Material::None;
    let (id, family) = (key.id, key.family);
    let material = material
        .filter(|bytes| BlobKey::new(group, family, bytes).id() == id)
        .map(|bytes| KeyMaterial { id, family, bytes });
    let verified = material.is_some();
    Ok(ReadRecord { entry: entry.clone(), observed: read(record, verified), material, fault })
}

/// The 32 bytes of a key record, unwrapped where they are wrapped; none for a record without material.
fn open_material(
    repository: RepositoryId,
    group: GroupId,
    key: &KeyRecord,
    roots: &dyn RootKeyProvider,
) -> Result<Option<Zeroizing<[u8; 32]>>, RootKeyError> {
    match &key.material {
        Material::None => Ok(None),
        Material::Plain(bytes) => Ok(Some(bytes.clone())),
        Material::Wrapped(wrapped) => {
            let aad = wrap_aad(repository, group, key);
            roots.unwrap(group, &aad, wrapped).map(Some)
        }
    }
}

/// A key record with its material as policy wants it to lie in the repository.
///
/// # Errors
/// The root key can't be used.
pub(crate) fn seal_record(
    repository: RepositoryId,
    group: GroupId,
    mut key: KeyRecord,
    material: &Zeroizing<[u8; 32]>,
    wrap: bool,
    roots: &dyn RootKeyProvider,
) -> Result<KeyRecord, RootKeyError> {
    key.material = if wrap {
        let aad = wrap_aad(repository, group, &key);
        Material::Wrapped(roots.wrap(group, &aad, material)?)
    } else {
        Material::Plain(material.clone())
    };
    Ok(key)
}
