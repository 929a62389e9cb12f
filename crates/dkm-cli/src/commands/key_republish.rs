//! `dkm key republish`

use clap::Args;
use dkm::{ErrorKind, KeyFate, Republished, RepublishedKey};
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::key_argument;
use crate::shape::{GroupShape, NewKeyShape};
use crate::shell::Shell;
use crate::terminal::{FAINT, count, styled};
use crate::when;

/// Put keys back that a replica has lost
///
/// A replica that was set back, or whose records were deleted, lacks keys that another one still has, and replication does
/// not bring them again. This puts them back from there, as archived keys: they open and never protect, and destroyed keys
/// stay destroyed. If a key that protected is among them, a new key is made.
///
/// The command knows what any replica has. What no replica has any more, a service may still have in memory: don't restart
/// it, and have it republish by itself (`Group::republish` in the library; docs/operations.md). Otherwise restore from an
/// archive.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm key republish --group mail --dry-run
  dkm key republish --group mail --reason 'dc1 was restored from a backup'
  dkm key republish --group mail 3f2a9c --reason 'dc1 was restored from a backup'")]
pub(crate) struct Arguments {
    /// Keys, by id or its first digits; without any, all that a replica lacks for longer than replication may take
    #[arg(value_name = "KEY-ID")]
    keys: Vec<String>,
    /// Why, for the audit journal
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
    /// Only look, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// How to go on with a key that nobody but a service has.
const NOWHERE: &str = "if a service still has it in memory, have that republish it (docs/operations.md); otherwise restore \
                       it: dkm archive restore";

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let ring = group.view()?.ring;
    let nowhere = |failure: Failure| {
        if failure.kind == ErrorKind::NotFound { failure.help(NOWHERE) } else { failure }
    };
    let keys = arguments
        .keys
        .iter()
        .map(|text| key_argument::resolve(&ring, text).map_err(nowhere))
        .collect::<Result<Vec<_>>>()?;
    let done =
        if arguments.dry_run { group.find_lost(&keys) } else { group.republish(&keys, &arguments.reason) };
    let done = done.map_err(|error| nowhere(error.into()))?;
    shell.warn_about(&group)?;
    for (number, error) in &done.unread {
        let advice = "what it lacks is not known; when it answers, run this again";
        shell.terminal.warn("replica", &format!("replica {number} was not read: {error}"), Some(advice));
    }
    let value = json!({
        "group": GroupShape::of(&group),
        "dry_run": arguments.dry_run,
        "replicas": done.replicas,
        "keys": done.keys.iter().map(|key| shape(key, &done)).collect::<Vec<_>>(),
        "control_records": done.control,
        "control_records_left": done.control_left,
        "authority_lost": done.authority_lost.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "new_key": done.rolled.as_ref().map(NewKeyShape::from),
        "no_new_key": done.not_rolled,
    });
    shell.terminal.result(&value, || text(&done, arguments.dry_run))?;
    exit_code(&done).map_or(Ok(()), |code| Err(Failure::silent(code)))
}

fn shape(key: &RepublishedKey, done: &Republished) -> Value {
    let (fate, why) = match &key.fate {
        KeyFate::Everywhere => ("everywhere", None),
        KeyFate::OnItsWay => ("on-its-way", None),
        KeyFate::Missing => ("missing", None),
        KeyFate::PutBack => ("put-back", None),
        KeyFate::Destroyed => ("destroyed", None),
        KeyFate::NeedsOwner => ("needs-owner", None),
        KeyFate::SlotTaken { name } => ("slot-taken", Some(name.to_string())),
        KeyFate::Failed { why, .. } => ("failed", Some(why.clone())),
        _ => ("unknown", None),
    };
    json!({
        "key": key.key.to_string(),
        "fate": fate,
        "why": why,
        "was_on": key.was_on,
        "of": done.replicas,
        "put_on": key.on,
    })
}

fn text(done: &Republished, dry_run: bool) -> String {
    let mut out = String::new();
    for key in &done.keys {
        let was = format!("was on {} of {}", key.was_on, count(done.replicas, "replica"));
        let on: Vec<String> = key.on.iter().map(ToString::to_string).collect();
        let fate = match &key.fate {
            KeyFate::Everywhere => "every replica that was read has it".to_owned(),
            KeyFate::OnItsWay => {
                format!("{was}, for less than replication may take; name it to put it there now")
            }
            KeyFate::Missing => format!("{was}; would be put on replica {}", on.join(", ")),
            KeyFate::PutBack => format!("{was}; put back on replica {}, as an archived key", on.join(", ")),
            KeyFate::Destroyed => "was destroyed and does not come back".to_owned(),
            KeyFate::NeedsOwner => {
                format!("{was}; that it is compromised is lost too: an owner that is a member must run this")
            }
            KeyFate::SlotTaken { name } => {
                format!(
                    "{was}; its slot {name} holds something that does not open, which an owner must remove first"
                )
            }
            KeyFate::Failed { why, .. } => format!("{was}; it was not put back: {why}"),
            _ => was,
        };
        out.push_str(&format!("{}  {fate}\n", key_argument::short(key.key)));
    }
    if done.keys.is_empty() {
        out.push_str(&format!("No key is lacking; {} read.\n", count(done.replicas, "replica")));
    }
    let would = if dry_run { "Would be put back" } else { "Put back" };
    if done.control > 0 {
        out.push_str(&format!("{would}: {} on keys.\n", count(done.control, "control record")));
    }
    if done.control_left > 0 {
        let records = count(done.control_left, "control record");
        out.push_str(&format!("Lost, and for an owner that is a member to put back: {records} on keys.\n"));
    }
    for name in &done.authority_lost {
        out.push_str(&format!(
            "{}: record {name}, which is not put back: look at dkm policy show\n",
            styled(FAINT, "lost")
        ));
    }
    if let Some(new) = &done.rolled {
        let at = when::second(new.activates_at);
        out.push_str(&format!("Key {} takes over on {at}: what comes back never protects.\n", new.key));
    }
    if let Some(why) = &done.not_rolled {
        out.push_str(&format!("A new key is needed and was not made: {why}\nMake it: dkm key roll\n"));
    }
    out
}

/// What is told to scripts: the worst of what was not put back.
fn exit_code(done: &Republished) -> Option<u8> {
    let fault = |key: &RepublishedKey| match &key.fate {
        KeyFate::Failed { kind, .. } => Some(*kind),
        KeyFate::NeedsOwner => Some(ErrorKind::Denied),
        KeyFate::SlotTaken { .. } | KeyFate::Destroyed => Some(ErrorKind::Refused),
        _ => None,
    };
    let faults: Vec<ErrorKind> = done.keys.iter().filter_map(fault).collect();
    let order = [ErrorKind::Internal, ErrorKind::Denied, ErrorKind::Unavailable, ErrorKind::Refused];
    let worst = order.into_iter().find(|kind| faults.contains(kind)).or(faults.first().copied());
    worst.or(done.not_rolled.as_ref().map(|_| ErrorKind::Refused)).map(ErrorKind::exit_code)
}
