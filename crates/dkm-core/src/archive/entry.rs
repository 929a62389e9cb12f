//! One record of an archive and what its repository attested.

use std::fmt;

use minicbor::encode::{Error, Write};
use minicbor::{Decoder, Encoder};
use zeroize::Zeroizing;

use super::{ArchiveError, CREATOR_LEN_MAX};
use crate::id::{Digest, GroupId};
use crate::kdf;
use crate::record::{Material, PublicPart, Record, RecordError};
use crate::ring::Observed;
use crate::slot::{Attestation, Principal, Room, SlotName};
use crate::time::Timestamp;

/// A record as an archive holds it.
#[derive(Clone, PartialEq)]
pub enum ArchivedRecord {
    /// A record; a key with [`Material::Plain`].
    Known(Record),
    /// A record of a kind or version that this program does not know: kept as it is for one that does.
    Unknown {
        /// Its bytes, which may hold secrets.
        bytes: Zeroizing<Vec<u8>>,
        /// What is not known.
        why: RecordError,
    },
}

impl ArchivedRecord {
    pub(super) fn encode(&self, group: GroupId) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Known(record) => Zeroizing::new(record.encode(group)),
            Self::Unknown { bytes, .. } => bytes.clone(),
        }
    }
}

impl fmt::Debug for ArchivedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(record) => fmt::Debug::fmt(record, f),
            Self::Unknown { bytes, why } => write!(f, "Unknown({} bytes: {why})", bytes.len()),
        }
    }
}

/// A record and what its repository said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveEntry {
    /// The room in which it lay.
    pub room: Room,
    /// The slot in which it lay.
    pub slot: SlotName,
    /// What the repository attested. For an escrow, which is made before any repository has the key: its maker's word.
    pub attested: Attestation,
    /// The record.
    pub record: ArchivedRecord,
}

impl ArchiveEntry {
    /// Which of two entries with the same record in the same slot is kept.
    pub(super) fn order(&self) -> (Timestamp, &Principal, bool) {
        (self.attested.created, &self.attested.creator, self.attested.template_ok)
    }

    /// At most how many bytes the entry takes beside its record.
    pub(super) fn overhead(&self) -> usize {
        self.slot.as_str().len() + self.attested.creator.0.len() + 40
    }

    /// Whether what is about to be written could be read.
    pub(super) fn check(&self, index: usize, group: GroupId, bytes: &[u8]) -> Result<(), ArchiveError> {
        check_creator(index, &self.attested.creator.0)?;
        read_record(index, group, bytes).map(|_| ())
    }

    pub(super) fn write<W: Write>(&self, e: &mut Encoder<W>, record: &[u8]) -> Result<(), Error<W::Error>> {
        let room = match self.room {
            Room::Control => 0,
            Room::Keys => 1,
        };
        e.array(6)?.u8(room)?.str(self.slot.as_str())?.str(&self.attested.creator.0)?;
        e.u64(self.attested.created.0)?.bool(self.attested.template_ok)?.bytes(record)?.ok()
    }

    pub(super) fn read(d: &mut Decoder<'_>, group: GroupId, index: usize) -> Result<Self, ArchiveError> {
        let bad = |e: minicbor::decode::Error| ArchiveError::Malformed(format!("entry {index}: {e}"));
        let fields = d.array().map_err(bad)?;
        if fields != Some(6) {
            return Err(ArchiveError::Malformed(format!("entry {index} is not an array of 6")));
        }
        let room = match d.u8().map_err(bad)? {
            0 => Room::Control,
            1 => Room::Keys,
            other => return Err(ArchiveError::Malformed(format!("entry {index} lies in room {other}"))),
        };
        let slot = d.str().map_err(bad)?;
        let slot: SlotName =
            slot.parse().map_err(|e| ArchiveError::Malformed(format!("entry {index}: {e}")))?;
        let creator = d.str().map_err(bad)?;
        check_creator(index, creator)?;
        let creator = Principal(creator.to_owned());
        let created = Timestamp(d.u64().map_err(bad)?);
        let template_ok = d.bool().map_err(bad)?;
        let bytes = d.bytes().map_err(bad)?;
        let record = read_record(index, group, bytes)?;
        Ok(Self { room, slot, attested: Attestation { creator, created, template_ok }, record })
    }

    pub(super) fn observed(&self, group: GroupId) -> Option<Observed> {
        let ArchivedRecord::Known(record) = &self.record else { return None };
        let digest = Digest::of(&Zeroizing::new(record.encode(group)));
        let record = match record {
            Record::Key(key) => Record::Key(key.bare()),
            other => other.clone(),
        };
        Some(Observed {
            room: self.room,
            name: self.slot.clone(),
            digest,
            record,
            attested: self.attested.clone(),
            verified: true,
            public: PublicPart::NotKept,
        })
    }
}

fn check_creator(index: usize, creator: &str) -> Result<(), ArchiveError> {
    if creator.len() > CREATOR_LEN_MAX {
        return Err(ArchiveError::Invalid(format!(
            "the creator of entry {index} has {} bytes, the limit is {CREATOR_LEN_MAX}",
            creator.len()
        )));
    }
    Ok(())
}

fn read_record(index: usize, group: GroupId, bytes: &[u8]) -> Result<ArchivedRecord, ArchiveError> {
    let record = match Record::decode(bytes) {
        Ok((found, record)) if found == group => record,
        Ok((found, _)) => return Err(ArchiveError::ForeignGroup { index, found }),
        Err(why @ (RecordError::UnknownKind { .. } | RecordError::UnknownVersion { .. })) => {
            return Ok(ArchivedRecord::Unknown { bytes: Zeroizing::new(bytes.to_vec()), why });
        }
        Err(error) => return Err(ArchiveError::Record { index, error }),
    };
    if let Record::Key(key) = &record {
        let Material::Plain(material) = &key.material else {
            return Err(ArchiveError::KeyNotPlain { index, key: key.id });
        };
        if kdf::key_id(group, key.family, material) != key.id {
            return Err(ArchiveError::KeyNotVerified { index, key: key.id });
        }
    }
    Ok(ArchivedRecord::Known(record))
}
