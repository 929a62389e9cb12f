//! Ids, contexts, lengths and names of slots.

use dkm_core::blob::{BlobError, Layout};
use dkm_core::context::ContextError;
use dkm_core::record::Family;
use dkm_core::{Context, Digest, GroupId, KeyId, SlotName, kdf};
use serde_json::Value;

use super::cases::{Outcome, array, bytes, context, each, number, refused, same, text};

#[test]
fn ids_are_derived_as_written() {
    each("derivations", 15, |case| {
        let group = case.get("group").map(|group| GroupId(array(group)));
        match text(&case["of"]) {
            "key-id" => {
                let family = if case["family"] == "windows" { Family::Windows } else { Family::Native };
                let found = kdf::key_id(group.unwrap(), family, &array(&case["material"]));
                match (same("id", found.as_bytes(), &case["id"]), case.get("error")) {
                    (outcome, None) => outcome,
                    (outcome, Some(error)) => {
                        refused("the derivation", outcome.err().map(|_| "key-id-mismatch"), text(error))
                    }
                }
            }
            "root-key-id" => {
                let found = kdf::root_key_id(group.unwrap(), &array(&case["root_key"]));
                same("id", found.as_bytes(), &case["id"])
            }
            // With the blobs.
            _ => Ok(()),
        }
    });
}

fn class(error: &ContextError) -> &'static str {
    match error {
        ContextError::EmptyKey => "empty-key",
        ContextError::Duplicate { .. } => "duplicate-key",
        ContextError::TooManyPairs => "too-many-pairs",
        ContextError::TooLong => "too-long",
        ContextError::NotCanonical => "not-canonical",
        other => panic!("{other} has no class"),
    }
}

#[test]
fn contexts_are_encoded_and_read() {
    each("contexts", 10, |case| {
        let context = context(&case["pairs"]).map_err(|e| e.to_string())?;
        same("encoding", context.encode(), &case["encoding"])?;
        same("hash", context.hash().as_bytes(), &case["hash"])?;
        match Context::decode(&bytes(&case["encoding"])) {
            Ok(read) if read == context => Ok(()),
            other => Err(format!("read back as {other:?}")),
        }
    });
    each("contexts-refused", 20, |case| {
        let found = match case.get("encoding") {
            Some(encoding) => Context::decode(&bytes(encoding)),
            None => context(&case["pairs"]),
        };
        refused("the reader", found.as_ref().err().map(class), text(&case["error"]))
    });
}

fn layout(case: &Value) -> Result<Layout, BlobError> {
    let chunk_size = usize::try_from(number(&case["chunk_size"])).unwrap();
    match case.get("plaintext_len") {
        Some(len) => Layout::of_plaintext(number(len), chunk_size),
        None => Layout::of_blob(number(&case["blob_len"]), chunk_size),
    }
}

#[test]
fn lengths_are_as_written() {
    each("lengths", 12, |case| {
        let layout = layout(case).map_err(|e| e.to_string())?;
        let found = (layout.chunks(), layout.blob_len());
        if found != (number(&case["chunks"]), number(&case["blob_len"])) {
            return Err(format!("{found:?}"));
        }
        let chunk_size = usize::try_from(number(&case["chunk_size"])).unwrap();
        match Layout::of_blob(layout.blob_len(), chunk_size) {
            Ok(back) if back == layout => Ok(()),
            other => Err(format!("the other way: {other:?}")),
        }
    });
    each("lengths-refused", 12, |case| {
        let found = layout(case).err().map(|error| match error {
            BlobError::Truncated => "truncated",
            BlobError::TooLarge => "too-large",
            _ => "another error",
        });
        refused("the layout", found, text(&case["error"]))
    });
}

fn slot(case: &Value) -> SlotName {
    let attempt = || u32::try_from(number(&case["attempt"])).unwrap();
    match text(&case["of"]) {
        "rolled-key" => {
            let predecessor =
                Some(&case["predecessor"]).filter(|id| !id.is_null()).map(|id| KeyId(array(id)));
            SlotName::for_key(predecessor, attempt())
        }
        "restored-key" => SlotName::for_restored_key(KeyId(array(&case["key"]))),
        "imported-key" => SlotName::for_imported_key(KeyId(array(&case["key"]))),
        kind @ ("status" | "exposed") => SlotName::for_content(kind, Digest(array(&case["digest"]))),
        kind => {
            let previous: Vec<Digest> =
                case["previous"].as_array().unwrap().iter().map(|d| Digest(array(d))).collect();
            SlotName::for_chained(kind, &previous, attempt())
        }
    }
}

#[test]
fn slots_are_named_as_written() {
    each("slots", 15, |case| -> Outcome {
        let found = slot(case);
        if found.as_str() != text(&case["slot"]) || text(&case["slot"]).parse() != Ok(found.clone()) {
            return Err(found.to_string());
        }
        Ok(())
    });
    each("slots-refused", 9, |case| {
        let found = text(&case["slot"]).parse::<SlotName>();
        refused("the reader", found.err().map(|_| "not-a-slot-name"), text(&case["error"]))
    });
}
