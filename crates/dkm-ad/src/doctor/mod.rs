//! What a domain is like for DKM: its domain controllers, how long changes and removals take in it, its schema, what it
//! keeps of deleted objects, and what it records.
//!
//! [`examine`] looks with what the account that runs it may read, and says of everything else why it was not looked at.
//! What it measures it measures with probes: objects that it makes in the repository's container and deletes again. A
//! number that was not measured is never given. Secrets are not read.

mod auditing;
mod controllers;
mod convergence;
mod dc;
mod deleted;
mod keys;
mod lockout;
mod metadata;
mod policy;
mod probe;
mod report;
mod schema;
mod sites;
mod text;
mod vector;

use std::collections::BTreeMap;
use std::time::Duration;

use dkm::repository::{Repository as _, RepositoryError};
use dkm_core::GroupId;
use dkm_core::policy::{Policy, Wrap};

pub use policy::SAFETY_FACTOR;
pub use report::{
    Area, Arrival, Case, Check, Conclusion, ControllerFacts, Convergence, LockOut, Report, Verdict, Way,
};

use self::dc::Dc;
use self::report::Draft;
use crate::repository::AdRepository;

/// A group whose policy and objects are looked at, too.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The group.
    pub group: GroupId,
    /// What it is called, as a shell reads it: it stands in advice.
    pub name: String,
    /// Its policy in force.
    pub policy: Policy,
}

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long probes are waited for; none: none are made.
    pub probe_timeout: Option<Duration>,
    /// The group that is looked at beside the domain.
    pub subject: Option<Subject>,
}

/// Looks at a domain.
///
/// # Errors
/// No domain controller of the URL lets this account in. What else fails stands in the report.
pub fn examine(repository: &AdRepository, options: &Options) -> Result<Report, RepositoryError> {
    let mut draft = Draft::default();
    let (facts, dcs): (Vec<_>, Vec<_>) = dc::sign_in_to_all(repository).into_iter().unzip();
    let mut dcs: Vec<Dc> = dcs.into_iter().flatten().collect();
    if dcs.is_empty() {
        let whys: Vec<String> = facts
            .iter()
            .map(|facts| format!("{}: {}", facts.host, facts.error.as_deref().unwrap_or("no answer")))
            .collect();
        let why = format!("no domain controller lets this account in: {}", whys.join("; "));
        return Err(RepositoryError::Unavailable { location: repository.url(), why });
    }
    let subject = options.subject.as_ref();
    let policy = subject.map(|subject| &subject.policy);
    let wrapped = policy.is_some_and(|policy| policy.wrap == Wrap::RootKey);
    controllers::of_the_url(&facts, &dcs, policy.map(|policy| policy.clock_skew_ms), &mut draft);
    let missing: Vec<&str> =
        facts.iter().filter(|facts| facts.error.is_some()).map(|facts| facts.host.as_str()).collect();
    let convergence = convergence::measure(repository, &mut dcs, &missing, options.probe_timeout, &mut draft);
    let refresh_ms = policy.map(Policy::refresh_interval_max_ms);
    let lock_out = lockout::look(repository, &dcs, &convergence, refresh_ms, &mut draft);
    if let Some(subject) = subject {
        policy::compare(subject, &convergence, &mut draft);
    }
    let named: Vec<Vec<u8>> = dcs.iter().map(|dc| dc.service.to_ascii_lowercase().into_bytes()).collect();
    let hosts: BTreeMap<[u8; 16], String> =
        dcs.iter().filter_map(|dc| Some((dc.invocation?, dc.host.clone()))).collect();
    let account = dcs.first().map(|dc| dc.account.to_string());
    // What is the same on all is asked of the first: a writable one, if there is one.
    dcs.sort_by_key(|dc| dc.read_only);
    if let Some(dc) = dcs.first_mut() {
        let schema = schema::look(dc, &mut draft);
        let kept_from = (schema.kept_from_read_only, wrapped);
        sites::look(dc, &facts, subject, &mut draft);
        controllers::of_the_domain(dc, &facts, &named, kept_from, &mut draft);
        deleted::look(dc, wrapped, &mut draft);
        let rooms = match subject {
            Some(subject) => group(repository, dc, subject, &hosts, &mut draft),
            None => Vec::new(),
        };
        auditing::look(dc, &rooms, &mut draft);
    }
    let checks = draft.finish();
    let conclusion = conclude(&facts, &convergence, &checks, subject.is_some());
    Ok(Report {
        repository: repository.url(),
        group: subject.map(|subject| format!("{} ({})", subject.name, subject.group)),
        account,
        controllers: facts,
        convergence,
        lock_out,
        checks,
        conclusion,
    })
}

/// Looks at a group's objects; returns its rooms.
fn group(
    repository: &AdRepository,
    dc: &mut Dc,
    subject: &Subject,
    hosts: &BTreeMap<[u8; 16], String>,
    draft: &mut Draft,
) -> Vec<keys::Room> {
    let rooms = match keys::rooms(dc, &repository.location().container_dn(), subject.group) {
        Ok(rooms) => rooms,
        Err(why) => {
            draft.not_checked(Area::Keys, "the group's rooms", why, "run it again");
            return Vec::new();
        }
    };
    keys::look(dc, &rooms, hosts, draft);
    rooms
}

fn conclude(
    facts: &[ControllerFacts],
    convergence: &Convergence,
    checks: &[Check],
    compares: bool,
) -> Conclusion {
    let arrived = convergence.ways.iter().all(|way| matches!(way.arrival, Arrival::SeenAfterMs(_)));
    if checks.iter().any(|check| check.verdict == Verdict::Wrong) {
        Conclusion::Wrong
    } else if facts.iter().any(|facts| facts.error.is_some()) || !arrived {
        Conclusion::Unavailable
    } else if compares && convergence.denied {
        Conclusion::NotMeasured
    } else {
        Conclusion::NothingWrong
    }
}
