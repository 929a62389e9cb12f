//! Archives, and what restoring one would do.

use dkm_core::Timestamp;
use dkm_core::archive::{Archive, ArchivedRecord, RestoreConsent, RestoreStep, restore_plan};
use dkm_core::record::Record;

/// What is read is written back as the same bytes; what restoring puts was in the archive and fits its slot.
pub(crate) fn decode(input: &[u8]) {
    let archive = match Archive::decode(input) {
        Ok(archive) => archive,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let bytes = archive.encode().expect("what was read can be written");
    assert_eq!(bytes.as_slice(), input, "an archive has one encoding");
    let unknown = archive.unknown().count();
    assert_eq!(archive.observed().len() + unknown, archive.entries.len(), "every entry is known or reported");

    let consent = RestoreConsent { group: true, policy: true, roster: true };
    let plan = restore_plan(&archive, archive.group, [], Timestamp(1_700_000_000_000), consent)
        .expect("an archive of this group");
    for step in &plan.steps {
        match step {
            RestoreStep::PutKey { name, record } => {
                assert_eq!(&record.slot(), name, "a restored key lies in its own slot");
                let known = archive.entries.iter().any(|entry| match &entry.record {
                    ArchivedRecord::Known(Record::Key(key)) => key.material == record.material,
                    _ => false,
                });
                assert!(known, "restored material comes from the archive");
            }
            RestoreStep::PutControl { record, .. } => {
                assert!(!matches!(record, Record::Key(_)), "keys are not control records");
            }
            _ => {}
        }
    }
}
