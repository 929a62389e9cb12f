//! Files of credentials: who may read them, and how they are replaced.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::CredentialsError;

/// Longest file, in bytes: a key and a few certificates.
const LEN_MAX: u64 = 256 * 1024;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Its owner.
    Private,
    /// Everybody.
    Public,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }
}

pub(super) fn failed(path: &Path, what: &'static str, error: &io::Error) -> CredentialsError {
    let path = path.display().to_string();
    if error.kind() == ErrorKind::NotFound {
        return CredentialsError::Missing { path };
    }
    CredentialsError::Io { path, what, why: error.to_string() }
}

/// For `sh`, in quotes where it needs them.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn open(path: &Path, what: &'static str, mode: &str) -> CredentialsError {
    let repair = format!("chmod {mode} {}", quoted(path));
    CredentialsError::Open { path: path.display().to_string(), what, repair }
}

/// Whoever may write to the folder can put in an authority of his own.
pub(super) fn check_folder(path: &Path) -> Result<(), CredentialsError> {
    let found = fs::metadata(path).map_err(|error| failed(path, "read", &error))?;
    if !found.is_dir() {
        return Err(CredentialsError::Damaged {
            path: path.display().to_string(),
            why: "it is no folder".into(),
        });
    }
    if found.mode() & 0o022 != 0 { Err(open(path, "changed", "go-w")) } else { Ok(()) }
}

pub(super) fn make_folder(path: &Path) -> Result<(), CredentialsError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(path, "made", &error))
}

/// Reads a file that only those may read, and nobody else may change.
pub(super) fn read(path: &Path, access: Access) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let fail = |error: &io::Error| failed(path, "read", error);
    let damaged =
        |why: &str| CredentialsError::Damaged { path: path.display().to_string(), why: why.to_owned() };
    // A pipe in its place would keep the caller waiting.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    let mut file = options.read(true).custom_flags(nonblocking).open(path).map_err(|e| fail(&e))?;
    let found = file.metadata().map_err(|e| fail(&e))?;
    if !found.is_file() {
        return Err(damaged("it is no file"));
    }
    let mode = found.mode();
    if access == Access::Private && mode & 0o077 != 0 {
        return Err(open(path, "read", "600"));
    }
    if mode & 0o022 != 0 {
        return Err(open(path, "changed", "go-w"));
    }
    if found.len() > LEN_MAX {
        return Err(damaged(&format!("it is longer than {LEN_MAX} bytes")));
    }
    // Room for all of it, so that no part stays behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1));
    Read::by_ref(&mut file).take(found.len()).read_to_end(&mut bytes).map_err(|e| fail(&e))?;
    Ok(bytes)
}

/// Replaces a file, whole or not at all, even if the machine stops.
pub(super) fn write(path: &Path, bytes: &[u8], access: Access) -> Result<(), CredentialsError> {
    let fail = |error: &io::Error| failed(path, "written", error);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = temporary(folder).map_err(|e| fail(&e))?;
    file.as_file().set_permissions(Permissions::from_mode(access.mode())).map_err(|e| fail(&e))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(|e| fail(&e))?;
    file.persist(path).map_err(|error| fail(&error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| fail(&e))
}

fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    // Only its owner may read it, from the first moment.
    tempfile::Builder::new()
        .prefix(".new-")
        .suffix(".pem")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
}

/// Sees that a file of the usual length can be written to the folder, and leaves none.
pub(super) fn try_out(folder: &Path) -> Result<(), CredentialsError> {
    let tried = temporary(folder).and_then(|mut file| {
        file.write_all(&[b'\n'; 16 * 1024])?;
        file.as_file().sync_all()
    });
    tried.map_err(|error| failed(folder, "written to", &error))
}

pub(super) fn open_lock(path: &Path) -> Result<File, CredentialsError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map_err(|error| failed(path, "locked", &error))
}
