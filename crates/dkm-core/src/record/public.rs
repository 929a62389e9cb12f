//! What a record of a key says to those who may not know the key.

use minicbor::Decoder;

use super::{KeyRecord, Material, Record, RecordError};
use crate::id::GroupId;

/// Number of the field that holds the material in the body of a key's record.
const MATERIAL: u64 = 7;
/// Number of the kind of a key's record.
const KEY: u64 = 4;
/// CBOR's null (RFC 8949 §3.3).
const NULL: u8 = 0xf6;

/// What a repository shows of a key's record to those who may not read its material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PublicPart {
    /// The repository shows no parts: a record is read whole or not at all. So of every record that is no key's.
    #[default]
    NotKept,
    /// It agrees with the record.
    Agrees,
    /// It is missing, or says something else than the record: whoever goes by it is deceived.
    Differs,
    /// It is all that this account may read.
    Alone,
}

/// The public part of an encoded record of a key: the same encoding with null in the place of the material. None for
/// what is no such record; whether it is a good one is not looked at.
#[must_use]
pub fn public_part(record: &[u8]) -> Option<Vec<u8>> {
    let mut d = Decoder::new(record);
    d.array().ok()?;
    d.u64().ok()?;
    if d.u64().ok()? != KEY {
        return None;
    }
    d.skip().ok()?;
    for _ in 0..d.map().ok()?? {
        let field = d.u64().ok()?;
        let begin = d.position();
        d.skip().ok()?;
        if field == MATERIAL {
            let (before, after) = (record.get(..begin)?, record.get(d.position()..)?);
            return Some([before, &[NULL], after].concat());
        }
    }
    None
}

impl KeyRecord {
    /// Reads a public part and the id of the group it belongs to.
    ///
    /// # Errors
    /// As [`Record::decode`]; also for a whole record, and for one that is no key's.
    pub fn decode_public(bytes: &[u8]) -> Result<(GroupId, Self), RecordError> {
        match Record::decode_whole_or_bare(bytes)? {
            (group, Record::Key(key)) if key.material == Material::None => Ok((group, key)),
            _ => Err(RecordError::Invalid("it is not the public part of a key's record".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::tests::key_record;

    proptest! {
        #[test]
        fn the_public_part_is_all_but_the_material(key in key_record(), group: [u8; 16]) {
            let group = GroupId(group);
            let whole = Record::Key(key.clone()).encode(group);
            let public = public_part(&whole).unwrap();
            prop_assert_eq!(&public, &Record::Key(key.bare()).encode(group));
            prop_assert_eq!(KeyRecord::decode_public(&public), Ok((group, key.bare())));
            prop_assert!(Record::decode(&public).is_err(), "it is no record");
            prop_assert!(KeyRecord::decode_public(&whole).is_err());
            if let Material::Plain(material) = &key.material {
                prop_assert!(!public.windows(32).any(|bytes| bytes == material.as_slice()));
            }
        }

        #[test]
        fn any_bytes_have_one_or_none(bytes: Vec<u8>) {
            let _ = public_part(&bytes);
            let _ = KeyRecord::decode_public(&bytes);
        }
    }
}
