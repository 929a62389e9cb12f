//! Taking keys of Windows DKM onto the ring.

use std::collections::BTreeMap;

use dkm_core::record::{Family, KeyRecord, Material, Origin};
use dkm_core::windows::WindowsKey;
use dkm_core::{KeyGuid, KeyId};

use super::lifecycle::refused;
use super::{Engine, Need};
use crate::journal::EventKind;
use crate::repository::Put;
use crate::{Error, Result};

/// Most keys that one import takes. A container of Windows gets one a year.
const WINDOWS_IMPORT_MAX: usize = 1_000;

const WHAT: &str = "importing Windows keys";

/// What an import came to. Keys are in the order of their GUIDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowsImport {
    /// Keys that came onto the ring.
    pub imported: Vec<(KeyGuid, KeyId)>,
    /// Keys that were there already.
    pub present: Vec<(KeyGuid, KeyId)>,
    /// Keys that were destroyed here: they do not come back.
    pub destroyed: Vec<(KeyGuid, KeyId)>,
}

impl Engine {
    /// Puts keys on the ring that only open, and make, Windows blobs.
    pub(crate) fn import_windows(&self, keys: Vec<WindowsKey>, reason: &str) -> Result<WindowsImport> {
        let keys = self.without_contradiction(keys)?;
        self.refresh(Need::Fresh)?;
        self.refuse_if_clock_is_off(WHAT)?;
        let mut import = WindowsImport::default();
        let mut missing = Vec::new();
        for (id, key) in keys {
            match self.find_on_ring(id, key.guid)? {
                Found::Present => import.present.push((key.guid, id)),
                Found::Destroyed => import.destroyed.push((key.guid, id)),
                Found::Missing => missing.push((id, key)),
            }
        }
        let mut taken = Vec::new();
        let some = missing.len();
        for (id, key) in missing {
            match self.import_key(id, &key, reason)? {
                Put::Created => import.imported.push((key.guid, id)),
                Put::Taken => taken.push((key.guid, id)),
                Put::Tombstoned => import.destroyed.push((key.guid, id)),
            }
            crate::steps::step("part of the Windows keys imported");
        }
        if some > 0 {
            self.refresh(Need::Fresh)?;
        }
        // Another import may have come first; or somebody put something else there.
        let lost = import.imported.iter().chain(&taken).find(|(_, id)| !self.opens(*id));
        if let Some((guid, id)) = lost {
            return Err(refused(
                WHAT,
                format!("key {guid} was not read back from slot imported-{id}"),
                "dkm doctor shows what lies there; then import again",
            ));
        }
        import.present.extend(taken);
        for keys in [&mut import.imported, &mut import.present, &mut import.destroyed] {
            keys.sort_unstable();
        }
        Ok(import)
    }

    /// The keys by id, each once.
    fn without_contradiction(&self, keys: Vec<WindowsKey>) -> Result<BTreeMap<KeyId, WindowsKey>> {
        let mut ids: BTreeMap<KeyGuid, KeyId> = BTreeMap::new();
        let mut all: BTreeMap<KeyId, WindowsKey> = BTreeMap::new();
        for key in keys {
            let id = key.id(self.group);
            if ids.insert(key.guid, id).is_some_and(|other| other != id) {
                return Err(Error::Invalid(format!("two different Windows keys have the GUID {}", key.guid)));
            }
            let guid = key.guid;
            if let Some(other) = all.insert(id, key).filter(|other| other.guid != guid) {
                return Err(Error::Invalid(format!(
                    "Windows keys {} and {guid} are the same key",
                    other.guid
                )));
            }
        }
        if all.len() > WINDOWS_IMPORT_MAX {
            return Err(Error::Invalid(format!(
                "{} Windows keys at once are more than the limit of {WINDOWS_IMPORT_MAX}",
                all.len()
            )));
        }
        Ok(all)
    }

    fn find_on_ring(&self, id: KeyId, guid: KeyGuid) -> Result<Found> {
        let state = self.state();
        let ring = state.member.ring();
        if ring.is_destroyed(id) {
            return Ok(Found::Destroyed);
        }
        let contradiction = ring.keys.iter().find(|key| {
            let record = &key.record;
            (record.id == id && record.guid != Some(guid)) || (record.guid == Some(guid) && record.id != id)
        });
        if let Some(other) = contradiction {
            let (other, name) = (other.id(), other.record.guid.unwrap_or_default());
            return Err(refused(
                WHAT,
                format!("key {guid} is not the key {other} that the ring knows as {name}"),
                "find out which one is right (dkm key show); a key that is on the ring in error can be destroyed",
            ));
        }
        let opens = ring.key(id).is_some_and(|key| key.verified);
        Ok(if opens { Found::Present } else { Found::Missing })
    }

    fn import_key(&self, id: KeyId, key: &WindowsKey, reason: &str) -> Result<Put> {
        let policy = self.policy()?;
        let now = self.parts.clock.now();
        let record = KeyRecord {
            id,
            family: Family::Windows,
            origin: Origin::Imported,
            created_at_ms: now.0,
            activates_at_ms: now.0,
            predecessor: None,
            attempt: 0,
            material: Material::None,
            guid: Some(key.guid),
        };
        let reason = Some(reason).filter(|reason| !reason.trim().is_empty());
        self.record(EventKind::KeyImported, Some(id), reason, |event| {
            event.detail = Some(format!("Windows key {}", key.guid));
        })?;
        if policy.archive_before_use {
            self.keep_escrow(&policy.archive_recipients, &record, &key.material)?;
        }
        self.put_key(&record.slot(), &record, &key.material, policy.wrap)
    }
}

enum Found {
    Present,
    Destroyed,
    Missing,
}
