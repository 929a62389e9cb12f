//! Windows DKM blobs: another format and other keys, which the group's own blobs and keys have nothing to do with.

use std::sync::Arc;

use dkm_core::member::UnprotectRefusal;
use dkm_core::record::Family;
use dkm_core::ring::{Ring, RingKey};
use dkm_core::windows::{self, IV_LEN, NONCE_LEN, WindowsBlob, WindowsBlobError, WindowsKey};
use dkm_core::{Digest, KeyGuid, KeyId, Plaintext};

use super::lifecycle::refused;
use super::snapshot::{CachedKey, Use};
use super::{Engine, Override};
use crate::journal::EventKind;
use crate::{Error, Result};

impl Engine {
    /// The plaintext of a Windows blob.
    pub(crate) fn unprotect_windows(&self, blob: &[u8], overriding: Option<&Override>) -> Result<Plaintext> {
        let parts = WindowsBlob::parse(blob)?;
        // Nothing authenticates the GUID in a blob, and nothing keeps a creator from importing another key under it: all
        // keys of that name are tried.
        let keys = self.windows_keys(parts.guid, |guid| parts.names(guid))?;
        let mut fault = Error::NoWindowsKey { guid: parts.guid };
        for (id, guid) in keys {
            let (key, held) = match self.use_of_windows_key(id) {
                Ok(found) => found,
                Err(error) => {
                    fault = error;
                    continue;
                }
            };
            match windows::open(&windows_key(guid, &key), blob) {
                Ok(plaintext) => {
                    self.let_go(id, held, blob, overriding)?;
                    return Ok(plaintext);
                }
                // Another reason may already say more.
                Err(WindowsBlobError::WrongMac) if !matches!(fault, Error::NoWindowsKey { .. }) => {}
                Err(error) => fault = error.into(),
            }
        }
        Err(fault)
    }

    /// A new Windows blob.
    pub(crate) fn protect_windows(&self, guid: KeyGuid, plaintext: &[u8]) -> Result<Vec<u8>> {
        const WHAT: &str = "protecting with a Windows key";
        let mut keys = self.windows_keys(guid, |name| name == guid)?;
        keys.retain(|(id, _)| !self.state().member.ring().is_destroyed(*id));
        self.refuse_if_clock_is_off(WHAT)?;
        let [(id, _)] = keys[..] else {
            return Err(refused(
                WHAT,
                format!("{} keys of the ring have the GUID {guid}", keys.len()),
                "find out which one is right (dkm key list) and destroy the others",
            ));
        };
        let policy = self.policy()?;
        let key = self.ring_key(id)?;
        if let Some(why) = unfit(&key, policy.creators.as_deref()) {
            return Err(refused(WHAT, why, "dkm key show tells its state and where it came from"));
        }
        let (key, Held::Free) = self.use_of_windows_key(id)? else {
            return Err(refused(WHAT, "its state forbids it", "dkm key show tells its state"));
        };
        let (mut nonce, mut iv) = ([0u8; NONCE_LEN], [0u8; IV_LEN]);
        getrandom::fill(&mut nonce)
            .and_then(|()| getrandom::fill(&mut iv))
            .map_err(|e| Error::Internal(format!("the system gives no randomness: {e}")))?;
        Ok(windows::seal(&windows_key(guid, &key), &nonce, &iv, plaintext)?)
    }

    /// The keys of the ring with a GUID that fits, read anew if there is none.
    fn windows_keys(&self, asked: KeyGuid, fits: impl Fn(KeyGuid) -> bool) -> Result<Vec<(KeyId, KeyGuid)>> {
        let named = |ring: &Ring| -> Vec<(KeyId, KeyGuid)> {
            let keys = ring.keys.iter().filter(|key| key.record.family == Family::Windows);
            keys.filter_map(|key| Some((key.id(), key.record.guid.filter(|guid| fits(*guid))?))).collect()
        };
        let snapshot = self.current(self.parts.clock.now());
        if let Some(refusal) = &snapshot.closed {
            return Err(refusal.clone().into());
        }
        drop(snapshot);
        let mut keys = named(self.state().member.ring());
        if keys.is_empty() {
            let unknown = || Error::NoWindowsKey { guid: asked };
            self.look_for_any(KeyId(asked.0), |ring| !named(ring).is_empty(), unknown)?;
            keys = named(self.state().member.ring());
        }
        if keys.is_empty() { Err(Error::NoWindowsKey { guid: asked }) } else { Ok(keys) }
    }

    fn use_of_windows_key(&self, id: KeyId) -> Result<(Arc<CachedKey>, Held)> {
        let snapshot = self.snapshot.load();
        if let Some(refusal) = &snapshot.closed {
            return Err(refusal.clone().into());
        }
        match snapshot.keys.get(&id) {
            Some(Use::Open(key)) => Ok((key.clone(), Held::Free)),
            Some(Use::Notice(key)) => Ok((key.clone(), Held::Back { compromised: false, notice: true })),
            Some(Use::Compromised(key, notice)) => {
                Ok((key.clone(), Held::Back { compromised: true, notice: *notice }))
            }
            Some(Use::Refused(refusal)) => Err(refusal.clone().into()),
            None => Err(UnprotectRefusal::UnknownKey { key: id }.into()),
        }
    }

    /// What must happen before a plaintext is given out.
    fn let_go(&self, id: KeyId, held: Held, blob: &[u8], overriding: Option<&Override>) -> Result<()> {
        let Held::Back { compromised, notice } = held else { return Ok(()) };
        if compromised {
            let Some(leave) = overriding else {
                return Err(UnprotectRefusal::Compromised { key: id }.into());
            };
            self.record(EventKind::OverrideUsed, Some(id), Some(&leave.reason), |event| {
                event.blob = Some(Digest::of(blob));
            })?;
        }
        if notice {
            self.notice_use(id);
        }
        Ok(())
    }
}

/// Whether something stands between a key's plaintext and the caller.
enum Held {
    Free,
    Back { compromised: bool, notice: bool },
}

fn windows_key(guid: KeyGuid, key: &CachedKey) -> WindowsKey {
    key.material.expose(|bytes| WindowsKey { guid, material: (*bytes).into() })
}

/// Why a key that opens Windows blobs makes none.
fn unfit(key: &RingKey, creators: Option<&[String]>) -> Option<String> {
    let status = &key.status;
    if status.compromised.is_some() {
        Some("it is compromised".to_owned())
    } else if !status.suspensions.is_empty() {
        Some("it is suspended".to_owned())
    } else if !key.attested.template_ok {
        Some("its access control is not the template's: others may be able to read it".to_owned())
    } else if creators.is_some_and(|names| !names.contains(&key.attested.creator.0)) {
        Some(format!("its author {} is not a creator of the group", key.attested.creator))
    } else {
        None
    }
}
