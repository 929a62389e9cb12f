//! `dkm key show`

use clap::Args;
use dkm::ErrorKind;
use dkm_core::KeyId;
use serde_json::json;

use super::key_list::state;
use crate::failure::{Failure, Result};
use crate::shape::{GroupShape, KeyShape};
use crate::shell::Shell;
use crate::{columns, key_argument, warning, when};

/// Show everything about a key but the key
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm key show 3f2a9c")]
pub(crate) struct Arguments {
    /// Key, by id or its first digits
    #[arg(value_name = "KEY")]
    key: String,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let id = key_argument::resolve(&view.ring, &arguments.key)?;
    let Some(key) = view.ring.key(id) else { return show_erased(id, &group, &view, shell) };
    let shape = KeyShape::of(key, &view);
    let fault = view.key_faults.get(&id);
    let fault = fault.map(ToString::to_string);
    let value = json!({"group": GroupShape::of(&group), "key": shape, "fault": fault});
    shell.terminal.result(&value, || {
        let blank = || "-".to_owned();
        let mut facts = vec![
            ("id", shape.id.clone()),
            ("state", state(key.state(view.now))),
            ("created", format!("{} by {}", when::second(key.attested.created), shape.creator)),
            (
                "activates",
                format!(
                    "{} ({})",
                    when::second(key.activation()),
                    when::relative(key.activation(), view.now)
                ),
            ),
            (
                "protects",
                match (&shape.protects_since, &shape.protects_until) {
                    (Some(since), Some(until)) => format!("{since} to {until}"),
                    (Some(since), None) => format!("since {since}"),
                    _ => "never".to_owned(),
                },
            ),
            ("predecessor", shape.predecessor.clone().unwrap_or_else(blank)),
            ("origin", shape.origin.to_owned()),
        ];
        facts.extend(shape.windows_guid.clone().map(|guid| ("windows guid", guid)));
        for exposure in &key.exposures {
            let (from, until) =
                (dkm_core::Timestamp(exposure.from_ms), dkm_core::Timestamp(exposure.until_ms));
            facts.push((
                "exposed",
                format!("{} to {}, to {}", when::second(from), when::second(until), exposure.who),
            ));
        }
        let optional = [
            ("never protects", shape.distrust.clone()),
            (
                "destroyed at",
                shape.cooling_off_until.clone().map(|at| format!("{at}, unless it is used before")),
            ),
            ("reason", shape.reason.clone()),
            ("fault", fault.clone()),
        ];
        facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        columns::facts(&facts)
    })
}

fn show_erased(id: KeyId, group: &dkm::blocking::Group, view: &dkm::View, shell: &Shell) -> Result {
    let Some(status) = view.ring.tombstones.get(&id) else {
        return Err(Failure::new(ErrorKind::NotFound, format!("there is no key {id} on the group's ring"))
            .help("list the keys: dkm key list"));
    };
    let destroyed = status.destroyed.map(when::precise);
    let value = json!({
        "group": GroupShape::of(group),
        "key": {"id": id.to_string(), "state": "destroyed", "destroyed": destroyed, "reason": status.reason},
        "fault": null,
    });
    shell.terminal.result(&value, || {
        columns::facts(&[
            ("id", id.to_string()),
            ("state", state(dkm_core::ring::KeyState::Destroyed)),
            ("destroyed", destroyed.clone().unwrap_or_default()),
            ("reason", status.reason.clone().unwrap_or_default()),
        ])
    })
}
