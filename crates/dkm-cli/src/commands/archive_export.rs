//! `dkm archive export`

use clap::Args;
use dkm::archive::{self, ExportSummary};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::output_file::{OutputArguments, PRIVATE};
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::terminal::count;

/// Export a group's keys, sealed to age recipients
///
/// The archive opens without the repository and its root key: whoever can open it can read everything that the group
/// has protected. The export is therefore recorded in the audit journal first. `age -d` opens it too.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm archive export --group mail -o mail.age
  dkm archive export --recipient age1… --recipient 'ssh-ed25519 AAAA…' -o mail.age")]
pub(crate) struct Arguments {
    #[command(flatten)]
    output: OutputArguments,
    /// Who can open it: an age (age1…) or SSH public key; the policy's recipients if none is given. Repeatable
    #[arg(long, value_name = "PUBLIC-KEY")]
    recipient: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut output = if arguments.output.is_stdout() {
        arguments.output.open_binary("an archive")?
    } else {
        arguments.output.open(PRIVATE)?
    };
    let group = shell.group()?;
    let done = archive::export(&group, &arguments.recipient, &mut output);
    let summary = done.map_err(|error| output.failure().unwrap_or_else(|| Failure::from(error)))?;
    output.commit()?;
    shell.warn_about(&group)?;
    tell_what_is_missing(&summary, shell);
    let value = json!({
        "group": GroupShape::of(&group),
        "keys": summary.keys,
        "records": summary.records,
        "recipients": summary.recipients,
        "left_out": left_out(&summary),
        "output": arguments.output.path().map(|path| path.display().to_string()),
    });
    if arguments.output.is_stdout() {
        return shell.terminal.summary_beside_data(&value);
    }
    shell.terminal.result(&value, || {
        format!(
            "Exported {}, sealed to {}. Keep it apart from the repository.\n",
            count(summary.keys, "key"),
            count(summary.recipients, "recipient")
        )
    })
}

/// An archive that is not whole is still an archive; but nobody may believe that it is whole.
fn tell_what_is_missing(summary: &ExportSummary, shell: &Shell) {
    for missing in left_out(summary) {
        let advice = "the archive is good for everything else; dkm doctor tells what is wrong";
        shell.terminal.warn("archive", &format!("not in the archive: {missing}"), Some(advice));
    }
}

fn left_out(summary: &ExportSummary) -> Vec<String> {
    let keys = summary.left_out.iter().map(|(key, why)| format!("key {key}: {why}"));
    let records = summary.malformed.iter().map(|(name, why)| format!("record {name}: {why}"));
    let replicas =
        summary.unread.iter().map(|(number, why)| format!("what only replica {number} has: {why}"));
    keys.chain(records).chain(replicas).collect()
}
