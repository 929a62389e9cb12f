//! Making a group.

use dkm_core::policy::{Policy, Wrap};
use dkm_core::record::{GroupRecord, PolicyRecord, Record, RosterRecord};
use dkm_core::ring::RingKey;
use dkm_core::{Digest, GroupId, Principal, Room};

use super::lifecycle::refused;
use super::policy::leaves_out;
use super::{Engine, Need};
use crate::blocking::NewGroup;
use crate::journal::EventKind;
use crate::repository::GroupAccess;
use crate::{Error, Result};

impl Engine {
    /// Makes the group's rooms and first records; announces it when its first key is usable.
    pub(crate) fn create(
        &self,
        new: NewGroup,
        roster: Option<RosterRecord>,
        fill: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let roster = roster.map(|roster| first_roster(roster, self.group)).transpose()?;
        self.check_first_policy(&new.policy)?;
        self.must_reach(WHAT, new.policy.replicas_needed(self.parts.repository.replicas()))?;
        // Nothing that anybody sees, and the proof that this account may make the group at all. On one replica only: rooms
        // that two have made do not become one when they meet.
        let (repository, author) = self.on_one_replica(|replica| {
            replica.create_group(self.group, &new.access)?;
            // Who does not read the group makes no key of it.
            let reads = replica.rights(self.group)?.read;
            let author = if reads { replica.author(self.group, Room::Keys)? } else { None };
            Ok((replica.repository(), author))
        })?;
        if let Some(author) = author.as_ref().filter(|who| leaves_out(new.policy.creators.as_ref(), who)) {
            return Err(refused(
                WHAT,
                format!(
                    "creators would not name {author}, as whom you make its first key: it would count for nothing"
                ),
                "name it, and leave it out once another creator has made a key",
            ));
        }
        if new.policy.wrap == Wrap::RootKey {
            // A file can be given to accounts of this machine only.
            let here = self.parts.repository.names_local_accounts();
            let access = if here { new.access.clone() } else { GroupAccess::default() };
            self.parts.roots.create(self.group, &access)?;
        }
        self.record(EventKind::GroupCreated, None, None, |event| event.detail = Some(new.name.clone()))?;
        let created_at_ms = self.parts.clock.now().0;
        let group = Record::Group(GroupRecord {
            name: new.name.clone(),
            created_at_ms,
            repository,
            roster_genesis: roster.as_ref().map(|roster| Digest::of(&roster.encode(self.group))),
            description: new.description,
        });
        let policy = Record::Policy(PolicyRecord {
            version: 1,
            previous: Vec::new(),
            created_at_ms,
            policy: new.policy.clone(),
        });
        for record in [Some(group), roster, Some(policy)].into_iter().flatten() {
            // What took the slot is looked at below.
            self.put(&record, &record.slot(self.group, 0))?;
        }
        self.refresh(Need::Fresh)?;
        self.must_hold(&new.name, &new.policy)?;
        // Whoever makes a group that he does not read leaves its first key to those who do: he is not to know it.
        if self.rights().read {
            self.begin_ring(author.as_ref())?;
        }
        fill(self)?;
        self.on_any_replica(|replica| Ok(replica.announce_group(self.group)?))?;
        self.await_announced()
    }

    /// Waits until the announcement is on as many replicas as policy asks of keys: whoever lost the one that has taken
    /// it would still have the keys, and find no group of that name.
    fn await_announced(&self) -> Result<()> {
        let repository = &self.parts.repository;
        let needed = self.policy()?.replicas_needed(repository.replicas());
        let mut seen = 0;
        self.repeat_for_replication(|| {
            let shows = |number: &usize| {
                let groups = repository.connect(*number).and_then(|mut replica| replica.groups());
                groups.is_ok_and(|groups| groups.contains(&self.group))
            };
            seen = (0..repository.replicas()).filter(shows).count();
            // Some make groups that they are not shown.
            Ok(seen == 0 || seen >= needed)
        })?
        .then_some(())
        .ok_or_else(|| {
            refused(
                WHAT,
                format!("it is made, but only {seen} of {needed} replicas show it yet"),
                "check the replicas (dkm doctor); the group can be used, and needn't be made again",
            )
        })
    }

    /// Makes the group's first key, or takes the one that an earlier run of the same author has left, and waits until it
    /// is usable.
    fn begin_ring(&self, author: Option<&Principal>) -> Result<()> {
        let first = match self.first_key() {
            Some(first) => first,
            None => {
                self.make_key(None, self.parts.clock.now(), "first")?;
                self.first_key().ok_or_else(|| other_rooms("hold no key that counts"))?
            }
        };
        if author.is_some_and(|author| *author != first.attested.creator) {
            return Err(other_rooms(&format!("hold a key that {} made", first.attested.creator)));
        }
        self.await_usable(first.id(), WHAT)
    }

    /// The rooms may hold what an earlier run has left, which is as good; what somebody else put there is not.
    fn must_hold(&self, name: &str, policy: &Policy) -> Result<()> {
        let state = self.state();
        let ring = state.member.ring();
        match (ring.name.as_deref(), ring.policy()) {
            (Some(there), _) if there != name => Err(other_rooms(&format!("belong to a group {there}"))),
            (_, Some(there)) if there != policy => Err(other_rooms("hold another policy")),
            (Some(_), Some(_)) => Ok(()),
            _ => Err(other_rooms("hold no records of the group")),
        }
    }

    /// The key that protects first: made now, by an earlier run, or by whoever was faster.
    fn first_key(&self) -> Option<RingKey> {
        self.state().member.ring().keys.iter().find(|key| key.may_ever_protect()).cloned()
    }
}

/// The record of a group's first roster, if it is one: nobody has signed it, and it follows none.
fn first_roster(roster: RosterRecord, group: GroupId) -> Result<Record> {
    if roster.version != 1 || !roster.previous.is_empty() || !roster.signatures.is_empty() {
        return Err(Error::Invalid(
            "a group begins with the first version of a roster, which nobody signs".to_owned(),
        ));
    }
    let record = Record::Roster(roster);
    match Record::decode(&record.encode(group)) {
        Ok(_) => Ok(record),
        Err(error) => Err(Error::Invalid(format!("the roster can't be: {error}"))),
    }
}

const WHAT: &str = "making the group";

fn other_rooms(what: &str) -> Error {
    let advice = "see who made them (in a directory, the folder .new-ID among its groups), remove them, then try again";
    refused(WHAT, format!("the rooms that are there under its id {what}"), advice)
}
