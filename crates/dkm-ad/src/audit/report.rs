//! What an audit found.

use std::fmt;

use serde::{Serialize, Serializer};

use super::kind::{NOT_SEARCHED, PathKind};
use crate::security::Sid;

/// How many objects a finding names; the others are counted.
const NAMED_MAX: usize = 3;

/// Who stands at the beginning of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Principal {
    /// Its SID; none if this account may not read it.
    pub sid: Option<Sid>,
    /// Its short name, or what it is known as. A hint: names can be changed.
    pub name: String,
    /// Its class and what else may help to recognise it. A hint, and no more.
    pub hint: String,
}

/// What a principal is to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A person, or a trustee that nobody expects: not in the list of services.
    Unexpected,
    /// Always in control of the domain, below any access control: can take ownership, which leaves a trace.
    BelowAcl,
    /// An elevator, by the rights that its role has: it can let in whom it will, and is trusted not to.
    Elevator,
    /// A temporary account that an elevator let in, which can't sign in any more: it reads by tickets until they end.
    Temporary,
    /// A group in which nobody is now; whoever is put into it has the path.
    Empty,
    /// An account in the list of services.
    Service,
}

/// How far a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Reads keys as things are.
    Reads,
    /// Can let itself read them, or have members protect with keys that it knows.
    OneStep,
    /// Can do something that it should not, without coming to read keys by it.
    Other,
}

/// One path, or several alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Which kind of path it is.
    pub kind: PathKind,
    /// What its holder is.
    pub class: Class,
    /// How far it leads.
    pub effect: Effect,
    /// Whose path it is.
    pub who: Principal,
    /// What that principal may do.
    pub what: String,
    /// Through which groups, from the outermost to the innermost; empty if it is named itself.
    pub through: Vec<String>,
    /// To how many objects this applies.
    pub count: usize,
    /// The first of these objects, by distinguished name.
    pub objects: Vec<String>,
}

impl Finding {
    /// Whether it shows that a person or an unexpected trustee can come to read keys.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.class == Class::Unexpected && self.effect != Effect::Other
    }

    fn is_alike(&self, other: &Self) -> bool {
        (self.kind, self.class, self.effect, &self.who, &self.what, &self.through)
            == (other.kind, other.class, other.effect, &other.who, &other.what, &other.through)
    }
}

/// Something that the audit should have looked at, and could not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unchecked {
    /// The kind of path that may be there.
    pub kind: PathKind,
    /// What was not looked at.
    pub what: String,
    /// Why not.
    pub because: String,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything was looked at, and nobody but services and those always in control has a path.
    NoPath,
    /// No such path, but something could not be looked at: nothing is proved.
    Incomplete,
    /// A person or an unexpected trustee has a path.
    Paths,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPath => "no path of kinds A–K found",
            Self::Incomplete => "no path found in what could be read, which was not all",
            Self::Paths => "a person or an unexpected trustee has a path to the keys",
        })
    }
}

/// What an audit found, on one domain controller at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The group's id.
    pub group: String,
    /// The domain controller that was asked.
    pub controller: String,
    /// The readers group, by the SID that stands in the descriptors.
    pub readers: Principal,
    /// Where the readers group is now; none if this account does not see it.
    pub readers_dn: Option<String>,
    /// Who signed the list of services; none if nobody did.
    pub services_signed_by: Option<String>,
    /// The paths, failures first.
    pub findings: Vec<Finding>,
    /// What could not be looked at: the audit is incomplete.
    pub unchecked: Vec<Unchecked>,
    /// What no audit looks at.
    pub not_searched: Vec<&'static str>,
    /// What it comes to.
    pub verdict: Verdict,
}

impl Report {
    /// The findings that show that somebody can read who should not.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_failure())
    }
}

/// A report in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    findings: Vec<Finding>,
    unchecked: Vec<Unchecked>,
}

impl Draft {
    /// Notes a path; the same path to another object is counted.
    pub(super) fn add(&mut self, finding: Finding) {
        match self.findings.iter_mut().find(|known| known.is_alike(&finding)) {
            Some(known) => {
                for object in finding.objects {
                    if known.objects.contains(&object) {
                        continue;
                    }
                    known.count += 1;
                    if known.objects.len() < NAMED_MAX {
                        known.objects.push(object);
                    }
                }
            }
            None => {
                let mut finding = finding;
                finding.objects.truncate(NAMED_MAX);
                self.findings.push(finding);
            }
        }
    }

    /// Notes what could not be looked at.
    pub(super) fn unchecked(&mut self, kind: PathKind, what: impl Into<String>, because: impl Into<String>) {
        let unchecked = Unchecked { kind, what: what.into(), because: because.into() };
        if !self.unchecked.contains(&unchecked) {
            self.unchecked.push(unchecked);
        }
    }

    /// The findings, the unchecked, and what they come to.
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<Unchecked>, &'static [&'static str], Verdict) {
        self.findings.sort_by(|a, b| (!a.is_failure(), a).cmp(&(!b.is_failure(), b)));
        self.unchecked.sort();
        let verdict = if self.findings.iter().any(Finding::is_failure) {
            Verdict::Paths
        } else if self.unchecked.is_empty() {
            Verdict::NoPath
        } else {
            Verdict::Incomplete
        };
        (self.findings, self.unchecked, NOT_SEARCHED, verdict)
    }
}

/// A SID in its usual text.
impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(class: Class, effect: Effect, object: &str) -> Finding {
        let who = Principal { sid: Some(Sid::SYSTEM), name: "x".to_owned(), hint: String::new() };
        let (what, through) = ("reads".to_owned(), Vec::new());
        let objects = vec![object.to_owned()];
        Finding { kind: PathKind::B, class, effect, who, what, through, count: 1, objects }
    }

    #[test]
    fn paths_alike_are_one_finding() {
        let mut draft = Draft::default();
        for object in ["a", "b", "c", "d", "a"] {
            draft.add(finding(Class::Unexpected, Effect::Reads, object));
        }
        draft.add(finding(Class::Service, Effect::Reads, "a"));
        let (findings, ..) = draft.finish();
        assert_eq!(findings.len(), 2);
        assert_eq!((findings[0].count, findings[0].objects.len()), (4, NAMED_MAX));
    }

    #[test]
    fn a_finding_of_thousands_of_objects_names_a_few() {
        let mut draft = Draft::default();
        let objects: Vec<String> = (0..1000).map(|number| format!("key {number}")).collect();
        draft.add(Finding { count: 1000, objects, ..finding(Class::Service, Effect::Reads, "") });
        let (findings, ..) = draft.finish();
        assert_eq!((findings[0].count, findings[0].objects.len()), (1000, NAMED_MAX));
    }

    #[test]
    fn what_was_not_looked_at_is_never_clean() {
        let verdict = |class, effect, unchecked: bool| {
            let mut draft = Draft::default();
            draft.add(finding(class, effect, "a"));
            if unchecked {
                draft.unchecked(PathKind::I, "the domain", "it may not be read");
            }
            draft.finish().3
        };
        assert_eq!(verdict(Class::Service, Effect::Reads, false), Verdict::NoPath);
        assert_eq!(verdict(Class::BelowAcl, Effect::OneStep, false), Verdict::NoPath);
        assert_eq!(verdict(Class::Unexpected, Effect::Other, false), Verdict::NoPath);
        assert_eq!(verdict(Class::Service, Effect::Reads, true), Verdict::Incomplete);
        assert_eq!(verdict(Class::Unexpected, Effect::OneStep, true), Verdict::Paths);
    }
}
