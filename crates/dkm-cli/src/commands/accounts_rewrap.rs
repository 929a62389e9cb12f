//! `dkm accounts rewrap`

use clap::Args;
use dkm::ErrorKind;
use serde_json::json;

use crate::account_store::{StoreArguments, failure};
use crate::failure::{Failure, Result};
use crate::key_argument::short;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::terminal::{BAD, count, styled};

/// Protect all secrets anew that are under another key than the one that protects now
///
/// Broken off at any time it goes on where it was. What it says at the end is which keys the store needs then; the report
/// over several places is dkm key usage, on what dkm accounts export has written.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm accounts rewrap")]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut accounts = arguments.store.open(shell)?;
    let mut bar = Progress::of_items(&shell.terminal, "protecting anew");
    let done = accounts.rewrap(&mut |looked_at, total| bar.items(looked_at, Some(total))).map_err(failure)?;
    drop(bar);
    let stuck: Vec<_> = done
        .stuck
        .iter()
        .map(|stuck| json!({"account": stuck.account.to_string(), "why": stuck.why}))
        .collect();
    let usage: Vec<_> = done
        .usage
        .iter()
        .map(|(key, secrets, bytes)| json!({"key": key.to_string(), "secrets": secrets, "bytes": bytes}))
        .collect();
    let value =
        json!({"renewed": done.renewed, "stuck_total": done.stuck_total, "stuck": stuck, "usage": usage});
    shell.terminal.result(&value, || {
        let mut out = format!("Protected {} anew.\n", count(done.renewed, "secret"));
        for (key, secrets, _) in &done.usage {
            out.push_str(&format!("Key {} protects {}.\n", short(*key), count(secrets, "secret")));
        }
        for stuck in &done.stuck {
            out.push_str(&format!("{}: account {}: {}\n", styled(BAD, "not done"), stuck.account, stuck.why));
        }
        out
    })?;
    if done.stuck_total > 0 {
        let what = format!("{} stay under old keys", count(done.stuck_total, "secret"));
        return Err(Failure::new(ErrorKind::Corrupt, what)
            .help("do not destroy these keys; dkm accounts update replaces a secret that does not open"));
    }
    Ok(())
}
