//! Files under given paths, in order of their names, without following links.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Deepest nesting of folders.
const DEPTH_MAX: usize = 256;

/// What lies at a path.
#[derive(Debug)]
pub(crate) enum Found {
    /// A regular file.
    File(PathBuf, Box<Metadata>),
    /// Something that is not looked into, and why.
    Other(PathBuf, String),
}

/// Walks over paths and everything below them. Holds the names of one folder per level.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What is still to be looked at, on each level last to first.
    levels: Vec<Vec<PathBuf>>,
}

impl Walk {
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        Self { levels: vec![paths.iter().rev().cloned().collect()] }
    }

    fn enter(&mut self, folder: &Path) -> io::Result<()> {
        if self.levels.len() > DEPTH_MAX {
            return Err(io::Error::other(format!("folders are nested more than {DEPTH_MAX} deep")));
        }
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
        paths.sort_by(|a, b| b.cmp(a));
        self.levels.push(paths);
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let Some(path) = self.levels.last_mut()?.pop() else {
                self.levels.pop();
                continue;
            };
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) => return Some(Found::Other(path, error.to_string())),
            };
            if metadata.is_file() {
                return Some(Found::File(path, Box::new(metadata)));
            }
            if metadata.is_dir() {
                match self.enter(&path) {
                    Ok(()) => continue,
                    Err(error) => return Some(Found::Other(path, error.to_string())),
                }
            }
            let why = if metadata.is_symlink() {
                "it is a symbolic link, which is not followed"
            } else {
                "it is not a regular file"
            };
            return Some(Found::Other(path, why.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_order_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("b/deep")).unwrap();
        for name in ["a", "b/deep/x", "b/y", "c"] {
            fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), at("loop")).unwrap();
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        let found: Vec<String> = Walk::new(&[dir.path().to_path_buf(), at("missing")])
            .map(|found| {
                let (path, what) = match found {
                    Found::File(path, metadata) => (path, format!("{} bytes", metadata.len())),
                    Found::Other(path, why) => (path, why),
                };
                format!("{}: {what}", path.strip_prefix(dir.path()).unwrap().display())
            })
            .collect();
        assert_eq!(
            found,
            [
                "a: 1 bytes",
                "b/deep/x: 8 bytes",
                "b/y: 3 bytes",
                "c: 1 bytes",
                "link: it is a symbolic link, which is not followed",
                "loop: it is a symbolic link, which is not followed",
                "missing: No such file or directory (os error 2)",
            ]
        );
    }
}
