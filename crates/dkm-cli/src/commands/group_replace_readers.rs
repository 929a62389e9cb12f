//! `dkm group replace-readers`

use clap::Args;
use dkm::journal::EventKind;
use dkm_ad::repair::{Limits, Task};

use super::group_access;
use crate::failure::Result;
use crate::shell::Shell;

/// Let another security group read a group's keys, instead of the present one
///
/// For a readers group in Active Directory that was deleted, or is not to be trusted any more. Afterwards members of the
/// old group read nothing, on open connections neither, and members of the new one read every key, archived ones too. Have
/// the members in the new group before, and wait until their tickets tell it (a ticket's life, ten hours by default, or a
/// restart with fresh tickets): then those who are in both go on protecting all the while.
///
/// Ended half-way it leaves both groups reading at most; run again with the same group it goes on where it was. Until it
/// is finished, dkm group audit says so and is never clean.
///
/// Needs an account that is in the repository's recovery group, by a fresh ticket: see dkm group repair-access, whose work
/// this does as well. Who could read the keys may have kept them: make new ones (dkm key roll --fresh), and protect anew
/// what is worth it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  the new group reads, the old one does not
  4  it is done, and something is left that this account can't put right
  7  some objects can't be changed, and it was not finished

Examples:
  dkm group replace-readers -g mail --to 'DKM Mail Readers 2' --dry-run
  dkm group replace-readers -g mail --to 'DKM Mail Readers 2' --reason 'the old group was deleted'")]
pub(crate) struct Arguments {
    /// The new readers group: a security group made for it, by name, distinguished name or SID
    #[arg(long, value_name = "GROUP")]
    to: String,
    /// Why, for the audit journal
    #[arg(long, default_value = "by hand", value_name = "TEXT")]
    reason: String,
    /// Change nothing: write the changes as LDIF, each with its DACL in SDDL
    #[arg(long)]
    dry_run: bool,
    /// Go on although some objects can't be changed by the recovery group: they stay as they are
    #[arg(long)]
    leave_behind: bool,
    /// Take a group in which nobody is yet: until somebody is, nobody reads the keys
    #[arg(long)]
    even_if_empty: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let order = group_access::Order {
        task: Task::ReplaceReaders { to: arguments.to.clone() },
        limits: Limits {
            leave_behind: arguments.leave_behind,
            even_if_empty: arguments.even_if_empty,
            ..Limits::default()
        },
        event: EventKind::ReadersReplaced,
        reason: &arguments.reason,
        dry_run: arguments.dry_run,
    };
    group_access::run(&order, shell)
}
