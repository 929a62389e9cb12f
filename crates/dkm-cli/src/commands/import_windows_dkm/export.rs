//! A container of keys in an export (LDIF).

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dkm::ErrorKind;
use dkm::windows::{LDIF_LEN_MAX, WindowsContainer, containers, read_ldif};

use super::{chosen, nothing_chosen};
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::shell::Shell;

/// Reads the container that is meant.
pub(super) fn read(path: &Path, named: Option<&str>, shell: &Shell) -> Result<WindowsContainer> {
    let export = Input::open(Some(path))?.read_up_to(LDIF_LEN_MAX + 1)?;
    warn_of_clear_keys(path, shell);
    let entries = read_ldif(&export)
        .map_err(|error| Failure::new(ErrorKind::Corrupt, error.to_string()).during(path.display()))?;
    drop(export);
    let mut found = containers(&entries);
    drop(entries);
    let names: Vec<String> = found.iter().map(|container| container.dn.clone()).collect();
    if names.is_empty() {
        return Err(Failure::new(ErrorKind::NotFound, "the export holds no keys of Windows DKM").help(
            "export the container with what is in it: -s sub, and objectClass displayName l thumbnailPhoto",
        ));
    }
    let chosen = chosen("the export", &names, named)?;
    let container = found.iter().position(|container| container.dn == chosen).map(|at| found.swap_remove(at));
    container.filter(|container| !container.keys.is_empty()).ok_or_else(|| {
        nothing_chosen(&chosen)
            .help("an account that may read them sees a thumbnailPhoto in each: export it as that account")
    })
}

/// The export is a release of keys that no journal of ours sees.
fn warn_of_clear_keys(path: &Path, shell: &Shell) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    if path.as_os_str() == "-" || !metadata.is_file() {
        return;
    }
    let others = if metadata.permissions().mode() & 0o077 == 0 { "" } else { ", and others may read it" };
    shell.terminal.warn(
        "clear-keys",
        &format!("{} holds keys in the clear{others}", path.display()),
        Some("erase it and every copy when the import is done, or pipe the export in: --ldif -"),
    );
}
