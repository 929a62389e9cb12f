//! What a roster lets people ask for, and what more it takes than its levels.

use minicbor::{Decode, Encode};

use super::check_sorted;
use super::roster::{ApprovalLevel, check_levels};

/// Rules of elevated access. They stand in the roster, and change as it does: nobody loosens them alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ElevationRules {
    /// Longest grant, in milliseconds, counted from its activation; at least 1.
    #[n(0)]
    pub duration_max_ms: u64,
    /// A request that is not approved by then expires, in milliseconds; at least 1.
    #[n(1)]
    pub untouched_ms: u64,
    /// How long an approved request may wait for its activation, in milliseconds; at least 1.
    #[n(2)]
    pub activation_window_ms: u64,
    /// Ids of people who may end a grant, besides the approvers of its levels and whoever holds it; sorted.
    #[n(3)]
    pub revokers: Vec<String>,
    /// Levels on top of the roster's for *direct* access, where key material leaves; none: there is no such access. Not
    /// empty: whoever could read every key is looked at by more people.
    #[n(4)]
    pub direct: Option<Vec<ApprovalLevel>>,
    /// What holds in an emergency; none: there is no such way.
    #[n(5)]
    pub break_glass: Option<BreakGlass>,
}

/// Rules of access in an emergency: fewer people approve, and others review afterwards what was done.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BreakGlass {
    /// Levels in place of all others; not empty.
    #[n(0)]
    pub levels: Vec<ApprovalLevel>,
    /// Longest grant, in milliseconds, counted from its activation; at least 1.
    #[n(1)]
    pub duration_max_ms: u64,
    /// How long after its end it may be left without a review, in milliseconds. Whoever had it gets nothing more then.
    #[n(2)]
    pub review_within_ms: u64,
    /// Whether direct access can be had in an emergency, without the levels on top.
    #[n(3)]
    pub direct: bool,
}

impl ElevationRules {
    pub(super) fn check(&self, levels: &[ApprovalLevel], people: &[&str]) -> Result<(), String> {
        if [self.duration_max_ms, self.untouched_ms, self.activation_window_ms].contains(&0) {
            return Err("a time of the elevation rules is 0".to_owned());
        }
        check_sorted("revokers", &self.revokers)?;
        if let Some(stranger) = self.revokers.iter().find(|id| !people.contains(&id.as_str())) {
            return Err(format!("revoker {stranger:?} is not in the roster"));
        }
        if let Some(direct) = &self.direct {
            if direct.is_empty() {
                return Err("direct access needs a level of its own".to_owned());
            }
            // Beside the roster's: a signature names its level.
            check_levels(levels.iter().chain(direct), people)?;
        }
        if let Some(emergency) = &self.break_glass {
            if emergency.levels.is_empty() || emergency.duration_max_ms == 0 {
                return Err("an emergency needs a level of approval and a duration, too".to_owned());
            }
            if emergency.direct && self.direct.is_none() {
                return Err("direct access in an emergency, where there is none else".to_owned());
            }
            check_levels(emergency.levels.iter(), people)?;
        }
        Ok(())
    }
}
