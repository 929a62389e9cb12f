//! What is in force in a group, read from its records and verified by this program itself.

use dkm::{ErrorKind, Rosters};
use dkm_core::{GroupId, Timestamp};
use dkm_lockbox::{InForce, Request, shown, verify_roster, verify_sshsig};

use crate::asked;
use crate::failure::{Failure, Result};
use crate::pin::Pin;
use crate::shell::Shell;

/// What is in force in a group, or why that can't be told.
pub(crate) enum Control {
    /// Read, and verified from the first roster that is remembered.
    Read {
        /// The group's name.
        name: String,
        /// Its rosters and policies.
        rosters: Box<Rosters>,
    },
    /// This account may not read the group's records.
    Withheld(String),
}

/// Reads a group's control records, where this account may.
pub(crate) fn read(shell: &Shell, group: GroupId) -> Result<Control> {
    let read = shell.client()?.group(&group.to_string());
    let read = read.and_then(|group| Ok((group.name(), group.rosters(&verify_roster)?)));
    match read {
        Ok((name, rosters)) => {
            pinned(shell, &rosters)?;
            Ok(Control::Read { name, rosters: Box::new(rosters) })
        }
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => {
            by_roster(shell, group, error.to_string())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whoever sees no group may see what he is asked to sign for, at a server that takes requests.
fn by_roster(shell: &Shell, group: GroupId, why: String) -> Result<Control> {
    let Ok(elevations) = shell.elevations() else { return Ok(Control::Withheld(why)) };
    match elevations.rosters(group, crate::when::now(), &verify_roster) {
        Ok(rosters) => {
            pinned(shell, &rosters)?;
            let name = rosters.name.clone().unwrap_or_else(|| group.to_string());
            Ok(Control::Read { name, rosters: Box::new(rosters) })
        }
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => {
            Ok(Control::Withheld(why))
        }
        Err(error) => Err(asked::failure(error)),
    }
}

/// The first roster never changes: whoever shows another shows another group.
pub(crate) fn pinned(shell: &Shell, rosters: &Rosters) -> Result {
    let pin = Pin::of("roster", &rosters.group.to_string())?;
    let what = format!("the first roster of group {}", rosters.group);
    match rosters.genesis {
        Some(genesis) => pin.must_be(&what, &genesis.to_string(), shell),
        // It had one: whoever shows none shows another group.
        None if pin.read()?.is_some() => pin.must_be(&what, "none", shell),
        None => Ok(()),
    }
}

/// The server that a group's requests are made to stays the same.
pub(crate) fn pinned_instance(shell: &Shell, request: &Request) -> Result {
    let pin = Pin::of("instance", &request.group.to_string())?;
    let what = format!("the server that keeps the requests of group {}", request.group);
    pin.must_be(&what, &request.instance.to_string(), shell)
}

/// Refuses to sign what can't be checked, where this account could check it before: whoever withholds the records would else
/// have people sign unchecked.
pub(crate) fn must_not_be_withheld(group: GroupId, why: &str) -> Result {
    let pin = Pin::of("roster", &group.to_string())?;
    if pin.read()?.is_none() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Denied,
        format!("you could read the group's records before, and can't now: {}", shown(why)),
    )
    .help(format!(
        "nothing is signed unchecked; if you shall sign without seeing them from now on, remove {}",
        pin.path().display()
    )))
}

impl Control {
    /// The rosters, if they were read.
    pub(crate) fn rosters(&self) -> Option<&Rosters> {
        match self {
            Self::Read { rosters, .. } => Some(rosters),
            Self::Withheld(_) => None,
        }
    }

    /// What is in force for a request, if it was read and there is a roster in force.
    pub(crate) fn in_force(&self, request: &Request) -> Option<InForce<'_>> {
        let rosters = self.rosters()?;
        InForce::new(request.instance, rosters.group, &rosters.policies, &rosters.chain, &verify_sshsig)
    }

    /// The time of the reading, or of this machine.
    pub(crate) fn now(&self) -> Timestamp {
        self.rosters().map_or_else(crate::when::now, |rosters| rosters.now)
    }
}
