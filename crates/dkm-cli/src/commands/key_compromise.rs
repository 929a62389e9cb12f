//! `dkm key compromise`

use clap::Args;
use dkm::Compromise;
use dkm_core::KeyId;
use serde_json::json;

use crate::failure::Result;
use crate::key_argument;
use crate::shape::{GroupShape, NewKeyShape};
use crate::shell::Shell;
use crate::waiting;

/// What to do about keys that were left to wait.
const WAITING: &str = "if those who know the compromised key could read it too: dkm key compromise KEY-ID";

/// Say that others may know a key
///
/// If it protects, a new key takes over at once, and keys that wait for their activation are marked as well: whoever
/// could read this key could read those, which would take over later. What a compromised key protects may have been
/// read, and may be forged from now on: it opens only with --allow-compromised, which is recorded. This can't be taken
/// back.
///
/// An owner who may not make keys can't make the one that takes over, and says it with --at-once: nothing is protected
/// then until a client of a creator has made another key. One that runs does so within two refreshes.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm key compromise 3f2a9c… --reason 'found in a core dump'")]
pub(crate) struct Arguments {
    /// Key, by its whole id
    #[arg(value_name = "KEY-ID")]
    key: String,
    /// Why, for the record and the audit journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Leave keys that wait for their activation as they are: nobody has read them
    #[arg(long)]
    keep_waiting: bool,
    /// Say it before there is another key, and leave that to creators: nothing is protected meanwhile
    #[arg(long)]
    at_once: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let id = key_argument::whole(&group.view()?.ring, &arguments.key)?;
    let how = Compromise { keep_waiting: arguments.keep_waiting, at_once: arguments.at_once };
    let done = group.compromise_as(id, &arguments.reason, how)?;
    shell.warn_about(&group)?;
    waiting::warn(&shell.terminal, &group.view()?, &done.left, WAITING);
    let ids = |keys: &[KeyId]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let value = json!({
        "group": GroupShape::of(&group),
        "key": id.to_string(),
        "state": "compromised",
        "unreplaced": done.unreplaced,
        "new_key": done.replacement.as_ref().map(NewKeyShape::from),
        "also_compromised": ids(&done.also),
        "still_waiting": ids(&done.left),
    });
    shell.terminal.result(&value, || {
        let next = match &done.replacement {
            Some(new) => format!("The new key {} protects already.", new.key),
            None if done.unreplaced => {
                "Nothing is protected until a creator's client has made another key: one that runs does, or dkm key roll."
                    .to_owned()
            }
            None => "It did not protect, so no new key was made.".to_owned(),
        };
        let mut out = format!("Key {id} is compromised. {next}\n");
        for key in &done.also {
            out.push_str(&format!("Key {key} waited to take over, and is compromised as well.\n"));
        }
        out
    })?;
    shell.terminal.note(
        "Next: change the secrets that it protected. What you must keep: dkm reprotect --allow-compromised REASON",
    );
    Ok(())
}
