//! Reading a replica: bytes become records, wrapped material is opened, and each key's id is verified.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dkm_core::blob::BlobKey;
use dkm_core::record::{Family, KeyRecord, Material, Record, RecordError, wrap_aad};
use dkm_core::ring::Observed;
use dkm_core::{Digest, GroupId, KeyId, RepositoryId, Room, SlotName};
use zeroize::Zeroizing;

use crate::repository::{Changes, Entry, Listing, Replica, RepositoryError, Stored};
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
    /// It is what was read before, to the last record, which is not repeated here: [`Known::again`] does.
    pub(crate) unchanged: bool,
    pub(crate) records: Vec<ReadRecord>,
    pub(crate) unread: Vec<Unread>,
}

impl GroupReading {
    /// Takes what an entry came to before.
    fn push(&mut self, room: Room, entry: &Entry, before: &Before) {
        match before {
            Before::Record(observed) => self.records.push(ReadRecord {
                entry: entry.clone(),
                observed: observed.clone(),
                material: None,
                fault: None,
            }),
            Before::Rubbish(why) => {
                self.unread.push(Unread { room, name: entry.name.clone(), why: why.clone() });
            }
        }
    }
}

/// After so many readings of changes alone, a whole list is read: it shows what was removed. Readings of a store that was
/// not written to since the last whole list do not count.
const WHOLE_EVERY: u32 = 12;

/// What was read of a replica before: equal stamps need not be read again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    records: HashMap<(Room, Entry), Before>,
    /// Entries that could not be used, and might be later.
    pending: Vec<(Room, Entry)>,
    marks: HashMap<Room, Mark>,
}

/// Where the last reading of a room ended.
#[derive(Debug, Clone)]
struct Mark {
    mark: Vec<u8>,
    since_whole: u32,
}

impl Known {
    /// Has the next reading list everything: only that shows what was removed.
    pub(crate) fn forget_marks(&mut self) {
        self.marks.clear();
    }

    /// The mark to ask with, unless it is time for a whole list.
    fn mark(&self, room: Room) -> Option<&[u8]> {
        self.marks.get(&room).filter(|mark| mark.since_whole < WHOLE_EVERY).map(|mark| mark.mark.as_slice())
    }

    /// Whether a room holds exactly what it held: nothing was written to the store since its whole list was read.
    fn is_unchanged(&self, room: Room, changes: &Changes) -> bool {
        let before = self.marks.get(&room).filter(|before| before.since_whole == 0);
        let nothing = matches!(&changes.listing, Listing::Since { entries, .. } if entries.is_empty());
        nothing && before.is_some_and(|before| changes.mark.as_ref() == Some(&before.mark))
    }

    /// What was read before, once more.
    pub(crate) fn again(&self) -> GroupReading {
        let mut reading = GroupReading::default();
        for ((room, entry), before) in &self.records {
            reading.push(*room, entry, before);
        }
        reading
    }

    /// Every entry of a room, with what has changed in its place; and the next mark.
    fn entries(&self, room: Room, changes: Changes) -> (Vec<Entry>, Option<Mark>) {
        let Changes { listing, mark } = changes;
        let (entries, object_len) = match listing {
            Listing::Whole(entries) => return (entries, mark.map(|mark| Mark { mark, since_whole: 0 })),
            Listing::Since { entries, object_len } => (entries, object_len),
        };
        let since_whole = match self.marks.get(&room) {
            // Nothing at all was written since the whole list was read, so nothing is gone from it.
            Some(before) if before.since_whole == 0 && mark.as_ref() == Some(&before.mark) => 0,
            before => before.map_or(0, |before| before.since_whole) + 1,
        };
        let object = |entry: &Entry| entry.stamp.get(..object_len).unwrap_or(&entry.stamp).to_vec();
        let changed: HashSet<Vec<u8>> = entries.iter().map(object).collect();
        let before = self.records.keys().chain(&self.pending);
        let mut all: Vec<Entry> = before
            .filter(|(of, entry)| *of == room && (changed.is_empty() || !changed.contains(&object(entry))))
            .map(|(_, entry)| entry.clone())
            .collect();
        all.extend(entries);
        (all, mark.map(|mark| Mark { mark, since_whole }))
    }
}

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
    let mut present = Known::default();
    let repository = replica.repository();
    let mut listed = Vec::with_capacity(Room::ALL.len());
    for room in Room::ALL {
        listed.push((room, replica.changes(group, room, known.mark(room))?));
    }
    // What could not be read is tried again.
    if known.pending.is_empty() && listed.iter().all(|(room, changes)| known.is_unchanged(*room, changes)) {
        return Ok(GroupReading { unchanged: true, ..GroupReading::default() });
    }
    for (room, changes) in listed {
        let (entries, mark) = known.entries(room, changes);
        present.marks.extend(mark.map(|mark| (room, mark)));
        for entry in entries {
            let at = (room, entry);
            if let Some(before) = known.records.get(&at) {
                reading.push(room, &at.1, before);
                present.records.insert(at, before.clone());
                continue;
            }
            let stored = match replica.get(group, room, &at.1) {
                Ok(stored) => stored,
                // Shredded between list and get.
                Err(RepositoryError::NotFound { .. }) => continue,
                Err(RepositoryError::Unreadable { why, .. }) => {
                    reading.unread.push(Unread { room, name: at.1.name.clone(), why });
                    present.pending.push(at);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match open_record(repository, group, room, &at.1, &stored, roots) {
                Ok(read) => {
                    // A key that did not open is tried again: its root key may come back.
                    if read.fault.is_none() {
                        present.records.insert(at, Before::Record(read.observed.clone()));
                    } else {
                        present.pending.push(at);
                    }
                    reading.records.push(read);
                }
                Err(why) => {
                    let why = why.to_string();
                    reading.unread.push(Unread { room, name: at.1.name.clone(), why: why.clone() });
                    present.records.insert(at, Before::Rubbish(why));
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
    let (found, mut record) = stored.record()?;
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
            public: stored.public,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_written_to_since_its_whole_list_is_unchanged() {
        let room = Room::Keys;
        let since = |entries: &[Entry], mark: &[u8]| Changes {
            listing: Listing::Since { entries: entries.to_vec(), object_len: 16 },
            mark: Some(mark.to_vec()),
        };
        let mut known = Known::default();
        assert!(!known.is_unchanged(room, &since(&[], b"1")), "nothing was read");
        known.marks.insert(room, Mark { mark: b"1".to_vec(), since_whole: 0 });
        assert!(known.is_unchanged(room, &since(&[], b"1")));
        assert!(!known.is_unchanged(room, &since(&[], b"2")), "a removal shows in the mark alone");
        let entry = Entry { name: SlotName::for_content("key", Digest([1; 32])), stamp: vec![7] };
        assert!(!known.is_unchanged(room, &since(&[entry], b"1")));
        let whole = Changes { listing: Listing::Whole(Vec::new()), mark: Some(b"1".to_vec()) };
        assert!(!known.is_unchanged(room, &whole));
        assert!(!known.is_unchanged(Room::Control, &since(&[], b"1")));
        known.marks.insert(room, Mark { mark: b"1".to_vec(), since_whole: 1 });
        assert!(!known.is_unchanged(room, &since(&[], b"1")), "something was written since");
    }

    #[test]
    fn a_whole_list_is_read_again_once_something_was_written_and_not_before() {
        let room = Room::Keys;
        let mut known = Known::default();
        let mut reading = |listing: Listing, mark: &[u8]| {
            let asked = known.mark(room).map(<[u8]>::to_vec);
            let (_, mark) = known.entries(room, Changes { listing, mark: Some(mark.to_vec()) });
            known.marks.extend(mark.map(|mark| (room, mark)));
            asked
        };
        let nothing = || Listing::Since { entries: Vec::new(), object_len: 16 };
        assert_eq!(reading(Listing::Whole(Vec::new()), b"1"), None);
        for _ in 0..100 {
            assert_eq!(reading(nothing(), b"1").as_deref(), Some(&b"1"[..]));
        }
        // Something was written, and it may have been a removal, which no list of changes shows.
        assert_eq!(reading(nothing(), b"2").as_deref(), Some(&b"1"[..]));
        for _ in 1..WHOLE_EVERY {
            assert_eq!(reading(nothing(), b"2").as_deref(), Some(&b"2"[..]));
        }
        assert_eq!(reading(Listing::Whole(Vec::new()), b"2"), None);
        assert_eq!(reading(nothing(), b"2").as_deref(), Some(&b"2"[..]));
    }
}
