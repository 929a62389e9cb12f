//! `dkm archive restore`

use std::path::PathBuf;

use clap::Args;
use dkm::archive::{self, Identities, RestoreOptions};
use dkm::repository::{GroupAccess, READERS_GROUP};
use dkm_core::archive::RestoreSkip;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::input::InputArguments;
use crate::shape::{GroupShape, NewKeyShape};
use crate::shell::Shell;
use crate::terminal::{FAINT, count, styled};
use crate::when;

/// Put a group's keys back from an archive
///
/// Restored keys are archived from the start: they open and never protect, and destroyed keys stay destroyed. The
/// group's policy stays what it is, unless --take-policy says otherwise; then the group rolls to a new key. A group
/// that is not in the repository any more is made anew with --make-group, under its old id, so that its blobs open.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm archive restore mail.age --identity ~/keys/archive.txt --reason 'disk lost'
  dkm archive restore mail.age --identity ~/keys/archive.txt --make-group --readers svc-mail
  dkm archive restore mail.age --identity ~/keys/archive.txt --make-group \\
      --readers-group 'DKM Mail Readers' --creators svc-mail-1 --owners 'DKM Owners'")]
pub(crate) struct Arguments {
    #[command(flatten)]
    input: InputArguments,
    /// File with the age or SSH private key that opens it
    #[arg(long, short, value_name = "FILE")]
    identity: PathBuf,
    /// Why, for the record and the audit journal
    #[arg(long, default_value = "restored from an archive", value_name = "TEXT")]
    reason: String,
    /// Put the archive's policy in force
    #[arg(long)]
    take_policy: bool,
    /// Put the archive's roster in force
    #[arg(long)]
    take_roster: bool,
    /// Make the group anew: it is not in the repository any more
    #[arg(long)]
    make_group: bool,
    /// Make a root key anew: the group is there, and its root keys are lost
    #[arg(long, conflicts_with = "make_group")]
    make_root_key: bool,
    /// With --make-group or --make-root-key: who reads the group's keys: one Unix group; in Active Directory, for the
    /// group itself, any accounts and groups
    #[arg(long, visible_alias = "members", value_name = "WHO")]
    readers: Vec<String>,
    /// With --make-group, in Active Directory: an existing security group that is the readers group itself. Whoever restores
    /// must be in it, with a ticket that says so
    #[arg(long, value_name = "GROUP", conflicts_with = "readers", requires = "make_group")]
    readers_group: Option<String>,
    /// With --make-group: who adds keys: members or owner; in Active Directory accounts and groups
    #[arg(long, value_name = "WHO", requires = "make_group")]
    creators: Vec<String>,
    /// With --make-group: who owns the group: one user; in Active Directory accounts and groups
    #[arg(long, visible_alias = "owners", value_name = "WHO", requires = "make_group")]
    owner: Vec<String>,
}

pub(crate) fn run(arguments: Arguments, shell: &Shell) -> Result {
    let identities = Identities::from_file(&arguments.identity)?;
    let mut input = arguments.input.open()?;
    let archive = archive::open(&mut input, &identities)
        .map_err(|error| input.failure().unwrap_or_else(|| error.into()))?;
    let client = shell.client()?;
    let makes_root_key = arguments.make_root_key || !arguments.readers.is_empty();
    let mut readers = arguments.readers;
    readers.extend(arguments.readers_group.map(|group| format!("{READERS_GROUP}{group}")));
    let access = GroupAccess {
        readers,
        creators: arguments.creators,
        owners: arguments.owner,
        ..GroupAccess::default()
    };
    let options = RestoreOptions {
        take_policy: arguments.take_policy,
        take_roster: arguments.take_roster,
        access: makes_root_key.then(|| access.clone()),
        reason: arguments.reason,
    };
    let (group, summary) = if arguments.make_group {
        archive::restore_group(&client, &archive, &access, &options)?
    } else {
        let group = client.group(&archive.group.to_string()).map_err(|error| match error {
            dkm::Error::NoGroup { .. } => {
                let name = &archive.name;
                Failure::from(error).help(format!("if group {name} is lost, make it anew: --make-group"))
            }
            other => other.into(),
        })?;
        let summary = archive::restore(&group, &archive, &options)?;
        (group, summary)
    };
    shell.warn_about(&group)?;
    let skipped: Vec<String> = summary.skipped.iter().map(skipped).collect();
    let value = json!({
        "group": GroupShape::of(&group),
        "keys": summary.keys,
        "control_records": summary.control,
        "skipped": skipped,
        "new_key": summary.rolled.as_ref().map(NewKeyShape::from),
    });
    shell.terminal.result(&value, || {
        let (keys, records) = (count(summary.keys, "key"), count(summary.control, "control record"));
        let mut out = format!("Restored {keys} and {records} of group {}.\n", group.name());
        if let Some(new) = &summary.rolled {
            out.push_str(&format!("Key {} takes over on {}.\n", new.key, when::second(new.activates_at)));
        }
        for line in &skipped {
            out.push_str(&format!("{}: {line}\n", styled(FAINT, "left out")));
        }
        out
    })
}

fn skipped(skip: &RestoreSkip) -> String {
    match skip {
        RestoreSkip::KeyPresent { key } => format!("key {key} is there already"),
        RestoreSkip::KeyDestroyed { key } => format!("key {key} was destroyed and does not come back"),
        RestoreSkip::SlotTaken { key, name } => {
            format!(
                "key {key}: its slot {name} holds a record that does not open; an owner must remove it first"
            )
        }
        RestoreSkip::NoConsent { name, kind } => format!("{kind} record {name}, which was not asked for"),
        RestoreSkip::DoesNotCount { name, kind } => {
            format!("{kind} record {name}, which did not count where the archive was made")
        }
        RestoreSkip::Unknown { name } => format!("record {name}, of a kind that this version does not know"),
        _ => "a record, for a reason that this version does not know".to_owned(),
    }
}
