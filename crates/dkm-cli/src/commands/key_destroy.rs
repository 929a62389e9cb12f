//! `dkm key destroy`

use clap::Args;
use dkm::Destruction;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::key_argument;
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::when;

/// Destroy an archived key, for ever
///
/// The key must have been archived for longer than any client may lag. The command then suspends it for the policy's
/// cooling-off time, in which any use calls the destruction off; run it again afterwards to finish. A use by an account
/// that may not add keys can only raise an alarm there. Whatever the key still protects is lost: look with dkm key usage
/// first.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm key destroy 3f2a9c… --reason 'retention is over'
  dkm key destroy 3f2a9c… --force --confirm 3f2a9c… --reason 'court order'")]
pub(crate) struct Arguments {
    /// Key, by its whole id
    #[arg(value_name = "KEY-ID")]
    key: String,
    /// Why, for the record and the audit journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Wait for nothing: no waiting time, no cooling-off
    #[arg(long, requires = "confirm")]
    force: bool,
    /// The key's whole id once more, typed out
    #[arg(long, value_name = "KEY-ID", requires = "force")]
    confirm: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let id = key_argument::whole(&group.view()?.ring, &arguments.key)?;
    let came_to = match &arguments.confirm {
        Some(typed) if arguments.force => group.destroy_now(id, typed, &arguments.reason)?,
        _ => group.destroy(id, &arguments.reason)?,
    };
    shell.warn_about(&group)?;
    let mut value = json!({
        "group": GroupShape::of(&group),
        "key": id.to_string(),
        "beyond_reach": Destruction::BEYOND_REACH,
    });
    let (text, progress) = match &came_to {
        Destruction::CoolingOff { until } => (
            format!(
                "Key {id} is suspended until {} ({}). Any use before calls its destruction off.\n\
                 Run the same command again after that to finish it.\n",
                when::second(*until),
                when::relative(*until, when::now())
            ),
            json!({"stage": "cooling-off", "until": when::precise(*until)}),
        ),
        Destruction::Destroying { confirmed, pending } => (
            format!(
                "Key {id} is destroyed on {confirmed} replicas, not yet on:\n{}\nRun the same command again to finish it.\n",
                pending.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
            ),
            json!({"stage": "destroying", "confirmed": confirmed, "pending": pending}),
        ),
        Destruction::Destroyed { replicas } => (
            format!("Key {id} is destroyed: erased on every known replica ({replicas}).\n"),
            json!({"stage": "destroyed", "replicas": replicas}),
        ),
        _ => return Err(Failure::internal("an unknown stage of destruction")),
    };
    value["destruction"] = progress;
    shell.terminal.result(&value, || {
        let beyond: Vec<String> =
            Destruction::BEYOND_REACH.iter().map(|line| format!("  {line}\n")).collect();
        format!("{text}Out of reach of this command:\n{}", beyond.concat())
    })
}
