//! What is in force in a group, as its records say now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dkm::Rosters;
use dkm_core::policy::PolicyChain;
use dkm_core::record::RosterRecord;
use dkm_core::roster::{Roster, RosterChain};
use dkm_core::{Attestation, GroupId, Principal, Room, Timestamp};
use dkm_lockbox::{InForce, Verify};
use dkm_remote::wire::elevation::ControlRecord;
use rusqlite::{Connection, OptionalExtension as _};

use crate::actions::Action;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::store::records::{self, Mark};

/// Most groups whose control records are kept decoded.
const KNOWN_MAX: usize = 1024;

/// The chains of a group's policies and rosters.
#[derive(Debug)]
pub(super) struct Chains {
    group: GroupId,
    policies: PolicyChain,
    rosters: RosterChain,
}

impl Chains {
    /// The roster in force.
    pub(super) fn roster(&self) -> Option<&Roster> {
        self.rosters.effective()
    }

    /// Whether an account is somebody's in the roster in force.
    pub(super) fn names(&self, account: &str) -> bool {
        self.rosters.effective().is_some_and(|roster| roster.person_of(account).is_some())
    }
}

/// What the control records say of groups that were asked for, each with how far its records were read: records are only
/// ever added, so that it holds until there are more.
#[derive(Debug, Default)]
pub(super) struct Controls(Mutex<BTreeMap<GroupId, (Mark, Arc<Rosters>)>>);

/// Reads a group's control records. Which roster is in force is asked for at a time.
fn read(
    connection: &Connection,
    group: GroupId,
    verify: &dyn Fn(&str, &[u8], &str) -> bool,
) -> rusqlite::Result<Rosters> {
    let all = records::all(connection, group, Room::Control)?;
    let control = all.iter().map(|(slot, stored)| {
        let attested = Attestation {
            creator: Principal(stored.creator.clone()),
            created: Timestamp(stored.created_ms),
            template_ok: true,
        };
        (slot.as_str(), &stored.bytes[..], attested)
    });
    Ok(Rosters::of(group, Timestamp(0), control, verify))
}

impl Controls {
    /// What is stored now.
    fn of(
        &self,
        connection: &Connection,
        group: GroupId,
        verify: &dyn Fn(&str, &[u8], &str) -> bool,
    ) -> rusqlite::Result<Arc<Rosters>> {
        let Some(mark) = records::mark(connection, group, Room::Control).optional()? else {
            return Ok(Arc::new(Rosters::of(group, Timestamp(0), [], verify)));
        };
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, control)) = known().get(&group).filter(|(at, _)| *at == mark) {
            return Ok(Arc::clone(control));
        }
        let control = Arc::new(read(connection, group, verify)?);
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(group, (mark, Arc::clone(&control)));
        Ok(control)
    }
}

impl Server {
    /// Reads a group's chains. Those of a group in a domain were read before ([`Server::freshen`]).
    pub(super) fn chains(&self, group: GroupId, at: Timestamp) -> Result<Chains, Problem> {
        let verify = |line: &str, message: &[u8], armored: &str| {
            self.elevation().memo.verify(line, RosterRecord::NAMESPACE, message, armored)
        };
        let read = match self.domain_rosters(group)? {
            Some(read) => read,
            None => self.store().read(|c| {
                // What is marked is what is read.
                let tx = c.unchecked_transaction()?;
                self.elevation().controls.of(&tx, group, &verify)
            })?,
        };
        Ok(Chains { group, policies: read.policies.clone(), rosters: read.chain_at(at, &verify) })
    }

    /// What is in force by a group's chains.
    ///
    /// # Errors
    /// It has no roster: nobody is let in.
    pub(super) fn in_force<'a>(
        &self,
        chains: &'a Chains,
        verify: Verify<'a>,
    ) -> Result<InForce<'a>, Problem> {
        let instance = self.store().identity().instance;
        InForce::new(instance, chains.group, &chains.policies, &chains.rosters, verify).ok_or_else(|| {
            Problem::conflict(format!(
                "group {} has no roster in force: nobody is let in by a grant",
                chains.group
            ))
            .advice("a group gets its roster when it is made: dkm group create --roster FILE")
        })
    }

    /// A group's control records, for those who stand in its roster: by them they check what they are asked to sign. No secret
    /// is in them.
    ///
    /// # Errors
    /// The caller may not see them; they can't be read.
    pub(crate) async fn control(
        &self,
        caller: &Caller,
        group: GroupId,
    ) -> Result<Vec<ControlRecord>, Problem> {
        self.freshen(group).await?;
        let chains = self.chains(group, self.elevation().highest())?;
        self.may_look(caller, group, &chains, (Action::ReadMetadata, "control records")).await?;
        if let Some(read) = self.domain_control(group).await? {
            return Ok(read);
        }
        let all = self.store().read(|c| records::all(c, group, Room::Control))?;
        let record = |(slot, stored): &(String, records::Record)| {
            ControlRecord::new(slot, &stored.bytes, &stored.creator, stored.created_ms)
        };
        Ok(all.iter().map(record).collect())
    }
}
