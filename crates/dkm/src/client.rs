//! The asynchronous client, for any executor: calls that find their key in memory return at once; the others wait on
//! a thread of their own, never on the caller's. Of these threads there are only so many at a time: further calls wait
//! for one to end.

use std::sync::{Arc, LazyLock};

use dkm_core::{Context, GroupId, KeyGuid, KeyId, Plaintext};

use crate::blocking::{self, GroupSummary, NewGroup, Options};
use crate::engine::{Reprotected, Republished};
use crate::off_thread::{Threads, off_thread};
use crate::{Location, Result};

/// Clients being opened have no client yet to share threads with.
static OPENING: LazyLock<Arc<Threads>> = LazyLock::new(Arc::default);

/// A client of one repository.
#[derive(Debug, Clone)]
pub struct Client {
    inner: blocking::Client,
}

impl Client {
    /// Opens the repository at a location.
    ///
    /// # Errors
    /// As [`blocking::Client::open`].
    pub async fn open(location: &Location, options: Options) -> Result<Self> {
        let location = location.clone();
        let inner = off_thread(&OPENING, move || blocking::Client::open(&location, options)).await?;
        Ok(Self { inner })
    }

    /// The groups that this account may read, by name.
    ///
    /// # Errors
    /// As [`blocking::Client::groups`].
    pub async fn groups(&self) -> Result<Vec<GroupSummary>> {
        let inner = self.inner.clone();
        off_thread(self.inner.threads(), move || inner.groups()).await
    }

    /// The group of this name or id, read.
    ///
    /// # Errors
    /// As [`blocking::Client::group`].
    pub async fn group(&self, name_or_id: &str) -> Result<Group> {
        let (inner, name) = (self.inner.clone(), name_or_id.to_owned());
        off_thread(self.inner.threads(), move || inner.group(&name)).await.map(Group::from)
    }

    /// Makes a group.
    ///
    /// # Errors
    /// As [`blocking::Client::create_group`].
    pub async fn create_group(&self, new: NewGroup) -> Result<Group> {
        let inner = self.inner.clone();
        off_thread(self.inner.threads(), move || inner.create_group(new)).await.map(Group::from)
    }

    /// The blocking client that this one stands on; both share nothing but the repository.
    #[must_use]
    pub const fn blocking(&self) -> &blocking::Client {
        &self.inner
    }
}

/// A group in this process. Clones share keys and refreshes.
#[derive(Debug, Clone)]
pub struct Group {
    inner: blocking::Group,
}

impl From<blocking::Group> for Group {
    fn from(inner: blocking::Group) -> Self {
        Self { inner }
    }
}

impl Group {
    /// The group's id.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.inner.id()
    }

    /// Protects a plaintext. `context` must be given again, exactly, to open the blob; it is not stored in it.
    ///
    /// # Errors
    /// As [`blocking::Group::protect`].
    pub async fn protect(&self, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>> {
        if self.inner.engine().is_at_hand(None) {
            return self.inner.protect(context, plaintext);
        }
        let (inner, context, plaintext) =
            (self.inner.clone(), context.clone(), Plaintext::from(plaintext.to_vec()));
        off_thread(&self.inner.engine().parts.threads, move || inner.protect(&context, &plaintext)).await
    }

    /// Opens a blob. Nothing is returned unless every byte is authentic.
    ///
    /// # Errors
    /// As [`blocking::Group::unprotect`].
    pub async fn unprotect(&self, context: &Context, blob: &[u8]) -> Result<Plaintext> {
        if self.inner.engine().is_at_hand(Some(blob)) {
            return self.inner.unprotect(context, blob);
        }
        let (inner, context, blob) = (self.inner.clone(), context.clone(), blob.to_vec());
        off_thread(&self.inner.engine().parts.threads, move || inner.unprotect(&context, &blob)).await
    }

    /// Protects a blob's content anew, if it has not the key and suite that protect now.
    ///
    /// # Errors
    /// As [`blocking::Group::reprotect`].
    pub async fn reprotect(&self, context: &Context, blob: &[u8]) -> Result<Reprotected> {
        if self.inner.engine().is_at_hand(Some(blob)) {
            return self.inner.reprotect(context, blob);
        }
        let (inner, context, blob) = (self.inner.clone(), context.clone(), blob.to_vec());
        off_thread(&self.inner.engine().parts.threads, move || inner.reprotect(&context, &blob)).await
    }

    /// Opens a Windows DKM blob with a key that was imported from there.
    ///
    /// # Errors
    /// As [`blocking::Group::unprotect_windows`].
    pub async fn unprotect_windows(&self, blob: &[u8]) -> Result<Plaintext> {
        let (inner, blob) = (self.inner.clone(), blob.to_vec());
        off_thread(&self.inner.engine().parts.threads, move || inner.unprotect_windows(&blob)).await
    }

    /// Makes a Windows DKM blob with an imported key, for programs that read nothing else.
    ///
    /// # Errors
    /// As [`blocking::Group::protect_windows`].
    pub async fn protect_windows(&self, key: KeyGuid, plaintext: &[u8]) -> Result<Vec<u8>> {
        let (inner, plaintext) = (self.inner.clone(), Plaintext::from(plaintext.to_vec()));
        off_thread(&self.inner.engine().parts.threads, move || inner.protect_windows(key, &plaintext)).await
    }

    /// The content of a Windows DKM blob in a blob of the group's own.
    ///
    /// # Errors
    /// As [`blocking::Group::reprotect_windows`].
    pub async fn reprotect_windows(&self, context: &Context, blob: &[u8]) -> Result<Vec<u8>> {
        let (inner, context, blob) = (self.inner.clone(), context.clone(), blob.to_vec());
        off_thread(&self.inner.engine().parts.threads, move || inner.reprotect_windows(&context, &blob)).await
    }

    /// Reads all replicas now, and makes a key if one is due.
    ///
    /// # Errors
    /// As [`blocking::Group::refresh`].
    pub async fn refresh(&self) -> Result<()> {
        let inner = self.inner.clone();
        off_thread(&self.inner.engine().parts.threads, move || inner.refresh()).await
    }

    /// Puts keys back that the repository has lost and this process still has in memory, on an operator's word.
    ///
    /// # Errors
    /// As [`blocking::Group::republish`].
    pub async fn republish(&self, keys: &[KeyId], reason: &str) -> Result<Republished> {
        let (inner, keys, reason) = (self.inner.clone(), keys.to_vec(), reason.to_owned());
        off_thread(&self.inner.engine().parts.threads, move || inner.republish(&keys, &reason)).await
    }

    /// The blocking handle of the same group, for streams and owners' operations; call it where blocking is allowed.
    #[must_use]
    pub const fn blocking(&self) -> &blocking::Group {
        &self.inner
    }
}
