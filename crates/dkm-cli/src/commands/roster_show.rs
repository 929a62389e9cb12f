//! `dkm roster show`

use clap::Args;
use dkm::{ErrorKind, Rosters};
use dkm_core::roster::RosterVersion;
use dkm_lockbox::{shown, verify_roster};
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::roster_file::RosterFile;
use crate::shell::Shell;
use crate::{columns, control, roster_view, when};

/// Show a group's roster: who lets people in, at which levels, and which versions count
///
/// The versions are verified by this command itself, from the first one on, which it remembers: each later one counts only
/// with the signatures that the one before asks for, and takes effect only after a time in which everybody can see it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm roster show mail
  dkm roster show mail --toml > roster.toml")]
pub(crate) struct Arguments {
    /// Group, by name or id; --group otherwise
    #[arg(value_name = "GROUP")]
    group: Option<String>,
    /// Write the roster in force as a file that dkm roster propose takes, once it is changed
    #[arg(long)]
    toml: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let client = shell.client()?;
    let group = shell.group_of(&client, arguments.group.as_ref())?;
    let rosters = group.rosters(&verify_roster)?;
    control::pinned(shell, &rosters)?;
    let Some(genesis) = rosters.genesis else {
        return Err(Failure::new(ErrorKind::NotFound, format!("group {} has no roster", group.name())).help(
            "nobody is let into it; a group gets its roster when it is made: dkm group create --roster FILE",
        ));
    };
    let Some(roster) = rosters.chain.effective() else {
        return Err(Failure::new(
            ErrorKind::Corrupt,
            format!("the first roster of group {}, {genesis}, is not there", group.name()),
        )
        .help("nobody is let in until the record is put back; dkm doctor tells what else has gone"));
    };
    if arguments.toml && !shell.terminal.is_json() {
        return shell.terminal.text(&RosterFile::of(roster).text()?);
    }
    for level in roster.unsatisfiable() {
        shell.terminal.warn(
            "roster",
            &format!(
                "nobody can satisfy level {:?}: too few of its approvers have a key",
                shown(&level.name)
            ),
            Some("have a version made that settles it: dkm roster propose"),
        );
    }
    for (digest, why) in rosters.chain.ignored() {
        shell.terminal.warn(
            "roster",
            &format!("version {digest} does not count: {}", shown(why)),
            Some("find out who wrote it: somebody has tried to change who lets people in"),
        );
    }
    let versions: Vec<_> =
        rosters.chain.versions().iter().map(|version| version_json(&rosters, version)).collect();
    let ignored: Vec<_> = rosters
        .chain
        .ignored()
        .iter()
        .map(|(digest, why)| json!({"digest": digest.to_string(), "why": why}))
        .collect();
    let value = json!({
        "group": {"id": group.id().to_string(), "name": group.name()},
        "genesis": genesis.to_string(),
        "in_force": roster_view::texts(rosters.chain.in_force()),
        "roster": roster_view::json(roster),
        "versions": versions,
        "ignored": ignored,
    });
    shell.terminal.result(&value, || {
        let mut out = columns::facts(&[
            ("group", format!("{} ({})", group.name(), group.id())),
            ("first roster", genesis.to_string()),
            ("in force", roster_view::texts(rosters.chain.in_force()).join("\n")),
        ]);
        out.push('\n');
        roster_view::lines(roster).iter().for_each(|line| out.push_str(&format!("{line}\n")));
        for version in rosters.chain.pending() {
            out.push_str(&format!(
                "\nVersion {} ({}), written by {}, takes effect at {} and changes:\n",
                version.version,
                version.digest,
                shown(&version.author),
                when::second(version.effective_at)
            ));
            out.push_str(&roster_view::difference(&roster_view::changes(roster, &version.roster)));
        }
        out
    })
}

fn version_json(rosters: &Rosters, version: &RosterVersion) -> Value {
    let signed: Vec<_> = rosters.record(version.digest).map_or_else(Vec::new, |record| {
        record.signatures.iter().map(|signature| signature.person.clone()).collect()
    });
    json!({
        "digest": version.digest.to_string(),
        "version": version.version,
        "previous": roster_view::texts(&version.previous),
        "created": when::precise(version.created),
        "author": version.author,
        "effective_at": when::precise(version.effective_at),
        "in_force": rosters.chain.in_force().contains(&version.digest),
        "waits": version.effective_at > rosters.now,
        "signed_by": signed,
    })
}
