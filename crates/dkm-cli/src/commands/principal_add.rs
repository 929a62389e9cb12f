//! `dkm principal add`

use clap::Args;
use dkm_remote::wire::{Kind, NewPrincipal};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// Make an account that a dkmd server knows, or change one
///
/// Only service accounts are ever members of groups of keys; people own, audit and administer. An account that is there
/// already gets what is given here in the place of what it had. An account of Active Directory (NAME@DOMAIN) has its ranks
/// from there; its name is bound to whoever has it there now. For administrators of the server.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm principal add service:mail-1
  dkm principal add service:mail-local --uid 990
  dkm principal add person:ada --administrator
  dkm principal add person:eve --auditor
  dkm principal add person:alice@example.com")]
pub(crate) struct Arguments {
    /// Account: service:NAME or person:NAME, NAME@DOMAIN for one of Active Directory
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Unix account on the server's own machine that is this one, over the server's socket: its number. Repeatable
    #[arg(long, value_name = "UID")]
    uid: Vec<u32>,
    /// Let it administer accounts and directory groups; people only
    #[arg(long)]
    administrator: bool,
    /// Let it read the server's audit log, as administrators do
    #[arg(long)]
    auditor: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let kind = match arguments.account.split_once(':') {
        Some(("service", _)) => Kind::Service,
        Some(("person", _)) => Kind::Person,
        _ => {
            return Err(Failure::usage(format!("{:?} is no account", arguments.account))
                .help("expected service:NAME or person:NAME"));
        }
    };
    let Arguments { account, uid, administrator, auditor } = arguments;
    let new = NewPrincipal { kind, uids: uid.clone(), administrator: *administrator, auditor: *auditor };
    shell.directory()?.add_principal(account, &new)?;
    let value = json!({
        "account": account, "uids": new.uids, "administrator": new.administrator, "auditor": new.auditor,
    });
    shell.terminal.result(&value, || format!("{account} is an account.\n"))?;
    if account.contains('@') {
        return Ok(());
    }
    shell.terminal.note(format!("Next: dkm principal token {account} -o FILE, for its first certificate"));
    Ok(())
}
