//! A group's rosters: read, verified from the pinned first one, and followed by the next.

use dkm_core::policy::PolicyChain;
use dkm_core::record::{Record, RosterRecord};
use dkm_core::roster::{RosterChain, RosterVersion};
use dkm_core::slot::Attestation;
use dkm_core::{Digest, GroupId, Room, SlotName, Timestamp};

use super::lifecycle::{ATTEMPTS, refused};
use super::{Engine, Need};
use crate::journal::EventKind;
use crate::repository::Put;
use crate::{Error, Result};

const WHAT: &str = "changing the roster";

/// Tells whether a signature over a message was made with the key of an OpenSSH line.
type Verify<'a> = &'a dyn Fn(&str, &[u8], &str) -> bool;

/// A group's rosters and policies, as they were read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rosters {
    /// The group.
    pub group: GroupId,
    /// The group's name; none if its record is not there.
    pub name: Option<String>,
    /// When they were read.
    pub now: Timestamp,
    /// Digest of the first roster, as the group's own record pins it; none for a group without one.
    pub genesis: Option<Digest>,
    /// The versions that count, and what is in force.
    pub chain: RosterChain,
    /// The policies.
    pub policies: PolicyChain,
    records: Vec<(Digest, RosterRecord, Attestation)>,
}

impl Rosters {
    /// What counts of a group's control records: of each its slot, its bytes, and what the repository attests of it. Records of
    /// other groups, and what can't be read, count for nothing. `verify` tells whether a signature over a message was made
    /// with the key of an OpenSSH line.
    #[must_use]
    pub fn of<'a>(
        group: GroupId,
        now: Timestamp,
        control: impl IntoIterator<Item = (&'a str, &'a [u8], Attestation)>,
        verify: &dyn Fn(&str, &[u8], &str) -> bool,
    ) -> Self {
        let (mut genesis, mut name) = (None, None);
        let (mut policies, mut records) = (Vec::new(), Vec::new());
        for (slot, bytes, attested) in control {
            let Ok((of, record)) = Record::decode(bytes) else { continue };
            if of != group {
                continue;
            }
            let (digest, place) = (Digest::of(bytes), record.slot(group, 0));
            match record {
                // There is one slot for it, so there is one pin, for ever.
                Record::Group(record) if slot == place.as_str() => {
                    (genesis, name) = (record.roster_genesis, Some(record.name));
                }
                Record::Policy(record) => policies.push((digest, record, attested)),
                Record::Roster(record) => records.push((digest, record, attested)),
                _ => {}
            }
        }
        let policies = PolicyChain::resolve(policies.iter().map(|(d, r, a)| (*d, r, a)));
        let chain =
            RosterChain::resolve(records.iter().map(|(d, r, a)| (*d, r, a)), group, genesis, now, verify);
        Self { group, name, now, genesis, chain, policies, records }
    }

    /// What counts at another time, of the same records: a version that waits takes effect without being read again.
    #[must_use]
    pub fn chain_at(&self, now: Timestamp, verify: &dyn Fn(&str, &[u8], &str) -> bool) -> RosterChain {
        let records = self.records.iter().map(|(digest, record, attested)| (*digest, record, attested));
        RosterChain::resolve(records, self.group, self.genesis, now, verify)
    }

    /// A roster's record, whether it counts or not.
    #[must_use]
    pub fn record(&self, digest: Digest) -> Option<&RosterRecord> {
        self.records.iter().find(|(of, ..)| *of == digest).map(|(_, record, _)| record)
    }

    /// Why a record would not count if it were written now; none if it would.
    #[must_use]
    pub fn why_not(&self, record: &RosterRecord, verify: Verify<'_>) -> Option<String> {
        let digest = Digest::of(&Record::Roster(record.clone()).encode(self.group));
        let attested =
            Attestation { creator: dkm_core::Principal::default(), created: self.now, template_ok: true };
        let next = [(digest, record, &attested)];
        let all = self.records.iter().map(|(digest, record, attested)| (*digest, record, attested));
        let chain = RosterChain::resolve(all.chain(next), self.group, self.genesis, self.now, verify);
        chain.ignored().iter().find(|(of, _)| *of == digest).map(|(_, why)| why.clone())
    }
}

impl Engine {
    /// Reads all replicas, and resolves what they hold.
    pub(crate) fn rosters(&self, verify: Verify<'_>) -> Result<Rosters> {
        self.refresh(Need::Fresh)?;
        let now = self.parts.clock.now();
        let mut genesis = None;
        let mut records = Vec::new();
        let (policies, name) = {
            let state = self.state();
            for seen in state.member.records().filter(|seen| seen.room == Room::Control) {
                match &seen.record {
                    // There is one slot for it, so there is one pin, for ever.
                    Record::Group(group) if seen.name == seen.record.slot(self.group, 0) => {
                        genesis = group.roster_genesis;
                    }
                    Record::Roster(roster) => {
                        records.push((seen.digest, roster.clone(), seen.attested.clone()));
                    }
                    _ => {}
                }
            }
            (state.member.ring().policies.clone(), state.member.ring().name.clone())
        };
        let all = records.iter().map(|(digest, record, attested)| (*digest, record, attested));
        let chain = RosterChain::resolve(all, self.group, genesis, now, verify);
        Ok(Rosters { group: self.group, name, now, genesis, chain, policies, records })
    }

    /// Writes the next version, if it counts.
    pub(crate) fn set_roster(&self, roster: &RosterRecord, verify: Verify<'_>) -> Result<RosterVersion> {
        let record = Record::Roster(roster.clone());
        let bytes = record.encode(self.group);
        Record::decode(&bytes).map_err(|error| Error::Invalid(format!("the roster can't be: {error}")))?;
        let digest = Digest::of(&bytes);
        let before = self.rosters(verify)?;
        self.must_own(WHAT)?;
        let counts = |rosters: &Rosters| {
            rosters.chain.versions().iter().find(|version| version.digest == digest).cloned()
        };
        if let Some(version) = counts(&before) {
            return Ok(version);
        }
        if before.genesis.is_none() {
            return Err(refused(
                WHAT,
                "the group was made without a roster, and gets none later",
                "make a group with one (dkm group create --roster FILE), and re-protect into it",
            ));
        }
        if roster.previous != before.chain.tips() {
            return Err(refused(
                WHAT,
                "it does not follow the last version that the group has",
                "propose it anew (dkm roster propose), and have it signed again",
            ));
        }
        if let Some(why) = before.why_not(roster, verify) {
            return Err(refused(
                WHAT,
                why,
                "have those sign who are missing: dkm roster sign; dkm roster show names them",
            ));
        }
        self.record(EventKind::RosterSet, None, None, |event| {
            event.detail = Some(format!("version {}", roster.version));
        })?;
        let mut after = None;
        for attempt in 0..ATTEMPTS {
            let slot = SlotName::for_chained("roster", &roster.previous, attempt);
            let put = self.put_everywhere(&record, &slot)?;
            let read = self.rosters(verify)?;
            // What took the slot need not count: then the next one is as good.
            let goes_on = put != Put::Created && read.chain.tips() == before.chain.tips();
            after = Some(read);
            if !goes_on {
                break;
            }
        }
        after.as_ref().and_then(counts).ok_or_else(|| {
            refused(
                WHAT,
                "another version was written at the same time",
                "look at it (dkm roster show), and propose yours anew",
            )
        })
    }
}
