//! Records as objects: what is listed, what is read together, and what the directory attests.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::repository::{Entry, RepositoryError, Stored};
use dkm_core::record::{Change, PublicPart, Record, public_part};
use dkm_core::{Attestation, GroupId, KeyId, Principal, Room, SlotName};
use zeroize::Zeroizing;

use crate::ldap::{Found, all_of, equal, greater_or_equal};
use crate::name;
use crate::security::{Deviation, SecurityDescriptor, Sid, Template, Trustees, compare};

use super::ANNOUNCED;
use super::rooms::{CONTACT, EXPOSURES, Rooms};

/// The attribute that holds a record's bytes: up to 100 KiB, in no copy of the global catalogue, read by nobody whom the
/// object's own descriptor does not name.
pub(crate) const BYTES: &str = "thumbnailPhoto";
/// The attribute that holds the id of the key that a record is about, so that it can be asked for. Only a hint: the
/// record itself tells.
pub(crate) const KEY: &str = "l";
/// The attribute that holds the [public part](public_part) of a key's record, in base64, for those who own or watch the
/// group and read no keys. It must say what the record says, or the key does not protect.
pub(crate) const PUBLIC: &str = "info";

/// What is read of a record beside its names. The domain controller leaves out what this account may not read.
pub(super) const CONTENT: [&str; 4] = [BYTES, PUBLIC, "whenCreated", "nTSecurityDescriptor"];

/// What [`PUBLIC`] holds for a record; none for a record that is no key's.
pub(super) fn public_text(record: &[u8]) -> Option<String> {
    public_part(record).map(|part| STANDARD.encode(part))
}

/// What an account is shown of a record.
struct Shown {
    bytes: Zeroizing<Vec<u8>>,
    public: PublicPart,
}

impl Shown {
    /// In the room of keys. Who is no reader goes by the public part even where the bytes could be read: whoever made such
    /// an object has opened it up, and a key's bytes are none of its business.
    fn in_keys(found: &Found, reads: bool) -> Result<Self, String> {
        let public = found.text(PUBLIC);
        if !reads && let Some(public) = public {
            let bytes = STANDARD.decode(public).map_err(|_| "its public part is damaged")?;
            return Ok(Self { bytes: Zeroizing::new(bytes), public: PublicPart::Alone });
        }
        let bytes = match found.bytes(BYTES) {
            Some(bytes) => bytes,
            None if reads => return Err("its bytes may not be read, or it has none".to_owned()),
            None => return Err("it has no public part".to_owned()),
        };
        let public = match (public_text(bytes), public) {
            (Some(_), None) if !reads => return Err("it has no public part".to_owned()),
            (Some(meant), Some(said)) if meant == said => PublicPart::Agrees,
            (Some(_), _) => PublicPart::Differs,
            (None, None) => PublicPart::NotKept,
            // Those who go by it take it for a key.
            (None, Some(_)) => return Err("it has the public part of a key, and is none".to_owned()),
        };
        Ok(Self { bytes: Zeroizing::new(bytes.to_vec()), public })
    }

    fn in_control(found: &Found) -> Result<Self, String> {
        let bytes = found.bytes(BYTES).ok_or("its bytes may not be read, or it has none")?;
        Ok(Self { bytes: Zeroizing::new(bytes.to_vec()), public: PublicPart::NotKept })
    }
}

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

/// The descriptor that a record's object should have: in the room of keys it depends on whether the record is a key.
pub(super) fn template(trustees: &Trustees, owner: Sid, is_key: bool) -> Template {
    if is_key { trustees.key_record(owner) } else { trustees.control_record(owner) }
}

/// What a descriptor says of whoever owns the object, and whether it is a record's as it should be.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    owner: Sid,
    /// For a key, and for a record that is none.
    template_ok: [bool; 2],
}

/// Judges descriptors: thousands of records have a handful of different ones.
pub(super) struct Descriptors<'a> {
    room: Room,
    rooms: &'a Rooms,
    /// Owners who must have taken a key, for they do not make any.
    taken: &'a BTreeSet<Sid>,
    judged: HashMap<Vec<u8>, Result<Verdict, &'static str>>,
}

impl<'a> Descriptors<'a> {
    pub(super) fn new(room: Room, rooms: &'a Rooms, taken: &'a BTreeSet<Sid>) -> Self {
        Self { room, rooms, taken, judged: HashMap::new() }
    }

    fn judge(&mut self, bytes: &[u8]) -> Result<Verdict, &'static str> {
        if let Some(verdict) = self.judged.get(bytes) {
            return *verdict;
        }
        let verdict = self.judge_anew(bytes);
        self.judged.insert(bytes.to_vec(), verdict);
        verdict
    }

    fn judge_anew(&self, bytes: &[u8]) -> Result<Verdict, &'static str> {
        let descriptor = SecurityDescriptor::parse(bytes).map_err(|_| "its descriptor is damaged")?;
        let owner = descriptor.owner.ok_or("nobody owns it")?;
        // Whoever writes the room's DACL can let himself add keys, too.
        let is_taken =
            self.room == Room::Keys && (self.taken.contains(&owner) || self.is_mere_elevator(&owner));
        let template_ok = [true, false].map(|is_key| {
            let meant = self.rooms.trustees.as_ref().map(|trustees| template(trustees, owner, is_key));
            !is_taken
                && meant.is_some_and(|meant| !compare(&descriptor, &meant).iter().any(Deviation::widens))
        });
        Ok(Verdict { owner, template_ok })
    }

    fn is_mere_elevator(&self, owner: &Sid) -> bool {
        self.rooms.trustees.as_ref().is_some_and(|trustees| trustees.is_mere_elevator(owner))
    }

    /// What the directory holds of a record.
    pub(super) fn stored(&mut self, found: &Found) -> Result<Stored, String> {
        if slot_of(found).is_none() {
            return Err("its name and its displayName do not agree".to_owned());
        }
        let descriptor = found.bytes("nTSecurityDescriptor").ok_or("its descriptor may not be read")?;
        let Verdict { owner, template_ok } = self.judge(descriptor)?;
        let created = found
            .text("whenCreated")
            .and_then(name::timestamp)
            .ok_or("the directory does not say when it was made")?;
        let Shown { bytes, public } = match self.room {
            Room::Keys => Shown::in_keys(found, self.rooms.rights.read)?,
            Room::Control => Shown::in_control(found)?,
        };
        if self.room == Room::Control && !self.rooms.is_among_owners(&found.dn) && !is_exposure(&bytes) {
            return Err(format!("it lies in the room of {EXPOSURES}, where an elevator put it, and is none"));
        }
        if self.room == Room::Keys && self.is_mere_elevator(&owner) && public == PublicPart::NotKept {
            return Err(format!("{owner} wrote it, an elevator, of whom only {EXPOSURES} count"));
        }
        let [key_ok, other_ok] = template_ok;
        let template_ok = if public == PublicPart::NotKept { other_ok } else { key_ok };
        let attested = Attestation { creator: Principal(owner.to_string()), created, template_ok };
        Ok(Stored { bytes, attested, public })
    }
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
    pub(super) fn fill(&mut self, since: u64, found: &[Found], mut descriptors: Descriptors<'_>) {
        self.since = Some(self.since.map_or(since, |before| before.min(since)));
        for object in found {
            if let Some(listed) = Listed::of(object, descriptors.rooms) {
                self.read.insert(listed.entry, descriptors.stored(object));
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

/// Whether these bytes say that keys are exposed.
pub(super) fn is_exposure(bytes: &[u8]) -> bool {
    matches!(Record::decode(bytes), Ok((_, Record::Exposed(_))))
}

/// The key whose record is stored here, whole or as far as it is shown.
pub(super) fn key_of(group: GroupId, stored: &Stored) -> Option<KeyId> {
    match stored.record() {
        Ok((found, Record::Key(key))) if found == group => Some(key.id),
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

/// Whether these bytes are a record that holds no secret, as the notes in the room of keys are.
pub(crate) fn is_note(bytes: &[u8]) -> bool {
    Record::decode(bytes).is_ok_and(|(_, record)| !matches!(record, Record::Key(_)))
}

/// The error for one record that is not served.
pub(super) fn unreadable(location: String, entry: &Entry, why: String) -> RepositoryError {
    RepositoryError::Unreadable { location, name: entry.name.to_string(), why }
}
