//! What is in force in a group, as its records say now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dkm_core::policy::PolicyChain;
use dkm_core::record::{PolicyRecord, Record, RosterRecord};
use dkm_core::roster::{Roster, RosterChain};
use dkm_core::{Attestation, Digest, GroupId, Principal, Room, Timestamp};
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

/// What the control records of a group say, decoded.
#[derive(Debug, Default)]
struct Control {
    genesis: Option<Digest>,
    policies: Vec<(Digest, PolicyRecord, Attestation)>,
    rosters: Vec<(Digest, RosterRecord, Attestation)>,
}

/// The same of groups that were asked for, each with how far its records were read: records are only ever added, so that it
/// holds until there are more.
#[derive(Debug, Default)]
pub(super) struct Controls(Mutex<BTreeMap<GroupId, (Mark, Arc<Control>)>>);

impl Control {
    fn read(connection: &Connection, group: GroupId) -> rusqlite::Result<Self> {
        let mut control = Self::default();
        for (slot, stored) in records::all(connection, group, Room::Control)? {
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
                Record::Group(record) if slot == place.as_str() => control.genesis = record.roster_genesis,
                Record::Policy(record) => control.policies.push((digest, record, attested)),
                Record::Roster(record) => control.rosters.push((digest, record, attested)),
                _ => {}
            }
        }
        Ok(control)
    }
}

impl Controls {
    /// What is stored now.
    fn of(&self, connection: &Connection, group: GroupId) -> rusqlite::Result<Arc<Control>> {
        let Some(mark) = records::mark(connection, group, Room::Control).optional()? else {
            return Ok(Arc::default());
        };
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, control)) = known().get(&group).filter(|(at, _)| *at == mark) {
            return Ok(Arc::clone(control));
        }
        let control = Arc::new(Control::read(connection, group)?);
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
        if let Some(read) = self.domain_rosters(group)? {
            return Ok(Chains { group, policies: read.policies.clone(), rosters: read.chain.clone() });
        }
        let control = self.store().read(|c| {
            // What is marked is what is read.
            let tx = c.unchecked_transaction()?;
            self.elevation().controls.of(&tx, group)
        })?;
        let policies = PolicyChain::resolve(control.policies.iter().map(|(d, r, a)| (*d, r, a)));
        let rosters = control.rosters.iter().map(|(d, r, a)| (*d, r, a));
        let rosters = RosterChain::resolve(rosters, group, control.genesis, at, &|line, message, armored| {
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
