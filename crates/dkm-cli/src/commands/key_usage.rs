//! `dkm key usage`

use std::path::PathBuf;

use clap::Args;
use dkm::JsonPointer;
use dkm::usage::{self, Source, Usage};

use crate::columns;
use crate::failure::{Failure, Result};
use crate::input::must_exist;
use crate::key_argument::short;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::terminal::{BAD, FAINT, count, styled};
use crate::warning;

/// Look which keys the blobs in files and stores need
///
/// Evidence, not proof: only the places named are looked at. Nothing is opened, so no context is needed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm key usage /srv/mail/secrets
  dkm key usage --json-lines accounts.jsonl --field /password --field /token")]
pub(crate) struct Arguments {
    /// Files that are blobs, or folders of them
    #[arg(value_name = "PATH", required_unless_present = "json_lines")]
    paths: Vec<PathBuf>,
    /// File of JSON lines that holds blobs as base64 text. Repeatable
    #[arg(long, value_name = "FILE", requires = "field")]
    json_lines: Vec<PathBuf>,
    /// Field of the JSON lines, as a JSON pointer such as /password. Repeatable
    #[arg(long, value_name = "POINTER", requires = "json_lines")]
    field: Vec<JsonPointer>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    must_exist(&arguments.paths)?;
    must_exist(&arguments.json_lines)?;
    let group = shell.group()?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let files = arguments.paths.iter().cloned().map(Source::Files);
    let lines = arguments
        .json_lines
        .iter()
        .map(|path| Source::JsonLines { path: path.clone(), fields: arguments.field.clone() });
    let sources: Vec<Source> = files.chain(lines).collect();
    let mut bar = Progress::of_items(&shell.terminal, "looking");
    let found = usage::scan(&sources, group.id(), &view.ring, view.now, &mut |progress| {
        bar.items(progress.items, progress.items_total);
    })?;
    drop(bar);
    shell.terminal.result(&found, || table(&found))?;
    if found.unreadable_total > 0 {
        return Err(Failure::new(
            dkm::ErrorKind::Unavailable,
            format!(
                "{} places could not be looked at, so nothing follows from what was not found",
                found.unreadable_total
            ),
        ));
    }
    Ok(())
}

fn table(found: &Usage) -> String {
    let rows: Vec<Vec<String>> = found
        .keys
        .iter()
        .map(|key| {
            vec![
                short(key.key),
                key.state.map_or_else(|| styled(BAD, "not on the ring"), super::key_list::state),
                key.blobs.to_string(),
                key.bytes.to_string(),
                key.damaged.to_string(),
                key.examples.first().cloned().unwrap_or_default(),
            ]
        })
        .collect();
    let mut out = if rows.is_empty() {
        "No blobs of this group were found.\n".to_owned()
    } else {
        columns::table(&["KEY", "STATE", "BLOBS", "BYTES", "DAMAGED", "FOR EXAMPLE"], &rows)
    };
    out.push_str(&format!(
        "{} looked at, {} of them no blobs.\n",
        count(found.examined, "place"),
        found.not_blobs
    ));
    if !found.unused.is_empty() {
        let unused: Vec<String> = found.unused.iter().map(|key| short(*key)).collect();
        out.push_str(&format!("Nothing was found for {}.\n", unused.join(", ")));
    }
    for other in &found.other_groups {
        let example = other.examples.first().cloned().unwrap_or_default();
        out.push_str(&format!(
            "{} of group {}, such as {example}\n",
            count(other.blobs, "blob"),
            other.group
        ));
    }
    for place in &found.unreadable {
        out.push_str(&format!("{}: {}: {}\n", styled(BAD, "not read"), place.place, place.why));
    }
    out.push_str(&format!("{}\n", styled(FAINT, format!("This is {}.", found.note))));
    out
}
