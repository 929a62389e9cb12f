//! A report for people.

use std::fmt;

use dkm_core::Timestamp;

use super::report::{Area, Check, Conclusion, Report, Verdict};

/// How much of a text from the directory is told.
const TEXT_MAX: usize = 300;

/// A text from the directory on one line: what others wrote must not draw on a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect()
}

/// About how long, in one or two units.
pub(super) fn about(ms: u64) -> String {
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{minutes} min {} s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Exactly how long, as `dkm policy set` reads it.
pub(super) fn exact(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// A point in time, as RFC 3339 writes it, to the second.
pub(super) fn at(when: Timestamp) -> String {
    let time = i64::try_from(when.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "far future".to_owned(), |time| format!("{time:.0}"))
}

impl Verdict {
    /// In one or two words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::NotChecked => "not checked",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

impl Area {
    /// The heading under which checks of this kind stand.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Controllers => "DOMAIN CONTROLLERS",
            Self::Convergence => "CONVERGENCE: how long a change takes from one to the other",
            Self::Policy => "THE GROUP'S POLICY, beside what was measured",
            Self::LockOut => {
                "LOCK-OUT: how long reading goes on after a removal, with the tickets of this account"
            }
            Self::Schema => "SCHEMA",
            Self::Deleted => "DELETED OBJECTS",
            Self::Auditing => "RECORDING OF READS",
            Self::Keys => "KEY OBJECTS OF THE GROUP",
        }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingWrong => "nothing is wrong in what could be looked at",
            Self::NotMeasured => "nothing is wrong in what could be looked at; replication was not measured",
            Self::Unavailable => "not every domain controller answered, or not every probe arrived",
            Self::Wrong => "something is wrong",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<11}  {}", self.verdict.as_str(), self.what)?;
        match &self.advice {
            Some(advice) if advice != "nothing" => write!(f, "\n{:15}help: {advice}", ""),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "repository  {}", self.repository)?;
        if let Some(group) = &self.group {
            writeln!(f, "group       {group}")?;
        }
        if let Some(account) = &self.account {
            writeln!(f, "account     {account}")?;
        }
        let mut area = None;
        for check in &self.checks {
            if area.replace(check.area) != Some(check.area) {
                writeln!(f, "\n{}", check.area.heading())?;
            }
            writeln!(f, "{check}")?;
        }
        let number = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        writeln!(
            f,
            "\nwrong: {}, warnings: {}, not checked: {}\n{}",
            number(Verdict::Wrong),
            number(Verdict::Warning),
            number(Verdict::NotChecked),
            self.conclusion
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units_and_commands_exactly() {
        assert_eq!(about(7), "7 ms");
        assert_eq!(about(4_321), "4.3 s");
        assert_eq!(about(61_500), "1 min 1 s");
        assert_eq!(about(36_000_000), "10 h 0 min");
        assert_eq!(about(90_000_000), "1 d 1 h");
        assert_eq!((exact(12_000), exact(1_500), exact(0)), ("12s".into(), "1500ms".into(), "0s".into()));
    }

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(plain("a\u{1b}[31mb\nc"), "a [31mb c");
        assert_eq!(plain(&"x".repeat(1000)).len(), TEXT_MAX);
    }
}
