//! What a temporary account says of itself, in its `description`: the directory alone tells what it is for.

use dkm_core::{GroupId, RequestId, Timestamp};

/// What the description begins with. The number is the version.
const HEAD: &str = "dkm temporary access 1: ";
/// What descriptions of any version begin with.
const ANY: &str = "dkm temporary access ";
/// Ends the description of an account that is being made.
const MAKING: &str = ", being made";

/// What a temporary account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) group: GroupId,
    pub(crate) request: RequestId,
    /// When the access ends, in whole seconds.
    pub(crate) until: Timestamp,
    /// When it was begun to be made.
    pub(crate) made: Timestamp,
    /// Whether its tickets were given out, and it was disabled.
    pub(crate) is_finished: bool,
}

/// A time for people and for parsing; none beyond the year 9999.
pub(crate) fn shown(at: Timestamp) -> Option<String> {
    let second = i64::try_from(at.0 / 1000).ok()?;
    jiff::Timestamp::from_second(second).ok().map(|at| at.to_string())
}

fn read(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

impl Mark {
    /// The description; none for times that can't be written.
    pub(super) fn to_text(self) -> Option<String> {
        let Self { group, request, until, made, is_finished } = self;
        let (until, made) = (shown(until)?, shown(made)?);
        let state = if is_finished { "" } else { MAKING };
        Some(format!("{HEAD}grant {request}, group {group}, until {until}, made {made}{state}"))
    }

    /// Reads a description; none if it is not of this kind and version.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix(HEAD)?;
        let (text, is_finished) = text.strip_suffix(MAKING).map_or((text, true), |text| (text, false));
        let mut parts = text.split(", ");
        let mut next = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix(' ');
        let request = next("grant")?.parse().ok()?;
        let group = next("group")?.parse().ok()?;
        let (until, made) = (read(next("until")?)?, read(next("made")?)?);
        parts.next().is_none().then_some(Self { group, request, until, made, is_finished })
    }

    /// When the access ends.
    pub(crate) fn until_for_people(self) -> String {
        shown(self.until).unwrap_or_default()
    }

    /// Whether a description is one of another version of this program, which is not for this one to judge.
    pub(super) fn is_foreign(text: &str) -> bool {
        text.starts_with(ANY) && Self::read(text).is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mark_reads_as_a_sentence() {
        let mark = Mark {
            group: GroupId([1; 16]),
            request: RequestId([2; 16]),
            until: Timestamp(1_764_423_081_000),
            made: Timestamp(1_764_423_000_000),
            is_finished: false,
        };
        assert_eq!(
            mark.to_text().unwrap(),
            "dkm temporary access 1: grant 02020202-0202-0202-0202-020202020202, group \
             01010101-0101-0101-0101-010101010101, until 2025-11-29T13:31:21Z, made 2025-11-29T13:30:00Z, being made"
        );
        for other in ["", "a person", "dkm temporary access 1: grant x", "dkm temporary access 1: "] {
            assert_eq!(Mark::read(other), None);
        }
        let text = mark.to_text().unwrap();
        assert_eq!(Mark::read(&format!("{text}, and more")), None);
        assert!(Mark::is_foreign("dkm temporary access 2: whatever") && !Mark::is_foreign("a person"));
        assert!(!Mark::is_foreign(&text));
        assert_eq!(Mark { until: Timestamp::MAX, ..mark }.to_text(), None);
    }

    proptest! {
        #[test]
        fn marks_read_back(group: [u8; 16], request: [u8; 16], until in 0u64..250_000_000_000, made in 0u64..250_000_000_000, is_finished: bool) {
            let mark = Mark {
                group: GroupId(group),
                request: RequestId(request),
                until: Timestamp(until * 1000),
                made: Timestamp(made * 1000),
                is_finished,
            };
            prop_assert_eq!(Mark::read(&mark.to_text().unwrap()), Some(mark));
        }
    }
}
