//! The chain of a group's policies: which versions count, and the policy in force.

use std::collections::{BTreeMap, BTreeSet};

use super::Policy;
use crate::id::Digest;
use crate::record::PolicyRecord;
use crate::slot::Attestation;
use crate::time::Timestamp;

/// One version that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Digest of its record.
    pub digest: Digest,
    /// Its number.
    pub version: u32,
    /// When the repository took it.
    pub created: Timestamp,
    /// Who wrote it, as the repository says.
    pub author: String,
    /// Its policy, before it is combined with siblings.
    pub policy: Policy,
}

/// The versions of a policy that count, and what they come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChain {
    versions: Vec<PolicyVersion>,
    heads: Vec<Digest>,
    effective: Option<Policy>,
    ignored: Vec<(Digest, String)>,
}

impl PolicyChain {
    /// Resolves a set of policy records, in any order, to the policy in force.
    ///
    /// A version counts when every version it follows counts, its number is one more than the highest of them, its
    /// record's access control is as it must be, and its author is an owner according to the versions it follows.
    /// Versions that nothing follows are the heads; several heads combine to the more restrictive.
    #[must_use]
    pub fn resolve<'a>(
        records: impl IntoIterator<Item = (Digest, &'a PolicyRecord, &'a Attestation)>,
    ) -> Self {
        let mut order: Vec<_> = records.into_iter().collect();
        order.sort_by_key(|(digest, record, attested)| {
            (record.version, *digest, attested.created, &attested.creator, !attested.template_ok)
        });
        let mut counted: BTreeMap<Digest, PolicyVersion> = BTreeMap::new();
        let mut followed: BTreeSet<Digest> = BTreeSet::new();
        let mut ignored = BTreeMap::new();
        for (digest, record, attested) in order {
            if counted.contains_key(&digest) {
                continue;
            }
            if let Err(why) = judge(&counted, record, attested) {
                ignored.insert(digest, why);
                continue;
            }
            // A record that is there twice counts if it counts by either word of the repository.
            ignored.remove(&digest);
            followed.extend(&record.previous);
            counted.insert(
                digest,
                PolicyVersion {
                    digest,
                    version: record.version,
                    created: attested.created,
                    author: attested.creator.0.clone(),
                    policy: record.policy.clone(),
                },
            );
        }
        let heads: Vec<Digest> = counted.keys().filter(|d| !followed.contains(d)).copied().collect();
        let effective = heads
            .iter()
            .filter_map(|d| counted.get(d).map(|v| v.policy.clone()))
            .reduce(|a, b| a.restrict(&b))
            .map(Policy::settled);
        let mut versions: Vec<PolicyVersion> = counted.into_values().collect();
        versions.sort_by_key(|v| (v.version, v.created, v.digest));
        Self { versions, heads, effective, ignored: ignored.into_iter().collect() }
    }

    /// The policy in force; none while no first version has been read.
    #[must_use]
    pub fn effective(&self) -> Option<&Policy> {
        self.effective.as_ref()
    }

    /// The versions that nothing follows, sorted: a new version names them all.
    #[must_use]
    pub fn heads(&self) -> &[Digest] {
        &self.heads
    }

    /// The number for the next version.
    #[must_use]
    pub fn next_version(&self) -> u32 {
        self.versions.iter().map(|v| v.version).max().unwrap_or(0).saturating_add(1)
    }

    /// All versions that count, by number.
    #[must_use]
    pub fn versions(&self) -> &[PolicyVersion] {
        &self.versions
    }

    /// The activation delay that a key made at `created` must respect: the shortest among the versions that its creator
    /// could have known, so that a policy changed later does not disown keys made under an earlier one.
    #[must_use]
    pub fn activation_delay_required_ms(&self, created: Timestamp) -> Option<u64> {
        self.known_at(created).map(|policy| policy.activation_delay_ms).min()
    }

    /// The versions that the author of a record which the repository took at `created` could have known to be in force.
    pub(crate) fn known_at(&self, created: Timestamp) -> impl Iterator<Item = &Policy> {
        let known = self.versions.iter().filter(move |v| {
            let p = &v.policy;
            let lag = p.refresh_interval_max_ms() + p.replication_bound_ms + p.creation_margin_ms();
            let replaced = self.versions.iter().filter(|w| w.version > v.version).map(|w| w.created).min();
            v.created <= created.plus(p.clock_skew_ms) && replaced.is_none_or(|at| created <= at.plus(lag))
        });
        known.map(|v| &v.policy)
    }

    /// Records that do not count, and why.
    #[must_use]
    pub fn ignored(&self) -> &[(Digest, String)] {
        &self.ignored
    }
}

fn judge(
    counted: &BTreeMap<Digest, PolicyVersion>,
    record: &PolicyRecord,
    attested: &Attestation,
) -> Result<(), String> {
    if !attested.template_ok {
        return Err("its access control is not the template's".to_owned());
    }
    let mut highest = 0;
    for previous in &record.previous {
        let Some(version) = counted.get(previous) else {
            return Err(format!("it follows {previous}, which is missing or does not count"));
        };
        if version.policy.owners.as_ref().is_some_and(|owners| !owners.contains(&attested.creator.0)) {
            return Err(format!(
                "its author {} is not an owner in version {}",
                attested.creator, version.version
            ));
        }
        highest = highest.max(version.version);
    }
    if record.version == highest.saturating_add(1) {
        Ok(())
    } else {
        Err(format!("it is numbered {} but follows {highest}", record.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::GroupId;
    use crate::record::Record;
    use crate::slot::Principal;

    fn attested(creator: &str, ms: u64) -> Attestation {
        Attestation { creator: Principal(creator.to_owned()), created: Timestamp(ms), template_ok: true }
    }

    fn version(
        version: u32,
        previous: &[Digest],
        change: impl FnOnce(&mut Policy),
    ) -> (Digest, PolicyRecord) {
        let mut policy = Policy::for_directory();
        change(&mut policy);
        let mut previous = previous.to_vec();
        previous.sort_unstable();
        let record = PolicyRecord { version, previous, created_at_ms: 0, policy };
        (Digest::of(&Record::Policy(record.clone()).encode(GroupId([1; 16]))), record)
    }

    #[test]
    fn a_chain_ends_in_its_last_version_whatever_the_order() {
        let a = attested("uid:0", 1);
        let (d1, v1) = version(1, &[], |_| {});
        let (d2, v2) = version(2, &[d1], |p| p.chunk_size = 4 << 10);
        for order in [vec![(d1, &v1, &a), (d2, &v2, &a)], vec![(d2, &v2, &a), (d1, &v1, &a)]] {
            let chain = PolicyChain::resolve(order);
            assert_eq!(chain.effective().unwrap().chunk_size, 4 << 10);
            assert_eq!((chain.heads(), chain.next_version()), ([d2].as_slice(), 3));
        }
    }

    #[test]
    fn siblings_combine_to_the_more_restrictive_until_a_version_follows_both() {
        let a = attested("uid:0", 1);
        let (d1, v1) = version(1, &[], |_| {});
        let (d2, v2) = version(2, &[d1], |p| p.unprotect_suites = vec![1, 2]);
        let (d3, v3) = version(2, &[d1], |p| p.offline_grace_ms /= 2);
        let chain = PolicyChain::resolve([(d1, &v1, &a), (d2, &v2, &a), (d3, &v3, &a)]);
        let both = chain.effective().unwrap();
        assert_eq!(
            (both.unprotect_suites.as_slice(), both.offline_grace_ms),
            ([1, 2].as_slice(), v3.policy.offline_grace_ms)
        );
        assert_eq!(chain.heads().len(), 2);

        let (d4, v4) = version(3, &[d2, d3], |p| p.chunk_size = 16 << 10);
        let chain = PolicyChain::resolve([(d1, &v1, &a), (d2, &v2, &a), (d3, &v3, &a), (d4, &v4, &a)]);
        assert_eq!(chain.effective(), Some(&v4.policy));
    }

    #[test]
    fn gaps_foreign_authors_and_loose_access_control_do_not_count() {
        let root = attested("uid:0", 1);
        let (d1, v1) = version(1, &[], |p| p.owners = Some(vec!["uid:0".to_owned()]));
        let (d2, v2) = version(2, &[d1], |p| p.owners = None);
        let (d3, v3) = version(3, &[d2], |_| {});
        assert_eq!(PolicyChain::resolve([(d1, &v1, &root), (d3, &v3, &root)]).heads(), [d1]);

        let stranger = attested("uid:7", 1);
        let chain = PolicyChain::resolve([(d1, &v1, &root), (d2, &v2, &stranger), (d3, &v3, &root)]);
        assert_eq!(chain.heads(), [d1]);
        assert_eq!(chain.ignored().len(), 2);

        let loose = Attestation { template_ok: false, ..root.clone() };
        assert_eq!(PolicyChain::resolve([(d1, &v1, &root), (d2, &v2, &loose)]).heads(), [d1]);
    }
}
