//! `dkm key roll`

use clap::Args;
use dkm_core::KeyId;
use serde_json::json;

use crate::failure::Result;
use crate::shape::{GroupShape, NewKeyShape};
use crate::shell::Shell;
use crate::{waiting, when};

/// Make a new key now
///
/// It protects after the policy's activation delay, so that every client knows it by then; the present key goes on until
/// then and stays archived. A key that is about to take over anyway will do. Keys roll by themselves as the group is
/// used: this is for the impatient and for rehearsals.
///
/// After somebody has left, use --fresh: keys that wait already were his to read.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm key roll --group mail --reason 'quarterly rehearsal'
  dkm key roll --fresh --reason 'bob has left'")]
pub(crate) struct Arguments {
    /// Why, for the audit journal
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
    /// Make a key whatever waits already, and archive what waits; for owners
    #[arg(long)]
    fresh: bool,
}

/// What to do about keys that wait.
const WAITING: &str = "if somebody who could read it has left since: dkm key roll --fresh";

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let (new, archived) = if arguments.fresh {
        let rolled = group.roll_fresh(&arguments.reason)?;
        (rolled.key, rolled.archived)
    } else {
        (group.roll(&arguments.reason)?, Vec::new())
    };
    shell.warn_about(&group)?;
    let view = group.view()?;
    let mut known = waiting::keys(&view);
    known.retain(|id| new.was_there || *id != new.key);
    waiting::warn(&shell.terminal, &view, &known, WAITING);
    let ids = |keys: &[KeyId]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let value = json!({
        "group": GroupShape::of(&group),
        "key": NewKeyShape::from(&new),
        "archived": ids(&archived),
        "known_before": ids(&known),
    });
    shell.terminal.result(&value, || {
        let what = if new.was_there { "is waiting already; it" } else { "was made and" };
        let now = when::now();
        let mut out = format!(
            "Key {} {what} protects from {} on ({}).\n",
            new.key,
            when::second(new.activates_at),
            when::relative(new.activates_at, now)
        );
        for key in &archived {
            out.push_str(&format!("Key {key} waited to take over, and is archived instead.\n"));
        }
        out
    })
}
