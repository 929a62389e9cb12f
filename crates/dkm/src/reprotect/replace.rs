//! Replacing a file's content so that at every moment the old content or the new one is there, whole and durable.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::steps::step;
use crate::unix::{open_file, remove_if_there, sync_folder, temporary_name};

/// How the names of files begin that are about to take another's place.
const PREFIX: &str = ".dkm-new-";
/// Longest list of names, and longest value, of extended attributes that Linux allows, in bytes.
const XATTR_LEN_MAX: usize = 64 << 10;

/// A file as it was when it was opened.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

impl Original {
    /// Opens a regular file; links are not followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = open_file(path)?;
        let metadata = file.metadata()?;
        Ok(Self { path: path.to_path_buf(), file, metadata })
    }

    /// What its owner should know before its content is replaced.
    pub(super) fn warning(&self) -> Option<String> {
        let others = self.metadata.nlink().saturating_sub(1);
        (others > 0).then(|| format!("{others} more names (hard links) of this file keep the old content"))
    }

    /// Whether the same file with the same content lies at the path still.
    fn is_unchanged(&self) -> io::Result<bool> {
        let mark =
            |m: &Metadata| (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
        match fs::symlink_metadata(&self.path) {
            Ok(now) => Ok(mark(&now) == mark(&self.metadata)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The new content on its way: a locked file beside the original, removed unless it takes the original's place.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) file: File,
    path: PathBuf,
    placed: bool,
}

/// What became of a replacement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is in place; what could not be kept of the original beside its content.
    Done(Vec<String>),
    /// The original changed in the meantime, and stays.
    Changed,
}

impl Replacement {
    /// An empty file in the folder of the original, for nobody else to read, locked as long as it is in use.
    pub(super) fn beside(original: &Original) -> io::Result<Self> {
        loop {
            let path = original.path.with_file_name(temporary_name(PREFIX)?);
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            let replacement = Self { file, path, placed: false };
            step("replacement made");
            // Another run may have taken it for a leftover before it was locked: it was removed under the lock, then.
            match replacement.file.try_lock() {
                Ok(()) if replacement.is_there()? => {
                    step("replacement locked");
                    return Ok(replacement);
                }
                Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn is_there(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the original's place. The new name is durable once the folder is.
    pub(super) fn place(mut self, original: &Original) -> io::Result<Placed> {
        step("replacement written");
        let warnings = keep_attributes(&self.file, original)?;
        step("replacement like original");
        self.file.sync_all()?;
        step("replacement durable");
        if !original.is_unchanged()? {
            return Ok(Placed::Changed);
        }
        fs::rename(&self.path, &original.path)?;
        self.placed = true;
        step("replacement placed");
        Ok(Placed::Done(warnings))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.placed {
            // If it can't be removed now, a later run does.
            let _ = remove_if_there(&self.path);
        }
    }
}

/// Gives a file owner, mode and extended attributes of the original; what could not be given.
fn keep_attributes(file: &File, original: &Original) -> io::Result<Vec<String>> {
    let (theirs, ours) = (&original.metadata, file.metadata()?);
    if (ours.uid(), ours.gid()) != (theirs.uid(), theirs.gid()) {
        std::os::unix::fs::fchown(file, Some(theirs.uid()), Some(theirs.gid())).map_err(|error| {
            // With another owner, those who could read the blob perhaps could no more, or others could.
            io::Error::new(error.kind(), format!("owner and Unix group of the file can't be kept: {error}"))
        })?;
    }
    file.set_permissions(fs::Permissions::from_mode(theirs.mode() & 0o7777))?;
    // Last: an access control list is one of them, and a change of mode would change it.
    Ok(copy_xattrs(&original.file, file))
}

fn copy_xattrs(from: &File, to: &File) -> Vec<String> {
    let mut names = vec![0u8; XATTR_LEN_MAX];
    // A file system without extended attributes has none to lose.
    let Ok(len) = rustix::fs::flistxattr(from, names.as_mut_slice()) else { return Vec::new() };
    let mut lost = Vec::new();
    let mut value = vec![0u8; XATTR_LEN_MAX];
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let copied = rustix::fs::fgetxattr(from, name, value.as_mut_slice())
            .and_then(|len| rustix::fs::fsetxattr(to, name, &value[..len], rustix::fs::XattrFlags::empty()));
        // What the system labels it labels again by itself.
        if let Err(error) = copied
            && !name.starts_with(b"security.")
        {
            lost.push(format!(
                "the extended attribute {} was not kept: {error}",
                String::from_utf8_lossy(name)
            ));
        }
    }
    lost
}

/// Whether a file is a replacement. One that a run left behind when it was killed is removed, if `remove`: the original
/// is still in place then.
pub(super) fn clear_leftover(path: &Path, remove: bool) -> io::Result<bool> {
    let name = path.file_name().and_then(|name| name.to_str());
    let digits = name.and_then(|name| name.strip_prefix(PREFIX));
    if !digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Ok(false);
    }
    let file = match open_file(path) {
        Ok(file) => file,
        // Placed or removed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        // Under the lock: whoever made it just now notices.
        Ok(()) if remove => remove_if_there(path)?,
        Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    Ok(true)
}

/// Removes what killed runs left in the folder of a file.
pub(super) fn clear_leftovers_beside(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder_of(path))? {
        clear_leftover(&entry?.path(), true)?;
    }
    Ok(())
}

/// The folder in which a file lies.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes replacements in a folder durable.
pub(super) fn settle(folder: &Path) -> io::Result<()> {
    sync_folder(folder)?;
    step("folder durable");
    Ok(())
}
