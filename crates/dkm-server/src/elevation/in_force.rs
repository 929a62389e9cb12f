//! What is in force in a group, as its records say now.

use std::sync::Arc;

use dkm::Rosters;
use dkm_core::record::RosterRecord;
use dkm_core::roster::Roster;
use dkm_core::{Attestation, GroupId, Principal, Room, Timestamp};
use dkm_lockbox::{InForce, Verify};
use dkm_remote::wire::elevation::ControlRecord;

use super::Chains;
use crate::actions::Action;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::store::records;

impl Chains {
    /// The roster in force.
    pub(super) fn roster(&self) -> Option<&Roster> {
        self.0.chain.effective()
    }

    /// Whether an account is somebody's in the roster in force.
    pub(super) fn names(&self, account: &str) -> bool {
        self.roster().is_some_and(|roster| roster.person_of(account).is_some())
    }
}

impl Server {
    /// Reads a group's chains. Those of a group in a domain were read before ([`Server::freshen`]).
    pub(super) fn chains(&self, group: GroupId, at: Timestamp) -> Result<Chains, Problem> {
        if let Some(read) = self.domain_rosters(group)? {
            return Ok(Chains(read));
        }
        let all = self.store().read(|c| records::all(c, group, Room::Control))?;
        let all = all.iter().map(|(slot, stored)| {
            let attested = Attestation {
                creator: Principal(stored.creator.clone()),
                created: Timestamp(stored.created_ms),
                template_ok: true,
            };
            (slot.as_str(), stored.bytes.as_slice(), attested)
        });
        let verify = |line: &str, message: &[u8], armored: &str| {
            self.elevation().memo.verify(line, RosterRecord::NAMESPACE, message, armored)
        };
        Ok(Chains(Arc::new(Rosters::of(group, at, all, &verify))))
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
        let (instance, rosters) = (self.store().identity().instance, &chains.0);
        InForce::new(instance, rosters.group, &rosters.policies, &rosters.chain, verify).ok_or_else(|| {
            Problem::conflict(format!(
                "group {} has no roster in force: nobody is let in by a grant",
                rosters.group
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
