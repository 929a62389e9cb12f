//! What is in force in a group, as its records say now.

use dkm_core::policy::PolicyChain;
use dkm_core::record::{PolicyRecord, Record, RosterRecord};
use dkm_core::roster::{Roster, RosterChain};
use dkm_core::{Attestation, Digest, GroupId, Principal, Room, Timestamp};
use dkm_lockbox::{InForce, Verify};

use crate::problem::Problem;
use crate::server::Server;
use crate::store::records;

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

impl Server {
    /// Reads a group's chains.
    pub(super) fn chains(&self, group: GroupId, at: Timestamp) -> Result<Chains, Problem> {
        let all = self.store().read(|c| records::all(c, group, Room::Control))?;
        let mut genesis = None;
        let mut policies: Vec<(Digest, PolicyRecord, Attestation)> = Vec::new();
        let mut rosters: Vec<(Digest, RosterRecord, Attestation)> = Vec::new();
        for (slot, stored) in all {
            let Ok((of, record)) = Record::decode(&stored.bytes) else { continue };
            if of != group {
                continue;
            }
            let attested = Attestation {
                creator: Principal(stored.creator),
                created: Timestamp(stored.created_ms),
                template_ok: true,
            };
            let (digest, place) = (Digest::of(&stored.bytes), record.slot(group, 0));
            match record {
                // There is one slot for it, so there is one pin, for ever.
                Record::Group(record) if slot == place.as_str() => genesis = record.roster_genesis,
                Record::Policy(record) => policies.push((digest, record, attested)),
                Record::Roster(record) => rosters.push((digest, record, attested)),
                _ => {}
            }
        }
        let policies = PolicyChain::resolve(policies.iter().map(|(d, r, a)| (*d, r, a)));
        let rosters = rosters.iter().map(|(d, r, a)| (*d, r, a));
        let rosters = RosterChain::resolve(rosters, group, genesis, at, &|line, message, armored| {
            self.elevation().memo.verify(line, RosterRecord::NAMESPACE, message, armored)
        });
        Ok(Chains { group, policies, rosters })
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
}
