//! `dkm group list`

use clap::Args;
use serde_json::json;

use crate::failure::Result;
use crate::shell::Shell;
use crate::{columns, when};

/// List the groups that this account may read
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm group list --json")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, shell: &Shell) -> Result {
    let client = shell.client()?;
    let groups = client.groups()?;
    let list: Vec<_> = groups
        .iter()
        .map(|group| {
            json!({
                "id": group.id.to_string(),
                "name": group.name,
                "description": group.description,
                "created": when::precise(group.created),
                "creator": group.creator.0,
            })
        })
        .collect();
    let value = json!({"repository": client.url(), "groups": list});
    shell.terminal.result(&value, || {
        if groups.is_empty() {
            return format!("No groups in {} that this account may read.\n", client.url());
        }
        let row = |group: &dkm::blocking::GroupSummary| {
            vec![
                group.name.clone(),
                group.id.to_string(),
                when::second(group.created),
                group.description.clone().unwrap_or_default(),
            ]
        };
        columns::table(&["NAME", "ID", "CREATED", "DESCRIPTION"], &groups.iter().map(row).collect::<Vec<_>>())
    })
}
