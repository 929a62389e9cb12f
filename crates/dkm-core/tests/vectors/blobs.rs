//! Blobs: whole, streamed and seeking, sealed anew where a case says of what.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use dkm_core::blob::{
    BlobError, BlobKey, ChunkCipher, Header, PREFIX_LEN, SeekingReader, blob_id, open, open_stream,
    read_full, seal, seal_stream,
};
use dkm_core::record::Family;
use dkm_core::{Context, Digest, GroupId, Suite};
use serde_json::Value;

use super::cases::{array, bytes, context, each, hex, load, number, refused, same, text};

fn class(error: &BlobError) -> &'static str {
    match error {
        BlobError::NotABlob => "not-a-blob",
        BlobError::UnknownVersion { .. } => "unknown-version",
        BlobError::UnknownSuite { .. } => "unknown-suite",
        BlobError::UnknownFlags { .. } => "unknown-flags",
        BlobError::BadChunkSize { .. } => "bad-chunk-size",
        BlobError::Truncated => "truncated",
        BlobError::TooLarge => "too-large",
        BlobError::WrongGroup { .. } => "wrong-group",
        BlobError::WrongKey { .. } => "wrong-key",
        BlobError::ForeignFamily { .. } => "foreign-family",
        BlobError::WrongContext => "wrong-context",
        BlobError::Corrupt { .. } => "corrupt",
        other => panic!("{other} has no class"),
    }
}

fn key(case: &Value) -> BlobKey {
    let family = match text(&case["family"]) {
        "native" => Family::Native,
        "windows" => Family::Windows,
        other => panic!("{other} is not a family"),
    };
    BlobKey::new(GroupId(array(&case["group"])), family, &array(&case["material"]))
}

/// A reader that gives a few bytes at a time, as a network does.
struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let len = self.step.min(self.rest.len()).min(out.len());
        out[..len].copy_from_slice(&self.rest[..len]);
        self.rest = &self.rest[len..];
        Ok(len)
    }
}

fn streamed(key: &BlobKey, context: &Context, blob: &[u8], step: usize) -> Result<Vec<u8>, BlobError> {
    let mut reader = Trickle { rest: blob, step };
    let mut prefix = [0; PREFIX_LEN];
    let len = read_full(&mut reader, &mut prefix)?;
    let cipher = ChunkCipher::opening(key, context, &prefix[..len])?;
    let mut out = Vec::new();
    open_stream(&cipher, &mut reader, &mut out).map(|_| out)
}

/// Reads from the end to the beginning, in ranges that fit no chunk.
fn sought(key: &BlobKey, context: &Context, blob: &[u8]) -> Result<Vec<u8>, BlobError> {
    let mut reader = SeekingReader::new(Cursor::new(blob), key, context)?;
    let len = usize::try_from(reader.plaintext_len()).unwrap();
    let mut out = vec![0; len];
    let step = 1000;
    for start in (0..len).step_by(step).rev() {
        let end = (start + step).min(len);
        let read = reader.read_at(u64::try_from(start).unwrap(), &mut out[start..end])?;
        assert_eq!(read, end - start);
    }
    Ok(out)
}

fn ways(key: &BlobKey, context: &Context, blob: &[u8]) -> [(&'static str, Result<Vec<u8>, BlobError>); 4] {
    [
        ("whole", open(key, context, blob).map(|plain| plain.to_vec())),
        ("streaming", streamed(key, context, blob, usize::MAX)),
        ("streaming in pieces of 7", streamed(key, context, blob, 7)),
        ("seeking", sought(key, context, blob)),
    ]
}

/// What both files of sound blobs say: the parts give the blob, and the blob gives the plaintext.
fn sound(case: &Value) -> Result<Vec<u8>, String> {
    let (key, context, plain) = (key(case), context(&case["context"]).unwrap(), bytes(&case["plaintext"]));
    let suite = Suite::from_number(u16::try_from(number(&case["suite"])).unwrap()).unwrap();
    let chunk_size = u32::try_from(number(&case["chunk_size"])).unwrap();
    let header = Header::new(suite, key.group(), key.id(), array(&case["salt"]), chunk_size).unwrap();
    same("key id", key.id().as_bytes(), &case["key_id"])?;
    let blob = seal(&key, &header, &context, &plain).map_err(|e| e.to_string())?;
    let cipher = ChunkCipher::sealing(&key, &header, &context).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    seal_stream(&cipher, &mut Trickle { rest: &plain, step: 1000 }, &mut out).map_err(|e| e.to_string())?;
    if out != blob {
        return Err("streaming writes another blob".to_owned());
    }
    same("blob id", blob_id(cipher.prefix()).as_bytes(), &case["blob_id"])?;
    for (way, opened) in ways(&key, &context, &blob) {
        match opened {
            Ok(found) if found == plain => {}
            Ok(_) => return Err(format!("{way} gives another plaintext")),
            Err(error) => return Err(format!("{way}: {error}")),
        }
    }
    Ok(blob)
}

#[test]
fn sound_blobs_open_and_are_made_anew() {
    each("blobs", 40, |case| same("blob", sound(case)?, &case["blob"]));
}

#[test]
fn large_blobs_open_and_are_made_anew() {
    each("blobs-large", 15, |case| {
        let blob = sound(case)?;
        if blob.len() as u64 != number(&case["blob_len"]) {
            return Err(format!("blob has {} bytes", blob.len()));
        }
        same("prefix", &blob[..PREFIX_LEN], &case["blob_prefix"])?;
        same("SHA-256", Digest::of(&blob).as_bytes(), &case["blob_sha256"])
    });
}

/// A blob that is written out, or put together from pieces of sound ones.
fn assembled(case: &Value, samples: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let Some(pieces) = case["blob"].get("pieces") else { return bytes(&case["blob"]) };
    let at = |value: &Value| usize::try_from(number(value)).unwrap();
    let piece = |piece: &Value| match piece.get("of") {
        Some(name) => samples[text(name)][at(&piece["from"])..at(&piece["to"])].to_vec(),
        None => bytes(piece),
    };
    pieces.as_array().unwrap().iter().flat_map(piece).collect()
}

#[test]
fn faulty_blobs_are_refused_in_every_way_of_reading() {
    let samples: BTreeMap<String, Vec<u8>> =
        load("blobs").iter().map(|case| (text(&case["name"]).to_owned(), bytes(&case["blob"]))).collect();
    each("blobs-refused", 120, |case| {
        let blob = assembled(case, &samples);
        same("SHA-256", Digest::of(&blob).as_bytes(), &case["blob_sha256"])?;
        let (key, context) = (key(case), context(&case["context"]).unwrap());
        for (way, found) in ways(&key, &context, &blob) {
            let other = case.get("error_streaming").filter(|_| way.starts_with("streaming"));
            let expected = text(other.unwrap_or(&case["error"]));
            refused(way, found.as_ref().err().map(class), expected)?;
        }
        Ok(())
    });
}

#[test]
fn derived_keys_are_as_written() -> Result<(), String> {
    // Only the commitment can be seen from outside; the AEAD key shows in every blob that opens.
    for case in load("derivations").iter().filter(|case| case["of"] == "blob") {
        let header = Header::parse(&bytes(&case["header"])).map_err(|e| e.to_string())?;
        let key = BlobKey::new(header.group(), Family::Native, &array(&case["material"]));
        let contexts = [Context::new(), with_two_pairs()];
        let fits = |context: &&Context| context.hash().as_bytes() == &array(&case["context_hash"]);
        let context = contexts.iter().find(fits).ok_or("no context has this hash")?;
        let cipher = ChunkCipher::sealing(&key, &header, context).map_err(|e| e.to_string())?;
        let expected = [bytes(&case["header"]), bytes(&case["commitment"])].concat();
        assert_eq!(hex(cipher.prefix()), hex(&expected), "{}", case["name"]);
        same("blob id", blob_id(cipher.prefix()).as_bytes(), &case["blob_id"])?;
    }
    Ok(())
}

fn with_two_pairs() -> Context {
    let pairs = [("purpose", "mail-token"), ("account", "alice@example.org")];
    pairs.iter().fold(Context::new(), |context, (key, value)| context.with(key, value).unwrap())
}
