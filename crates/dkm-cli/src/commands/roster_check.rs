//! `dkm roster check`

use std::path::PathBuf;

use clap::Args;
use dkm_core::roster::Roster;
use serde_json::json;

use crate::failure::Result;
use crate::shell::Shell;
use crate::terminal::count;
use crate::{roster_file, roster_view};

/// Check a file that describes a roster, and tell what it means
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm roster check roster.toml")]
pub(crate) struct Arguments {
    /// The roster, in TOML
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let roster = Roster::from(&roster_file::read(&arguments.file)?);
    if roster.elevation.is_none() {
        shell.terminal.warn(
            "roster",
            "nobody may ask for access by this roster: it has no [elevation]",
            Some("docs/elevation.md shows one"),
        );
    }
    shell.terminal.result(&json!({"roster": roster_view::json(&roster)}), || {
        let people = format!("{} people", roster.persons.len());
        let levels = count(roster.levels.len(), "level");
        let lines = roster_view::lines(&roster).join("\n");
        format!("{lines}\nThe roster can be used: {people}, {levels}.\n")
    })
}
