//! Where a repository is: the URL that users write.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Error;

/// A repository's URL.
///
/// `dir:/path` is a directory repository; `dir:/path?root-keys=/other` looks for its root keys elsewhere than where
/// they were when it was made. `ad://domain` is a repository in Active Directory, which crate `dkm-ad` opens;
/// `https://host` and `unix:/path` are repositories behind `dkmd`, which crate `dkm-remote` opens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A folder.
    Directory {
        /// The folder.
        path: PathBuf,
        /// Folder of its root keys, if not the one that the repository names.
        root_keys: Option<PathBuf>,
    },
    /// A container in Active Directory.
    ActiveDirectory {
        /// The whole URL, which only `dkm-ad` takes apart.
        url: String,
    },
    /// A server of `dkmd`.
    Remote {
        /// The whole URL, which only `dkm-remote` takes apart.
        url: String,
    },
}

/// What a text is expected to be that is none of these.
const EXPECTED: &str = "expected dir:/path, ad://domain, https://host or unix:/path";

impl Location {
    /// The repository in a folder.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory { path: path.into(), root_keys: None }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.starts_with("ad://") {
            return Ok(Self::ActiveDirectory { url: text.to_owned() });
        }
        if text.starts_with("https://") || text.starts_with("unix:") {
            return Ok(Self::Remote { url: text.to_owned() });
        }
        let Some(rest) = text.strip_prefix("dir:") else {
            return Err(Error::Invalid(format!("{text:?} is not the URL of a repository: {EXPECTED}")));
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        if path.is_empty() {
            return Err(Error::Invalid(format!("{text:?} names no folder: expected dir:/path")));
        }
        let mut root_keys = None;
        for pair in query.into_iter().flat_map(|q| q.split('&')) {
            match pair.split_once('=') {
                Some(("root-keys", folder)) if !folder.is_empty() && root_keys.is_none() => {
                    root_keys = Some(PathBuf::from(folder));
                }
                _ => {
                    return Err(Error::Invalid(format!(
                        "{pair:?} in {text:?} is not understood: only one root-keys=/path may follow the folder"
                    )));
                }
            }
        }
        Ok(Self::Directory { path: Path::new(path).to_path_buf(), root_keys })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ActiveDirectory { url } | Self::Remote { url } => f.write_str(url),
            Self::Directory { path, root_keys } => {
                write!(f, "dir:{}", path.display())?;
                root_keys.as_ref().map_or(Ok(()), |keys| write!(f, "?root-keys={}", keys.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_back_and_others_say_what_is_expected() {
        for text in [
            "dir:/var/lib/dkm",
            "dir:relative/path",
            "dir:/a?root-keys=/b",
            "ad://example.com?dc=dc1",
            "https://keys.example.com:8443?credentials=/c",
            "unix:/run/dkmd/socket",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "/var/lib/dkm",
            "dir:",
            "dir:?root-keys=/b",
            "dir:/a?x=y",
            "dir:/a?root-keys=",
            "ad:x",
            "http://h",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Usage);
            assert!(
                error.to_string().contains("dir:/path") || error.to_string().contains("root-keys"),
                "{error}"
            );
        }
    }
}
