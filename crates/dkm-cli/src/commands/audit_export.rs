//! `dkm audit export`

use std::io::Write as _;

use clap::Args;
use dkm_audit::tile::TILE_WIDTH;
use dkm_audit::tree::Tree;
use serde_json::json;

use crate::audit_entry::Found;
use crate::audit_log::LogArguments;
use crate::failure::{Failure, Result};
use crate::output_file::{ORDINARY, OutputArguments};
use crate::shell::Shell;
use crate::terminal::count;

/// Export an audit log's entries for a search engine or SIEM
///
/// One line of JSON an entry, with the field names of the Open Cybersecurity Schema Framework (API Activity). Each entry is
/// proved to be in the log before its line is written; the lines themselves prove nothing. metadata.sequence is the entry's
/// number, by which dkm audit prove finds it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  exported
  3  there is no log
  5  the log is damaged, forged, rolled back or forked: what was written up to there is right
  6  the log can't be read

Examples:
  dkm audit export /var/lib/dkmd/audit --keys log.keys --json-lines -o audit.jsonl
  dkm audit export /var/lib/dkmd/audit --keys log.keys --json-lines --from 4096 | gzip > audit.jsonl.gz")]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    /// As lines of JSON; there is no other form
    #[arg(long, required = true)]
    json_lines: bool,
    /// The first entry to export
    #[arg(long, value_name = "ENTRY", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let log = &arguments.log;
    let source = log.source(shell)?;
    let head = log.head(&source)?;
    let checkpoint = &head.checkpoint;
    if arguments.from > checkpoint.size {
        let message =
            format!("the log has {}, none from {} on", count(checkpoint.size, "entry"), arguments.from);
        return Err(Failure::new(dkm::ErrorKind::NotFound, message));
    }
    let tree = Tree::new(&source, checkpoint);
    let mut output = arguments.output.open(ORDINARY)?;
    let mut exported = 0u64;
    for bundle in arguments.from / TILE_WIDTH..checkpoint.size.div_ceil(TILE_WIDTH) {
        let mut lines = String::new();
        let leaves = tree.bundle(bundle).map_err(|error| log.fault(&error))?;
        for leaf in leaves.into_iter().filter(|leaf| leaf.index >= arguments.from) {
            let found = Found::read(leaf)?;
            lines.push_str(&found.entry.to_ocsf(&checkpoint.origin, found.leaf.index, &found.leaf.hash));
            lines.push('\n');
            exported += 1;
        }
        let written = output.write_all(lines.as_bytes()).and_then(|()| output.flush());
        written.map_err(|error| output.failure().unwrap_or_else(|| Failure::internal(error.to_string())))?;
    }
    output.commit()?;
    log.remember(&head, shell)?;
    let value = json!({
        "origin": checkpoint.origin, "size": checkpoint.size, "from": arguments.from, "exported": exported,
    });
    if arguments.output.is_stdout() {
        return shell.terminal.summary_beside_data(&value);
    }
    shell.terminal.result(&value, || format!("Exported {}.\n", count(exported, "entry")))
}
