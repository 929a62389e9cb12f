mod restoring;

use proptest::prelude::*;

use super::*;
use crate::id::{KeyGuid, KeyId, RootKeyId};
use crate::kdf;
use crate::record::{Change, ExposedRecord, Family, Material, Origin, RecordError, WrappedMaterial};
use crate::ring::testing as t;
use crate::ring::testing::{GROUP, REPOSITORY, T0};
use crate::slot::Principal;
use crate::time::{DAY_MS, Timestamp};

/// What an export of these records holds: keys with their material, everything else as it is.
fn archive_of(records: &[Observed]) -> Archive {
    let entries = records.iter().map(|seen| {
        let record = match &seen.record {
            Record::Key(key) => {
                let n = (0..=u8::MAX).find(|n| kdf::key_id(GROUP, key.family, &t::material(*n)) == key.id);
                let material = Material::Plain(t::material(n.unwrap()).into());
                Record::Key(KeyRecord { material, ..key.clone() })
            }
            other => other.clone(),
        };
        ArchiveEntry {
            room: seen.room,
            slot: seen.name.clone(),
            attested: seen.attested.clone(),
            record: ArchivedRecord::Known(record),
        }
    });
    Archive {
        repository: REPOSITORY,
        group: GROUP,
        name: "mail-tokens".into(),
        exported_at_ms: T0.0 + DAY_MS,
        entries: entries.collect(),
    }
}

fn small() -> Archive {
    archive_of(&[t::group(), t::policy(|_| {}), t::key(1, T0, |_| {})])
}

fn attestations() -> impl Strategy<Value = Attestation> {
    ("[a-z:0-9]{0,20}", any::<u64>(), any::<bool>()).prop_map(|(creator, created, template_ok)| Attestation {
        creator: Principal(creator),
        created: Timestamp(created),
        template_ok,
    })
}

fn records() -> impl Strategy<Value = ArchivedRecord> {
    let keys =
        (any::<[u8; 32]>(), any::<bool>(), 0u8..3, any::<u64>()).prop_map(|(m, native, origin, at)| {
            let family = if native { Family::Native } else { Family::Windows };
            let key = KeyRecord {
                id: kdf::key_id(GROUP, family, &m),
                family,
                origin: [Origin::Rolled, Origin::Restored, Origin::Imported][usize::from(origin)],
                created_at_ms: at,
                activates_at_ms: at,
                predecessor: None,
                attempt: 0,
                material: Material::Plain(m.into()),
                guid: (!native).then_some(KeyGuid([3; 16])),
            };
            ArchivedRecord::Known(Record::Key(key))
        });
    let exposures = (0u64..9, 9u64..20).prop_map(|(from_ms, until_ms)| {
        let record = ExposedRecord { from_ms, until_ms, who: "alice".into(), grant: String::new() };
        ArchivedRecord::Known(Record::Exposed(record))
    });
    let unknown = (2u8..24, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(version, tail)| {
        let bytes = [vec![0x82, version], tail].concat();
        let why = Record::decode(&bytes).unwrap_err();
        ArchivedRecord::Unknown { bytes: bytes.into(), why }
    });
    prop_oneof![keys, exposures, unknown]
}

fn archives() -> impl Strategy<Value = Archive> {
    let entry = (any::<bool>(), "[a-z0-9-]{1,60}", attestations(), records()).prop_map(
        |(control, slot, attested, record)| ArchiveEntry {
            room: if control { Room::Control } else { Room::Keys },
            slot: slot.parse().unwrap(),
            attested,
            record,
        },
    );
    (any::<[u8; 16]>(), "[a-z0-9._-]{1,128}", any::<u64>(), proptest::collection::vec(entry, 0..8)).prop_map(
        |(repository, name, exported_at_ms, entries)| Archive {
            repository: RepositoryId(repository),
            group: GROUP,
            name,
            exported_at_ms,
            // Slots of their own: no two entries are the same.
            entries: (0..)
                .zip(entries)
                .map(|(i, entry)| ArchiveEntry {
                    slot: format!("{i}-{}", entry.slot).parse().unwrap(),
                    ..entry
                })
                .collect(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back_and_is_written_alike(archive in archives()) {
        let bytes = archive.encode().unwrap();
        let read = Archive::decode(&bytes).unwrap();
        prop_assert_eq!(&*read.encode().unwrap(), &*bytes);
        prop_assert_eq!(read.entries.len(), archive.entries.len());
        for entry in &archive.entries {
            prop_assert!(read.entries.contains(entry));
        }
    }

    #[test]
    fn order_and_repetition_do_not_show(archive in archives(), turn in any::<prop::sample::Index>()) {
        let mut other = archive.clone();
        if !other.entries.is_empty() {
            let turn = turn.index(other.entries.len());
            other.entries.rotate_left(turn);
            let mut again = other.entries[0].clone();
            again.attested.created = again.attested.created.plus(1);
            // The latest moment there is cannot be followed by a later one.
            if again.attested != other.entries[0].attested {
                other.entries.insert(0, again);
            }
        }
        prop_assert_eq!(&*other.encode().unwrap(), &*archive.encode().unwrap());
    }

    #[test]
    fn a_truncated_longer_or_changed_archive_is_refused_or_another(
        archive in archives(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let bytes = archive.encode().unwrap();
        let at = at.index(bytes.len());
        prop_assert!(Archive::decode(&bytes[..at]).is_err());
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert_eq!(Archive::decode(&longer), Err(ArchiveError::NotCanonical));
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << bit;
        prop_assert_ne!(Archive::decode(&changed), Archive::decode(&bytes));
    }

    #[test]
    fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..200), with_head in any::<bool>()) {
        let mut bytes = if with_head { small().encode().unwrap()[..80].to_vec() } else { Vec::new() };
        bytes.extend_from_slice(&tail);
        if let Ok(archive) = Archive::decode(&bytes) {
            prop_assert_eq!(&*archive.encode().unwrap(), &bytes);
        }
    }
}

#[test]
fn the_head_has_the_documented_bytes() {
    let archive = Archive { entries: Vec::new(), name: "a".into(), exported_at_ms: 5, ..small() };
    let head = [&[0x87, 0x6b][..], b"dkm archive", &[1, 0x50], &[3; 16], &[0x50], &[7; 16], b"\x61a\x05\x80"];
    assert_eq!(&*archive.encode().unwrap(), &head.concat());
}

#[test]
fn other_files_and_newer_versions_are_told_apart_from_damage() {
    assert_eq!(Archive::decode(b"age-encryption.org/v1\n"), Err(ArchiveError::NotAnArchive));
    assert_eq!(Archive::decode(b""), Err(ArchiveError::NotAnArchive));
    let mut bytes = small().encode().unwrap().to_vec();
    bytes[13] = 2;
    assert_eq!(Archive::decode(&bytes), Err(ArchiveError::UnknownVersion { version: 2 }));
    bytes[13] = 1;
    bytes[0] = 0x86;
    assert!(matches!(Archive::decode(&bytes), Err(ArchiveError::Malformed(_))));
}

#[test]
fn bounds_are_held_before_work() {
    let mut head =
        [&[0x87, 0x6b][..], b"dkm archive", &[1, 0x50], &[3; 16], &[0x50], &[7; 16], b"\x61a\x05"].concat();
    head.extend_from_slice(&[0x9a, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(Archive::decode(&head), Err(ArchiveError::TooManyEntries { entries: 0xffff_ffff }));
    let mut archive = small();
    archive.entries[0].attested.creator.0 = "x".repeat(CREATOR_LEN_MAX + 1);
    assert!(matches!(archive.encode(), Err(ArchiveError::Invalid(_))));
    archive = Archive { name: "Not a name".into(), ..small() };
    assert!(matches!(archive.encode(), Err(ArchiveError::Invalid(_))));
}

/// Every fault of a record is found on writing, and by hand-made bytes on reading.
#[test]
fn records_that_do_not_fit_are_refused() {
    let archive = small();
    let with = |change: fn(&mut KeyRecord)| {
        let mut archive = archive.clone();
        let ArchivedRecord::Known(Record::Key(key)) = &mut archive.entries[2].record else { unreachable!() };
        change(key);
        archive.encode().unwrap_err()
    };
    let id = t::key_id(1);
    assert!(matches!(
        with(|k| k.material = Material::None),
        ArchiveError::Record { index: 2, error: RecordError::Malformed(_) }
    ));
    let wrapped = |k: &mut KeyRecord| {
        k.material = Material::Wrapped(WrappedMaterial {
            root: RootKeyId([1; 16]),
            nonce: vec![],
            ciphertext: vec![],
        });
    };
    assert_eq!(with(wrapped), ArchiveError::KeyNotPlain { index: 2, key: id });
    assert_eq!(
        with(|k| k.material = Material::Plain([9; 32].into())),
        ArchiveError::KeyNotVerified { index: 2, key: id }
    );
    let other_family = |k: &mut KeyRecord| {
        k.family = Family::Windows;
        k.guid = Some(KeyGuid([3; 16]));
    };
    assert_eq!(with(other_family), ArchiveError::KeyNotVerified { index: 2, key: id });

    // Bytes of the other group's archive: its records name their group themselves.
    let bytes = archive.encode().unwrap();
    let mut foreign = bytes.to_vec();
    let at = foreign.windows(16).position(|w| w == [7; 16]).unwrap();
    foreign[at..at + 16].fill(8);
    assert_eq!(Archive::decode(&foreign), Err(ArchiveError::ForeignGroup { index: 0, found: GROUP }));

    let mut altered = bytes.to_vec();
    let at = altered.windows(32).position(|w| w == t::material(1)).unwrap();
    altered[at] ^= 1;
    // The sorting by digest cannot catch this: there is one key only.
    assert_eq!(Archive::decode(&altered), Err(ArchiveError::KeyNotVerified { index: 2, key: id }));
}

#[test]
fn no_secret_reaches_debug_or_errors() {
    let mut archive = small();
    let bytes = vec![0x82, 2, 171, 171, 171];
    let why = Record::decode(&bytes).unwrap_err();
    archive.entries.push(ArchiveEntry {
        room: Room::Keys,
        slot: "x".parse().unwrap(),
        attested: t::attested("uid:0", T0),
        record: ArchivedRecord::Unknown { bytes: bytes.into(), why },
    });
    let text = format!("{archive:?}");
    assert!(text.contains("Plain(..)") && !text.contains("1, 1, 1") && !text.contains("171"), "{text}");
}

#[test]
fn an_escrow_is_an_archive_of_one_key() {
    let key = KeyRecord {
        id: t::key_id(1),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: T0.0,
        activates_at_ms: T0.0,
        predecessor: Some(KeyId([2; 16])),
        attempt: 3,
        material: Material::Plain(t::material(1).into()),
        guid: None,
    };
    let escrow = Archive::escrow(REPOSITORY, GROUP, "mail-tokens", key.clone(), t::attested("uid:0", T0));
    let read = Archive::decode(&escrow.encode().unwrap()).unwrap();
    assert_eq!(read, escrow);
    assert_eq!(read.entries[0].slot, key.slot());
    let plan = restore_plan(&read, GROUP, [], T0, RestoreConsent::default()).unwrap();
    assert!(
        matches!(&plan.steps[..], [RestoreStep::PutKey { record, .. }, RestoreStep::Roll] if record.id == key.id)
    );
}
