//! `dkm directory group-add`

use clap::{Args, ValueEnum};
use dkm_remote::wire::{Kind, NewDirectoryGroup};
use serde_json::json;

use crate::failure::Result;
use crate::shell::Shell;

/// Make a directory group: many accounts under one name, for the access of groups of keys
///
/// NAME@DOMAIN is a group of Active Directory: its members are kept there, and count if they are of the kind given here. For
/// administrators of the server.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm directory group-add mail-servers
  dkm directory group-add key-owners --of people
  dkm directory group-add mail-readers@example.com")]
pub(crate) struct Arguments {
    /// Name: 1 to 128 of a-z, 0-9, '.', '_' and '-'; @DOMAIN behind it for one of Active Directory
    #[arg(value_name = "NAME")]
    name: String,
    /// Of what its members are, for good. Only a group of services can read keys
    #[arg(long, value_enum, default_value_t = Members::Services, value_name = "KIND")]
    of: Members,
}

/// Of what the members of a directory group are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Members {
    /// Service accounts.
    Services,
    /// People.
    People,
}

/// A directory group as the server calls it: `group:NAME`, which may be given without the word before.
pub(super) fn full(name: &str) -> String {
    if name.starts_with("group:") { name.to_owned() } else { format!("group:{name}") }
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let kind = match arguments.of {
        Members::Services => Kind::Service,
        Members::People => Kind::Person,
    };
    let name = full(&arguments.name);
    shell.directory()?.add_group(&name, NewDirectoryGroup { kind })?;
    shell
        .terminal
        .result(&json!({"name": name, "kind": kind}), || format!("Made the directory group {name}.\n"))?;
    if name.contains('@') {
        shell.terminal.note(format!("Next: dkm group create GROUP --readers {name}"));
        return Ok(());
    }
    shell.terminal.note(format!("Next: dkm directory member-add {name} ACCOUNT"));
    Ok(())
}
