//! The directory repository: one file per record, and the kernel decides who reads.
//!
//! ```text
//! <root>/repository                     its id, this copy's id, where its root keys are
//! <root>/groups/<group id>/control/     2750: members read, the owner adds
//! <root>/groups/<group id>/keys/        3770: members read and add (2750: the owner adds)
//! <root>/groups/.new-<group id>/        a group that is not announced yet
//! ```
//!
//! A record is a file of mode 0440 that belongs to the room's Unix group; its name is its slot. Without readers, a group
//! is its owner's alone: folders of mode 0700, files of 0400.
//!
//! # What it promises
//! * **Create-only and whole.** A record is written under a temporary name, made durable, and renamed to its slot in a
//!   way that fails if the slot is taken; then the folder is made durable. No reader sees half a record, no crash leaves
//!   one in a slot, and whoever lists a room makes durable what it shows before anybody relies on it.
//! * **The kernel separates groups.** A non-member can neither enter a group's folder nor list it. The sticky bit keeps
//!   members from removing or replacing each other's keys, and only the owner adds to `control`.
//! * **Nothing leads elsewhere.** No symbolic link below the repository is followed, no fifo or device is waited for.
//!
//! # What it does not
//! * On POSIX a file's owner can change it: a creator can change or remove the keys that it made, a group's owner can
//!   remove everybody's. Clients notice and raise an alarm; only other repositories prevent it. Root can do everything.
//! * Attested are the file's owner (`uid:1000`) and its modification time, which its owner can set.
//! * Erasing overwrites a file only where the account is its author or root, and drives and file systems that write
//!   elsewhere (flash, copy on write, journals) keep old blocks. Keys are therefore wrapped under a root key that is
//!   kept elsewhere.
//! * A copy of the folder (`cp -a`) has the same ids as the original, and counts as the same replica: two copies are
//!   not two replicas. A copy made without its owners, groups and modes protects nothing until they are put right.
//! * Key material that comes back from a backup is listed like any record. Clients erase what has a tombstone, and a
//!   put of it is refused.
//! * Calls take as long as the file system does. On a network file system, mount it so that calls end (`soft`).

mod access;
mod folder;
mod groups;
pub(crate) mod manifest;
mod place;
mod record;
mod replica;
mod room;
mod step;
mod template;

use std::fs;
use std::path::{Path, PathBuf};

use dkm_core::{ReplicaId, RepositoryId};
use rustix::io::Errno;

use self::folder::{FileAccess, Folder, TEMPORARY};
use self::manifest::Manifest;
use self::place::Place;
use crate::repository::{Replica, Repository, RepositoryError};

/// How a new repository shall be.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// The folder of its root keys; none: a sibling of the repository whose name ends in `.root-keys`. It is recorded,
    /// not made.
    pub root_keys: Option<PathBuf>,
}

/// A repository in a folder, with one replica: the folder itself. See the module for what it promises.
#[derive(Debug, Clone)]
pub struct DirectoryRepository {
    path: PathBuf,
    root_keys: PathBuf,
    place: Place,
}

impl DirectoryRepository {
    /// Makes a repository. The folder is made if it is not there; what a crash has left of a first attempt is completed.
    ///
    /// The folder of groups is writable by the caller alone. To let others make groups of their own: `chmod 1777` it, or
    /// 1775 and give it to a Unix group.
    ///
    /// # Errors
    /// [`RepositoryError::Invalid`] for a folder that is a repository already or holds anything else, and what the file
    /// system says.
    pub fn create(path: &Path, options: &CreateOptions) -> Result<Self, RepositoryError> {
        let absolute = std::path::absolute(path)
            .map_err(|error| RepositoryError::Invalid(format!("{}: {error}", path.display())))?;
        let place = Place::new(&absolute);
        let io_error = |error: std::io::Error| {
            place.error("making the folder", Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let root_keys = manifest::root_keys_text(&absolute, options.root_keys.as_deref())
            .map_err(RepositoryError::Invalid)?;
        fs::create_dir_all(&absolute).map_err(io_error)?;
        let error = |errno| place.error("making the repository", errno);
        let root = Folder::open(&absolute).map_err(error)?;
        refuse_foreign(&place, &root)?;
        let groups = root.make(groups::NAME).map_err(error)?;
        let owner = groups.stat().map_err(error)?;
        groups.set_access(owner.st_uid, owner.st_gid, 0o755).map_err(error)?;
        groups.sync().map_err(error)?;
        let (repository, replica) = (RepositoryId(random()?), ReplicaId(random()?));
        let manifest = Manifest { repository, replica, root_keys };
        let access = FileAccess { uid: None, gid: None, mode: 0o444 };
        // Written last: with it the folder is a repository.
        if !root.add(manifest::NAME, manifest.to_text().as_bytes(), &access).map_err(error)? {
            return Err(already(&place));
        }
        if let Some(parent) = absolute.parent() {
            Folder::open(parent).and_then(|parent| parent.sync()).map_err(error)?;
        }
        Self::open(&absolute)
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`RepositoryError::NotARepository`] with what was found instead, and what the file system says.
    pub fn open(path: &Path) -> Result<Self, RepositoryError> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let place = Place::new(&path);
        let (_, manifest) = read(&place, &path)?;
        Ok(Self { root_keys: manifest.root_keys_of(&path), path, place })
    }

    /// The repository's folder, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of its root keys, as it was recorded when the repository was made.
    #[must_use]
    pub fn root_keys(&self) -> &Path {
        &self.root_keys
    }
}

fn already(place: &Place) -> RepositoryError {
    RepositoryError::Invalid(format!("{} is a repository already", place.url()))
}

fn random() -> Result<[u8; 16], RepositoryError> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| RepositoryError::Invalid("the system gives no randomness".to_owned()))?;
    Ok(bytes)
}

/// A folder becomes a repository only if it is empty or what an interrupted attempt has left.
fn refuse_foreign(place: &Place, root: &Folder) -> Result<(), RepositoryError> {
    let error = |errno| place.error("the folder", errno);
    for name in root.names(1_000).map_err(error)? {
        if name == manifest::NAME {
            return Err(already(place));
        }
        let is_unused =
            || root.child(&name).and_then(|folder| folder.names(1)).is_ok_and(|names| names.is_empty());
        let is_left_over = name.starts_with(TEMPORARY) || (name == groups::NAME && is_unused());
        if !is_left_over {
            return Err(RepositoryError::Invalid(format!(
                "{} is not empty (it holds {name:?}) and is no repository",
                place.url()
            )));
        }
    }
    Ok(())
}

fn read(place: &Place, path: &Path) -> Result<(Folder, Manifest), RepositoryError> {
    let root = Folder::open(path).map_err(|errno| match errno {
        Errno::NOENT => place.not_a_repository("there is no such folder"),
        Errno::NOTDIR => place.not_a_repository("it is not a folder"),
        errno => place.error("the repository's folder", errno),
    })?;
    let manifest = manifest::read(&root)
        .map_err(|errno| place.error("the repository's identity", errno))?
        .map_err(|why| place.not_a_repository(why))?;
    Ok((root, manifest))
}

impl Repository for DirectoryRepository {
    fn url(&self) -> String {
        self.place.url().to_owned()
    }

    fn names_local_accounts(&self) -> bool {
        true
    }

    fn replicas(&self) -> usize {
        1
    }

    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        if replica != 0 {
            return Err(self.place.not_a_repository(format!("it has no replica {replica}")));
        }
        let (root, manifest) = read(&self.place, &self.path)?;
        Ok(Box::new(replica::DirectoryReplica::new(self.place.clone(), manifest, root)?))
    }
}

#[cfg(test)]
mod tests;
