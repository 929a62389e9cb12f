//! `dkm roster apply`

use std::path::PathBuf;

use clap::Args;
use dkm::ErrorKind;
use dkm_lockbox::verify_roster;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::proposal::Proposal;
use crate::shell::Shell;
use crate::{control, roster_view, when};

/// Write a signed proposal of a roster into the group, as an owner
///
/// Only signatures count, not who writes it: what the people of the version before have not signed at every level is
/// refused here, and would be ignored by everybody. It takes effect after the delay that the version before asks for.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm roster apply roster.proposal
  dkm roster apply from-bob.proposal from-carol.proposal")]
pub(crate) struct Arguments {
    /// The proposal, or copies of it that were signed by different people
    #[arg(value_name = "PROPOSAL", required = true)]
    proposals: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut proposal: Option<Proposal> = None;
    for path in &arguments.proposals {
        let read = Proposal::read(path)?;
        match &mut proposal {
            None => proposal = Some(read),
            Some(first) => first.merge(read).map_err(|failure| failure.during(path.display()))?,
        }
    }
    let proposal = proposal.ok_or_else(|| Failure::usage("no proposal was named"))?;
    let group = shell.client()?.group(&proposal.group.to_string())?;
    let rosters = group.rosters(&verify_roster)?;
    control::pinned(shell, &rosters)?;
    let mut lacking = Vec::new();
    for version in roster_view::followed(&rosters, &proposal.record) {
        lacking.extend(roster_view::lacking(&rosters, &proposal.record, version));
    }
    if !lacking.is_empty() {
        let levels: Vec<String> =
            lacking.iter().map(|(level, who)| format!("level {level:?} lacks {who}")).collect();
        return Err(Failure::new(
            ErrorKind::Refused,
            format!("the roster does not count: {}", levels.join("; ")),
        )
        .help("have them sign: dkm roster sign; nothing was written"));
    }
    let version = group.set_roster(&proposal.record, &verify_roster)?;
    shell.warn_about(&group)?;
    let value = json!({
        "group": {"id": group.id().to_string(), "name": group.name()},
        "version": version.version,
        "digest": version.digest.to_string(),
        "effective_at": when::precise(version.effective_at),
    });
    shell.terminal.result(&value, || {
        format!(
            "Version {} of the roster of group {} takes effect at {} ({}). Requests that were made before are void then.\n",
            version.version,
            group.name(),
            when::second(version.effective_at),
            when::relative(version.effective_at, when::now())
        )
    })
}
