//! The policy record: one version of a group's policy and what it follows.

use minicbor::{Decode, Encode};

use super::check_sorted;
use crate::id::Digest;
use crate::policy::Policy;

/// Most versions that one policy or roster may follow at once.
pub(super) const PREVIOUS_MAX: usize = 16;

/// One version of a group's policy.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PolicyRecord {
    /// 1 for the first, otherwise one more than the versions it follows.
    #[n(0)]
    pub version: u32,
    /// Digests of the records that this one follows: sorted; none for version 1; several when it settles siblings.
    #[n(1)]
    pub previous: Vec<Digest>,
    /// When its author says it was made, in milliseconds since the epoch: a hint.
    #[n(2)]
    pub created_at_ms: u64,
    /// The policy.
    #[n(3)]
    pub policy: Policy,
}

impl PolicyRecord {
    pub(super) fn check(&self) -> Result<(), String> {
        check_chain(self.version, &self.previous)?;
        self.policy.validate().map_err(|e| e.to_string())
    }
}

pub(super) fn check_chain(version: u32, previous: &[Digest]) -> Result<(), String> {
    check_sorted("predecessors", previous)?;
    if previous.len() > PREVIOUS_MAX {
        return Err(format!("{} predecessors, the limit is {PREVIOUS_MAX}", previous.len()));
    }
    match (version, previous.is_empty()) {
        (0, _) => Err("version 0".to_owned()),
        (1, true) | (2.., false) => Ok(()),
        (1, false) => Err("version 1 names a predecessor".to_owned()),
        (_, true) => Err(format!("version {version} names no predecessor")),
    }
}
