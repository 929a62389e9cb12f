//! Points in time for people and programs: always UTC, as RFC 3339 writes it.

use dkm_core::Timestamp;

use crate::duration;

/// RFC 3339 to the millisecond, for JSON.
pub(crate) fn precise(at: Timestamp) -> String {
    jiff_time(at).map_or_else(|| "far future".to_owned(), |t| format!("{t:.3}"))
}

/// RFC 3339 to the second, for people.
pub(crate) fn second(at: Timestamp) -> String {
    jiff_time(at).map_or_else(|| "far future".to_owned(), |t| format!("{t:.0}"))
}

/// How far `at` is from `now`: "in 3h" or "3h ago".
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("in {}", duration::about(at.since(now)))
    } else {
        format!("{} ago", duration::about(now.since(at)))
    }
}

/// The system's time.
pub(crate) fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}

fn jiff_time(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_never_fail() {
        assert_eq!(precise(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(second(Timestamp(1_700_000_000_999)), "2023-11-14T22:13:20Z");
        assert_eq!(precise(Timestamp::MAX), "far future");
        assert_eq!(relative(Timestamp(5000), Timestamp(2000)), "in 3.0 s");
        assert_eq!(relative(Timestamp(0), Timestamp(7_200_000)), "2h ago");
    }
}
