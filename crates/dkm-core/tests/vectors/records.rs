//! Records, archives and wrapped key material.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use dkm_core::archive::{Archive, ArchiveError, ArchivedRecord};
use dkm_core::record::{KeyRecord, Material, Record, RecordError, wrap_aad};
use dkm_core::{Digest, GroupId, RepositoryId, kdf};
use serde_json::Value;

use super::cases::{Outcome, array, bytes, each, number, refused, same, text};

fn class(error: &RecordError) -> &'static str {
    match error {
        RecordError::TooLarge { .. } => "too-large",
        RecordError::UnknownVersion { .. } => "unknown-version",
        RecordError::UnknownKind { .. } => "unknown-kind",
        RecordError::Malformed(_) => "malformed",
        RecordError::NotCanonical => "not-canonical",
        RecordError::Invalid(_) => "invalid",
        other => panic!("{other} has no class"),
    }
}

fn archive_class(error: &ArchiveError) -> &'static str {
    match error {
        ArchiveError::TooLarge { .. } => "too-large",
        ArchiveError::TooManyEntries { .. } => "too-many-entries",
        ArchiveError::NotAnArchive => "not-an-archive",
        ArchiveError::UnknownVersion { .. } => "unknown-version",
        ArchiveError::Malformed(_) => "malformed",
        ArchiveError::NotCanonical => "not-canonical",
        ArchiveError::Invalid(_) => "invalid",
        ArchiveError::Record { .. } => "bad-record",
        ArchiveError::ForeignGroup { .. } => "wrong-group",
        ArchiveError::KeyNotPlain { .. } => "key-not-plain",
        ArchiveError::KeyNotVerified { .. } => "key-id-mismatch",
        other => panic!("{other} has no class"),
    }
}

fn agree(what: &str, found: &str, expected: &Value) -> Outcome {
    if found == text(expected) { Ok(()) } else { Err(format!("{what} is {found}")) }
}

#[test]
fn sound_records_are_read_and_have_one_encoding() {
    each("records", 25, |case| {
        let stored = bytes(&case["record"]);
        let (group, record) = Record::decode(&stored).map_err(|e| e.to_string())?;
        same("group", group.as_bytes(), &case["group"])?;
        same("encoding", record.encode(group), &case["record"])?;
        same("digest", Digest::of(&stored).as_bytes(), &case["digest"])?;
        agree("kind", record.kind_name(), &case["kind"])?;
        agree("room", record.room().as_str(), &case["room"])?;
        agree("slot", record.slot(group, 0).as_str(), &case["slot"])?;
        if let Record::Roster(roster) = &record {
            same("signed bytes", roster.signed_bytes(group), &case["signed_bytes"])?;
        }
        Ok(())
    });
}

#[test]
fn faulty_records_are_refused() {
    each("records-refused", 120, |case| {
        let found = Record::decode(&bytes(&case["record"]));
        refused("the reader", found.as_ref().err().map(class), text(&case["error"]))
    });
}

/// Opens a key record's material as the holder of a root key in a file does.
fn unwrap(case: &Value) -> Result<(GroupId, KeyRecord, Vec<u8>), String> {
    let (group, record) = Record::decode(&bytes(&case["record"])).map_err(|e| e.to_string())?;
    let Record::Key(key) = record else { return Err("not a key".to_owned()) };
    let Material::Wrapped(wrapped) = &key.material else { return Err("not wrapped".to_owned()) };
    let aad = wrap_aad(RepositoryId(array(&case["repository"])), group, &key);
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes(&case["root_key"])).unwrap());
    let mut out = wrapped.ciphertext.clone();
    let opened = Nonce::try_assume_unique_for_key(&wrapped.nonce)
        .and_then(|nonce| cipher.open_in_place(nonce, Aad::from(&aad), &mut out).map(|plain| plain.to_vec()));
    let material = opened.map_err(|_| "wrap-mismatch".to_owned())?;
    Ok((group, key, material))
}

#[test]
fn wrapped_material_opens_in_its_place_only() {
    each("wrapping", 3, |case| {
        let (group, key, material) = unwrap(case)?;
        same("material", &material, &case["material"])?;
        same("AAD", wrap_aad(RepositoryId(array(&case["repository"])), group, &key), &case["aad"])?;
        let root = kdf::root_key_id(group, &array(&case["root_key"]));
        same("root key id", root.as_bytes(), &case["root_key_id"])?;
        same("key id", kdf::key_id(group, key.family, &array(&case["material"])).as_bytes(), &id_of(&key))
    });
    each("wrapping-refused", 10, |case| {
        let found = unwrap(case);
        refused("unwrapping", found.as_ref().err().map(String::as_str), text(&case["error"]))
    });
}

fn id_of(key: &KeyRecord) -> Value {
    Value::String(key.id.to_string())
}

#[test]
fn sound_archives_are_read_and_have_one_encoding() {
    each("archives", 5, |case| {
        let archive = Archive::decode(&bytes(&case["payload"])).map_err(|e| e.to_string())?;
        same("encoding", archive.encode().map_err(|e| e.to_string())?.as_slice(), &case["payload"])?;
        same("group", archive.group.as_bytes(), &case["group"])?;
        same("repository", archive.repository.as_bytes(), &case["repository"])?;
        agree("name", &archive.name, &case["group_name"])?;
        if archive.exported_at_ms != number(&case["exported_at_ms"]) {
            return Err(format!("exported at {}", archive.exported_at_ms));
        }
        let entries = case["entries"].as_array().unwrap();
        if archive.entries.len() != entries.len() {
            return Err(format!("{} entries", archive.entries.len()));
        }
        for (found, expected) in archive.entries.iter().zip(entries) {
            agree("room", found.room.as_str(), &expected["room"])?;
            agree("slot", found.slot.as_str(), &expected["slot"])?;
            agree("creator", &found.attested.creator.0, &expected["creator"])?;
            let (kind, record) = match &found.record {
                ArchivedRecord::Known(record) => (record.kind_name(), record.encode(archive.group)),
                ArchivedRecord::Unknown { bytes, .. } => ("unknown", bytes.to_vec()),
            };
            agree("kind", kind, &expected["kind"])?;
            same("digest", Digest::of(&record).as_bytes(), &expected["digest"])?;
            let attested = (found.attested.created.0, found.attested.template_ok);
            if attested != (number(&expected["created_ms"]), expected["template_ok"] == true) {
                return Err(format!("attested {attested:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn faulty_archives_are_refused() {
    each("archives-refused", 20, |case| {
        let found = Archive::decode(&bytes(&case["payload"]));
        refused("the reader", found.as_ref().err().map(archive_class), text(&case["error"]))
    });
}
