//! Records: what a repository holds. Append-only, self-describing, deterministic CBOR (RFC 8949 §4.2), version first.
//!
//! A record is the array `[version, kind, group id, body]`; the body is a map with small integer keys. A record has
//! exactly one encoding: what does not encode back to the same bytes is refused. Versions and kinds that this
//! program does not know are reported by their reader and never stop it.

mod elevation;
mod exposed;
mod group;
mod key;
mod policy;
mod public;
mod roster;
mod status;

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder};

pub use elevation::{BreakGlass, ElevationRules};
pub use exposed::ExposedRecord;
pub use group::{GROUP_NAME_LEN_MAX, GroupRecord, check_group_name};
pub use key::{Family, KeyRecord, Material, Origin, WrappedMaterial};
pub use policy::PolicyRecord;
pub use public::{PublicPart, public_part};
pub use roster::{ApprovalLevel, Person, RosterRecord, RosterSignature};
pub use status::{Change, Purpose, StatusRecord};

use crate::id::{Digest, GroupId, RepositoryId};
use crate::slot::{Room, SlotName};

/// Version of the record format that this program writes.
pub const RECORD_VERSION: u8 = 1;
/// Largest record, in bytes.
pub const RECORD_LEN_MAX: usize = 64 * 1024;

/// Why bytes are not a record that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// More than [`RECORD_LEN_MAX`] bytes.
    #[error("record of {len} bytes is larger than the limit of {RECORD_LEN_MAX}")]
    TooLarge {
        /// Length found, in bytes.
        len: usize,
    },
    /// Written by a newer program.
    #[error("record version {version} is not known to this program; upgrade it to read the record")]
    UnknownVersion {
        /// Version found.
        version: u64,
    },
    /// Written by a newer program.
    #[error("record kind {kind} is not known to this program; upgrade it to read the record")]
    UnknownKind {
        /// Kind found.
        kind: u64,
    },
    /// Not CBOR, or not of the shape that its kind has.
    #[error("record is malformed: {0}")]
    Malformed(String),
    /// The same content has another, canonical encoding, or the record has fields that its version does not have.
    #[error("record is not in its canonical encoding")]
    NotCanonical,
    /// Well formed, but a value is outside its limits.
    #[error("record holds an invalid value: {0}")]
    Invalid(String),
}

/// One record of a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The group itself.
    Group(GroupRecord),
    /// A version of its policy.
    Policy(PolicyRecord),
    /// A version of its approvers and approval levels.
    Roster(RosterRecord),
    /// A key.
    Key(KeyRecord),
    /// A change of a key's state.
    Status(StatusRecord),
    /// An interval in which a person could read the keys.
    Exposed(ExposedRecord),
}

impl Record {
    /// The record's kind as it stands in its encoding.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Group(_) => 1,
            Self::Policy(_) => 2,
            Self::Roster(_) => 3,
            Self::Key(_) => 4,
            Self::Status(_) => 5,
            Self::Exposed(_) => 6,
        }
    }

    /// The kind's name.
    #[must_use]
    pub const fn kind_name(&self) -> &'static str {
        match self {
            Self::Group(_) => "group",
            Self::Policy(_) => "policy",
            Self::Roster(_) => "roster",
            Self::Key(_) => "key",
            Self::Status(_) => "status",
            Self::Exposed(_) => "exposed",
        }
    }

    /// The room in which a record of this kind counts; anywhere else it is ignored and reported.
    ///
    /// A use notice (a resume with [`Purpose::InUse`]) lies with the keys, because members who are not owners write it.
    #[must_use]
    pub fn room(&self) -> Room {
        match self {
            Self::Key(_) => Room::Keys,
            Self::Status(status) if status.purpose == Purpose::InUse => Room::Keys,
            _ => Room::Control,
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self, group: GroupId) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut e = Encoder::new(&mut out);
        // Writing to a Vec cannot fail, and no encoder of ours returns an error of its own.
        let _ = (|| -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
            e.array(4)?.u8(RECORD_VERSION)?.u8(self.kind())?.bytes(group.as_bytes())?;
            match self {
                Self::Group(r) => r.encode(&mut e, &mut ()),
                Self::Policy(r) => r.encode(&mut e, &mut ()),
                Self::Roster(r) => r.encode(&mut e, &mut ()),
                Self::Key(r) => r.encode(&mut e, &mut ()),
                Self::Status(r) => r.encode(&mut e, &mut ()),
                Self::Exposed(r) => r.encode(&mut e, &mut ()),
            }
        })();
        out
    }

    /// Reads a record and the id of the group it belongs to.
    ///
    /// # Errors
    /// [`RecordError`]: too large, unknown version or kind, malformed, not canonical, or a value outside its limits.
    pub fn decode(bytes: &[u8]) -> Result<(GroupId, Self), RecordError> {
        let (group, record) = Self::decode_whole_or_bare(bytes)?;
        match record {
            Self::Key(KeyRecord { material: Material::None, .. }) => {
                Err(RecordError::Malformed("key material is neither bytes nor wrapped".to_owned()))
            }
            record => Ok((group, record)),
        }
    }

    fn decode_whole_or_bare(bytes: &[u8]) -> Result<(GroupId, Self), RecordError> {
        if bytes.len() > RECORD_LEN_MAX {
            return Err(RecordError::TooLarge { len: bytes.len() });
        }
        let mut d = Decoder::new(bytes);
        let bad = |e: minicbor::decode::Error| RecordError::Malformed(e.to_string());
        let len = d.array().map_err(bad)?.ok_or(RecordError::NotCanonical)?;
        let version = d.u64().map_err(bad)?;
        if version != u64::from(RECORD_VERSION) {
            return Err(RecordError::UnknownVersion { version });
        }
        if len != 4 {
            return Err(RecordError::Malformed(format!("expected an array of 4, found {len}")));
        }
        let kind = d.u64().map_err(bad)?;
        let group = GroupId::decode(&mut d, &mut ()).map_err(bad)?;
        match d.datatype().map_err(bad)? {
            Type::Map => {}
            Type::MapIndef => return Err(RecordError::NotCanonical),
            _ => return Err(RecordError::Malformed("the body is not a map".to_owned())),
        }
        let record = match kind {
            1 => d.decode().map(Self::Group),
            2 => d.decode().map(Self::Policy),
            3 => d.decode().map(Self::Roster),
            4 => d.decode().map(Self::Key),
            5 => d.decode().map(Self::Status),
            6 => d.decode().map(Self::Exposed),
            _ => return Err(RecordError::UnknownKind { kind }),
        }
        .map_err(bad)?;
        if zeroize::Zeroizing::new(record.encode(group)).as_slice() != bytes {
            return Err(RecordError::NotCanonical);
        }
        record.check().map_err(RecordError::Invalid)?;
        Ok((group, record))
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Group(r) => r.check(),
            Self::Policy(r) => r.check(),
            Self::Roster(r) => r.check(),
            Self::Key(r) => r.check(),
            Self::Status(r) => r.check(),
            Self::Exposed(r) => r.check(),
        }
    }

    /// Name of the slot for this record, `attempt` counting from 0 the slots of the same predecessor that were taken.
    #[must_use]
    pub fn slot(&self, group: GroupId, attempt: u32) -> SlotName {
        match self {
            Self::Group(_) => SlotName::for_chained("group", &[], 0),
            Self::Policy(r) => SlotName::for_chained("policy", &r.previous, attempt),
            Self::Roster(r) => SlotName::for_chained("roster", &r.previous, attempt),
            Self::Key(r) => r.slot(),
            Self::Status(_) => SlotName::for_content("status", Digest::of(&self.encode(group))),
            Self::Exposed(_) => SlotName::for_content("exposed", Digest::of(&self.encode(group))),
        }
    }
}

/// What a root key authenticates beside a key's wrapped material: the repository and the whole record but the material.
#[must_use]
pub fn wrap_aad(repository: RepositoryId, group: GroupId, key: &KeyRecord) -> Vec<u8> {
    let mut aad = b"dkm wrap\0".to_vec();
    aad.extend_from_slice(repository.as_bytes());
    aad.extend_from_slice(&Record::Key(key.bare()).encode(group));
    aad
}

fn check_text(what: &str, text: &str, len_max: usize) -> Result<(), String> {
    if text.len() > len_max {
        return Err(format!("{what} has {} bytes, the limit is {len_max}", text.len()));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(format!("{what} holds control characters"));
    }
    Ok(())
}

/// Digests that a record names must be sorted and distinct, so that one meaning has one encoding.
fn check_sorted<T: Ord>(what: &str, items: &[T]) -> Result<(), String> {
    if items.windows(2).all(|pair| pair[0] < pair[1]) {
        Ok(())
    } else {
        Err(format!("{what} are not sorted and distinct"))
    }
}

#[cfg(test)]
mod tests;
