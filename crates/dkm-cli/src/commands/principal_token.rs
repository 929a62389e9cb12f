//! `dkm principal token`

use std::io::Write as _;

use clap::Args;
use dkm_core::Timestamp;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::output_file::{OutputArguments, PRIVATE};
use crate::shell::Shell;
use crate::when;

/// Write a one-time token with which an account gets its first certificate
///
/// Whoever has the token can be that account: bring the file to the account's machine on a safe way. It is written
/// to where -o says, and nowhere if that is not given. It takes the place of tokens that the account had before. For
/// administrators of the server.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm principal token service:mail-1 -o mail-1.token
  dkm principal token service:mail-1 -o - | ssh mail-1 \\
      dkm enrol https://keys.example.com --token-file - --ca ca.pem")]
pub(crate) struct Arguments {
    /// Account: service:NAME or person:NAME
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    if !arguments.output.is_named() {
        return Err(Failure::usage("it was not said where the token goes, and it is a secret")
            .help("give a file with -o FILE; -o - writes it to stdout"));
    }
    let directory = shell.directory()?;
    // What can't be written down is not asked for: it would take the place of the token before.
    let mut output = arguments.output.open(PRIVATE)?;
    let token = directory.token(&arguments.account)?;
    let written = output.write_all(token.token.as_bytes()).and_then(|()| output.write_all(b"\n"));
    if written.is_err() {
        return Err(output.failure().unwrap_or_else(|| Failure::internal("the token could not be written")));
    }
    output.commit()?;
    let until = Timestamp(token.not_after_ms);
    let path = arguments.output.path();
    let value = json!({"account": arguments.account, "file": path, "not_after": when::precise(until)});
    if path.is_none() {
        return shell.terminal.summary_beside_data(&value);
    }
    shell.terminal.result(&value, || {
        let place = path.map(|path| path.display().to_string()).unwrap_or_default();
        format!(
            "A token for {} is in {place}; it can be used once, until {}.\n",
            arguments.account,
            when::second(until)
        )
    })
}
