//! `dkm root-key list`

use clap::Args;
use serde_json::json;

use crate::failure::Result;
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::terminal::count;

/// List a group's root keys, and what hangs on each
///
/// A root key wraps the group's keys where they lie. Shown are the root keys of this machine and all that some key is
/// wrapped under: "needed by" counts the keys that nothing else opens here. A root key may be put away when that is 0 on a
/// machine that has the others.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm root-key list --group mail --json")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let found = group.root_keys()?;
    for (number, error) in &found.unread {
        let advice = "keys that only it holds are not counted; when it answers, look again";
        shell.terminal.warn("replica", &format!("replica {number} was not read: {error}"), Some(advice));
    }
    let ids = |keys: &[dkm_core::KeyId]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let list: Vec<_> = found
        .root_keys
        .iter()
        .map(|root| {
            json!({
                "id": root.id.to_string(),
                "current": root.current,
                "is_there": root.is_there,
                "keys": ids(&root.keys),
                "needed_by": ids(&root.depending),
            })
        })
        .collect();
    let value = json!({
        "group": GroupShape::of(&group),
        "root_keys": list,
        "unwrapped": ids(&found.unwrapped),
    });
    shell.terminal.result(&value, || {
        let mut out = String::new();
        for root in &found.root_keys {
            let state = match (root.current, root.is_there) {
                (true, _) => "wraps new keys",
                (false, true) => "only opens",
                (false, false) => "IS NOT HERE",
            };
            let (keys, needed) = (count(root.keys.len(), "key"), root.depending.len());
            out.push_str(&format!("{}  {state:<14}  wraps {keys}, needed by {needed}\n", root.id));
        }
        if found.root_keys.is_empty() {
            out.push_str("There are no root keys.\n");
        }
        if !found.unwrapped.is_empty() {
            out.push_str(&format!("{} not wrapped at all.\n", are(found.unwrapped.len())));
        }
        out
    })
}

fn are(keys: usize) -> String {
    if keys == 1 { "1 key is".to_owned() } else { format!("{keys} keys are") }
}
