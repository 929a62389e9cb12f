//! `dkm root-key use`

use clap::Args;
use dkm::ErrorKind;
use dkm_core::RootKeyId;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::shape::GroupShape;
use crate::shell::Shell;

/// Have a root key wrap a group's new keys from now on
///
/// On this machine: do it on every machine that makes keys, once all machines of the group have the root key. Keys that
/// are there stay wrapped as they are; dkm root-key list tells which. The older root key goes on opening those.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm root-key use 5b1e… --group mail --reason 'yearly rotation'")]
pub(crate) struct Arguments {
    /// Root key, by its whole id
    #[arg(value_name = "ROOT-KEY-ID")]
    root_key: String,
    /// Why, for the audit journal
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let id: RootKeyId = arguments.root_key.parse().map_err(|_| {
        Failure::usage(format!("{:?} is not a whole root key id", arguments.root_key))
            .help("32 hexadecimal digits; dkm root-key list shows them")
    })?;
    let group = shell.group()?;
    group.use_root_key(id, &arguments.reason).map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind == ErrorKind::NotFound {
            return failure.help("copy its file to this machine first; dkm root-key list shows what is here");
        }
        failure
    })?;
    let found = group.root_keys()?;
    let elsewhere: usize =
        found.root_keys.iter().filter(|root| root.id != id).map(|root| root.depending.len()).sum();
    let value = json!({
        "group": GroupShape::of(&group),
        "root_key": id.to_string(),
        "keys_under_others": elsewhere,
    });
    shell.terminal.result(&value, || {
        let now = format!("Root key {id} wraps new keys from now on, on this machine.");
        format!("{now}\nKeys that need another root key still: {elsewhere}\n")
    })?;
    shell.terminal.note("Next: dkm key roll, so that what protects is wrapped under it");
    Ok(())
}
