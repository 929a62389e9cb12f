//! A report for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::kind::PathKind;
use super::report::{Class, Effect, Finding, Report};

/// In which order classes are told, and under which headings.
const SECTIONS: [(Class, &str); 6] = [
    (Class::Unexpected, "PERSONS AND UNEXPECTED TRUSTEES"),
    (Class::Elevator, "ELEVATORS: can let in anybody, themselves too, for as long as they like"),
    (Class::Temporary, "TEMPORARY ACCOUNTS, let in by an elevator"),
    (Class::Empty, "GROUPS WITHOUT MEMBERS: whoever is put into one has the path"),
    (Class::BelowAcl, "BELOW ACCESS CONTROL: can take ownership, which leaves a trace"),
    (Class::Service, "SERVICES, by the list"),
];

impl Class {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::BelowAcl => "below-acl",
            Self::Elevator => "elevator",
            Self::Temporary => "temporary",
            Self::Empty => "empty",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.kind, self.who.name)?;
        if let Some(sid) = self.who.sid
            && sid.to_string() != self.who.name
        {
            write!(f, " ({sid})")?;
        }
        write!(f, " {}", self.what)?;
        if !self.through.is_empty() {
            write!(f, ", through {}", self.through.join(" > "))?;
        }
        if self.effect == Effect::Other {
            f.write_str(" [reads no key by it]")?;
        }
        write!(f, "\n     on {}", self.objects.join("\n        "))?;
        let more = self.count.saturating_sub(self.objects.len());
        if more > 0 { write!(f, "\n        and {more} more") } else { Ok(()) }
    }
}

/// Those who always have control have nearly every path: each is one line. Copies of the directory are told in full.
fn below(f: &mut fmt::Formatter<'_>, findings: &[&Finding]) -> fmt::Result {
    let mut kinds: BTreeMap<(&str, String), BTreeSet<PathKind>> = BTreeMap::new();
    let (copies, others): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().copied().partition(|finding| finding.kind == PathKind::J);
    for finding in others {
        let sid = finding.who.sid.map(|sid| sid.to_string()).unwrap_or_default();
        kinds.entry((&finding.who.name, sid)).or_default().insert(finding.kind);
    }
    for ((name, sid), kinds) in kinds {
        let kinds: Vec<&str> = kinds.into_iter().map(PathKind::letter).collect();
        writeln!(f, "  {name} ({sid}): {}", kinds.join(" "))?;
    }
    copies.iter().try_for_each(|finding| writeln!(f, "  {finding}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "group     {}\nasked     {}", self.group, self.controller)?;
        let readers = self.readers_dn.as_deref().unwrap_or("not seen by this account");
        let sid = self.readers.sid.map(|sid| sid.to_string()).unwrap_or_default();
        writeln!(f, "readers   {sid}, {readers}")?;
        match &self.services_signed_by {
            Some(signer) => writeln!(f, "services  listed by {signer}")?,
            None => writeln!(f, "services  no signed list")?,
        }
        for (class, heading) in SECTIONS {
            let those: Vec<_> = self.findings.iter().filter(|finding| finding.class == class).collect();
            if !those.is_empty() {
                writeln!(f, "\n{heading}")?;
            }
            if class == Class::BelowAcl {
                below(f, &those)?;
            } else {
                those.iter().try_for_each(|finding| writeln!(f, "  {finding}"))?;
            }
        }
        if !self.unchecked.is_empty() {
            writeln!(f, "\nNOT CHECKED")?;
            for unchecked in &self.unchecked {
                writeln!(
                    f,
                    "  {}  {}: not checked, because {}",
                    unchecked.kind, unchecked.what, unchecked.because
                )?;
            }
        }
        writeln!(f, "\nNOT SEARCHED BY ANY AUDIT")?;
        self.not_searched.iter().try_for_each(|what| writeln!(f, "  -  {what}"))?;
        writeln!(f, "\n{}", self.verdict)
    }
}
