//! `dkm completions`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell as Kind;
use serde_json::json;

use crate::cli::Cli;
use crate::failure::Result;
use crate::shell::Shell;

/// Write completions for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm completions bash > ~/.local/share/bash-completion/completions/dkm
  dkm completions fish > ~/.config/fish/completions/dkm.fish")]
pub(crate) struct Arguments {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Kind,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "dkm", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let value = json!({"shell": arguments.shell.to_string(), "script": script});
    shell.terminal.result(&value, || script.clone())
}
