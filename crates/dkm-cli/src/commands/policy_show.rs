//! `dkm policy show`

use clap::Args;
use serde_json::json;

use crate::failure::Result;
use crate::policy_field::{self, FIELDS};
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::terminal::{BOLD, styled};
use crate::warning;

/// Show a group's policy: every field, what it means and what it must be
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm policy show --group mail")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let chain = &view.ring.policies;
    let version = chain.next_version().saturating_sub(1);
    let value = json!({
        "group": GroupShape::of(&group),
        "version": version,
        "policy": policy_field::json(&view.policy),
        "shortest_activation_delay_ms": view.policy.activation_delay_min_ms(),
        "destroy_after_ms": view.policy.destroy_after_ms(),
    });
    shell.terminal.result(&value, || {
        let mut out = format!("Policy of group {}, version {version}\n", group.name());
        for field in FIELDS {
            let (name, value) = (styled(BOLD, field.name), field.show(&view.policy));
            out.push_str(&format!(
                "\n{name} = {value}\n    {}\n    must be: {}\n",
                field.meaning, field.must
            ));
        }
        out
    })
}
