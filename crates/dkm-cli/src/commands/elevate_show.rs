//! `dkm elevate show`

use clap::Args;
use dkm_core::RequestId;

use crate::asked::{Asked, request_id};
use crate::control::Control;
use crate::failure::Result;
use crate::shell::Shell;
use crate::{columns, control};

/// Show a request for access, what came of it, and who is still to approve
///
/// All of it is read from the request's records, and every approval is verified here, where you may read the group's
/// roster; what is only the server's word is marked.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm elevate show 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b")]
pub(crate) struct Arguments {
    /// The request's id
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let asked = Asked::of(shell, arguments.request)?;
    control::pinned_instance(shell, asked.request())?;
    let control = control::read(shell, asked.request().group)?;
    if let Control::Withheld(_) = control {
        shell
            .terminal
            .note("You may not read the group's roster: what has come of the request is the server's word.");
    }
    shell.terminal.result(&asked.json(Some(&control)), || columns::facts(&asked.facts(Some(&control))))
}
