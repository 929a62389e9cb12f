//! From objects of the directory to keys.

use std::collections::BTreeMap;

use dkm_core::KeyGuid;
use dkm_core::windows::WindowsKey;

use super::DirectoryEntry;

/// The object that says which key protects.
const CRYPTO_POLICY: &str = "CN=CryptoPolicy";

/// A container of keys: one group of Windows DKM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowsContainer {
    /// Its distinguished name.
    pub dn: String,
    /// The key that Windows protects with, if the container says so.
    pub active: Option<KeyGuid>,
    /// Its keys, in the order of their objects.
    pub keys: Vec<WindowsKey>,
    /// Objects that give no key, and why.
    pub skipped: Vec<Skipped>,
}

/// An object that looks like a key and gives none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The object's distinguished name.
    pub dn: String,
    /// Why.
    pub why: String,
}

/// The containers whose objects are among `entries`, by name. Objects of other classes, and the containers themselves,
/// are passed over.
#[must_use]
pub fn containers(entries: &[DirectoryEntry]) -> Vec<WindowsContainer> {
    let mut found: BTreeMap<String, WindowsContainer> = BTreeMap::new();
    let is_contact = |entry: &&DirectoryEntry| {
        let classes = &entry.object_classes;
        classes.is_empty() || classes.iter().any(|class| class.eq_ignore_ascii_case("contact"))
    };
    for entry in entries.iter().filter(is_contact) {
        let (rdn, parent) = split_dn(&entry.dn);
        let is_policy = rdn.eq_ignore_ascii_case(CRYPTO_POLICY);
        if !is_policy && entry.l.is_none() && entry.thumbnail_photo.is_none() {
            continue;
        }
        // Names of the directory do not depend on case.
        let container = found.entry(parent.to_lowercase()).or_insert_with(|| WindowsContainer {
            dn: parent.to_owned(),
            active: None,
            keys: Vec::new(),
            skipped: Vec::new(),
        });
        let taken = if is_policy {
            guid_of("displayName", entry.display_name.as_deref()).map(|guid| container.active = Some(guid))
        } else {
            key_of(entry).map(|key| container.keys.push(key))
        };
        if let Err(why) = taken {
            container.skipped.push(Skipped { dn: entry.dn.clone(), why });
        }
    }
    found.into_values().collect()
}

fn key_of(entry: &DirectoryEntry) -> Result<WindowsKey, String> {
    let guid = guid_of("l", entry.l.as_deref())?;
    let Some(material) = &entry.thumbnail_photo else {
        return Err("it has no thumbnailPhoto, or this account may not read it".to_owned());
    };
    WindowsKey::new(guid, material).map_err(|error| error.to_string())
}

fn guid_of(attribute: &str, text: Option<&str>) -> Result<KeyGuid, String> {
    let text = text.ok_or_else(|| format!("it has no {attribute}"))?.trim();
    let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    // Whatever it is instead need not be shown: an export may have been mixed up.
    bare.parse().map_err(|_| format!("its {attribute} is not a GUID"))
}

/// The first part of a distinguished name, and the rest. A comma after a backslash belongs to the value.
fn split_dn(dn: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in dn.char_indices() {
        match c {
            ',' if !escaped => return (dn[..at].trim_end(), dn[at + 1..].trim_start()),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (dn, "")
}
