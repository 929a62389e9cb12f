//! Records of every kind.

use dkm_core::record::{KeyRecord, Material, Record, public_part};

/// What is read is written back as the same bytes, and has a slot. A key has a public part, and it is all but the key.
pub(crate) fn decode(input: &[u8]) {
    match Record::decode(input) {
        Ok((group, record)) => {
            assert_eq!(record.encode(group), input, "a record has one encoding");
            let slot = record.slot(group, 1);
            assert_eq!(slot.as_str().parse().as_ref(), Ok(&slot), "a record's slot has a valid name");
            let public = public_part(input).map(|public| KeyRecord::decode_public(&public));
            match record {
                Record::Key(key) => assert_eq!(public, Some(Ok((group, key.bare())))),
                _ => assert_eq!(public, None, "only a key has a public part"),
            }
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let Ok((group, key)) = KeyRecord::decode_public(input) {
                assert_eq!(key.material, Material::None);
                assert_eq!(Record::Key(key).encode(group), input, "a public part has one encoding");
            }
        }
    }
}
