//! Root keys in files: `FOLDER/<group id>/<root key id>.key`, beside them `current`, which names the one that wraps.
//!
//! They protect copies of the repository (backups, stolen disks), as long as they are not copied along. What separates
//! groups is the kernel: a group's folder and files belong to the Unix group of its readers.

mod folder;
pub(crate) mod text;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use dkm_core::record::WrappedMaterial;
use dkm_core::{GroupId, RootKeyId, kdf};
use zeroize::Zeroizing;

use self::folder::GroupFolder;
use super::{RootKeyError, RootKeyProvider};
use crate::repository::GroupAccess;
use crate::secret::{Secret, Vault};

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// Root keys in a folder of files.
///
/// A root key that was read once stays in locked memory, so that the keys of a long ring cost one reading. Its AES
/// schedule is made for each use: it would lie in ordinary memory.
pub struct FileRootKeys {
    folder: PathBuf,
    vault: Arc<Vault>,
    opened: RwLock<HashMap<(GroupId, RootKeyId), Arc<Secret>>>,
}

impl FileRootKeys {
    /// Root keys in `folder`, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self::with_vault(folder, Vault::new())
    }

    /// As [`FileRootKeys::new`], keeping what is read in a vault that is there already.
    pub(crate) fn with_vault(folder: PathBuf, vault: Arc<Vault>) -> Self {
        Self { folder, vault, opened: RwLock::default() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a new root key for the group, which wraps from now on. Older ones stay, to open what they wrapped.
    ///
    /// What is wrapped already stays wrapped as it is: records are never rewritten.
    ///
    /// # Errors
    /// [`RootKeyError::NotFound`] for a group without a root key; [`RootKeyError::Denied`] if this account may not
    /// write in the group's folder.
    pub fn rotate(&self, group: GroupId) -> Result<RootKeyId, RootKeyError> {
        let id = self.add(group)?;
        self.make_current(group, id)?;
        Ok(id)
    }

    fn of(&self, group: GroupId) -> GroupFolder<'_> {
        GroupFolder::new(&self.folder, group)
    }

    fn unavailable(&self, why: String) -> RootKeyError {
        RootKeyError::Unavailable { location: self.location(), why }
    }

    /// A root key, read at most once.
    fn open(&self, group: GroupId, id: RootKeyId) -> Result<Arc<Secret>, RootKeyError> {
        let known = |map: &HashMap<_, Arc<Secret>>| map.get(&(group, id)).cloned();
        if let Some(secret) = known(&self.opened.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(secret);
        }
        // Under the lock, so that many threads that need a root key read it once.
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = known(&opened) {
            return Ok(secret);
        }
        let secret = Arc::new(self.vault.store(&*self.of(group).read(id)?));
        opened.insert((group, id), secret.clone());
        Ok(secret)
    }
}

impl fmt::Debug for FileRootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRootKeys({})", self.folder.display())
    }
}

fn aead(root: &Secret) -> Result<LessSafeKey, String> {
    root.expose(|bytes| UnboundKey::new(&AES_256_GCM, bytes))
        .map(LessSafeKey::new)
        .map_err(|_| "the cryptographic library refuses the key".to_owned())
}

/// A new root key and its id.
fn fresh(group: GroupId) -> Result<(RootKeyId, Zeroizing<[u8; 32]>), String> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| "the system gives no randomness".to_owned())?;
    Ok((kdf::root_key_id(group, &bytes), bytes))
}

impl RootKeyProvider for FileRootKeys {
    fn location(&self) -> String {
        self.folder.display().to_string()
    }

    fn create(&self, group: GroupId, access: &GroupAccess) -> Result<RootKeyId, RootKeyError> {
        match self.current(group) {
            Err(RootKeyError::NotFound { .. }) => {}
            Ok(id) => {
                self.of(group).settle(id);
                return Ok(id);
            }
            Err(error) => return Err(error),
        }
        let (id, bytes) = fresh(group).map_err(|why| self.unavailable(why))?;
        self.of(group).create(id, &bytes, access)
    }

    fn current(&self, group: GroupId) -> Result<RootKeyId, RootKeyError> {
        self.of(group).current()
    }

    fn list(&self, group: GroupId) -> Result<Vec<RootKeyId>, RootKeyError> {
        self.of(group).list()
    }

    fn add(&self, group: GroupId) -> Result<RootKeyId, RootKeyError> {
        let (id, bytes) = fresh(group).map_err(|why| self.unavailable(why))?;
        self.of(group).add(id, &bytes)?;
        Ok(id)
    }

    fn make_current(&self, group: GroupId, id: RootKeyId) -> Result<(), RootKeyError> {
        self.of(group).make_current(id)
    }

    fn wrap(&self, group: GroupId, aad: &[u8], material: &[u8; 32]) -> Result<WrappedMaterial, RootKeyError> {
        let id = self.current(group)?;
        let aead = aead(&*self.open(group, id)?).map_err(|why| self.unavailable(why))?;
        let mut nonce = [0u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce)
            .map_err(|_| self.unavailable("the system gives no randomness".to_owned()))?;
        let mut sealed = Zeroizing::new(*material);
        let tag = aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                sealed.as_mut_slice(),
            )
            .map_err(|_| self.unavailable("wrapping failed".to_owned()))?;
        let ciphertext = [sealed.as_slice(), tag.as_ref()].concat();
        Ok(WrappedMaterial { root: id, nonce: nonce.to_vec(), ciphertext })
    }

    fn unwrap(
        &self,
        group: GroupId,
        aad: &[u8],
        wrapped: &WrappedMaterial,
    ) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let aead = aead(&*self.open(group, wrapped.root)?).map_err(|why| self.unavailable(why))?;
        let mismatch = || RootKeyError::Mismatch { root: wrapped.root };
        let nonce = wrapped.nonce.as_slice().try_into().map_err(|_| mismatch())?;
        let (ciphertext, tag) = wrapped
            .ciphertext
            .split_last_chunk::<TAG_LEN>()
            .filter(|(ciphertext, _)| ciphertext.len() == 32)
            .ok_or_else(mismatch)?;
        let mut material = Zeroizing::new([0u8; 32]);
        aead.open_separate_gather(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            ciphertext,
            tag,
            material.as_mut_slice(),
        )
        .map_err(|_| mismatch())?;
        Ok(material)
    }

    fn forget(&self, group: GroupId) {
        self.opened.write().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != group);
    }
}

#[cfg(test)]
mod tests;
