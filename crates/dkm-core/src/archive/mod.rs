//! The archive: a group's records with their key material in the clear, as they lie inside an `age` file.
//!
//! An archive opens without the repository and without its root key, so whoever can open it holds every key in it.
//! This module knows the plaintext only: it makes, reads and checks it, and decides what restoring it would do. An
//! escrow of a single key, sealed before the key is first used, is an archive with one entry.
//!
//! The plaintext is deterministic CBOR (RFC 8949 §4.2), one array:
//! `["dkm archive", version, repository, group, group's name, exported at, entries]`. An entry is
//! `[room, slot, creator, created, template ok, record]`: what the repository attested, then the record's bytes; room
//! 0 is control, room 1 keys. Entries are sorted by room, slot and digest of the record, each once. What does not
//! encode back to the same bytes is refused.

mod entry;
mod error;
mod restore;

use minicbor::{Decode as _, Decoder, Encoder};
use zeroize::Zeroizing;

pub use entry::{ArchiveEntry, ArchivedRecord};
pub use error::ArchiveError;
pub use restore::{RestoreConsent, RestoreError, RestorePlan, RestoreSkip, RestoreStep, restore_plan};

use crate::id::{Digest, GroupId, RepositoryId};
use crate::record::{KeyRecord, Record, check_group_name};
use crate::ring::{Observed, RING_LEN_MAX};
use crate::slot::{Attestation, Room, SlotName};

/// The first item of every archive.
pub const ARCHIVE_FORMAT: &str = "dkm archive";
/// Version of the archive format that this program writes.
pub const ARCHIVE_VERSION: u8 = 1;
/// Most entries of an archive: a full ring, with three control records to each key.
pub const ARCHIVE_ENTRIES_MAX: usize = 4 * RING_LEN_MAX;
/// Longest archive, in bytes.
pub const ARCHIVE_LEN_MAX: usize = 1 << 29;
/// Longest name of a creator, in bytes.
pub const CREATOR_LEN_MAX: usize = 1024;

/// A group's records, or some of them, with plain key material. `Debug` shows no material; it is erased when dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    /// The repository from which the records come.
    pub repository: RepositoryId,
    /// The group; every record belongs to it.
    pub group: GroupId,
    /// The group's name, for people: 1 to 128 of `[a-z0-9._-]`.
    pub name: String,
    /// When the archive was made, in milliseconds since the epoch, as its maker says: a hint.
    pub exported_at_ms: u64,
    /// The records. After [`Archive::decode`] sorted by room, slot and digest.
    pub entries: Vec<ArchiveEntry>,
}

impl Archive {
    /// An archive of one key, to be sealed before the key is first put anywhere.
    #[must_use]
    pub fn escrow(
        repository: RepositoryId,
        group: GroupId,
        name: &str,
        key: KeyRecord,
        attested: Attestation,
    ) -> Self {
        let exported_at_ms = attested.created.0;
        let slot = key.slot();
        let entry = ArchiveEntry {
            room: Room::Keys,
            slot,
            attested,
            record: ArchivedRecord::Known(Record::Key(key)),
        };
        Self { repository, group, name: name.to_owned(), exported_at_ms, entries: vec![entry] }
    }

    /// The canonical encoding. Entries may come in any order; of equal records in one slot the earliest is kept.
    ///
    /// # Errors
    /// Whatever [`Archive::decode`] would refuse: no archive is written that could not be read.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ArchiveError> {
        check_group_name(&self.name).map_err(ArchiveError::Invalid)?;
        let records: Vec<_> = self.entries.iter().map(|entry| entry.record.encode(self.group)).collect();
        for (index, (entry, bytes)) in self.entries.iter().zip(&records).enumerate() {
            entry.check(index, self.group, bytes)?;
        }
        self.write(&records)
    }

    /// Writes entries and their encoded records, which have been checked.
    fn write(&self, records: &[Zeroizing<Vec<u8>>]) -> Result<Zeroizing<Vec<u8>>, ArchiveError> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .zip(records)
            .map(|(entry, bytes)| ((entry.room, &entry.slot, Digest::of(bytes)), entry, bytes))
            .collect();
        entries.sort_by(|(a, x, _), (b, y, _)| a.cmp(b).then_with(|| x.order().cmp(&y.order())));
        entries.dedup_by(|(a, ..), (b, ..)| a == b);
        if entries.len() > ARCHIVE_ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries { entries: entries.len() });
        }
        // Exactly as much as is needed or a little more: a buffer that grew would leave key material behind.
        let head = ARCHIVE_FORMAT.len() + self.name.len() + 64;
        let len = entries.iter().fold(head, |len, (_, entry, bytes)| len + entry.overhead() + bytes.len());
        if len > ARCHIVE_LEN_MAX {
            return Err(ArchiveError::TooLarge { len });
        }
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        let mut e = Encoder::new(&mut *out);
        // Writing to a Vec cannot fail, and no encoder of ours returns an error of its own.
        let _ = (|| -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
            e.array(7)?.str(ARCHIVE_FORMAT)?.u8(ARCHIVE_VERSION)?;
            e.bytes(self.repository.as_bytes())?.bytes(self.group.as_bytes())?;
            e.str(&self.name)?.u64(self.exported_at_ms)?;
            e.array(u64::try_from(entries.len()).unwrap_or(u64::MAX))?;
            entries.iter().try_for_each(|(_, entry, bytes)| entry.write(&mut e, bytes))
        })();
        debug_assert!(out.len() <= len, "the buffer must not have grown");
        Ok(out)
    }

    /// Reads an archive and checks every record in it: that it can be read, that it belongs to the group, and, for a
    /// key, that its material gives its id. Records of kinds and versions that this program does not know are kept.
    ///
    /// # Errors
    /// [`ArchiveError`] says what is wrong and, where it is one entry's fault, with which.
    pub fn decode(bytes: &[u8]) -> Result<Self, ArchiveError> {
        if bytes.len() > ARCHIVE_LEN_MAX {
            return Err(ArchiveError::TooLarge { len: bytes.len() });
        }
        let bad = |e: minicbor::decode::Error| ArchiveError::Malformed(e.to_string());
        let mut d = Decoder::new(bytes);
        let foreign = |_| ArchiveError::NotAnArchive;
        let fields = d.array().map_err(foreign)?.ok_or(ArchiveError::NotAnArchive)?;
        if d.str().map_err(foreign)? != ARCHIVE_FORMAT {
            return Err(ArchiveError::NotAnArchive);
        }
        let version = d.u64().map_err(bad)?;
        if version != u64::from(ARCHIVE_VERSION) {
            return Err(ArchiveError::UnknownVersion { version });
        }
        if fields != 7 {
            return Err(ArchiveError::Malformed(format!("expected an array of 7, found {fields}")));
        }
        let repository = RepositoryId::decode(&mut d, &mut ()).map_err(bad)?;
        let group = GroupId::decode(&mut d, &mut ()).map_err(bad)?;
        let name = d.str().map_err(bad)?.to_owned();
        let exported_at_ms = d.u64().map_err(bad)?;
        let count = d.array().map_err(bad)?.ok_or(ArchiveError::NotCanonical)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > ARCHIVE_ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries { entries: count });
        }
        // Not reserved by what the archive says of itself: a few bytes could ask for gigabytes.
        let mut entries = Vec::new();
        for index in 0..count {
            entries.push(ArchiveEntry::read(&mut d, group, index)?);
        }
        check_group_name(&name).map_err(ArchiveError::Invalid)?;
        let archive = Self { repository, group, name, exported_at_ms, entries };
        let records: Vec<_> = archive.entries.iter().map(|entry| entry.record.encode(group)).collect();
        if archive.write(&records)?.as_slice() == bytes {
            Ok(archive)
        } else {
            Err(ArchiveError::NotCanonical)
        }
    }

    /// The records that this program knows, as a repository would show them, so that a ring can be derived from them.
    /// They come without material; a key's digest is that of its record with plain material, not as it was stored.
    #[must_use]
    pub fn observed(&self) -> Vec<Observed> {
        self.entries.iter().filter_map(|entry| entry.observed(self.group)).collect()
    }

    /// Entries that this program does not know, by slot.
    pub fn unknown(&self) -> impl Iterator<Item = (&SlotName, &crate::record::RecordError)> {
        self.entries.iter().filter_map(|entry| match &entry.record {
            ArchivedRecord::Known(_) => None,
            ArchivedRecord::Unknown { why, .. } => Some((&entry.slot, why)),
        })
    }
}

#[cfg(test)]
mod tests;
