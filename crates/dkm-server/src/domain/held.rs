//! What was read of a domain's groups, for as long as it may be believed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dkm::Rosters;
use dkm_core::GroupId;

use super::Domain;
use crate::problem::Problem;

/// What was read this short a time ago is not read again.
const FRESH: Duration = Duration::from_secs(1);
/// What was read longer ago decides nothing: a request reads when it begins, and is over by then.
const USABLE: Duration = Duration::from_secs(60);

/// A domain, and what was read of its groups.
#[derive(Debug)]
pub(crate) struct Held {
    domain: Arc<dyn Domain>,
    groups: Mutex<BTreeMap<GroupId, (Arc<Rosters>, Instant)>>,
}

impl Held {
    pub(crate) fn new(domain: Arc<dyn Domain>) -> Self {
        Self { domain, groups: Mutex::default() }
    }

    pub(crate) fn domain(&self) -> Arc<dyn Domain> {
        Arc::clone(&self.domain)
    }

    fn read_within(&self, group: GroupId, age: Duration) -> Option<Arc<Rosters>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(&group).filter(|(_, at)| at.elapsed() < age).map(|(rosters, _)| Arc::clone(rosters))
    }

    /// Reads a group anew, unless that was done just now. Waits for a domain controller.
    ///
    /// # Errors
    /// There is no such group, or it can't be read; what was read before does not count any more if it was decided so.
    pub(crate) fn freshen(&self, group: GroupId) -> Result<(), Problem> {
        if self.read_within(group, FRESH).is_some() {
            return Ok(());
        }
        let began = Instant::now();
        let read = self.domain.rosters(group);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(rosters) => {
                // A slower reading that began before does not replace it.
                if groups.get(&group).is_none_or(|(_, at)| *at <= began) {
                    groups.insert(group, (Arc::new(rosters), began));
                }
                Ok(())
            }
            Err(problem) => {
                groups.remove(&group);
                Err(problem)
            }
        }
    }

    /// What was read of a group.
    ///
    /// # Errors
    /// Nothing was, or too long ago.
    pub(crate) fn rosters(&self, group: GroupId) -> Result<Arc<Rosters>, Problem> {
        self.read_within(group, USABLE).ok_or_else(|| {
            Problem::unavailable(format!(
                "what is in force in group {group} was not read from its domain just now"
            ))
        })
    }
}
