//! A group's root keys: which keys are wrapped under which, and having another one wrap.

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::record::{Material, Record};
use dkm_core::{KeyId, Room, RootKeyId};

use super::Engine;
use crate::Result;
use crate::journal::EventKind;
use crate::repository::{GroupAccess, Replica, RepositoryError};
use crate::root_key::RootKeyError;

/// A root key, and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootKeyUse {
    /// The root key.
    pub id: RootKeyId,
    /// Whether new keys are wrapped under it, on this machine.
    pub current: bool,
    /// Whether it is there, on this machine. What hangs on one that is not can't be opened here.
    pub is_there: bool,
    /// Keys of which some record is wrapped under it, sorted.
    pub keys: Vec<KeyId>,
    /// Those of them that nothing else opens: without it they are lost.
    pub depending: Vec<KeyId>,
}

/// A group's root keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootKeys {
    /// Root keys that are there or that some key is wrapped under: the current one first, then by id.
    pub root_keys: Vec<RootKeyUse>,
    /// Keys that some record holds unwrapped, sorted: a copy of the repository opens them.
    pub unwrapped: Vec<KeyId>,
    /// Replicas that were not read, and why: what only they hold is not counted.
    pub unread: Vec<(usize, RepositoryError)>,
}

/// For each key, the root keys of its records; none for a record with plain material.
type Wrapping = BTreeMap<KeyId, BTreeSet<Option<RootKeyId>>>;

impl Engine {
    /// Looks what hangs on which root key, on every replica.
    pub(crate) fn root_keys(&self) -> Result<RootKeys> {
        let mut found = RootKeys::default();
        let mut wrapping = Wrapping::new();
        let replicas = self.parts.repository.replicas();
        for number in 0..replicas {
            let read = self
                .parts
                .repository
                .connect(number)
                .and_then(|mut replica| self.read_wrapping(replica.as_mut(), &mut wrapping));
            match read {
                Ok(()) => {}
                Err(error @ RepositoryError::Denied { .. }) => return Err(error.into()),
                Err(error) => found.unread.push((number, error)),
            }
        }
        if found.unread.len() == replicas
            && let Some((_, error)) = found.unread.pop()
        {
            return Err(error.into());
        }
        let roots = &self.parts.roots;
        let (current, there) = match roots.current(self.group) {
            Ok(current) => (Some(current), roots.list(self.group)?),
            Err(RootKeyError::NotFound { .. }) => (None, Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut ids: BTreeSet<RootKeyId> = there.iter().copied().collect();
        ids.extend(wrapping.values().flatten().flatten());
        for id in ids {
            let under = || wrapping.iter().filter(|(_, roots)| roots.contains(&Some(id)));
            // Another record opens it if it is plain, or its root key is there too.
            let opens =
                |other: &Option<RootKeyId>| other.is_none_or(|other| other != id && there.contains(&other));
            found.root_keys.push(RootKeyUse {
                id,
                current: current == Some(id),
                is_there: there.contains(&id),
                keys: under().map(|(key, _)| *key).collect(),
                depending: under().filter(|(_, all)| !all.iter().any(opens)).map(|(key, _)| *key).collect(),
            });
        }
        found.root_keys.sort_by_key(|root| (!root.current, root.id));
        found.unwrapped =
            wrapping.iter().filter(|(_, roots)| roots.contains(&None)).map(|(key, _)| *key).collect();
        Ok(found)
    }

    fn read_wrapping(
        &self,
        replica: &mut dyn Replica,
        wrapping: &mut Wrapping,
    ) -> Result<(), RepositoryError> {
        for entry in replica.list(self.group, Room::Keys)? {
            let stored = match replica.get(self.group, Room::Keys, &entry) {
                Ok(stored) => stored,
                Err(RepositoryError::NotFound { .. } | RepositoryError::Unreadable { .. }) => continue,
                Err(error) => return Err(error),
            };
            let Ok((group, Record::Key(key))) = Record::decode(&stored.bytes) else { continue };
            let root = match &key.material {
                Material::Wrapped(wrapped) => Some(wrapped.root),
                Material::Plain(_) => None,
                Material::None => continue,
            };
            if group == self.group {
                wrapping.entry(key.id).or_default().insert(root);
            }
        }
        Ok(())
    }

    /// Makes a root key. The group's first one wraps at once; a further one is only there, until it is told to.
    pub(crate) fn make_root_key(&self, access: &GroupAccess, reason: &str) -> Result<(RootKeyId, bool)> {
        let first = match self.parts.roots.current(self.group) {
            Ok(_) => false,
            Err(RootKeyError::NotFound { .. }) => true,
            Err(error) => return Err(error.into()),
        };
        self.record_root_key(EventKind::RootKeyMade, reason, "a new root key")?;
        let id = if first {
            self.parts.roots.create(self.group, access)?
        } else {
            self.parts.roots.add(self.group)?
        };
        Ok((id, first))
    }

    /// Has a root key wrap from now on, on this machine.
    pub(crate) fn use_root_key(&self, id: RootKeyId, reason: &str) -> Result<()> {
        if !self.parts.roots.list(self.group)?.contains(&id) {
            let location = self.parts.roots.location();
            return Err(RootKeyError::NotFound { root: id.to_string(), group: self.group, location }.into());
        }
        self.record_root_key(EventKind::RootKeyRotated, reason, &format!("root key {id} wraps from now on"))?;
        Ok(self.parts.roots.make_current(self.group, id)?)
    }

    fn record_root_key(&self, what: EventKind, reason: &str, detail: &str) -> Result<()> {
        let reason = Some(reason).filter(|reason| !reason.trim().is_empty());
        self.record(what, None, reason, |event| event.detail = Some(detail.to_owned()))
    }
}
