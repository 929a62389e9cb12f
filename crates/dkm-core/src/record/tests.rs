use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::id::{KeyGuid, KeyId, RootKeyId};
use crate::policy::Policy;

const GROUP: GroupId = GroupId([7; 16]);

fn digests() -> impl Strategy<Value = Vec<Digest>> {
    proptest::collection::btree_set(any::<[u8; 32]>().prop_map(Digest), 0..4)
        .prop_map(|set| set.into_iter().collect())
}

fn material() -> impl Strategy<Value = Material> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|m| Material::Plain(Zeroizing::new(m))),
        (any::<[u8; 16]>(), any::<[u8; 12]>(), any::<[u8; 32]>()).prop_map(|(root, nonce, ct)| {
            Material::Wrapped(WrappedMaterial {
                root: RootKeyId(root),
                nonce: nonce.to_vec(),
                ciphertext: ct.to_vec(),
            })
        }),
    ]
}

pub(super) fn key_record() -> impl Strategy<Value = KeyRecord> {
    (
        any::<[u8; 16]>(),
        any::<u64>(),
        any::<u64>(),
        proptest::option::of(any::<[u8; 16]>()),
        any::<u32>(),
        material(),
        proptest::option::of(any::<[u8; 16]>()),
    )
        .prop_map(|(id, created_at_ms, activates_at_ms, predecessor, attempt, material, guid)| {
            KeyRecord {
                id: KeyId(id),
                family: if guid.is_some() { Family::Windows } else { Family::Native },
                origin: if guid.is_some() { Origin::Imported } else { Origin::Rolled },
                created_at_ms,
                activates_at_ms,
                predecessor: predecessor.map(KeyId),
                attempt,
                material,
                guid: guid.map(KeyGuid),
            }
        })
}

fn records() -> impl Strategy<Value = Record> {
    let keys = key_record().prop_map(Record::Key);
    let statuses = (any::<[u8; 16]>(), 0u8..5, "[a-z ]{0,40}", any::<u32>(), digests()).prop_map(
        |(key, change, reason, epoch, answers)| {
            let change = [
                Change::Resumed,
                Change::Suspended,
                Change::Deactivated,
                Change::Compromised,
                Change::Destroyed,
            ][usize::from(change)];
            Record::Status(StatusRecord {
                key: KeyId(key),
                change,
                purpose: Purpose::Ordinary,
                reason,
                epoch,
                answers,
                when_ms: 5,
            })
        },
    );
    let groups = ("[a-z0-9._-]{1,128}", any::<[u8; 16]>(), proptest::option::of(any::<[u8; 32]>())).prop_map(
        |(name, repository, genesis)| {
            Record::Group(GroupRecord {
                name,
                created_at_ms: 1,
                repository: RepositoryId(repository),
                roster_genesis: genesis.map(Digest),
                description: None,
            })
        },
    );
    let policies = digests().prop_map(|previous| {
        let version = if previous.is_empty() { 1 } else { 2 };
        Record::Policy(PolicyRecord { version, previous, created_at_ms: 1, policy: Policy::for_directory() })
    });
    let exposed = (0u64..100, 1u64..100, "[a-z]{1,9}").prop_map(|(from, len, who)| {
        Record::Exposed(ExposedRecord { from_ms: from, until_ms: from + len, who, grant: "g".into() })
    });
    prop_oneof![keys, statuses, groups, policies, exposed]
}

proptest! {
    #[test]
    fn every_record_reads_back_and_has_one_encoding(record in records()) {
        let bytes = record.encode(GROUP);
        prop_assert_eq!(Record::decode(&bytes), Ok((GROUP, record)));
        let mut longer = bytes.clone();
        longer.push(0);
        prop_assert_eq!(Record::decode(&longer), Err(RecordError::NotCanonical));
    }

    #[test]
    fn truncated_records_are_errors(record in records(), cut in any::<prop::sample::Index>()) {
        let bytes = record.encode(GROUP);
        prop_assert!(Record::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn no_bytes_panic_and_what_reads_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok((group, record)) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(group), bytes);
        }
    }

    #[test]
    fn a_changed_byte_never_reads_as_the_same_record(record in records(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = record.encode(GROUP);
        let i = at.index(bytes.len());
        bytes[i] ^= 1 << bit;
        prop_assert_ne!(Record::decode(&bytes), Ok((GROUP, record)));
    }
}

#[test]
fn unknown_versions_and_kinds_are_told_apart_from_damage() {
    assert_eq!(Record::decode(&[0x82, 0x02, 0x00]), Err(RecordError::UnknownVersion { version: 2 }));
    let mut bytes =
        Record::Exposed(ExposedRecord { from_ms: 0, until_ms: 1, who: String::new(), grant: String::new() })
            .encode(GROUP);
    bytes[2] = 9;
    assert_eq!(Record::decode(&bytes), Err(RecordError::UnknownKind { kind: 9 }));
    assert!(matches!(Record::decode(b"hello"), Err(RecordError::Malformed(_))));
    assert_eq!(
        Record::decode(&vec![0; RECORD_LEN_MAX + 1]),
        Err(RecordError::TooLarge { len: RECORD_LEN_MAX + 1 })
    );
}

#[test]
fn longer_integers_and_unknown_fields_are_not_canonical() {
    let record =
        Record::Exposed(ExposedRecord { from_ms: 0, until_ms: 1, who: String::new(), grant: String::new() });
    let bytes = record.encode(GROUP);
    assert_eq!(bytes[1], 1);
    let mut longer = bytes.clone();
    longer.splice(1..2, [0x18, 1]);
    assert_eq!(Record::decode(&longer), Err(RecordError::NotCanonical));
    let body = 4 + 16;
    assert_eq!(bytes[body], 0xa4, "map of four");
    let mut extra = bytes;
    extra[body] = 0xa5;
    extra.extend_from_slice(&[0x04, 0x00]);
    assert_eq!(Record::decode(&extra), Err(RecordError::NotCanonical));
}

#[test]
fn a_whole_record_is_bound_to_its_wrapped_material() {
    let key = KeyRecord {
        id: KeyId([1; 16]),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1,
        activates_at_ms: 2,
        predecessor: None,
        attempt: 0,
        material: Material::None,
        guid: None,
    };
    let repository = RepositoryId([3; 16]);
    let aad = wrap_aad(repository, GROUP, &key);
    let changes: [fn(&mut KeyRecord); 7] = [
        |k| k.guid = Some(KeyGuid([1; 16])),
        |k| k.id.0[0] ^= 1,
        |k| k.family = Family::Windows,
        |k| k.created_at_ms += 1,
        |k| k.activates_at_ms += 1,
        |k| k.predecessor = Some(KeyId([0; 16])),
        |k| k.attempt += 1,
    ];
    for change in changes {
        let mut other = key.clone();
        change(&mut other);
        assert_ne!(wrap_aad(repository, GROUP, &other), aad);
    }
    assert_ne!(wrap_aad(RepositoryId([4; 16]), GROUP, &key), aad);
    assert_ne!(wrap_aad(repository, GroupId([8; 16]), &key), aad);
    let wrapped = Material::Wrapped(WrappedMaterial {
        root: RootKeyId([1; 16]),
        nonce: vec![0; 12],
        ciphertext: vec![0; 48],
    });
    assert_eq!(wrap_aad(repository, GROUP, &KeyRecord { material: wrapped, ..key }), aad);
}

#[test]
fn no_secret_reaches_debug() {
    let text = format!("{:?}", Material::Plain(Zeroizing::new([0xab; 32])));
    assert!(!text.contains("ab") && !text.contains("171"), "{text}");
}

#[test]
fn keys_of_windows_and_no_others_have_a_guid() {
    let key = |family, guid| {
        Record::Key(KeyRecord {
            id: KeyId([1; 16]),
            family,
            origin: Origin::Imported,
            created_at_ms: 1,
            activates_at_ms: 1,
            predecessor: None,
            attempt: 0,
            material: Material::Plain([2; 32].into()),
            guid,
        })
    };
    let guid = Some(KeyGuid([3; 16]));
    for (family, guid, reads) in [
        (Family::Native, None, true),
        (Family::Native, guid, false),
        (Family::Windows, None, false),
        (Family::Windows, guid, true),
    ] {
        let decoded = Record::decode(&key(family, guid).encode(GROUP));
        let invalid = matches!(decoded, Err(RecordError::Invalid(_)));
        assert_eq!((decoded.is_ok(), invalid), (reads, !reads), "{family:?} {guid:?}");
    }
}
