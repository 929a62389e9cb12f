//! What would be changed, without changing anything.

use dkm::repository::{Repository as _, RepositoryError};
use dkm_core::GroupId;
use serde::Serialize;

use super::work::{Work, deviants};
use super::{Change, Deviant, Limits, RepairError, Task};
use crate::repository::AdRepository;

/// What would be changed on one domain controller, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The group's id.
    pub group: String,
    /// The domain controller.
    pub controller: String,
    /// The SID of the readers group.
    pub readers: String,
    /// The SIDs of the readers groups that would be replaced.
    pub replaced: Vec<String>,
    /// How many objects the group has.
    pub objects: usize,
    /// The objects that are not as they should be.
    pub deviants: Vec<Deviant>,
    /// Creators who are not in the new readers group, as far as this account sees it: they can't read what they make.
    pub creators_outside: Vec<String>,
    /// Objects whose descriptor this account may not read.
    pub unread: Vec<String>,
    /// The changes that lead there, each object once. Between the first and the last of them a client may see some
    /// objects changed and others not.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

impl Plan {
    /// The changes in LDIF (RFC 2849), for `ldapmodify`.
    #[must_use]
    pub fn ldif(&self) -> String {
        self.changes.iter().map(Change::ldif).collect::<Vec<_>>().join("\n")
    }
}

/// Plans it on the first domain controller that answers. Whoever may read the group's descriptors may plan.
///
/// # Errors
/// See [`RepairError`].
pub fn plan(
    repository: &AdRepository,
    group: GroupId,
    task: &Task,
    limits: Limits,
) -> Result<Plan, RepairError> {
    let mut last = None;
    for number in 0..repository.replicas() {
        match plan_on(repository, number, group, task, limits) {
            Err(RepairError::Repository(error @ RepositoryError::Unavailable { .. })) => last = Some(error),
            other => return other,
        }
    }
    Err(RepairError::Repository(last.unwrap_or_else(|| RepositoryError::Unavailable {
        location: repository.url(),
        why: "it has no domain controller".to_owned(),
    })))
}

fn plan_on(
    repository: &AdRepository,
    number: usize,
    group: GroupId,
    task: &Task,
    limits: Limits,
) -> Result<Plan, RepairError> {
    let mut work = Work::begin(repository, number, group, limits)?;
    let target = work.target(task)?;
    let creators_outside = work.creators_outside(&target)?;
    let (survey, settled) = (&work.survey, target.settled());
    let mut changes = Vec::new();
    if survey.trustees != settled {
        changes.push(Change::roles(&survey.control, &settled));
    }
    let mut unread = survey.unseen.clone();
    for object in &survey.objects {
        match object.deviations(&settled, limits.refusals) {
            None => unread.push(object.dn.clone()),
            Some(deviations) if deviations.is_empty() => {}
            Some(_) => {
                let template = object.template(&settled, limits.refusals);
                changes.push(Change::dacl(&object.dn, &template, &settled.domain)?);
            }
        }
    }
    Ok(Plan {
        group: group.to_string(),
        controller: repository.shared().place(number),
        readers: target.readers.to_string(),
        replaced: target.former.iter().map(ToString::to_string).collect(),
        objects: survey.objects.len(),
        deviants: deviants(survey, &target, limits),
        creators_outside,
        unread,
        changes,
    })
}
