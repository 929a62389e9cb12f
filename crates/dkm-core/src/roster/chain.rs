//! The chain of a group's rosters: which versions count, from when, and the roster in force.

use std::collections::{BTreeMap, BTreeSet};

use super::Roster;
use crate::id::{Digest, GroupId};
use crate::record::RosterRecord;
use crate::slot::Attestation;
use crate::time::Timestamp;

/// One version that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterVersion {
    /// Digest of its record.
    pub digest: Digest,
    /// Its number.
    pub version: u32,
    /// Digests of the versions that it follows, sorted; none for the genesis.
    pub previous: Vec<Digest>,
    /// When the repository took it.
    pub created: Timestamp,
    /// Who put it there, as the repository says. The signatures count, not he.
    pub author: String,
    /// From when it is in force.
    pub effective_at: Timestamp,
    /// What it says, before it is combined with siblings.
    pub roster: Roster,
}

/// The versions of a roster that count, and what they come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RosterChain {
    versions: Vec<RosterVersion>,
    now: Timestamp,
    in_force: Vec<Digest>,
    tips: Vec<Digest>,
    effective: Option<Roster>,
    ignored: Vec<(Digest, String)>,
}

impl RosterChain {
    /// Resolves a set of roster records, in any order, to the roster in force at `now`.
    ///
    /// `genesis` is the pinned digest of version 1. Without it no version counts: an owner could otherwise plant a
    /// roster of his own. `verify` tells whether a signature over a message was made with the key of an OpenSSH line.
    ///
    /// A version counts when its record's access control is as it must be; every version it follows counts, none of
    /// which follows another; its number is one more than the highest of them; and its signatures satisfy the levels
    /// of **each** of them, counting different people that stand there, each with a key that he has there. That a
    /// version which settles siblings satisfies each, not their combination, leaves a way out where the combination
    /// can be satisfied by nobody.
    ///
    /// A version takes effect `change_delay_ms` of the version it follows after the repository took it, or after that
    /// version took effect, if it had not yet. Siblings made while one of them waits take effect together, with the
    /// last of them, and combine to the more restrictive: whoever objects to a change has time to say so. A sibling
    /// made after another took effect is too late and does not count, so that those who were removed cannot come back
    /// to the version that named them.
    #[must_use]
    pub fn resolve<'a>(
        records: impl IntoIterator<Item = (Digest, &'a RosterRecord, &'a Attestation)>,
        group: GroupId,
        genesis: Option<Digest>,
        now: Timestamp,
        verify: &dyn Fn(&str, &[u8], &str) -> bool,
    ) -> Self {
        let mut order: Vec<_> = records.into_iter().collect();
        order.sort_by_key(|(digest, record, attested)| (record.version, attested.created, *digest));
        let mut counted = Counted::default();
        let mut ignored = BTreeMap::new();
        for siblings in order.chunk_by(|(_, a, _), (_, b, _)| a.version == b.version) {
            for (digest, record, attested) in siblings {
                if counted.versions.contains_key(digest) {
                    continue;
                }
                match counted.judge(*digest, record, attested, group, genesis, verify) {
                    Ok(()) => counted.take(*digest, record, attested),
                    Err(why) => {
                        ignored.insert(*digest, why);
                    }
                }
            }
            // What follows these is judged by when they take effect together.
            counted.hold_back();
        }
        // A record that two replicas attest differently counts if it counts by either word.
        ignored.retain(|digest, _| !counted.versions.contains_key(digest));
        counted.finish(now, ignored.into_iter().collect())
    }

    /// The roster in force; none before the genesis has been read, or without a pin.
    #[must_use]
    pub fn effective(&self) -> Option<&Roster> {
        self.effective.as_ref()
    }

    /// The versions in force, sorted by digest; more than one where siblings are combined.
    #[must_use]
    pub fn in_force(&self) -> &[Digest] {
        &self.in_force
    }

    /// The versions that nothing follows, in force or not, sorted: a new version names them all.
    #[must_use]
    pub fn tips(&self) -> &[Digest] {
        &self.tips
    }

    /// The number for the next version.
    #[must_use]
    pub fn next_version(&self) -> u32 {
        self.versions.iter().map(|v| v.version).max().unwrap_or(0).saturating_add(1)
    }

    /// All versions that count, by number.
    #[must_use]
    pub fn versions(&self) -> &[RosterVersion] {
        &self.versions
    }

    /// The versions that count but are not in force yet.
    pub fn pending(&self) -> impl Iterator<Item = &RosterVersion> {
        self.versions.iter().filter(|v| v.effective_at > self.now)
    }

    /// Records that do not count, and why, sorted by digest.
    #[must_use]
    pub fn ignored(&self) -> &[(Digest, String)] {
        &self.ignored
    }
}

/// The versions found to count so far, by number.
#[derive(Default)]
struct Counted {
    versions: BTreeMap<Digest, RosterVersion>,
    /// What follows a version.
    followers: BTreeMap<Digest, Vec<Digest>>,
    /// When that takes effect.
    replaced_at: BTreeMap<Digest, Timestamp>,
}

impl Counted {
    fn judge(
        &self,
        digest: Digest,
        record: &RosterRecord,
        attested: &Attestation,
        group: GroupId,
        genesis: Option<Digest>,
        verify: &dyn Fn(&str, &[u8], &str) -> bool,
    ) -> Result<(), String> {
        if !attested.template_ok {
            return Err("its access control is not the template's".to_owned());
        }
        let Some(genesis) = genesis else { return Err("the group pins no first roster".to_owned()) };
        if record.previous.is_empty() {
            let pinned = digest == genesis && record.version == 1;
            return if pinned {
                Ok(())
            } else {
                Err(format!("the group pins {genesis} as its first roster"))
            };
        }
        let mut highest = 0;
        for previous in &record.previous {
            let Some(version) = self.versions.get(previous) else {
                return Err(format!("it follows {previous}, which is missing or does not count"));
            };
            if self.leads_to(*previous, &record.previous) {
                return Err(format!("it follows {previous} and a version that follows that one"));
            }
            if self.replaced_at.get(previous).is_some_and(|at| *at < attested.created) {
                return Err(format!("it follows {previous}, which had been replaced when it was made"));
            }
            highest = highest.max(version.version);
        }
        if Some(record.version) != u32::checked_add(highest, 1) {
            return Err(format!("it is numbered {} but follows {highest}", record.version));
        }
        let message = record.signed_bytes(group);
        for previous in &record.previous {
            let Some(version) = self.versions.get(previous) else { continue };
            let signers = signers(&version.roster, record, &message, verify);
            if !version.roster.is_satisfied_by(&signers) {
                let missing: Vec<&str> =
                    version.roster.missing(&signers).map(|level| level.name.as_str()).collect();
                return Err(format!(
                    "its signatures do not satisfy version {}, level {}",
                    version.version,
                    if missing.is_empty() { "(it has none)".to_owned() } else { missing.join(", ") }
                ));
            }
        }
        Ok(())
    }

    /// Whether one of these versions follows `ancestor`, directly or through others.
    fn leads_to(&self, ancestor: Digest, versions: &[Digest]) -> bool {
        let mut open: Vec<Digest> = if versions.len() > 1 { versions.to_vec() } else { Vec::new() };
        let mut seen = BTreeSet::new();
        while let Some(version) = open.pop().and_then(|digest| self.versions.get(&digest)) {
            if version.previous.contains(&ancestor) {
                return true;
            }
            open.extend(version.previous.iter().filter(|digest| seen.insert(**digest)));
        }
        false
    }

    fn take(&mut self, digest: Digest, record: &RosterRecord, attested: &Attestation) {
        let effective_at = self.waited(&record.previous, attested.created);
        for previous in &record.previous {
            self.followers.entry(*previous).or_default().push(digest);
            let at = self.replaced_at.entry(*previous).or_insert(effective_at);
            *at = effective_at.max(*at);
        }
        self.versions.insert(
            digest,
            RosterVersion {
                digest,
                version: record.version,
                previous: record.previous.clone(),
                created: attested.created,
                author: attested.creator.0.clone(),
                effective_at,
                roster: Roster::from(record),
            },
        );
    }

    /// Lets siblings take effect with the last of them.
    ///
    /// One pass in the order of versions: what a version follows has a lower number and is settled before it. A version
    /// that settles siblings of different numbers can hold back one of them later; what follows that one waits anew.
    fn hold_back(&mut self) {
        let mut order: Vec<(u32, Digest)> = self.versions.values().map(|v| (v.version, v.digest)).collect();
        order.sort_unstable();
        for (_, digest) in order {
            let Some(version) = self.versions.get(&digest) else { continue };
            let previous = version.previous.clone();
            let siblings = previous.iter().filter_map(|p| self.followers.get(p)).flatten();
            let latest = siblings
                .filter_map(|sibling| self.versions.get(sibling))
                .map(|sibling| self.waited(&sibling.previous, sibling.created))
                .fold(version.effective_at, Timestamp::max);
            for followed in previous {
                let at = self.replaced_at.entry(followed).or_insert(latest);
                *at = latest.max(*at);
            }
            if let Some(version) = self.versions.get_mut(&digest) {
                version.effective_at = latest;
            }
        }
    }

    /// When a version has waited long enough. The delay runs from when the change could be seen, but not while what it
    /// changes is not in force itself: a change that shortens the delay would else let the next one overtake it.
    fn waited(&self, previous: &[Digest], created: Timestamp) -> Timestamp {
        let followed = || previous.iter().filter_map(|digest| self.versions.get(digest));
        let begin = followed().map(|v| v.effective_at).fold(created, Timestamp::max);
        begin.plus(followed().map(|v| v.roster.change_delay_ms).max().unwrap_or(0))
    }

    fn finish(self, now: Timestamp, ignored: Vec<(Digest, String)>) -> RosterChain {
        let mut versions: Vec<RosterVersion> = self.versions.into_values().collect();
        versions.sort_by_key(|v| (v.version, v.created, v.digest));
        let followed_by = |all: &mut dyn Iterator<Item = &RosterVersion>| -> BTreeSet<Digest> {
            all.flat_map(|v| v.previous.iter().copied()).collect()
        };
        let followed = followed_by(&mut versions.iter());
        let replaced = followed_by(&mut versions.iter().filter(|v| v.effective_at <= now));
        let mut tips: Vec<Digest> =
            versions.iter().map(|v| v.digest).filter(|d| !followed.contains(d)).collect();
        tips.sort_unstable();
        let heads: Vec<&RosterVersion> =
            versions.iter().filter(|v| v.effective_at <= now && !replaced.contains(&v.digest)).collect();
        let rosters: Vec<&Roster> = heads.iter().map(|v| &v.roster).collect();
        let effective = Roster::combine(&rosters);
        let mut in_force: Vec<Digest> = heads.iter().map(|v| v.digest).collect();
        in_force.sort_unstable();
        RosterChain { versions, now, in_force, tips, effective, ignored }
    }
}

/// The people of a roster whose signatures stand under a record, by id.
pub(super) fn signers<'a>(
    roster: &'a Roster,
    record: &RosterRecord,
    message: &[u8],
    verify: &dyn Fn(&str, &[u8], &str) -> bool,
) -> BTreeSet<&'a str> {
    let signed = |person: &&crate::record::Person| {
        record
            .signatures
            .iter()
            .filter(|signature| signature.person == person.id)
            .any(|signature| person.keys.iter().any(|key| verify(key, message, &signature.signature)))
    };
    roster.persons.iter().filter(signed).map(|person| person.id.as_str()).collect()
}
