//! What a command writes: stdout, or a file that appears whole or not at all.
//!
//! A file is written without a name where the system can (`O_TMPFILE`), so that even a killed run leaves nothing behind;
//! elsewhere under a hidden name beside its place. It gets its name after everything in it is durable.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::failure::{Failure, Result};

/// Mode of files that hold plaintext or identities.
pub(crate) const PRIVATE: u32 = 0o600;
/// Mode of other files; the umask applies.
pub(crate) const ORDINARY: u32 = 0o666;

/// The file to write.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OutputArguments {
    /// File to write, whole or not at all; - or none is stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the output file if it is there
    #[arg(long, requires = "output")]
    force: bool,
}

impl OutputArguments {
    /// Whether the data goes to stdout, and the summary can't.
    pub(crate) fn is_stdout(&self) -> bool {
        self.path().is_none()
    }

    /// Whether it was said where to, stdout included.
    pub(crate) fn is_named(&self) -> bool {
        self.output.is_some()
    }

    /// The file; none is stdout.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| path.as_os_str() != "-")
    }

    /// Opens it, with this mode if it is a file.
    pub(crate) fn open(&self, mode: u32) -> Result<Output> {
        self.path().map_or_else(Output::stdout, |path| Output::file(path, mode, self.force))
    }

    /// As [`OutputArguments::open`], for bytes that would garble a terminal: those go there only if `-o -` says so.
    pub(crate) fn open_binary(&self, what: &str) -> Result<Output> {
        if self.output.is_none() && io::stdout().is_terminal() {
            return Err(Failure::usage(format!("{what} is not text, so it is not written to a terminal"))
                .help(
                    "give a file with -o FILE, or send it on; -o - writes it to the terminal all the same",
                ));
        }
        self.open(ORDINARY)
    }
}

/// An open output. A file that is not committed never appears.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    name: PathBuf,
    place: Option<Place>,
    written: u64,
    error: Option<io::Error>,
}

/// Where a file is to appear.
#[derive(Debug)]
struct Place {
    target: PathBuf,
    folder: PathBuf,
    /// The hidden name that it has until then; none where it has no name at all.
    hidden: Option<PathBuf>,
    force: bool,
}

impl Output {
    fn stdout() -> Result<Self> {
        let name = PathBuf::from("stdout");
        let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file = file.map_err(|error| Failure::file("can't write to", &name, &error))?;
        Ok(Self { file, name, place: None, written: 0, error: None })
    }

    /// A file at `path`, which must be free unless `force` says otherwise.
    pub(crate) fn file(path: &Path, mode: u32, force: bool) -> Result<Self> {
        let fail = |error: &io::Error| Failure::file("can't write", path, error);
        let found = match std::fs::metadata(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail(&error)),
        };
        match &found {
            Some(found) if found.is_dir() => {
                return Err(Failure::usage(format!("{} is a folder", path.display())));
            }
            // A device or a pipe: there is nothing to replace.
            Some(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(|e| fail(&e))?;
                return Ok(Self { file, name: path.to_path_buf(), place: None, written: 0, error: None });
            }
            Some(_) if !force => return Err(exists(path)),
            _ => {}
        }
        // A link stays a link: the file that it leads to is replaced.
        let target =
            if found.is_some() { path.canonicalize().map_err(|e| fail(&e))? } else { path.to_path_buf() };
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let (file, hidden) = create(&target, &folder, mode).map_err(|e| fail(&e))?;
        let place = Place { target, folder, hidden, force };
        Ok(Self { file, name: path.to_path_buf(), place: Some(place), written: 0, error: None })
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Makes everything durable, and lets a file appear.
    pub(crate) fn commit(mut self) -> Result {
        let Some(mut place) = self.place.take() else { return Ok(()) };
        let done = self.file.sync_all().and_then(|()| place.appear(&self.file));
        done.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.name),
            _ => Failure::file("can't write", &self.name, &error),
        })
    }

    /// What writing failed with: more exact than what the library makes of it.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let error = self.error.as_ref()?;
        if error.kind() == io::ErrorKind::BrokenPipe {
            // The reader has gone, and knows; but not everything was authenticated and delivered.
            return Some(Failure::silent(dkm::ErrorKind::Unavailable.exit_code()));
        }
        Some(Failure::file("can't write", &self.name, error))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(count) => {
                self.written = self.written.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.error = Some(io::Error::new(error.kind(), error.to_string()));
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Place {
    fn appear(&mut self, file: &File) -> io::Result<()> {
        match (&self.hidden, self.force) {
            (None, false) => link(file, &self.target)?,
            (None, true) => {
                // A file without a name can't replace another one: it gets a hidden name first.
                let hidden = hidden_name(&self.target, &self.folder)?;
                link(file, &hidden)?;
                self.hidden = Some(hidden.clone());
                std::fs::rename(hidden, &self.target)?;
            }
            (Some(hidden), true) => std::fs::rename(hidden, &self.target)?,
            // Unlike a rename, a link replaces nothing; the hidden name goes when this is dropped.
            (Some(hidden), false) => std::fs::hard_link(hidden, &self.target)?,
        }
        File::open(&self.folder)?.sync_all()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = std::fs::remove_file(hidden);
        }
    }
}

fn exists(path: &Path) -> Failure {
    Failure::usage(format!("{} exists already", path.display())).help("--force replaces it")
}

fn create(target: &Path, folder: &Path, mode: u32) -> io::Result<(File, Option<PathBuf>)> {
    if Path::new("/proc/self/fd").exists() {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        // File systems without unnamed files answer in several ways; the named way below tells real faults.
        if let Ok(file) = rustix::fs::open(folder, flags, Mode::from_raw_mode(mode)) {
            return Ok((File::from(file), None));
        }
    }
    let hidden = hidden_name(target, folder)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&hidden)?;
    Ok((file, Some(hidden)))
}

fn link(file: &File, target: &Path) -> io::Result<()> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, unnamed, CWD, target, AtFlags::SYMLINK_FOLLOW)?)
}

fn hidden_name(target: &Path, folder: &Path) -> io::Result<PathBuf> {
    let mut random = [0u8; 8];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Names have at most 255 bytes.
    let name: String = name.chars().take(40).collect();
    Ok(folder.join(format!(".{name}.dkm-{:016x}", u64::from_be_bytes(random))))
}

/// A file without a name, to keep ciphertext in for a while.
pub(crate) fn spool() -> Result<File> {
    let folder = std::env::temp_dir();
    let fail = |error: &io::Error| Failure::file("can't make a temporary file in", &folder, error);
    let (target, mode) = (folder.join("dkm"), PRIVATE);
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(&folder, flags, Mode::from_raw_mode(mode)) {
        return Ok(File::from(file));
    }
    let hidden = hidden_name(&target, &folder).map_err(|e| fail(&e))?;
    let options = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&hidden);
    let file = options.map_err(|e| fail(&e))?;
    std::fs::remove_file(&hidden).map_err(|e| fail(&e))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_only_when_committed_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut output = Output::file(&path, PRIVATE, false).unwrap();
        output.write_all(b"secret").unwrap();
        assert!(!path.exists());
        output.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn a_file_that_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = Output::file(&dir.path().join("out"), PRIVATE, false).unwrap();
        output.write_all(b"secret").unwrap();
        drop(output);
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_there_is_kept_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        // It comes up while the other is being written.
        let late = Output::file(&path, ORDINARY, false).unwrap();
        std::fs::write(&path, "old").unwrap();
        assert_eq!(late.commit().unwrap_err().exit_code, 2);
        assert_eq!(Output::file(&path, ORDINARY, false).unwrap_err().exit_code, 2);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let mut output = Output::file(&path, ORDINARY, true).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn the_way_without_unnamed_files_does_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        for (force, expected) in [(false, true), (false, false), (true, true)] {
            let hidden = hidden_name(&target, dir.path()).unwrap();
            std::fs::write(&hidden, "x").unwrap();
            let mut place = Place {
                target: target.clone(),
                folder: dir.path().to_path_buf(),
                hidden: Some(hidden.clone()),
                force,
            };
            assert_eq!(place.appear(&File::open(&hidden).unwrap()).is_ok(), expected);
            drop(place);
            assert_eq!(names(dir.path()), ["out"]);
        }
    }

    #[test]
    fn links_lead_to_what_is_replaced_and_devices_are_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut output = Output::file(&link, ORDINARY, true).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&real).unwrap(), b"new");
        let mut output = Output::file(Path::new("/dev/null"), ORDINARY, false).unwrap();
        output.write_all(b"x").unwrap();
        output.commit().unwrap();
    }
}
