//! `dkm lockbox offline export`

use std::io::Write as _;
use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::Args;
use dkm::ErrorKind;
use dkm_core::Digest;
use dkm_core::record::Record;
use dkm_lockbox::verify_roster;
use dkm_remote::resolve_control;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::offline::{RosterFile, pinned_file};
use crate::output_file::{ORDINARY, Output};
use crate::pin::Pin;
use crate::shell::Shell;
use crate::terminal::shell_word;
use crate::{asked, control, when};

/// Keep what requests by file are checked by, while the server answers
///
/// Roster and policies of the group, as the server shows them to whoever stands in the roster, verified from the first roster
/// on. This account remembers the file's digest, and believes no other file; tell the digest to whom you give the file.
/// Export anew after each change of roster or policy.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm lockbox offline export --group mail -o mail.roster")]
pub(crate) struct Arguments {
    /// File to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = asked::group(shell)?;
    let mut view = shell.elevations()?.control(group).map_err(asked::failure)?;
    // States of keys and the like decide nothing here, and may be many.
    view.records.retain(|record| {
        let bytes = BASE64_STANDARD.decode(&record.record).unwrap_or_default();
        let decides = |record| matches!(record, Record::Group(_) | Record::Policy(_) | Record::Roster(_));
        Record::decode(&bytes).is_ok_and(|(of, record)| of == group && decides(record))
    });
    let odd = |why: String| {
        Failure::new(
            ErrorKind::Corrupt,
            format!("what the server shows of group {group} is not understood: {why}"),
        )
        .help("if the server is of another version, bring both to one")
    };
    let rosters = resolve_control(&view, group, when::now(), &verify_roster).map_err(odd)?;
    control::pinned(shell, &rosters)?;
    if rosters.chain.effective().is_none() || rosters.policies.effective().is_none() {
        return Err(Failure::new(ErrorKind::Refused, format!("group {group} has no roster in force"))
            .help("nobody can be let in: dkm roster show tells more"));
    }
    let instance: dkm_core::InstanceId =
        view.instance.parse().map_err(|_| odd("it does not say who it is".to_owned()))?;
    let pin = Pin::of("instance", &group.to_string())?;
    pin.must_be(
        &format!("the server that keeps the requests of group {group}"),
        &instance.to_string(),
        shell,
    )?;
    let mut text = serde_json::to_string_pretty(&RosterFile::new(group, view))
        .map_err(|error| Failure::internal(format!("can't write JSON: {error}")))?;
    text.push('\n');
    let digest = Digest::of(text.as_bytes());
    let mut file = Output::file(&arguments.output, ORDINARY, arguments.force)?;
    file.write_all(text.as_bytes())
        .map_err(|error| Failure::file("can't write", &arguments.output, &error))?;
    file.commit()?;
    pinned_file(group)?.write(&digest.to_string())?;
    let value = json!({
        "group": group.to_string(),
        "instance": instance.to_string(),
        "file": arguments.output,
        "digest": digest.to_string(),
        "first_roster": rosters.genesis.map(|digest| digest.to_string()),
    });
    shell.terminal.result(&value, || {
        format!(
            "Roster and policies of group {group} are in {}. Whoever gets the file from you gives its digest with it:\n  --roster {} --roster-digest {digest}\n",
            arguments.output.display(),
            shell_word(&arguments.output.display().to_string())
        )
    })
}
