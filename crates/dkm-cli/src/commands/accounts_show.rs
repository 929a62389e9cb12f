//! `dkm accounts show`

use clap::Args;
use dkm_lockbox::shown;
use serde_json::json;

use crate::account_store::{self, StoreArguments, failure, find};
use crate::failure::Result;
use crate::key_argument::short;
use crate::shell::Shell;
use crate::when;

/// Show a mailbox whose credentials are kept: where it is, what came of it, and which keys its secrets need
///
/// Nothing is opened, and no secret is shown.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm accounts show alice@gmail.com
  dkm accounts show 5d0c3e --json")]
pub(crate) struct Arguments {
    /// Account: its id, the beginning of it, or its address
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let accounts = arguments.store.open(shell)?;
    let account = find(&accounts, &arguments.account)?;
    let secrets = accounts.keys_of(account.id).map_err(failure)?;
    let mut value = account_store::json(&account);
    value["secrets"] =
        secrets.iter().map(|(field, key)| json!({"field": field, "key": key.to_string()})).collect();
    shell.terminal.result(&value, || {
        let mut out = format!(
            "Account  {}\nOwner    {}\nAddress  {}\nProvider {}\nServer   {}:{} ({} over TLS)\nUser     {}\nLogin    {}\n",
            account.id,
            shown(account.owner.as_str()),
            shown(account.address.as_str()),
            account.provider.facts().map_or("custom", |facts| facts.name),
            account.host,
            account.port,
            account.protocol,
            shown(&account.user),
            account.login,
        );
        if let Some(ca) = &account.ca {
            out.push_str(&format!("Vouched  by the authorities in {}\n", shown(&ca.display().to_string())));
        }
        out.push_str(&format!("Added    {}\n", when::second(account.created)));
        let state = &account.state;
        out.push_str(&format!("State    {} since {}", state.kind, when::second(state.since)));
        if !state.detail.is_empty() {
            out.push_str(&format!(": {}", shown(&state.detail)));
        }
        out.push('\n');
        for (field, key) in &secrets {
            out.push_str(&format!("Secret   {} under key {}\n", shown(field), short(*key)));
        }
        out
    })
}
