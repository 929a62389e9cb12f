//! `dkm roster propose`

use std::path::PathBuf;

use clap::Args;
use dkm::ErrorKind;
use dkm_core::roster::Roster;
use dkm_lockbox::verify_roster;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::proposal::Proposal;
use crate::shell::Shell;
use crate::{control, duration, roster_file, roster_view, when};

/// Propose the next version of a group's roster, for those to sign who must
///
/// Nothing changes in the group. What differs from the version before is shown; the proposal goes from one who signs to the
/// next (dkm roster sign), and back to an owner (dkm roster apply).
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm roster propose mail roster.toml -o roster.proposal")]
pub(crate) struct Arguments {
    /// Group, by name or id
    #[arg(value_name = "GROUP")]
    group: String,
    /// The new roster, in TOML
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File for the proposal
    #[arg(long, short, value_name = "PROPOSAL")]
    output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut record = roster_file::read(&arguments.file)?;
    let client = shell.client()?;
    let group = shell.group_of(&client, Some(&arguments.group))?;
    let rosters = group.rosters(&verify_roster)?;
    control::pinned(shell, &rosters)?;
    if rosters.chain.versions().is_empty() {
        return Err(Failure::new(ErrorKind::Refused, format!("group {} has no roster", group.name()))
            .help("a group gets its roster when it is made: dkm group create --roster FILE"));
    }
    record.version = rosters.chain.next_version();
    record.previous = rosters.chain.tips().to_vec();
    record.created_at_ms = when::now().0;
    let proposal = Proposal { group: group.id(), record };
    let followed = roster_view::followed(&rosters, &proposal.record);
    let after = Roster::from(&proposal.record);
    let differences: Vec<_> =
        followed.iter().map(|version| roster_view::changes(&version.roster, &after)).collect();
    if differences.iter().all(|(gone, new)| gone.is_empty() && new.is_empty()) && followed.len() == 1 {
        return Err(Failure::usage("the roster is like that already").help("change the file first"));
    }
    proposal.write(&arguments.output, arguments.force)?;
    let delay_ms = followed.iter().map(|version| version.roster.change_delay_ms).max().unwrap_or(0);
    let mut lacking = Vec::new();
    for version in &followed {
        lacking.extend(roster_view::lacking(&rosters, &proposal.record, version));
    }
    let value = json!({
        "group": {"id": group.id().to_string(), "name": group.name()},
        "version": proposal.record.version,
        "previous": roster_view::texts(&proposal.record.previous),
        "digest": proposal.digest().to_string(),
        "proposal": arguments.output,
        "changes": differences.iter().map(|(gone, new)| json!({"gone": gone, "new": new})).collect::<Vec<_>>(),
        "lacking": lacking.iter().map(|(level, who)| json!({"level": level, "lacks": who})).collect::<Vec<_>>(),
        "delay_ms": delay_ms,
    });
    shell.terminal.result(&value, || {
        let mut out = String::new();
        differences.iter().for_each(|difference| out.push_str(&roster_view::difference(difference)));
        out.push_str(&format!(
            "Version {} is proposed in {}; nothing has changed. It takes effect {} after it was applied.\nTo sign:\n",
            proposal.record.version,
            arguments.output.display(),
            duration::format(delay_ms)
        ));
        lacking.iter().for_each(|(level, who)| out.push_str(&format!("  level {level:?}: {who}\n")));
        out
    })?;
    shell.terminal.note(format!(
        "Next: dkm roster sign {} --as PERSON --key FILE",
        crate::terminal::shell_word(&arguments.output.display().to_string())
    ));
    Ok(())
}
