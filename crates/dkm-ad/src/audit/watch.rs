//! Auditing again and again, and telling what changed.

use dkm::repository::{Repository as _, RepositoryError};
use dkm_core::GroupId;
use serde::Serialize;

use super::report::{Finding, Report, Unchecked};
use super::services::Services;
use crate::ldap::Search;
use crate::repository::AdRepository;

/// A difference between two audits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Change {
    /// A path that was not there before.
    Appeared(Finding),
    /// A path that is there no more.
    Vanished(Finding),
    /// Something that could be looked at before.
    NotChecked(Unchecked),
    /// Something that can be looked at again.
    Checked(Unchecked),
    /// The readers group has another name or place, or another group is the readers group.
    ReadersMoved {
        /// Its SID and where it was.
        from: String,
        /// Its SID and where it is.
        to: String,
    },
}

impl Change {
    /// Whether a person or an unexpected trustee can read who could not before.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Appeared(finding) if finding.is_failure())
    }

    /// What changed from one audit to another.
    #[must_use]
    pub fn between(before: &Report, after: &Report) -> Vec<Self> {
        let mut changes = Vec::new();
        let place = |report: &Report| {
            let sid = report.readers.sid.map(|sid| sid.to_string()).unwrap_or_default();
            format!("{sid} {}", report.readers_dn.as_deref().unwrap_or("(not seen)"))
        };
        let (from, to) = (place(before), place(after));
        if from != to {
            changes.push(Self::ReadersMoved { from, to });
        }
        let new = |all: &[Finding], than: &[Finding]| -> Vec<Finding> {
            all.iter().filter(|finding| !than.contains(finding)).cloned().collect()
        };
        changes.extend(new(&after.findings, &before.findings).into_iter().map(Self::Appeared));
        changes.extend(new(&before.findings, &after.findings).into_iter().map(Self::Vanished));
        let new = |all: &[Unchecked], than: &[Unchecked]| -> Vec<Unchecked> {
            all.iter().filter(|unchecked| !than.contains(unchecked)).cloned().collect()
        };
        changes.extend(new(&after.unchecked, &before.unchecked).into_iter().map(Self::NotChecked));
        changes.extend(new(&before.unchecked, &after.unchecked).into_iter().map(Self::Checked));
        changes
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Appeared(finding) => write!(f, "+ {finding}"),
            Self::Vanished(finding) => write!(f, "- {finding}"),
            Self::NotChecked(unchecked) => {
                write!(
                    f,
                    "? {}  {}: not checked, because {}",
                    unchecked.kind, unchecked.what, unchecked.because
                )
            }
            Self::Checked(unchecked) => {
                write!(f, "! {}  {}: can be checked again", unchecked.kind, unchecked.what)
            }
            Self::ReadersMoved { from, to } => write!(f, "~ the readers group was {from}, and is {to}"),
        }
    }
}

/// What one round of a watch saw.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Round {
    /// The first: everything that there is.
    First(Box<Report>),
    /// Nothing was written to the domain controller since, so nothing was read.
    Quiet,
    /// Something was written: these differences came of it, often none.
    Changed {
        /// The differences.
        changes: Vec<Change>,
        /// The state that they lead to.
        report: Box<Report>,
    },
}

/// Audits of one group, one after the other.
#[derive(Debug)]
pub struct Watch {
    repository: AdRepository,
    group: GroupId,
    services: Services,
    last: Option<(Report, String)>,
}

impl Watch {
    /// A watch that has seen nothing yet.
    #[must_use]
    pub fn new(repository: AdRepository, group: GroupId, services: Services) -> Self {
        Self { repository, group, services, last: None }
    }

    /// Looks once. A domain controller to which nothing was written since the last round costs one small request.
    ///
    /// # Errors
    /// As [`audit`](super::audit). The next round compares with the last one that went well.
    pub fn round(&mut self) -> Result<Round, RepositoryError> {
        let mut last = None;
        for number in 0..self.repository.replicas() {
            match self.round_on(number) {
                Err(error @ RepositoryError::Unavailable { .. }) => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| RepositoryError::Unavailable {
            location: self.repository.url(),
            why: "it has no domain controller".to_owned(),
        }))
    }

    fn round_on(&mut self, number: usize) -> Result<Round, RepositoryError> {
        // Read before the audit: what is written in between is looked at in the next round.
        let state = self.state(number)?;
        if self.last.as_ref().is_some_and(|(_, seen)| *seen == state) {
            return Ok(Round::Quiet);
        }
        let report = super::audit_on(&self.repository, number, self.group, &self.services)?;
        let before = self.last.replace((report.clone(), state));
        let report = Box::new(report);
        Ok(match before {
            None => Round::First(report),
            Some((before, _)) => Round::Changed { changes: Change::between(&before, &report), report },
        })
    }

    /// Which domain controller this is, and how far its numbering of changes has come. Signing in may count as one.
    fn state(&self, number: usize) -> Result<String, RepositoryError> {
        let shared = self.repository.shared();
        let mut connection = self.repository.raw(number)?;
        let root = connection
            .find(&Search::base("", vec!["dsServiceName", "highestCommittedUSN"]))
            .map_err(|error| shared.error(number, "the directory's root", &error))?;
        let text = |name| root.as_ref().and_then(|root| root.text(name)).unwrap_or_default();
        match text("highestCommittedUSN") {
            "" => Err(shared.odd(number, "it does not number its changes")),
            usn => Ok(format!("{} {usn}", text("dsServiceName"))),
        }
    }
}
