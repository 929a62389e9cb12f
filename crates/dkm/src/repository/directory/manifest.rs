//! The file `repository`: what a folder must hold to be a repository.

use std::path::{Path, PathBuf};

use dkm_core::{ReplicaId, RepositoryId};
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::folder::Folder;
use super::template::is_file;

pub(super) const NAME: &str = "repository";

/// Longest manifest that is read, in bytes: the longest path and some lines.
const LEN_MAX: usize = 8 * 1024;

/// Identity of a repository and of this copy of it, and where its root keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) repository: RepositoryId,
    pub(crate) replica: ReplicaId,
    /// As written: absolute, or relative to the repository's parent.
    pub(crate) root_keys: String,
}

const HEAD: &str = "dkm repository 1\n";

impl Manifest {
    pub(crate) fn to_text(&self) -> String {
        let Self { repository, replica, root_keys } = self;
        format!("{HEAD}repository: {repository}\nreplica: {replica}\nroot-keys: {root_keys}\n")
    }

    /// Reads exactly what [`Manifest::to_text`] writes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(body) = text.strip_prefix(HEAD) else {
            return Err(match text.lines().next() {
                Some(first) if first.starts_with("dkm repository ") => {
                    format!("it is of a version that this program does not know ({first})")
                }
                _ => format!("its file {NAME} is not one that dkm has written"),
            });
        };
        let damaged = || format!("its file {NAME} is damaged");
        // Not `lines`, which would take a carriage return for a part of the newline: a path may end with one.
        let mut lines = body.split('\n');
        let mut field = |name: &str| {
            let line = lines.next().ok_or_else(damaged)?;
            line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).ok_or_else(damaged)
        };
        let manifest = Self {
            repository: field("repository")?.parse().map_err(|_| damaged())?,
            replica: field("replica")?.parse().map_err(|_| damaged())?,
            root_keys: field("root-keys")?.to_owned(),
        };
        if manifest.to_text() == text { Ok(manifest) } else { Err(damaged()) }
    }

    /// Where the root keys of a repository at `path` are.
    pub(super) fn root_keys_of(&self, path: &Path) -> PathBuf {
        path.parent().unwrap_or(path).join(&self.root_keys)
    }
}

/// How the folder of root keys stands in the manifest; without one it is the repository's sibling, by a name that
/// follows when both are moved together.
///
/// # Errors
/// A path that the file cannot hold.
pub(crate) fn root_keys_text(path: &Path, root_keys: Option<&Path>) -> Result<String, String> {
    let place = match root_keys {
        Some(folder) => std::path::absolute(folder).map_err(|e| format!("{}: {e}", folder.display()))?,
        None => {
            let Some(name) = path.file_name() else {
                return Err(format!("{} has no sibling to keep root keys in; name a folder", path.display()));
            };
            let mut sibling = name.to_owned();
            sibling.push(".root-keys");
            PathBuf::from(sibling)
        }
    };
    match place.to_str() {
        Some(text) if !text.contains('\n') && text.len() < LEN_MAX / 2 => Ok(text.to_owned()),
        _ => Err(format!("the folder of root keys {place:?} is too long, or not UTF-8 on one line")),
    }
}

/// Reads a folder's manifest. `Ok(Err)` says why the folder is no repository.
pub(super) fn read(folder: &Folder) -> Result<Result<Manifest, String>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match openat(folder, NAME, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Err(format!("it has no file {NAME}"))),
        Err(Errno::LOOP) => return Ok(Err(format!("its {NAME} is a symbolic link"))),
        Err(error) => return Err(error),
    };
    if !is_file(&fstat(&fd)?) {
        return Ok(Err(format!("its {NAME} is not a file")));
    }
    let bytes = super::record::read_up_to(&fd, LEN_MAX, LEN_MAX)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Ok(Manifest::parse(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            repository: RepositoryId([1; 16]),
            replica: ReplicaId([2; 16]),
            root_keys: "dkm.root-keys".to_owned(),
        }
    }

    #[test]
    fn a_manifest_reads_back_and_nothing_else_does() {
        let text = manifest().to_text();
        assert_eq!(Manifest::parse(&text), Ok(manifest()));
        for cut in 0..text.len() {
            assert!(Manifest::parse(&text[..cut]).is_err(), "{cut}");
        }
        assert!(Manifest::parse(&format!("{text}more: 1\n")).unwrap_err().contains("damaged"));
        assert!(Manifest::parse(&text.replace("0101", "01 01")).is_err());
        assert!(Manifest::parse(&text.replacen(" 1\n", " 2\n", 1)).unwrap_err().contains("version"));
        assert!(Manifest::parse("hello").unwrap_err().contains("not one that dkm has written"));
    }

    #[test]
    fn root_keys_are_beside_the_repository_or_where_they_were_put() {
        let path = Path::new("/srv/dkm");
        let beside = Manifest { root_keys: root_keys_text(path, None).unwrap(), ..manifest() };
        assert_eq!(beside.root_keys_of(path), Path::new("/srv/dkm.root-keys"));
        assert_eq!(beside.root_keys_of(Path::new("/moved/dkm")), Path::new("/moved/dkm.root-keys"));
        let put = root_keys_text(path, Some(Path::new("/safe/keys"))).unwrap();
        assert_eq!(Manifest { root_keys: put, ..manifest() }.root_keys_of(path), Path::new("/safe/keys"));
        let odd =
            Manifest { root_keys: root_keys_text(path, Some(Path::new("/a\r"))).unwrap(), ..manifest() };
        assert_eq!(Manifest::parse(&odd.to_text()), Ok(odd));
        assert!(root_keys_text(path, Some(Path::new("/a\nb"))).is_err());
        assert!(root_keys_text(Path::new("/"), None).is_err());
    }
}
