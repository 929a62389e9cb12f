//! Setting a group's policy, and what is checked before it is in force.

use dkm_core::policy::{Policy, PolicyError};
use dkm_core::record::{PolicyRecord, Record};
use dkm_core::{Digest, Principal, Room, SlotName};

use super::lifecycle::{ATTEMPTS, refused};
use super::{Engine, Need};
use crate::archive::parse_recipients;
use crate::journal::EventKind;
use crate::repository::Put;
use crate::{Error, Result};

/// How to go on if it is meant.
const MEANT: &str = "name it; if you mean it: dkm policy set --even-if-it-locks-me-out";

impl Engine {
    /// Whether a policy can be put in force, by this account and with what the repository is. Nothing is changed.
    pub(crate) fn check_policy(&self, policy: &Policy, even_if_locked_out: bool) -> Result<()> {
        self.check_first_policy(policy)?;
        self.refresh(Need::Fresh)?;
        self.must_own("setting the policy")?;
        if even_if_locked_out { Ok(()) } else { self.refuse_lock_out(policy) }
    }

    /// What can be checked of a policy before there is a group.
    ///
    /// # Errors
    /// Its numbers do not fit, no archive could be sealed to its recipients (a secret identity would be published), or it
    /// wants more replicas than there are.
    pub(super) fn check_first_policy(&self, policy: &Policy) -> Result<()> {
        policy.validate()?;
        if !policy.archive_recipients.is_empty() {
            parse_recipients(&policy.archive_recipients)?;
        }
        let replicas = self.parts.repository.replicas();
        if policy.replicas_needed(replicas) > replicas {
            return Err(Error::Policy(PolicyError::Field {
                field: "min_replicas",
                found: policy.min_replicas.to_string(),
                must: format!(
                    "at most {replicas}, as many as the repository has, or no key would ever be usable"
                ),
            }));
        }
        Ok(())
    }

    /// Refuses a policy that its own author could not change any more, or under which the key that protects would not.
    fn refuse_lock_out(&self, policy: &Policy) -> Result<()> {
        let what = "setting the policy";
        let owner = self.on_any_replica(|replica| Ok(replica.author(self.group, Room::Control)?))?;
        if let Some(owner) = owner.filter(|owner| leaves_out(policy.owners.as_ref(), owner)) {
            let why =
                format!("owners would not name {owner}, as whom you write: you could never change it again");
            return Err(refused(what, why, MEANT));
        }
        let now = self.parts.clock.now();
        let protecting = self.state().member.ring().protecting(now).next().cloned();
        if let Some(key) =
            protecting.filter(|key| leaves_out(policy.creators.as_ref(), &key.attested.creator))
        {
            let why = format!(
                "creators would not name {}, who made the key {} that protects: it would count for nothing at once",
                key.attested.creator,
                key.id()
            );
            return Err(refused(what, why, MEANT));
        }
        Ok(())
    }

    /// Puts a new version of the policy in force; returns its number.
    pub(crate) fn set_policy(&self, policy: Policy, even_if_locked_out: bool) -> Result<u32> {
        self.check_policy(&policy, even_if_locked_out)?;
        let heads = || self.state().member.ring().policies.heads().to_vec();
        let version = self.state().member.ring().policies.next_version();
        let previous = heads();
        let created_at_ms = self.parts.clock.now().0;
        let record =
            Record::Policy(PolicyRecord { version, previous: previous.clone(), created_at_ms, policy });
        let digest = Digest::of(&record.encode(self.group));
        self.record(EventKind::PolicySet, None, None, |event| {
            event.detail = Some(format!("version {version}"))
        })?;
        let mut put = Put::Taken;
        for attempt in 0..ATTEMPTS {
            put = self.put_everywhere(&record, &SlotName::for_chained("policy", &previous, attempt))?;
            // What took the slot need not count: then the next one is as good.
            if put == Put::Created || heads() != previous {
                break;
            }
        }
        if put != Put::Created {
            return Err(refused(
                "setting the policy",
                "another owner set one at the same time",
                "look at it (dkm policy show) and set yours again",
            ));
        }
        if self.state().member.ring().policies.heads().contains(&digest) {
            return Ok(version);
        }
        Err(refused(
            "setting the policy",
            format!("version {version} was written but does not count: {}", self.why_ignored(digest)),
            "the repository's word on its author or access control differs from the policy's owners; dkm doctor shows it",
        ))
    }

    fn why_ignored(&self, digest: Digest) -> String {
        let state = self.state();
        let ignored = state.member.ring().policies.ignored();
        ignored
            .iter()
            .find(|(d, _)| *d == digest)
            .map_or_else(|| "it was not read back".to_owned(), |(_, why)| why.clone())
    }
}

/// Whether a list of policy leaves somebody out, who then counts for nothing.
pub(super) fn leaves_out(names: Option<&Vec<String>>, who: &Principal) -> bool {
    names.is_some_and(|names| !names.contains(&who.0))
}
