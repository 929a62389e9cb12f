//! What a request by file is checked by: the group's records, or what was exported of them before and is pinned.

use std::path::PathBuf;

use clap::Args;
use dkm::{ErrorKind, Location, Rosters};
use dkm_core::{Digest, GroupId, InstanceId, Timestamp};
use dkm_lockbox::{InForce, shown, verify_roster, verify_sshsig};
use dkm_remote::resolve_control;
use dkm_remote::wire::elevation::ControlView;
use serde::{Deserialize, Serialize};

use crate::audit_log::read_limited;
use crate::control::{self, Control};
use crate::failure::{Failure, Result};
use crate::pin::Pin;
use crate::shell::Shell;
use crate::when;

/// Version of the exported file.
const VERSION: u8 = 1;
/// The server of a group that has none: its keys lie in a folder.
const NO_SERVER: InstanceId = InstanceId([0; 16]);

/// What it is checked by.
#[derive(Debug, Args)]
pub(crate) struct GroundArguments {
    /// What dkm lockbox offline export has kept, where the group's records can't be read now
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,
    /// SHA-256 of that file, as export has told it; needed where this account has not exported it itself
    #[arg(long, value_name = "HEX", requires = "roster")]
    roster_digest: Option<Digest>,
}

/// What is in force in a group, and which server its requests are made to.
pub(crate) struct Ground {
    pub(crate) rosters: Box<Rosters>,
    pub(crate) instance: InstanceId,
    /// Where it was read, in words.
    pub(crate) source: String,
}

/// What export writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RosterFile {
    pub(crate) dkm_offline_roster: u8,
    pub(crate) group: String,
    /// When it was exported, for people.
    pub(crate) exported: String,
    pub(crate) control: ControlView,
}

/// What is remembered of the file that was exported last.
pub(crate) fn pinned_file(group: GroupId) -> Result<Pin> {
    Pin::of("offline-roster", &group.to_string())
}

impl RosterFile {
    /// Of a group, with its records.
    pub(crate) fn new(group: GroupId, control: ControlView) -> Self {
        let exported = when::second(when::now());
        Self { dkm_offline_roster: VERSION, group: group.to_string(), exported, control }
    }
}

impl GroundArguments {
    /// Finds out what is in force.
    pub(crate) fn read(&self, shell: &Shell, group: GroupId) -> Result<Ground> {
        let ground = match &self.roster {
            Some(path) => self.exported(path, shell, group)?,
            None => repository(shell, group)?,
        };
        if ground.rosters.genesis.is_none() {
            return Err(Failure::new(ErrorKind::NotFound, format!("group {group} has no roster"))
                .help("nobody is let into it; a group gets its roster when it is made: dkm group create --roster FILE"));
        }
        Ok(ground)
    }

    fn exported(&self, path: &std::path::Path, shell: &Shell, group: GroupId) -> Result<Ground> {
        let text = read_limited(path)?;
        let digest = Digest::of(text.as_bytes());
        let expected = match self.roster_digest {
            Some(expected) => Some(expected.to_string()),
            None => pinned_file(group)?.read()?.map(|known| known.trim().to_owned()),
        };
        match expected {
            Some(expected) if expected == digest.to_string() => {}
            Some(expected) => {
                return Err(Failure::new(
                    ErrorKind::Corrupt,
                    format!("{} has the digest {digest}, not {}", path.display(), shown(&expected)),
                )
                .help("it is not what was exported for this group last: get that one; nothing is believed of this one"));
            }
            None => {
                return Err(Failure::new(
                    ErrorKind::Refused,
                    format!("nothing vouches for {}: this account has exported none for group {group}", path.display()),
                )
                .help("ask whoever exported it, by another way than the file came, for its digest: --roster-digest HEX"));
            }
        }
        let odd = |why: String| {
            Failure::new(ErrorKind::Corrupt, format!("{} is not what export writes: {why}", path.display()))
                .help("dkm lockbox offline export makes one")
        };
        let file: RosterFile = serde_json::from_str(&text).map_err(|error| odd(shown(&error.to_string())))?;
        if file.dkm_offline_roster != VERSION {
            return Err(odd(format!("its version {} is not known to this program", file.dkm_offline_roster)));
        }
        if file.group != group.to_string() {
            return Err(odd(format!("it is of group {}", shown(&file.group))));
        }
        let instance = file.control.instance.parse().map_err(|_| odd("it names no server".to_owned()))?;
        let rosters = resolve_control(&file.control, group, when::now(), &verify_roster).map_err(odd)?;
        control::pinned(shell, &rosters)?;
        let source = format!("{}, exported {}", path.display(), shown(&file.exported));
        Ok(Ground { rosters: Box::new(rosters), instance, source })
    }
}

/// As the repository says now.
fn repository(shell: &Shell, group: GroupId) -> Result<Ground> {
    let location = shell.location()?;
    let advice =
        "name what was exported while they could be read: --roster FILE (dkm lockbox offline export)";
    let rosters = match control::read(shell, group) {
        Ok(Control::Read { rosters, .. }) => rosters,
        Ok(Control::Withheld(why)) => {
            return Err(Failure::new(
                ErrorKind::Denied,
                format!("the records of group {group} can't be read here: {}", shown(&why)),
            )
            .help(advice));
        }
        Err(failure) if failure.kind == ErrorKind::Unavailable => return Err(failure.help(advice)),
        Err(failure) => return Err(failure),
    };
    let known = Pin::of("instance", &group.to_string())?.read()?;
    let instance = match (known, &location) {
        (Some(known), _) => known.trim().parse().map_err(|_| {
            Failure::new(ErrorKind::Corrupt, "the server that is remembered for the group is none".to_owned())
                .help("look at it: pins/instance in the state folder")
        })?,
        (None, Location::Directory { .. }) => NO_SERVER,
        (None, _) => {
            return Err(Failure::new(
                ErrorKind::NotFound,
                format!("which server keeps the requests of group {group} is not known to this account"),
            )
            .help(advice));
        }
    };
    Ok(Ground { rosters, instance, source: location.to_string() })
}

impl Ground {
    /// What is in force now.
    pub(crate) fn in_force(&self) -> Result<InForce<'_>> {
        let rosters = &self.rosters;
        InForce::new(self.instance, rosters.group, &rosters.policies, &rosters.chain, &verify_sshsig)
            .ok_or_else(|| {
                Failure::new(ErrorKind::Refused, format!("group {} has no roster in force", rosters.group))
                    .help("nobody can be let in: dkm roster show tells more")
            })
    }

    /// The keys that a person has in the roster in force.
    pub(crate) fn keys(&self, person: &str) -> Result<Vec<String>> {
        let roster = self.rosters.chain.effective();
        let found = roster.and_then(|roster| roster.person(person)).map(|person| person.keys.clone());
        found.ok_or_else(|| {
            Failure::usage(format!("{} is nobody in the roster in force", shown(person)))
                .help("say who you are in the roster: --as PERSON; dkm roster show lists the people")
        })
    }

    /// The time to decide by.
    pub(crate) fn now(&self) -> Timestamp {
        when::now().max(self.rosters.now)
    }
}
