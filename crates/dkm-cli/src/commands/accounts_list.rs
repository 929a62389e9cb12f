//! `dkm accounts list`

use clap::Args;
use dkm_accounts::{Account, Filter, Owner, StateKind};
use dkm_lockbox::shown;
use serde_json::json;

use crate::account_store::{self, StoreArguments, failure};
use crate::columns;
use crate::failure::Result;
use crate::shell::Shell;
use crate::terminal::count;

/// List mailboxes whose credentials are kept, and what came of them last
///
/// Nothing is opened: no key is needed for it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm accounts list
  dkm accounts list --owner user-4711
  dkm accounts list --state auth-failed --json")]
pub(crate) struct Arguments {
    /// Of this owner only
    #[arg(long, value_name = "OWNER")]
    owner: Option<Owner>,
    /// In this state only: new, ok, auth-failed, throttled, unreachable, untrusted or locked
    #[arg(long, value_name = "STATE")]
    state: Option<StateKind>,
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let accounts = arguments.store.open(shell)?;
    let owner = arguments.owner.as_ref().map(ToString::to_string);
    let filter = Filter { owner, state: arguments.state, ..Filter::default() };
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    accounts
        .list(&filter, |account| {
            match account {
                Ok(account) => found.push(account),
                Err(error) => damaged.push(error),
            }
            true
        })
        .map_err(failure)?;
    for error in damaged {
        shell.terminal.warn("damaged", &error.to_string(), None);
    }
    let value: Vec<_> = found.iter().map(account_store::json).collect();
    shell.terminal.result(&json!({"accounts": value}), || {
        let rows: Vec<Vec<String>> = found.iter().map(row).collect();
        let table =
            columns::table(&["ACCOUNT", "OWNER", "ADDRESS", "PROVIDER", "PROTOCOL", "LOGIN", "STATE"], &rows);
        format!("{table}{}.\n", count(found.len(), "account"))
    })
}

fn row(account: &Account) -> Vec<String> {
    vec![
        account.id.to_string().chars().take(12).collect(),
        shown(account.owner.as_str()),
        shown(account.address.as_str()),
        account.provider.to_string(),
        account.protocol.to_string(),
        account.login.to_string(),
        account.state.kind.to_string(),
    ]
}
