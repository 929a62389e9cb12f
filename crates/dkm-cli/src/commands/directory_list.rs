//! `dkm directory list`

use clap::Args;
use dkm_lockbox::shown;
use dkm_remote::wire::{DirectoryGroup, Kind};
use serde_json::json;

use crate::columns;
use crate::failure::Result;
use crate::shell::Shell;

/// List the directory groups of a dkmd server, with those who are in them directly
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm directory list --json")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, shell: &Shell) -> Result {
    let groups = shell.directory()?.groups()?;
    shell.terminal.result(&json!({"groups": groups}), || {
        let row = |group: &DirectoryGroup| {
            let of = match group.kind {
                Kind::Service => "services",
                Kind::Person => "people",
            };
            vec![shown(&group.name), of.to_owned(), shown(&group.members.join(", "))]
        };
        columns::table(&["GROUP", "OF", "MEMBERS"], &groups.iter().map(row).collect::<Vec<_>>())
    })
}
