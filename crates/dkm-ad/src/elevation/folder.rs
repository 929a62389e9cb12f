//! A folder in memory for the moment in which tickets are fetched: nobody else looks into it, and nothing of it stays.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::ElevationError;

/// What the folders' names begin with.
const PREFIX: &str = "dkm-elevation-";
/// Held locked for as long as the process needs the folder.
const LOCK: &str = "lock";

/// How often a place is tried.
const TRIES_MAX: usize = 3;
/// Opens no symbolic link.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// A folder of mode 0700, wiped and removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Where folders are made: the service's own, which ends with it, or what every system keeps in memory.
fn places() -> Vec<PathBuf> {
    let given = std::env::var_os("RUNTIME_DIRECTORY");
    let given = given.as_ref().and_then(|paths| std::env::split_paths(paths).next());
    given.into_iter().chain(["/dev/shm", "/run"].map(PathBuf::from)).collect()
}

impl Folder {
    /// Makes one.
    ///
    /// # Errors
    /// There is no place for it.
    pub(super) fn new() -> Result<Self, ElevationError> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random)
            .map_err(|error| ElevationError::Other(format!("the system gives no randomness: {error}")))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut why = String::new();
        for place in places() {
            for _ in 0..TRIES_MAX {
                match Self::make(place.join(format!("{PREFIX}{name}"))) {
                    Ok(folder) => return Ok(folder),
                    Err(error) => why = format!("{}: {error}", place.display()),
                }
            }
        }
        Err(ElevationError::Other(format!(
            "there is no folder in memory to fetch tickets in ({why}): give the service a RuntimeDirectory="
        )))
    }

    fn make(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = Self::locked(&path);
        match lock {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                wipe(&path);
                Err(error)
            }
        }
    }

    fn locked(path: &Path) -> io::Result<File> {
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(LOCK))?;
        lock.lock()?;
        // Another process may have taken it for a leftover before it was locked.
        if lock.metadata()?.nlink() == 1 { Ok(lock) } else { Err(io::ErrorKind::Interrupted.into()) }
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that holds no secret.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, ElevationError> {
        let path = self.path.join(name);
        std::fs::write(&path, text)
            .map_err(|error| ElevationError::Other(format!("{}: {error}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        wipe(&self.path);
    }
}

/// Removes folders that killed processes of this account have left.
pub(super) fn clear_leftovers() {
    // In a folder that everybody writes, others may put what they like under such a name.
    let me = rustix::process::geteuid().as_raw();
    for place in places() {
        let Ok(entries) = std::fs::read_dir(&place) else { continue };
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
                && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == me);
            if !is_ours {
                continue;
            }
            let path = entry.path();
            // One without a lock file is of a process that is just making it, or was killed there: it is empty, and
            // removing it takes nothing from anybody but a moment's work.
            let is_free = match File::open(path.join(LOCK)) {
                Ok(lock) => lock.try_lock().is_ok(),
                Err(_) => std::fs::remove_dir(&path).is_ok(),
            };
            if is_free {
                wipe(&path);
            }
        }
    }
}

/// Writes zeros over all files of a folder, and removes it.
fn wipe(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let file = entry.path();
        let opened = OpenOptions::new().write(true).custom_flags(NOFOLLOW).open(&file);
        if let Ok(mut opened) = opened
            && let Ok(metadata) = opened.metadata()
            && metadata.is_file()
            && metadata.nlink() == 1
        {
            let zeros = vec![0u8; usize::try_from(metadata.len()).unwrap_or(0).min(1 << 20)];
            let _ = opened.write_all(&zeros);
        }
        let _ = std::fs::remove_file(&file);
    }
    let _ = std::fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_nobody_elses_and_leaves_nothing() {
        let folder = Folder::new().unwrap();
        let path = folder.path.clone();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let secret = folder.write("cache", "secret").unwrap();
        let linked = OpenOptions::new().read(true).open(&secret).unwrap();
        clear_leftovers();
        assert!(secret.exists(), "it is in use");
        drop(folder);
        assert!(!path.exists());
        let mut left = String::new();
        io::Read::read_to_string(&mut &linked, &mut left).unwrap();
        assert_eq!(left, "\0\0\0\0\0\0", "what another process may have open is wiped");
    }

    #[test]
    fn what_a_killed_process_left_is_cleared_away_and_nothing_through_links() {
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(elsewhere.path(), "kept").unwrap();
        let path = Path::new("/dev/shm").join(format!("{PREFIX}left-by-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join(LOCK), "").unwrap();
        std::fs::write(path.join("cache"), "secret").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), path.join("link")).unwrap();
        clear_leftovers();
        assert!(!path.exists());
        assert_eq!(std::fs::read_to_string(elsewhere.path()).unwrap(), "kept");
    }
}
