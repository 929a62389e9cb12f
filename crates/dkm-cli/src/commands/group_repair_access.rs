//! `dkm group repair-access`

use clap::Args;
use dkm::journal::EventKind;
use dkm_ad::repair::{Limits, Refusals, Task};

use super::group_access;
use crate::failure::Result;
use crate::shell::Shell;

/// Put the access control of a group's objects right again
///
/// Reads every object of the group in Active Directory, on each domain controller that the repository's URL names, compares its
/// access control with the one that is written down for the group, tells the differences, and writes what should be
/// there. Then everything is read again. A key whose access control was loosened does not protect until this is done.
///
/// Needs an account that is in the repository's recovery group, by a fresh ticket. Put it in for as long as this takes and
/// take it out again: any member of that group fails dkm group audit. Owners are told and stay as they are: only who may
/// take ownership can change them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  everything is as it should be
  4  something is left that this account can't put right

Examples:
  dkm group repair-access -g mail --dry-run
  dkm group repair-access -g mail --reason 'svc-3 opened its key up'")]
pub(crate) struct Arguments {
    /// Why, for the audit journal
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
    /// Change nothing: write the changes as LDIF, each with its DACL in SDDL
    #[arg(long)]
    dry_run: bool,
    /// Take away refusals of single accounts on the rooms too: they end an account's reading at once
    #[arg(long)]
    lift_refusals: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let limits = Limits {
        refusals: if arguments.lift_refusals { Refusals::Lifted } else { Refusals::Kept },
        ..Limits::default()
    };
    let order = group_access::Order {
        task: Task::Repair,
        limits,
        event: EventKind::AccessRepaired,
        reason: &arguments.reason,
        dry_run: arguments.dry_run,
    };
    group_access::run(&order, shell)
}
