//! `dkm elevate request`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use dkm_core::Digest;
use dkm_core::blob::{PREFIX_LEN, blob_id};
use dkm_lockbox::shown;
use dkm_remote::wire::elevation::{NewRequest, ScopeView};

use crate::asked::{self, Asked};
use crate::context_pair::parse_pair;
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::shell::Shell;
use crate::{columns, control, duration};

/// Bytes of plaintext that a grant gives out if nothing else is asked for.
const BYTES_MAX: u64 = 1 << 20;

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
    /// A blob to be opened, by its id, as dkm inspect shows it. Repeatable
    #[arg(long, value_name = "ID")]
    blob: Vec<Digest>,
    /// A blob to be opened, in this file. Repeatable
    #[arg(long, value_name = "FILE")]
    blob_of: Vec<PathBuf>,
    /// What the context of a blob must hold to be opened. Repeatable
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = parse_pair)]
    context: Vec<(String, String)>,
    /// How many blobs in all; as many as were named, or 1, if not given
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// How many bytes of plaintext in all
    #[arg(long, value_name = "NUMBER", default_value_t = BYTES_MAX)]
    bytes: u64,
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
        scope: if arguments.direct { None } else { Some(scope(arguments)?) },
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

fn scope(arguments: &Arguments) -> Result<ScopeView> {
    let mut blobs = arguments.blob.clone();
    for path in &arguments.blob_of {
        let start = Input::open(Some(path))?.read_up_to(PREFIX_LEN)?;
        let start = start
            .first_chunk::<PREFIX_LEN>()
            .ok_or_else(|| Failure::usage(format!("{} is no blob: it is too short", path.display())))?;
        blobs.push(blob_id(start));
    }
    blobs.sort_unstable();
    blobs.dedup();
    let mut context = BTreeMap::new();
    for (key, value) in &arguments.context {
        if context.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::usage(format!("the key {key:?} was given twice")));
        }
    }
    if blobs.is_empty() && context.is_empty() {
        return Err(Failure::usage("it was not said what is to be opened")
            .help("name blobs (--blob, --blob-of), or pairs of their context (-c key=value)"));
    }
    let named = u64::try_from(blobs.len()).unwrap_or(u64::MAX).max(1);
    Ok(ScopeView {
        blobs: blobs.iter().map(ToString::to_string).collect(),
        context,
        count_max: arguments.count.unwrap_or(named),
        bytes_max: arguments.bytes,
    })
}
