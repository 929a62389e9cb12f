//! `dkm accounts update`

use clap::Args;

use crate::account_store::{self, StoreArguments, failure, find, secret};
use crate::failure::Result;
use crate::shell::Shell;

/// Replace a mailbox's secret by another one
///
/// The new one is durable before the old one is gone. The account is as new afterwards.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm accounts update alice@gmail.com
  dkm accounts update 5d0c3e --password-stdin < secret")]
pub(crate) struct Arguments {
    /// Account: its id, the beginning of it, or its address
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Read the secret from stdin, its only line
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut accounts = arguments.store.open(shell)?;
    let account = find(&accounts, &arguments.account)?;
    let field = account.login.field();
    let read = secret(field, arguments.password_stdin, account.address.as_str())?;
    accounts.replace_secret(account.id, &read).map_err(failure)?;
    drop(read);
    let account = accounts.show(account.id).map_err(failure)?;
    shell.terminal.result(&account_store::json(&account), || {
        format!("Replaced the {field} of {}, account {}.\n", account.address, account.id)
    })
}
