//! The folder of one group's root keys: created once, read strictly.
//!
//! A new root key is first durable under a name that nobody looks for (`.new-ID`). Then `current` is made, which only
//! one creator can; a loser removes its own and adopts. Only then the key gets its name. A crash in between leaves
//! `current` naming a key that is still called `.new-ID`, so readers look there too.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dkm_core::{GroupId, RootKeyId};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::text;
use crate::accounts::{group_id, user_id};
use crate::repository::GroupAccess;
use crate::root_key::RootKeyError;
use crate::steps::step;
use crate::unix::{remove_if_there, sync_folder, temporary_name};

/// Name of the file that names the root key that wraps.
const CURRENT: &str = "current";
/// Longest content of `current` that is read: an id and a newline are 33 bytes.
const CURRENT_LEN_MAX: u64 = 64;

/// Whom new files shall belong to.
#[derive(Clone, Copy)]
struct Readers {
    /// The readers' Unix group; none for the owner alone.
    gid: Option<u32>,
    /// The owner, where it is another account than ours: only root can give it what it makes. Without a readers' group
    /// nobody else reads the group's keys.
    uid: Option<u32>,
}

impl Readers {
    const fn file_mode(self) -> u32 {
        if self.gid.is_some() { 0o440 } else { 0o400 }
    }

    const fn folder_mode(self) -> u32 {
        if self.gid.is_some() { 0o750 } else { 0o700 }
    }

    fn give(self, file: &File, mode: u32) -> io::Result<()> {
        if self.gid.is_some() || self.uid.is_some() {
            std::os::unix::fs::fchown(file, self.uid, self.gid)?;
        }
        // Not the mode at creation: the umask would take part.
        file.set_permissions(Permissions::from_mode(mode))
    }
}

pub(super) struct GroupFolder<'a> {
    parent: &'a Path,
    path: PathBuf,
    group: GroupId,
}

impl<'a> GroupFolder<'a> {
    pub(super) fn new(parent: &'a Path, group: GroupId) -> Self {
        Self { parent, path: parent.join(group.to_string()), group }
    }

    fn key_path(&self, id: RootKeyId) -> PathBuf {
        self.path.join(format!("{id}.key"))
    }

    fn new_path(&self, id: RootKeyId) -> PathBuf {
        self.path.join(format!(".new-{id}"))
    }

    fn error(&self, path: &Path, error: &io::Error) -> RootKeyError {
        let location = path.display().to_string();
        match error.kind() {
            ErrorKind::PermissionDenied => RootKeyError::Denied { group: self.group, location },
            _ => RootKeyError::Unavailable { location, why: error.to_string() },
        }
    }

    fn not_found(&self, root: impl ToString) -> RootKeyError {
        let location = self.parent.display().to_string();
        RootKeyError::NotFound { root: root.to_string(), group: self.group, location }
    }

    /// The root key that wraps: the one that `current` names, or the only one where there is no such file (as after
    /// putting a single file back from a backup).
    pub(super) fn current(&self) -> Result<RootKeyId, RootKeyError> {
        let path = self.path.join(CURRENT);
        match self.read_tight(&path, CURRENT_LEN_MAX) {
            Ok(text) => {
                let line = text.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
                line.and_then(|line| line.parse().ok().filter(|id: &RootKeyId| id.to_string() == line))
                    .ok_or_else(|| damaged(&path, "it does not name a root key"))
            }
            Err(Fault::Missing) => self.only(),
            Err(Fault::Other(error)) => Err(error),
        }
    }

    fn only(&self) -> Result<RootKeyId, RootKeyError> {
        let ids = match self.ids() {
            Ok(ids) => ids,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(self.error(&self.path, &error)),
        };
        match *ids {
            [] => Err(self.not_found("(current)")),
            [id] => Ok(id),
            _ => {
                let why = format!("it holds {} root keys and no file `current` that names one", ids.len());
                Err(damaged(&self.path, &why))
            }
        }
    }

    fn ids(&self) -> io::Result<Vec<RootKeyId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            ids.extend(
                name.to_str().and_then(|n| n.strip_suffix(".key")).and_then(|n| n.parse::<RootKeyId>().ok()),
            );
        }
        Ok(ids)
    }

    /// A root key, verified.
    pub(super) fn read(&self, id: RootKeyId) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let key = self.key_path(id);
        // The middle one after a crash, the last one if it got its name meanwhile.
        for path in [&key, &self.new_path(id), &key] {
            match self.read_tight(path, text::LEN as u64) {
                Ok(line) => return text::read(self.group, id, &line).map_err(|why| damaged(path, why)),
                Err(Fault::Missing) => {}
                Err(Fault::Other(error)) => return Err(error),
            }
        }
        Err(self.not_found(id))
    }

    /// Reads a small file that only those may read or replace for whom it is meant.
    fn read_tight(&self, path: &Path, len_max: u64) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let fault = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => Fault::Missing,
            _ => Fault::Other(self.error(path, &error)),
        };
        // Not blocking, should somebody have put a pipe there; following no link out of the folder.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(fault)?;
        let metadata = file.metadata().map_err(fault)?;
        if !metadata.is_file() {
            return Err(Fault::Other(damaged(path, "it is not a file")));
        }
        loose(path, metadata.mode())?;
        let folder = fs::metadata(&self.path).map_err(fault)?;
        loose_folder(&self.path, folder.mode())?;
        // One byte more than can be right, so that a longer file is seen to be longer.
        let capacity = usize::try_from(len_max + 1).unwrap_or(usize::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(len_max + 1).read_to_end(&mut bytes).map_err(fault)?;
        Ok(bytes)
    }

    /// Makes the group's first root key, or adopts that of somebody who was faster.
    pub(super) fn create(
        &self,
        id: RootKeyId,
        key: &[u8; 32],
        access: &GroupAccess,
    ) -> Result<RootKeyId, RootKeyError> {
        let readers = Self::readers(access)?;
        self.make_folder(readers).map_err(|error| self.error(&self.path, &error))?;
        let new = self.new_path(id);
        let made = self
            .write(&new, &text::write(self.group, key), readers)
            .and_then(|()| sync_folder(&self.path))
            .and_then(|()| {
                step("root key durable, not named");
                self.link_current(id, readers)
            })
            .and_then(|()| {
                step("root key current, not named");
                // Whoever found the key unnamed may have named it.
                let named = fs::rename(&new, self.key_path(id));
                named.or_else(|error| if self.key_path(id).exists() { Ok(()) } else { Err(error) })?;
                step("root key named, not durable");
                sync_folder(&self.path)
            });
        match made {
            Ok(()) => Ok(id),
            Err(error) => {
                let current = self.current();
                // Whoever reads `current` may use the key by now; if not, nobody ever will.
                if !matches!(current, Ok(current) if current == id) {
                    let _ = remove_if_there(&new);
                }
                if error.kind() == ErrorKind::AlreadyExists {
                    current
                } else {
                    Err(self.error(&self.path, &error))
                }
            }
        }
    }

    /// Gives the root key its name, where a creator died before it could. Fails silently: nothing depends on it.
    pub(super) fn settle(&self, id: RootKeyId) {
        let (new, path) = (self.new_path(id), self.key_path(id));
        if new.exists() && !path.exists() && fs::rename(&new, &path).is_ok() {
            let _ = sync_folder(&self.path);
        }
    }

    /// All root keys of the group, sorted: the current one too, even if it has not got its name yet.
    pub(super) fn list(&self) -> Result<Vec<RootKeyId>, RootKeyError> {
        let current = self.current()?;
        let mut ids = self.ids().map_err(|error| self.error(&self.path, &error))?;
        if self.read(current).is_ok() {
            ids.push(current);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Adds a root key, which does not wrap yet.
    pub(super) fn add(&self, id: RootKeyId, key: &[u8; 32]) -> Result<(), RootKeyError> {
        let current = self.current()?;
        let at = |error: io::Error| self.error(&self.path, &error);
        let readers = self.present_readers().map_err(at)?;
        // Where there was one root key and nothing that names it, two would be one too many.
        match self.link_current(current, readers) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(at(error)),
            _ => {}
        }
        let new = self.new_path(id);
        let written = self
            .write(&new, &text::write(self.group, key), readers)
            .and_then(|()| fs::rename(&new, self.key_path(id)))
            .and_then(|()| sync_folder(&self.path));
        step("root key durable, not current");
        written.map_err(|error| {
            let _ = remove_if_there(&new);
            at(error)
        })
    }

    /// Makes a root key that is there the one that wraps.
    pub(super) fn make_current(&self, id: RootKeyId) -> Result<(), RootKeyError> {
        self.read(id)?;
        let at = |error: io::Error| self.error(&self.path, &error);
        let readers = self.present_readers().map_err(at)?;
        let temporary = self.path.join(temporary_name(".tmp-").map_err(at)?);
        let written = self.write(&temporary, format!("{id}\n").as_bytes(), readers).and_then(|()| {
            step("root key pointer written");
            fs::rename(&temporary, self.path.join(CURRENT))?;
            step("root key current, not durable");
            sync_folder(&self.path)
        });
        written.map_err(|error| {
            let _ = remove_if_there(&temporary);
            at(error)
        })
    }

    /// Whom the folder belongs to: what is added belongs to the same.
    fn present_readers(&self) -> io::Result<Readers> {
        let folder = fs::metadata(&self.path)?;
        let gid = (folder.mode() & 0o050 == 0o050).then(|| folder.gid());
        let uid = Some(folder.uid()).filter(|uid| gid.is_none() && *uid != own_uid());
        Ok(Readers { gid, uid })
    }

    fn readers(access: &GroupAccess) -> Result<Readers, RootKeyError> {
        match access.readers.as_slice() {
            [] => match access.owners.as_slice() {
                [name] => match user_id(name) {
                    Some(uid) => Ok(Readers { gid: None, uid: Some(uid).filter(|uid| *uid != own_uid()) }),
                    None => Err(RootKeyError::Invalid(format!("there is no user {name:?}"))),
                },
                _ => Ok(Readers { gid: None, uid: None }),
            },
            [name] => group_id(name)
                .map(|gid| Readers { gid: Some(gid), uid: None })
                .ok_or_else(|| RootKeyError::Invalid(format!("there is no Unix group {name:?}"))),
            _ => Err(RootKeyError::Invalid(
                "root keys in files can be given to one Unix group only".to_owned(),
            )),
        }
    }

    /// The folder of all groups may be entered by all: each group's own folder is closed.
    fn make_folder(&self, readers: Readers) -> io::Result<()> {
        if !self.parent.exists() {
            DirBuilder::new().recursive(true).mode(0o755).create(self.parent)?;
            if let Some(above) = self.parent.parent().filter(|p| !p.as_os_str().is_empty()) {
                sync_folder(above)?;
            }
        }
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        step("root key folder made");
        let folder = File::open(&self.path)?;
        let metadata = folder.metadata()?;
        let right = metadata.mode() & 0o777 == readers.folder_mode()
            && readers.gid.is_none_or(|gid| gid == metadata.gid())
            && readers.uid.is_none_or(|uid| uid == metadata.uid());
        if !right {
            readers.give(&folder, readers.folder_mode())?;
        }
        sync_folder(self.parent)
    }

    fn write(&self, path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        step("root key file made");
        let written = file
            .write_all(bytes)
            .and_then(|()| readers.give(&file, readers.file_mode()))
            .and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = remove_if_there(path);
        }
        written
    }

    /// Makes `current`, which fails with [`ErrorKind::AlreadyExists`] for all creators but one.
    fn link_current(&self, id: RootKeyId, readers: Readers) -> io::Result<()> {
        let temporary = self.path.join(temporary_name(".tmp-")?);
        self.write(&temporary, format!("{id}\n").as_bytes(), readers)?;
        let linked = fs::hard_link(&temporary, self.path.join(CURRENT));
        step("root key pointer linked");
        remove_if_there(&temporary)?;
        linked?;
        sync_folder(&self.path)
    }
}

/// Why a file was not read.
enum Fault {
    Missing,
    Other(RootKeyError),
}

impl From<RootKeyError> for Fault {
    fn from(error: RootKeyError) -> Self {
        Self::Other(error)
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn damaged(path: &Path, why: &str) -> RootKeyError {
    RootKeyError::Damaged { location: path.display().to_string(), why: why.to_owned() }
}

fn loose(path: &Path, mode: u32) -> Result<(), RootKeyError> {
    let why = if mode & 0o007 != 0 {
        "everybody on this machine may read or write it"
    } else if mode & 0o020 != 0 {
        "members of its Unix group may change it"
    } else {
        return Ok(());
    };
    Err(RootKeyError::Loose { location: path.display().to_string(), why: why.to_owned() })
}

fn loose_folder(path: &Path, mode: u32) -> Result<(), RootKeyError> {
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let why = "others than its owner may put files into its folder";
    Err(RootKeyError::Loose { location: path.display().to_string(), why: why.to_owned() })
}
