//! The materials, salts and ids of all cases: fixed, so that every run gives the same bytes.

use dkm_core::blob::{BlobKey, Header};
use dkm_core::record::Family;
use dkm_core::{Context, Digest, GroupId, KeyGuid, RepositoryId, Suite};

use anyhow::Result;

use super::json::Json;

/// The group of most cases.
pub(crate) const GROUP: GroupId =
    GroupId([0x8f, 0x14, 0xe4, 0x5f, 0xce, 0xea, 0x46, 0x7a, 0x95, 0x75, 0x42, 0xb1, 0xd3, 0x60, 0x7c, 0x29]);
/// Another group.
pub(crate) const OTHER_GROUP: GroupId =
    GroupId([0x45, 0xc4, 0x8c, 0xce, 0x2e, 0x2d, 0x4f, 0xbd, 0x9a, 0x1a, 0xfc, 0x51, 0xc7, 0xc6, 0xad, 0x26]);
/// The repository of all cases.
pub(crate) const REPOSITORY: RepositoryId = RepositoryId([
    0xd3, 0xd9, 0x44, 0x68, 0x02, 0xa4, 0x42, 0x59, 0x85, 0x5d, 0x38, 0xe6, 0xd1, 0x63, 0xe8, 0x20,
]);
/// What Windows calls the key of its family: in each byte another digit, so that their order shows.
pub(crate) const KEY_GUID: KeyGuid =
    KeyGuid([0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87, 0x98, 0xa9, 0xba, 0xcb, 0xdc, 0xed, 0xfe, 0x0f]);
/// A day in November 2026.
pub(crate) const WHEN_MS: u64 = 1_794_528_000_000;

/// Thirty-two bytes that belong to a name: SHA-256 of it.
pub(crate) fn bytes32(name: &str) -> [u8; 32] {
    Digest::of(format!("dkm vectors: {name}").as_bytes()).0
}

/// The material of the key of most cases.
pub(crate) fn material() -> [u8; 32] {
    bytes32("material")
}

/// Another key's material.
pub(crate) fn other_material() -> [u8; 32] {
    bytes32("other material")
}

/// The key of most cases.
pub(crate) fn key() -> BlobKey {
    BlobKey::new(GROUP, Family::Native, &material())
}

/// The header of a case: its salt belongs to its name.
pub(crate) fn header(name: &str, suite: Suite, chunk_size: u32) -> Result<Header> {
    Ok(Header::new(suite, GROUP, key().id(), bytes32(&format!("salt of {name}")), chunk_size)?)
}

/// The context of most cases.
pub(crate) fn context() -> Result<Context> {
    Ok(Context::new().with("purpose", "mail-token")?.with("account", "alice@example.org")?)
}

/// Byte i is i mod 251: no chunk repeats another.
pub(crate) fn counting(len: usize) -> Vec<u8> {
    (0..=250u8).cycle().take(len).collect()
}

/// A context as the cases show it: pairs, sorted by key.
pub(crate) fn pairs(context: &Context) -> Json {
    Json::List(
        context.pairs().map(|(key, value)| Json::List(vec![Json::bytes(key), Json::bytes(value)])).collect(),
    )
}

/// The name of a family in the cases.
pub(crate) const fn family(family: Family) -> &'static str {
    match family {
        Family::Native => "native",
        Family::Windows => "windows",
    }
}
