//! `dkm archive inspect`

use std::path::PathBuf;

use clap::Args;
use dkm::archive::{self, Identities};
use dkm_core::Timestamp;
use dkm_core::ring::Ring;
use dkm_core::safeguards::Safeguards;
use serde_json::json;

use super::key_list::state;
use crate::failure::Result;
use crate::input::InputArguments;
use crate::key_argument::short;
use crate::shell::Shell;
use crate::{columns, when};

/// Tell what is in an archive; no key is shown
///
/// Without an identity it only tells of what kind the recipients are: who they are is not shown by the format.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm archive inspect mail.age
  dkm archive inspect mail.age --identity ~/keys/archive.txt")]
pub(crate) struct Arguments {
    #[command(flatten)]
    input: InputArguments,
    /// File with the age or SSH private key that opens it
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut input = arguments.input.open()?;
    let Some(identity) = &arguments.identity else {
        return super::inspect::inspect_sealed(&[], &mut input, shell);
    };
    let identities = Identities::from_file(identity)?;
    let archive = archive::open(&mut input, &identities)
        .map_err(|error| input.failure().unwrap_or_else(|| error.into()))?;
    let now = when::now();
    let observed = archive.observed();
    let ring = Ring::derive(&observed, now, Safeguards::default());
    let keys: Vec<_> = ring
        .keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id().to_string(),
                "state": key.state(now).as_str(),
                "created": when::precise(key.attested.created),
                "activates": when::precise(key.activation()),
            })
        })
        .collect();
    let exported = Timestamp(archive.exported_at_ms);
    let value = json!({
        "group": {"id": archive.group.to_string(), "name": archive.name},
        "repository": archive.repository.to_string(),
        "exported": when::precise(exported),
        "records": archive.entries.len(),
        "keys": keys,
        "unknown_records": archive.unknown().count(),
    });
    shell.terminal.result(&value, || {
        let rows: Vec<Vec<String>> = ring
            .keys
            .iter()
            .map(|key| {
                vec![
                    short(key.id()),
                    state(key.state(now)),
                    when::second(key.attested.created),
                    when::second(key.activation()),
                ]
            })
            .collect();
        let facts = columns::facts(&[
            ("group", format!("{} ({})", archive.name, archive.group)),
            ("repository", archive.repository.to_string()),
            ("exported", when::second(exported)),
            ("records", archive.entries.len().to_string()),
            ("keys", ring.keys.len().to_string()),
        ]);
        format!("{facts}\n{}", columns::table(&["KEY", "STATE NOW", "CREATED", "ACTIVATES"], &rows))
    })
}
