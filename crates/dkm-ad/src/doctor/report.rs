//! What a look at a domain found.

use std::time::Duration;

use serde::Serialize;

/// What a check came to, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing, and nothing to do.
    Note,
    /// It could not be looked at; the words say why.
    NotChecked,
    /// It works, and something should be done.
    Warning,
    /// It is not safe as it is, or does not work.
    Wrong,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Domain controllers: those of the URL, those of the domain, and read-only ones.
    Controllers,
    /// How long a change takes from one domain controller to the others.
    Convergence,
    /// The group's policy beside what was measured.
    Policy,
    /// How long reading goes on after a removal.
    LockOut,
    /// What the schema makes of the attributes and the class that DKM uses.
    Schema,
    /// How long deleted objects stay.
    Deleted,
    /// Whether reading a key is recorded.
    Auditing,
    /// The group's key objects.
    Keys,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub area: Area,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What to do.
    pub advice: Option<String>,
}

/// A domain controller of the URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControllerFacts {
    /// Its name in the URL.
    pub host: String,
    /// Its site.
    pub site: Option<String>,
    /// The id of its database, by which it counts as a replica.
    pub invocation_id: Option<String>,
    /// What it runs, as its account says.
    pub software: Option<String>,
    /// `domainControllerFunctionality`, MS-ADTS §3.1.1.3.2.25.
    pub functional_level: Option<u32>,
    /// Whether it takes no changes.
    pub read_only: Option<bool>,
    /// Whether it says that it has caught up with its partners.
    pub synchronized: Option<bool>,
    /// How far its clock is ahead of this machine's, in milliseconds; it tells whole seconds.
    pub clock_ahead_ms: Option<i64>,
    /// How long connecting and signing in took, in milliseconds.
    pub sign_in_ms: Option<u64>,
    /// How long one request took, in milliseconds.
    pub answer_ms: Option<u64>,
    /// Why it was not looked at.
    pub error: Option<String>,
}

/// What came of a probe on its way from one domain controller to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    /// It was there this long after it was asked for, in milliseconds: creating and looking included, so not less.
    SeenAfterMs(u64),
    /// It was not there after this long, in milliseconds. No word on how long it takes.
    NotSeenForMs(u64),
    /// Nobody could look.
    Unknown(String),
}

/// A probe's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The domain controller on which it was made.
    pub from: String,
    /// The one on which it was looked for.
    pub to: String,
    /// What came of it.
    pub arrival: Arrival,
}

/// How long a change takes to all domain controllers of the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Convergence {
    /// Every ordered pair that was tried.
    pub ways: Vec<Way>,
    /// The slowest way, in milliseconds; only if every probe was seen, on every domain controller of the URL.
    pub slowest_ms: Option<u64>,
    /// Why nothing was measured.
    pub not_measured: Option<String>,
    /// Whether that is so because this account may not, though it was wanted.
    #[serde(skip)]
    pub(super) denied: bool,
}

impl Convergence {
    /// The slowest way on which a probe was seen, in milliseconds, whatever became of others.
    #[must_use]
    pub fn slowest_seen_ms(&self) -> Option<u64> {
        let seen = |way: &Way| match way.arrival {
            Arrival::SeenAfterMs(took) => Some(took),
            _ => None,
        };
        self.ways.iter().filter_map(seen).max()
    }

    /// The longest that a probe was looked for in vain, in milliseconds: replication takes longer than that now.
    #[must_use]
    pub fn more_than_ms(&self) -> Option<u64> {
        let longest = |way: &Way| match way.arrival {
            Arrival::NotSeenForMs(ms) => Some(ms),
            _ => None,
        };
        self.ways.iter().filter_map(longest).max()
    }
}

/// How long reading goes on after an account was taken out of the readers group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockOut {
    /// What is left of this account's ticket-granting ticket, in milliseconds.
    pub tgt_left_ms: Option<u64>,
    /// What is left of its longest service ticket for a domain controller, in milliseconds.
    pub service_ticket_left_ms: Option<u64>,
    /// The longest interval between two readings of a client, in milliseconds.
    pub refresh_ms: Option<u64>,
    /// The slowest replication that was measured, in milliseconds.
    pub convergence_ms: Option<u64>,
    /// What goes on for how long, case by case.
    pub cases: Vec<Case>,
}

/// What an account still has when it is removed, and how long that goes on reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// What it has.
    pub has: &'static str,
    /// How long it reads, in milliseconds, with the tickets that this account has; none if a part was not measured.
    pub reads_for_ms: Option<u64>,
    /// What that is made of.
    pub because: String,
}

/// What it all comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Nothing is wrong in what could be looked at.
    NothingWrong,
    /// Nothing is wrong in what could be looked at, and this account may not measure what was to be compared.
    NotMeasured,
    /// A domain controller of the URL does not answer, or a probe did not arrive in time.
    Unavailable,
    /// Something is wrong.
    Wrong,
}

/// What a look at a domain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The repository.
    pub repository: String,
    /// The group whose policy and objects were looked at.
    pub group: Option<String>,
    /// The SID of the account that looked.
    pub account: Option<String>,
    /// The domain controllers of the URL.
    pub controllers: Vec<ControllerFacts>,
    /// How long changes take between them.
    pub convergence: Convergence,
    /// How long reading goes on after a removal.
    pub lock_out: LockOut,
    /// Everything that was looked at, in the order of areas.
    pub checks: Vec<Check>,
    /// What it all comes to.
    pub conclusion: Conclusion,
}

/// Checks as they are made.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) checks: Vec<Check>,
}

impl Draft {
    fn add(&mut self, area: Area, verdict: Verdict, what: String, advice: Option<String>) {
        let check = Check { area, verdict, what, advice };
        if !self.checks.contains(&check) {
            self.checks.push(check);
        }
    }

    pub(super) fn good(&mut self, area: Area, what: impl Into<String>) {
        self.add(area, Verdict::Good, what.into(), None);
    }

    pub(super) fn note(&mut self, area: Area, what: impl Into<String>, advice: impl Into<String>) {
        self.add(area, Verdict::Note, what.into(), Some(advice.into()));
    }

    pub(super) fn warning(&mut self, area: Area, what: impl Into<String>, advice: impl Into<String>) {
        self.add(area, Verdict::Warning, what.into(), Some(advice.into()));
    }

    pub(super) fn wrong(&mut self, area: Area, what: impl Into<String>, advice: impl Into<String>) {
        self.add(area, Verdict::Wrong, what.into(), Some(advice.into()));
    }

    /// Something that could not be looked at, and why; then what would help.
    pub(super) fn not_checked(
        &mut self,
        area: Area,
        what: &str,
        why: impl std::fmt::Display,
        advice: impl Into<String>,
    ) {
        self.add(area, Verdict::NotChecked, format!("{what}: {why}"), Some(advice.into()));
    }

    /// The checks in the order of areas, within each as they were made.
    pub(super) fn finish(mut self) -> Vec<Check> {
        self.checks.sort_by_key(|check| check.area);
        self.checks
    }
}

/// A time span in whole milliseconds.
pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
