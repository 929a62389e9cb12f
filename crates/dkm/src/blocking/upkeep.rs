//! What operators have a group do: put back what the repository has lost, and replace root keys.

use dkm_core::{KeyId, RootKeyId};

use super::Group;
use crate::Result;
use crate::engine::{Republished, RootKeys};
use crate::repository::GroupAccess;

impl Group {
    /// Puts keys back that the repository has lost and this process still has in memory, or that one replica has and
    /// another has lost: the given ones, or all if none is given. Only on an operator's word: what is gone may be gone on
    /// purpose.
    ///
    /// Keys come back as archived ones, as from an archive: they open blobs and never protect. If one of them protected,
    /// or waited to, a new key is made. What restricts a key is put back before it, as far as this account may; a
    /// destroyed key never comes back. A republication that was interrupted is simply run again.
    ///
    /// A process that was started after the loss has nothing in memory: **don't restart** the services that have. One
    /// that was denied has dropped everything, and one whose group has gone from Active Directory as a whole was denied.
    ///
    /// # Errors
    /// [`NoKey`](crate::Error::NoKey) for a key that is neither in memory nor on a replica;
    /// [`NoRight`](crate::Error::NoRight); [`Refused`](crate::Error::Refused) if this machine's clock is off; no replica answers, this account was denied, or the journal fails. What went wrong with a
    /// single key is in the result.
    pub fn republish(&self, keys: &[KeyId], reason: &str) -> Result<Republished> {
        self.engine().republish(keys, reason, false)
    }

    /// What [`Group::republish`] would do. Nothing is changed.
    ///
    /// # Errors
    /// As [`Group::republish`], but for the right and the clock.
    pub fn find_lost(&self, keys: &[KeyId]) -> Result<Republished> {
        self.engine().republish(keys, "", true)
    }

    /// The group's root keys on this machine, and which of its keys are wrapped under which.
    ///
    /// # Errors
    /// No replica answers, or this account was denied; the root keys can't be read.
    pub fn root_keys(&self) -> Result<RootKeys> {
        self.engine().root_keys()
    }

    /// Makes a root key, and says whether it wraps already. The group's first one does, and is given to the readers that
    /// `access` names; a further one belongs to whom the others belong to, and wraps when [`Group::use_root_key`] says
    /// so: copy it to every machine first.
    ///
    /// # Errors
    /// The root keys can't be read or written, or are made by other means; the journal fails.
    pub fn make_root_key(&self, access: &GroupAccess, reason: &str) -> Result<(RootKeyId, bool)> {
        self.engine().make_root_key(access, reason)
    }

    /// Has a root key wrap new keys from now on, on this machine. Keys that are wrapped already stay as they are: records
    /// are never rewritten.
    ///
    /// # Errors
    /// It is not there; as [`Group::make_root_key`].
    pub fn use_root_key(&self, id: RootKeyId, reason: &str) -> Result<()> {
        self.engine().use_root_key(id, reason)
    }
}
