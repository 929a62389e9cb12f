//! `dkm principal disable`

use clap::Args;
use serde_json::json;

use crate::failure::Result;
use crate::shell::Shell;

/// Disable an account: its certificates end, and its next request is denied
///
/// Keys that it has read, it may still know: roll the groups that it was a member of with dkm key roll. For administrators
/// of the server.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm principal disable service:mail-1")]
pub(crate) struct Arguments {
    /// Account: service:NAME or person:NAME
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    shell.directory()?.disable_principal(&arguments.account)?;
    let value = json!({"account": arguments.account, "enabled": false});
    shell.terminal.result(&value, || format!("{} is disabled.\n", arguments.account))?;
    shell.terminal.note("Next: dkm key roll, for each group whose keys it has read");
    Ok(())
}
