//! `dkm root-key make`

use clap::Args;
use dkm::repository::GroupAccess;
use serde_json::json;

use crate::failure::Result;
use crate::shape::GroupShape;
use crate::shell::Shell;

/// Make a root key for a group
///
/// The group's first root key wraps new keys at once, once policy wants them wrapped. A further one only lies there: copy
/// its file to every machine of the group, then have it wrap with dkm root-key use. Machines that lack a root key cannot
/// open what is wrapped under it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm root-key make --group mail --readers svc-mail --reason 'keys are to be wrapped'
  dkm root-key make --group mail --reason 'yearly rotation'")]
pub(crate) struct Arguments {
    /// For the group's first root key: Unix group whose members read it; yourself alone if not given
    #[arg(long, value_name = "UNIX-GROUP")]
    readers: Option<String>,
    /// Why, for the audit journal
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let client = shell.client()?;
    let group = shell.group_of(&client, None)?;
    let access =
        GroupAccess { readers: arguments.readers.clone().into_iter().collect(), ..GroupAccess::default() };
    let (id, wraps) = group.make_root_key(&access, &arguments.reason)?;
    let folder = format!("{}/{}", client.root_keys(), group.id());
    let value = json!({
        "group": GroupShape::of(&group),
        "root_key": id.to_string(),
        "wraps": wraps,
        "folder": folder,
    });
    shell.terminal.result(&value, || {
        if wraps {
            format!("Made the group's first root key {id} in {folder}. It wraps new keys.\n")
        } else {
            format!("Made the root key {id} in {folder}. It does not wrap yet.\n")
        }
    })?;
    shell.terminal.note(format!(
        "Next: back its file up, apart from the repository, and copy it to every machine of the group, with its owner and \
         mode. Then, on each machine that makes keys: dkm root-key use {id}"
    ));
    Ok(())
}
