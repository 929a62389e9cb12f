//! Where the tour takes place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Arguments;
use crate::failure::{Failure, Result};
use crate::terminal::shell_word;

/// Marks a folder as one that this command made, and may remove with --force.
const MARKER: &str = ".dkm-quickstart";
/// A new folder. An earlier tour is never overwritten unasked.
pub(super) fn prepare(arguments: &Arguments) -> Result<PathBuf> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None if arguments.force => PathBuf::from("dkm-quickstart"),
        None => (1..)
            .map(|n| {
                PathBuf::from(if n == 1 {
                    "dkm-quickstart".to_owned()
                } else {
                    format!("dkm-quickstart-{n}")
                })
            })
            .find(|folder| is_free(folder))
            .unwrap_or_default(),
    };
    if !is_free(&folder) {
        if !arguments.force || !folder.join(MARKER).is_file() {
            let advice = if folder.join(MARKER).is_file() {
                "--force removes it first"
            } else {
                "give another --folder"
            };
            return Err(Failure::usage(format!("{} is there already", folder.display())).help(advice));
        }
        std::fs::remove_dir_all(&folder).map_err(|error| Failure::file("can't remove", &folder, &error))?;
    }
    std::fs::create_dir_all(&folder)
        .and_then(|()| File::create(folder.join(MARKER)).map(drop))
        .and_then(|()| folder.canonicalize())
        .map_err(|error| Failure::file("can't make the folder", &folder, &error))
}

/// Not there, or empty.
fn is_free(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// A line that puts this program on the shell's path, where the shell would not find it.
pub(super) fn put_on_path() -> String {
    let Ok(program) = std::env::current_exe().and_then(|program| program.canonicalize()) else {
        return String::new();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("dkm")).find(|file| file.is_file());
    if found.and_then(|file| file.canonicalize().ok()).is_some_and(|file| file == program) {
        return String::new();
    }
    let folder = program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    format!("   export PATH={}:\"$PATH\"\n", shell_word(&folder))
}
