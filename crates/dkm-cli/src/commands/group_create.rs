//! `dkm group create`

use clap::Args;
use dkm::blocking::NewGroup;
use dkm::repository::{GroupAccess, READERS_GROUP};
use dkm::{ErrorKind, Location};
use dkm_core::policy::Wrap;
use serde_json::json;

use crate::context_pair::parse_pair;
use crate::failure::{Failure, Result};
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::{policy_field, warning, when};

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
  dkm --repository ad://example.com group create mail --members 'DKM Exchange Servers' \\
      --creators svc-mail-1 --creators svc-mail-2 --owners 'DKM Owners'")]
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
    /// Active Directory: who sees everything about the group but its keys, to run dkm group audit: accounts and groups, which
    /// dkm ad init --auditors names too. Repeatable
    #[arg(long, value_name = "WHO")]
    auditors: Vec<String>,
    /// What the group is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A field of the policy that is not the default; dkm policy show lists them. Repeatable
    #[arg(long, value_name = "FIELD=VALUE", value_parser = parse_pair)]
    policy: Vec<(String, String)>,
}

/// What helps an account that may not make it: there is no group yet whose owner could be asked.
const DENIED: &str = "ask who keeps the repository: you must be able to write to its folder of groups and to that of the \
                      root keys, and be in the Unix group that --readers names";

pub(crate) fn run(arguments: Arguments, shell: &Shell) -> Result {
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
    };
    let wraps = policy.wrap == Wrap::RootKey;
    let new = NewGroup { name: arguments.name, description: arguments.description, policy, access };
    let in_a_folder = matches!(shell.location()?, Location::Directory { .. });
    let group = client.create_group(new).map_err(|error| {
        let failure = Failure::from(error);
        if in_a_folder && failure.kind == ErrorKind::Denied { failure.help(DENIED) } else { failure }
    })?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let first = view.ring.keys.first();
    let value = json!({
        "group": GroupShape::of(&group),
        "key": first.map(|key| key.id().to_string()),
        "activates_at": first.map(|key| when::precise(key.activation())),
    });
    shell.terminal.result(&value, || {
        let key = first.map_or_else(String::new, |key| format!(" Its first key is {}.", key.id()));
        format!("Made the group {} ({}).{key}\n", group.name(), group.id())
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
