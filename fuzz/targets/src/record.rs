//! Records of every kind.

use dkm_core::record::Record;

/// What is read is written back as the same bytes, and has a slot.
pub(crate) fn decode(input: &[u8]) {
    match Record::decode(input) {
        Ok((group, record)) => {
            assert_eq!(record.encode(group), input, "a record has one encoding");
            let slot = record.slot(group, 1);
            assert_eq!(slot.as_str().parse().as_ref(), Ok(&slot), "a record's slot has a valid name");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
