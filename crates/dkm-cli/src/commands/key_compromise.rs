//! `dkm key compromise`

use clap::Args;
use serde_json::json;

use crate::failure::Result;
use crate::key_argument;
use crate::shape::{GroupShape, NewKeyShape};
use crate::shell::Shell;

/// Say that others may know a key
///
/// If it protects, a new key takes over at once. What it protects may have been read, and may be forged from now on: it
/// opens only with --allow-compromised, which is recorded. This can't be taken back.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm key compromise 3f2a9c… --reason 'found in a core dump'")]
pub(crate) struct Arguments {
    /// Key, by its whole id
    #[arg(value_name = "KEY-ID")]
    key: String,
    /// Why, for the record and the audit journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let id = key_argument::whole(&group.view()?.ring, &arguments.key)?;
    let new = group.compromise(id, &arguments.reason)?;
    shell.warn_about(&group)?;
    let value = json!({
        "group": GroupShape::of(&group),
        "key": id.to_string(),
        "state": "compromised",
        "new_key": new.as_ref().map(NewKeyShape::from),
    });
    shell.terminal.result(&value, || {
        let next = match &new {
            Some(new) => format!("The new key {} protects already.", new.key),
            None => "It did not protect, so no new key was made.".to_owned(),
        };
        format!("Key {id} is compromised. {next}\n")
    })?;
    shell.terminal.note(
        "Next: change the secrets that it protected. What you must keep: dkm reprotect --allow-compromised REASON",
    );
    Ok(())
}
