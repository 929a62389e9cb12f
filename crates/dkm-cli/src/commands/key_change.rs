//! `dkm key suspend` and `dkm key resume`

use clap::Args;
use dkm_core::KeyId;
use serde_json::json;

use super::key_list::state;
use crate::failure::Result;
use crate::key_argument;
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::warning;

/// Which key, and why.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Key, by id or its first digits
    #[arg(value_name = "KEY")]
    key: String,
    /// Why, for the record and the audit journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(crate) fn suspend(arguments: &Arguments, shell: &Shell) -> Result {
    change(arguments, shell, |group, key| Ok(group.suspend(key, &arguments.reason)?))
}

pub(crate) fn resume(arguments: &Arguments, shell: &Shell) -> Result {
    change(arguments, shell, |group, key| Ok(group.resume(key, &arguments.reason)?))
}

fn change(
    arguments: &Arguments,
    shell: &Shell,
    act: impl FnOnce(&dkm::blocking::Group, KeyId) -> Result,
) -> Result {
    let group = shell.group()?;
    let id = key_argument::resolve(&group.view()?.ring, &arguments.key)?;
    act(&group, id)?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let now = view.ring.key(id).map(|key| key.state(view.now));
    let value = json!({
        "group": GroupShape::of(&group),
        "key": id.to_string(),
        "state": now.map(dkm_core::ring::KeyState::as_str),
        "protecting_key": view.protects_for_members().map(|id| id.to_string()),
    });
    shell.terminal.result(&value, || {
        let now = now.map_or_else(String::new, |now| format!(" is {}", state(now)));
        let why = || view.protecting.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let protecting = view.protects_for_members().map_or_else(
            || format!("The group can't protect: {}.", why()),
            |key| format!("The group protects with {key}."),
        );
        format!("Key {id}{now}. {protecting}\n")
    })
}
