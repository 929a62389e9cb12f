//! `dkm key roll`

use clap::Args;
use serde_json::json;

use crate::failure::Result;
use crate::shape::{GroupShape, NewKeyShape};
use crate::shell::Shell;
use crate::when;

/// Make a new key now
///
/// It protects after the policy's activation delay, so that every client knows it by then; the present key goes on until
/// then and stays archived. Keys roll by themselves as the group is used: this is for the impatient and for rehearsals.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm key roll --group mail --reason 'quarterly rehearsal'")]
pub(crate) struct Arguments {
    /// Why, for the audit journal
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let new = group.roll(&arguments.reason)?;
    shell.warn_about(&group)?;
    let value = json!({"group": GroupShape::of(&group), "key": NewKeyShape::from(&new)});
    shell.terminal.result(&value, || {
        let what = if new.was_there { "is waiting already; it" } else { "was made and" };
        let now = when::now();
        format!(
            "Key {} {what} protects from {} on ({}).\n",
            new.key,
            when::second(new.activates_at),
            when::relative(new.activates_at, now)
        )
    })
}
