//! `dkm accounts remove`

use clap::Args;
use serde_json::json;

use crate::account_store::{StoreArguments, failure, find};
use crate::failure::Result;
use crate::shell::Shell;

/// Remove a mailbox and its credentials from the store
///
/// What was given to the provider for it goes on: take back the app password or the access there.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm accounts remove alice@gmail.com")]
pub(crate) struct Arguments {
    /// Account: its id, the beginning of it, or its address
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut accounts = arguments.store.open(shell)?;
    let account = find(&accounts, &arguments.account)?;
    accounts.remove(account.id).map_err(failure)?;
    let value = json!({"id": account.id.to_string(), "removed": true});
    shell.terminal.result(&value, || {
        format!("Removed {} of {}, account {}.\n", account.address, account.owner, account.id)
    })?;
    shell
        .terminal
        .note(format!("At the provider its {} is good until it is taken back there", account.login.field()));
    Ok(())
}
