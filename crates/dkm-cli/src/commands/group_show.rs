//! `dkm group show`

use std::collections::BTreeMap;

use clap::Args;
use dkm::View;
use serde_json::json;

use crate::failure::Result;
use crate::key_argument::short;
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::terminal::{BAD, styled};
use crate::{columns, policy_field, warning, when};

/// Show a group: its keys, who has access, and what this account may do
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm group show mail")]
pub(crate) struct Arguments {
    /// Group, by name or id; --group otherwise
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let client = shell.client()?;
    let group = shell.group_of(&client, arguments.name.as_ref())?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let summary = client.groups()?.into_iter().find(|summary| summary.id == group.id());
    let description = summary.as_ref().and_then(|summary| summary.description.clone());
    let states = states(&view);
    let access: Vec<_> = view
        .access
        .iter()
        .map(|line| json!({"who": line.who, "may": line.may, "alarming": line.alarming}))
        .collect();
    let value = json!({
        "group": GroupShape::of(&group),
        "repository": client.url(),
        "description": description,
        "created": summary.as_ref().map(|summary| when::precise(summary.created)),
        "creator": summary.as_ref().map(|summary| summary.creator.0.clone()),
        "protecting_key": view.protects_for_members().map(|id| id.to_string()),
        "keys": states,
        "rights": {"read": view.rights.read, "create": view.rights.create, "own": view.rights.own},
        "access": access,
        "policy": policy_field::json(&view.policy),
    });
    shell.terminal.result(&value, || {
        let mut facts =
            vec![("name", group.name()), ("id", group.id().to_string()), ("repository", client.url())];
        if let Some(text) = description {
            facts.push(("description", text));
        }
        if let Some(summary) = summary {
            facts.push(("created", format!("{} by {}", when::second(summary.created), summary.creator.0)));
        }
        facts.push((
            "protects with",
            match (view.protects_for_members(), &view.protecting) {
                (Some(key), _) => short(key),
                (None, Err(why)) => styled(BAD, format!("nothing: {why}")),
                (None, Ok(key)) => short(*key),
            },
        ));
        let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        facts.push(("keys", states.join(", ")));
        facts.push(("you may", rights(&view)));
        let lines = view.access.iter().map(|line| {
            let text = format!("{}: {}", line.who, line.may);
            if line.alarming { styled(BAD, format!("{text}  (wider than it should be)")) } else { text }
        });
        facts.push(("access", lines.collect::<Vec<_>>().join("\n")));
        columns::facts(&facts)
    })
}

fn states(view: &View) -> BTreeMap<&'static str, usize> {
    let mut states = BTreeMap::new();
    for key in &view.ring.keys {
        *states.entry(key.state(view.now).as_str()).or_default() += 1;
    }
    let erased = view.ring.tombstones.len();
    if erased > 0 {
        *states.entry("destroyed").or_default() += erased;
    }
    states
}

fn rights(view: &View) -> String {
    let rights = [
        (view.rights.read, "protect and unprotect"),
        (view.rights.create, "add keys"),
        (view.rights.own, "set policy and states of keys"),
    ];
    let held: Vec<&str> = rights.iter().filter(|(held, _)| *held).map(|(_, what)| *what).collect();
    if held.is_empty() { "see it, and nothing else".to_owned() } else { held.join(", ") }
}
