//! The configuration file: defaults for what options and environment leave open.

use std::path::{Path, PathBuf};

use dkm::ErrorKind;
use serde::Deserialize;

use crate::failure::{Failure, Result};

/// Keys of `config.toml`. An unknown key is an error: a misspelt one would otherwise be ignored in silence.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// URL of the repository.
    pub(crate) repository: Option<String>,
    /// Name or id of the group.
    pub(crate) group: Option<String>,
    /// Folder of the root keys.
    pub(crate) root_keys: Option<PathBuf>,
    /// The audit journal.
    pub(crate) audit_log: Option<PathBuf>,
    /// Where new keys are sealed to before use.
    pub(crate) archive_folder: Option<PathBuf>,
}

/// Reads the file. One that is not there is an empty one, unless it `must_exist`.
pub(crate) fn load(path: &Path, must_exist: bool) -> Result<Config> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Ok(Config::default()),
        Err(error) => Err(Failure::file("can't read the configuration file", path, &error)),
    }
}

fn parse(text: &str, path: &Path) -> Result<Config> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        let why = error.message().replace('`', "").replace('\n', " ");
        Failure::new(ErrorKind::Usage, format!("{}, line {line}: {why}", path.display()))
            .help("the keys are repository, group, root_keys, audit_log and archive_folder")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_are_read() {
        let text = "repository = \"dir:/r\"\ngroup = \"mail\"\nroot_keys = \"/k\"\naudit_log = \"/a\"\narchive_folder = \"/f\"\n";
        let config = parse(text, Path::new("c")).unwrap();
        assert_eq!(config.repository.as_deref(), Some("dir:/r"));
        assert_eq!(config.archive_folder, Some(PathBuf::from("/f")));
    }

    #[test]
    fn faults_name_file_and_line() {
        for (text, expected) in [
            ("# x\n\nrepo = \"dir:/r\"\n", "/c.toml, line 3: unknown field repo"),
            ("group = 3\n", "/c.toml, line 1: invalid type"),
            ("group = \"a\"\ngroup = \"b\"\n", "/c.toml, line 2: duplicate key"),
            ("group\n", "/c.toml, line 1: "),
        ] {
            let failure = parse(text, Path::new("/c.toml")).unwrap_err();
            assert!(failure.message.starts_with(expected), "{}", failure.message);
            assert_eq!(failure.exit_code, 2);
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let missing = Path::new("/nonexistent/config.toml");
        assert_eq!(load(missing, false).unwrap(), Config::default());
        assert_eq!(load(missing, true).unwrap_err().exit_code, 3);
    }
}
