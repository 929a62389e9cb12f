//! `dkm man`

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use serde_json::json;

use crate::cli::Cli;
use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// Write the manual: one page to stdout, or all pages into a folder
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm man | man -l -
  dkm man --folder ~/.local/share/man/man1")]
pub(crate) struct Arguments {
    /// Folder for the pages of all commands
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &arguments.folder else {
        let page = page(&command, "dkm")?;
        return shell.terminal.result(&json!({"name": "dkm.1", "page": page}), || page.clone());
    };
    std::fs::create_dir_all(folder).map_err(|error| Failure::file("can't make", folder, &error))?;
    let mut names = Vec::new();
    write_pages(&command, "dkm", folder, &mut names)?;
    let value = json!({"folder": folder.display().to_string(), "pages": names});
    shell.terminal.result(&value, || format!("Wrote {} pages to {}.\n", names.len(), folder.display()))
}

fn write_pages(
    command: &clap::Command,
    name: &str,
    folder: &std::path::Path,
    names: &mut Vec<String>,
) -> Result {
    let file = format!("{name}.1");
    let path = folder.join(&file);
    std::fs::write(&path, page(command, name)?)
        .map_err(|error| Failure::file("can't write", &path, &error))?;
    names.push(file);
    command
        .get_subcommands()
        .try_for_each(|sub| write_pages(sub, &format!("{name}-{}", sub.get_name()), folder, names))
}

fn page(command: &clap::Command, title: &str) -> Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(title)
        .render(&mut page)
        .map_err(|error| Failure::internal(format!("can't write the manual: {error}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
