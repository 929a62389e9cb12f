//! `dkm init`

use std::path::PathBuf;

use clap::Args;
use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::{ErrorKind, Location};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// Make a repository
///
/// The repository is a folder; its root keys, which wrap the keys at rest, lie in another one beside it, so that a
/// copy of the repository alone opens nothing. Back both up, apart from each other.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm init
  dkm --repository dir:/var/lib/dkm/repository init --root-keys /etc/dkm/root-keys")]
pub(crate) struct Arguments {
    /// Folder for the root keys; beside the repository if not given
    #[arg(long, value_name = "FOLDER")]
    root_keys: Option<PathBuf>,
}

/// What helps an account that may not make it there.
const DENIED: &str = "name a place that you may write to: dkm --repository dir:/path init; the root keys go beside it, or \
                      where --root-keys says";

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let location = shell.location()?;
    let Location::Directory { path, root_keys } = &location else {
        return Err(Failure::usage(format!("{location} can't be made by this command"))
            .help("dkm ad init makes a repository in Active Directory; dkmd makes its own"));
    };
    let root_keys = match &arguments.root_keys {
        Some(folder) => Some(folder.clone()),
        None => root_keys.clone().or(shell.root_keys()?),
    };
    let made = DirectoryRepository::create(path, &CreateOptions { root_keys });
    let repository = made.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind == ErrorKind::Denied { failure.help(DENIED) } else { failure }
    })?;
    let url = Location::directory(repository.path()).to_string();
    let folder = repository.root_keys().display().to_string();
    shell.terminal.result(&json!({"repository": url, "root_keys": folder}), || {
        format!("Made the repository {url}.\nIts root keys will be in {folder}: back them up, apart from the repository.\n")
    })?;
    shell.terminal.note("Next: dkm group create NAME");
    Ok(())
}
