//! `dkm archive restore`

use std::path::PathBuf;

use clap::Args;
use dkm::archive::{self, Identities, RestoreOptions};
use dkm::repository::GroupAccess;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::input::InputArguments;
use crate::shape::{GroupShape, NewKeyShape};
use crate::shell::Shell;

/// Put a group's keys back from an archive
///
/// Restored keys are archived from the start: they open and never protect, and destroyed keys stay destroyed. The
/// group's policy stays what it is, unless --take-policy says otherwise; then the group rolls to a new key. A group
/// that is not in the repository any more is made anew with --make-group, under its old id, so that its blobs open.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm archive restore mail.age --identity ~/keys/archive.txt --reason 'disk lost'
  dkm archive restore mail.age --identity ~/keys/archive.txt --make-group --readers svc-mail")]
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
    /// Make the group anew: it is not in the repository any more
    #[arg(long)]
    make_group: bool,
    /// Unix group whose members read the group's keys
    #[arg(long, value_name = "UNIX-GROUP", requires = "make_group")]
    readers: Option<String>,
    /// Who adds keys
    #[arg(long, value_name = "WHO", value_parser = ["members", "owner"], requires = "make_group")]
    creators: Option<String>,
    /// User who owns the group
    #[arg(long, value_name = "USER", requires = "make_group")]
    owner: Option<String>,
}

pub(crate) fn run(arguments: Arguments, shell: &Shell) -> Result {
    let identities = Identities::from_file(&arguments.identity)?;
    let mut input = arguments.input.open()?;
    let archive = archive::open(&mut input, &identities)
        .map_err(|error| input.failure().unwrap_or_else(|| error.into()))?;
    let client = shell.client()?;
    let options = RestoreOptions { take_policy: arguments.take_policy, reason: arguments.reason };
    let (group, summary) = if arguments.make_group {
        let access = GroupAccess {
            readers: arguments.readers.into_iter().collect(),
            creators: arguments.creators.into_iter().collect(),
            owners: arguments.owner.into_iter().collect(),
        };
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
    let value = json!({
        "group": GroupShape::of(&group),
        "restored": summary.restored,
        "skipped": summary.skipped,
        "new_key": summary.rolled.as_ref().map(NewKeyShape::from),
    });
    shell.terminal.result(&value, || {
        format!(
            "Restored {} keys of group {}; {} were there already or stay destroyed.\n",
            summary.restored,
            group.name(),
            summary.skipped
        )
    })
}
