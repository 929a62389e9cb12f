//! `dkm directory member-add` and `dkm directory member-remove`

use clap::Args;
use serde_json::json;

use super::directory_group_add::full;
use crate::failure::Result;
use crate::shell::Shell;

/// Which group, and whom.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory group
    #[arg(value_name = "GROUP")]
    into: String,
    /// Account or directory group: service:NAME, person:NAME or group:NAME
    #[arg(value_name = "MEMBER")]
    member: String,
}

pub(crate) fn add(arguments: &Arguments, shell: &Shell) -> Result {
    let group = full(&arguments.into);
    shell.directory()?.add_member(&group, &arguments.member)?;
    tell(arguments, shell, "is in")
}

pub(crate) fn remove(arguments: &Arguments, shell: &Shell) -> Result {
    let group = full(&arguments.into);
    shell.directory()?.remove_member(&group, &arguments.member)?;
    tell(arguments, shell, "is not in")
}

fn tell(arguments: &Arguments, shell: &Shell, state: &str) -> Result {
    let (group, member) = (full(&arguments.into), &arguments.member);
    let value = json!({"group": group, "member": member, "is_member": state == "is in"});
    shell.terminal.result(&value, || format!("{member} {state} {group}.\n"))
}
