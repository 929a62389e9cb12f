//! `dkm elevate request`

use clap::Args;
use dkm_lockbox::shown;
use dkm_remote::wire::elevation::NewRequest;

use crate::asked::{self, Asked};
use crate::failure::{Failure, Result};
use crate::scope::ScopeArguments;
use crate::shell::Shell;
use crate::{columns, control, duration};

/// Ask to have blobs of a group opened for you, for a time
///
/// Each level of the group's roster approves before you can activate the grant. Ask for as little as you need: blobs by
/// their ids or files, or all whose context holds the pairs given with -c.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm elevate request --group mail --reason 'customer cannot read his mail' --ticket INC-4711 \\
      -c account=17 --count 5 --duration 30m
  dkm elevate request --group mail --reason 'is this token damaged?' --blob-of token.dkm --duration 10m")]
pub(crate) struct Arguments {
    /// Why; those who approve and audit read it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Where the work is written down, such as the number of an incident
    #[arg(long, value_name = "TEXT", default_value = "")]
    ticket: String,
    /// How long access lasts once you activate it
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    duration: u64,
    #[command(flatten)]
    scope: ScopeArguments,
    /// It is an emergency: other levels approve, and it is reviewed afterwards
    #[arg(long)]
    emergency: bool,
    /// Ask for credentials with which you could read every key, where the roster allows it
    #[arg(long, conflicts_with_all = ["blob", "blob_of", "context", "count"])]
    direct: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let elevations = shell.elevations()?;
    let new = NewRequest {
        reason: arguments.reason.clone(),
        ticket: arguments.ticket.clone(),
        scope: if arguments.direct { None } else { Some(arguments.scope.view()?) },
        break_glass: arguments.emergency,
        duration_s: arguments.duration / 1_000,
    };
    let group = asked::group(shell)?;
    let asked = Asked::from_view(elevations.ask(group, &new).map_err(asked::failure)?, None)?;
    if asked.request().group != group {
        return Err(Failure::internal("the server has made a request for another group"));
    }
    control::pinned_instance(shell, asked.request())?;
    shell.terminal.result(&asked.json(None), || {
        let mut text = columns::facts(&asked.facts(None));
        text.push_str(&format!("Request {} waits for approval.\n", asked.request().id));
        text
    })?;
    if let Some((level, _, approvers)) = asked.missing(None).first() {
        let approvers: Vec<String> = approvers.iter().map(|id| shown(id)).collect();
        shell.terminal.note(format!(
            "Next: {} ({}): dkm elevate approve {} --key FILE",
            approvers.join(" or "),
            shown(level),
            asked.request().id
        ));
    }
    Ok(())
}
