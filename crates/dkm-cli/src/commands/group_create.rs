//! `dkm group create`

use clap::Args;
use dkm::ErrorKind;
use dkm::blocking::NewGroup;
use dkm::repository::GroupAccess;
use dkm_core::policy::Policy;
use serde_json::json;

use crate::context_pair::parse_pair;
use crate::failure::{Failure, Result};
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::{policy_field, warning, when};

/// Make a group, with its first key
///
/// Members of the Unix group given with --readers can protect and unprotect; the kernel's permissions keep everybody
/// else out. Without it the group is yours alone.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm group create mail --description 'mailbox passwords'
  dkm group create mail --readers svc-mail --policy rotation_period=30d --policy lead_window=3d")]
pub(crate) struct Arguments {
    /// Name: 1 to 128 of a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "NAME")]
    name: String,
    /// Unix group whose members read the group's keys
    #[arg(long, value_name = "UNIX-GROUP")]
    readers: Option<String>,
    /// Who adds keys: every member, so that keys roll by themselves, or the owner alone
    #[arg(long, value_name = "WHO", value_parser = ["members", "owner"])]
    creators: Option<String>,
    /// User who owns the group: policy and states of keys. Only root may name another user
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
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
    let mut policy = Policy::for_directory();
    policy_field::apply(&mut policy, &arguments.policy)?;
    let access = GroupAccess {
        readers: arguments.readers.into_iter().collect(),
        creators: arguments.creators.into_iter().collect(),
        owners: arguments.owner.into_iter().collect(),
    };
    let new = NewGroup { name: arguments.name, description: arguments.description, policy, access };
    let group = shell.client()?.create_group(new).map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind == ErrorKind::Denied { failure.help(DENIED) } else { failure }
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
    shell.terminal.note(format!("Next: dkm protect --group {} FILE -o FILE.dkm", group.name()));
    Ok(())
}
