//! `dkm policy set`

use clap::Args;
use serde_json::json;

use crate::context_pair::parse_pair;
use crate::failure::Result;
use crate::policy_field::{self, FIELDS};
use crate::shape::GroupShape;
use crate::shell::Shell;

/// Set fields of a group's policy
///
/// Durations are written as 90d, 1h30m or 500ms. The policy as a whole is checked before it is written, and what the
/// change does to keys and blobs that are there is told.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm policy set rotation_period=30d lead_window=3d
  dkm policy set archive_recipients=age1…,age1… --dry-run")]
pub(crate) struct Arguments {
    /// Fields and their new values; dkm policy show lists them
    #[arg(value_name = "FIELD=VALUE", required = true, value_parser = parse_pair)]
    fields: Vec<(String, String)>,
    /// Only check and tell
    #[arg(long)]
    dry_run: bool,
    /// Set it although you could not change it back, or the key that protects would count for nothing
    #[arg(long)]
    even_if_it_locks_me_out: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let before = group.policy()?;
    let mut after = before.clone();
    policy_field::apply(&mut after, &arguments.fields)?;
    let changes: Vec<_> = FIELDS
        .iter()
        .map(|field| (field, field.show(&before), field.show(&after)))
        .filter(|(_, a, b)| a != b)
        .collect();
    let version = match () {
        () if changes.is_empty() => None,
        () if arguments.dry_run => {
            if !arguments.even_if_it_locks_me_out {
                group.check_policy(&after)?;
            }
            None
        }
        () if arguments.even_if_it_locks_me_out => Some(group.set_policy_even_if_locked_out(after)?),
        () => Some(group.set_policy(after)?),
    };
    shell.warn_about(&group)?;
    let list: Vec<_> = changes
        .iter()
        .map(|(field, from, to)| json!({"field": field.name, "from": from, "to": to, "effect": field.effect}))
        .collect();
    let value = json!({"group": GroupShape::of(&group), "version": version, "changes": list});
    shell.terminal.result(&value, || {
        if changes.is_empty() {
            return "Nothing changes: the policy is like that already.\n".to_owned();
        }
        let mut out = match version {
            Some(version) => format!("Policy version {version} of group {} is in force.\n", group.name()),
            None => "Checked, nothing was set.\n".to_owned(),
        };
        for (field, from, to) in &changes {
            out.push_str(&format!("  {}: {from} → {to}\n    {}\n", field.name, field.effect));
        }
        out
    })
}
