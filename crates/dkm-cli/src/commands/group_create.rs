//! `dkm group create`

use std::path::PathBuf;

use clap::Args;
use dkm::blocking::{Group, NewGroup};
use dkm::repository::{GroupAccess, READERS_GROUP};
use dkm::{ErrorKind, Location};
use dkm_core::Digest;
use dkm_core::policy::Wrap;
use dkm_core::record::RosterRecord;
use serde_json::json;

use crate::context_pair::parse_pair;
use crate::failure::{Failure, Result};
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::{control, policy_field, roster_file, warning, when};

/// Make a group, with its first key
///
/// In a directory repository, members of the Unix group given with --readers can protect and unprotect; the kernel's
/// permissions keep everybody else out. Without it the group is yours alone.
///
/// In Active Directory the command makes a readers group of its own, whose members are the accounts and groups given
/// with --readers and --creators; only it stands in the access control of keys. The first key is made by the first
/// creator that opens the group, unless you are one. With --policy wrap=root-key a root key is made too: a file of yours on
/// this machine, which you copy to every machine of the group.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm group create mail --description 'mailbox passwords'
  dkm group create mail --readers svc-mail --policy rotation_period=30d --policy lead_window=3d
  dkm --repository https://keys.example.com group create mail --readers service:mail-1 \\
      --readers service:dkmd --roster roster.toml
  dkm --repository ad://example.com group create mail --members 'DKM Exchange Servers' \\
      --creators svc-mail-1 --creators svc-mail-2 --owners 'DKM Owners' --elevators svc-dkmd")]
pub(crate) struct Arguments {
    /// Name: 1 to 128 of a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "NAME")]
    name: String,
    /// Who reads the group's keys: one Unix group; in Active Directory any accounts and groups
    #[arg(long, visible_alias = "members", value_name = "WHO")]
    readers: Vec<String>,
    /// Active Directory: an existing security group that is the readers group itself, instead of a new one
    #[arg(long, value_name = "GROUP", conflicts_with = "readers")]
    readers_group: Option<String>,
    /// Who adds keys: members (the default: keys roll by themselves) or owner; in Active Directory accounts and groups
    #[arg(long, value_name = "WHO")]
    creators: Vec<String>,
    /// Who owns the group: policy and states of keys. One user, and only root may name another than himself; in Active
    /// Directory accounts and groups
    #[arg(long, visible_alias = "owners", value_name = "WHO")]
    owner: Vec<String>,
    /// Active Directory and dkmd: who sees everything about the group but its keys: accounts and groups. In Active Directory
    /// dkm ad init --auditors names them too, for dkm group audit. Repeatable
    #[arg(long, value_name = "WHO")]
    auditors: Vec<String>,
    /// Active Directory: who lets people in for a time, by temporary accounts: dkmd's account, which dkm ad init --elevators
    /// names too. It reads no key itself, and can let anybody in. Repeatable
    #[arg(long, value_name = "ACCOUNT")]
    elevators: Vec<String>,
    /// What the group is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A field of the policy that is not the default; dkm policy show lists them. Repeatable
    #[arg(long, value_name = "FIELD=VALUE", value_parser = parse_pair)]
    policy: Vec<(String, String)>,
    /// File with the group's roster, in TOML: who lets people in, and at which levels; docs/elevation.md. Later only those change
    /// it whom it names: dkm roster propose
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,
}

/// What helps an account that may not make it: there is no group yet whose owner could be asked.
const DENIED: &str = "ask who keeps the repository: you must be able to write to its folder of groups and to that of the \
                      root keys, and be in the Unix group that --readers names";

pub(crate) fn run(arguments: Arguments, shell: &Shell) -> Result {
    let roster = arguments.roster.as_deref().map(roster_file::read).transpose()?;
    let client = shell.client()?;
    let mut policy = client.default_policy();
    policy_field::apply(&mut policy, &arguments.policy)?;
    let mut readers = arguments.readers;
    readers.extend(arguments.readers_group.map(|group| format!("{READERS_GROUP}{group}")));
    let access = GroupAccess {
        readers,
        creators: arguments.creators,
        owners: arguments.owner,
        auditors: arguments.auditors,
        elevators: arguments.elevators,
    };
    let wraps = policy.wrap == Wrap::RootKey;
    let new = NewGroup { name: arguments.name, description: arguments.description, policy, access };
    let in_a_folder = matches!(shell.location()?, Location::Directory { .. });
    let made = match roster {
        Some(roster) => {
            let roster = RosterRecord { created_at_ms: when::now().0, ..roster };
            client.create_group_with_roster(new, roster)
        }
        None => client.create_group(new),
    };
    let group = made.map_err(|error| {
        let failure = Failure::from(error);
        if in_a_folder && failure.kind == ErrorKind::Denied { failure.help(DENIED) } else { failure }
    })?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let genesis = if arguments.roster.is_some() { Some(genesis(&group, shell)?) } else { None };
    let first = view.ring.keys.first();
    let value = json!({
        "group": GroupShape::of(&group),
        "key": first.map(|key| key.id().to_string()),
        "activates_at": first.map(|key| when::precise(key.activation())),
        "roster": genesis.map(|digest| digest.to_string()),
    });
    shell.terminal.result(&value, || {
        let key = first.map_or_else(String::new, |key| format!(" Its first key is {}.", key.id()));
        let roster = genesis.map_or_else(String::new, |digest| {
            format!(
                "Its first roster is {digest}: tell that to those who approve, for whom it never changes.\n"
            )
        });
        format!("Made the group {} ({}).{key}\n{roster}", group.name(), group.id())
    })?;
    if wraps && !in_a_folder {
        shell.terminal.note(format!(
            "Its root key is on this machine only, in {}/{}, and yours alone. Back that folder up, apart from the repository, \
             and copy it to every machine of the group, readable for the account that uses it there alone: without it, keys \
             open nowhere else.",
            client.root_keys(),
            group.id()
        ));
    }
    shell.terminal.note(format!("Next: dkm protect --group {} FILE -o FILE.dkm", group.name()));
    Ok(())
}

/// Reads the group's roster back, and remembers the first one.
fn genesis(group: &Group, shell: &Shell) -> Result<Digest> {
    let rosters = group.rosters(&dkm_lockbox::verify_roster)?;
    control::pinned(shell, &rosters)?;
    rosters.genesis.ok_or_else(|| {
        Failure::new(
            ErrorKind::Refused,
            format!("group {} was made before, without a roster, by a run that was interrupted", group.id()),
        )
        .help("make one under another name")
    })
}
