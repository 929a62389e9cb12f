//! `dkm accounts export`

use std::io::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::Args;
use dkm_accounts::{Filter, Owner};
use serde_json::json;

use crate::account_store::{self, StoreArguments, failure};
use crate::failure::{Failure, Result};
use crate::output_file::{OutputArguments, PRIVATE};
use crate::shell::Shell;
use crate::terminal::count;

/// Write accounts as JSON lines, each secret as a blob
///
/// Blobs open with the group's keys alone: dkm key usage and dkm reprotect --json-lines work on the file, field
/// /secrets/password and /secrets/refresh-token.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm accounts export -o accounts.jsonl
  dkm accounts export --owner user-4711")]
pub(crate) struct Arguments {
    /// Of this owner only
    #[arg(long, value_name = "OWNER")]
    owner: Option<Owner>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let accounts = arguments.store.open(shell)?;
    let filter = Filter { owner: arguments.owner.as_ref().map(ToString::to_string), ..Filter::default() };
    let mut ids = Vec::new();
    let mut damaged = None;
    accounts
        .list(&filter, |account| {
            match account {
                Ok(account) => ids.push(account.id),
                Err(error) => damaged = damaged.take().or(Some(error)),
            }
            true
        })
        .map_err(failure)?;
    if let Some(error) = damaged {
        return Err(failure(error).help("nothing was written: an export without it would not be whole"));
    }
    let mut output = arguments.output.open(PRIVATE)?;
    for id in &ids {
        let exported = accounts.export(*id).map_err(failure)?;
        let mut value = account_store::json(&exported.account);
        value["secrets"] = exported
            .secrets
            .iter()
            .map(|(field, _, blob)| (field.to_string(), json!(BASE64_STANDARD.encode(blob))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let line = format!("{value}\n");
        if output.write_all(line.as_bytes()).is_err() {
            return Err(output.failure().unwrap_or_else(|| Failure::internal("the output failed")));
        }
    }
    output.commit()?;
    let summary = json!({"accounts": ids.len()});
    if arguments.output.is_stdout() {
        return shell.terminal.summary_beside_data(&summary);
    }
    shell.terminal.result(&summary, || format!("Wrote {}.\n", count(ids.len(), "account")))
}
