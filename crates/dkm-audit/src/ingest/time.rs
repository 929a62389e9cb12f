//! Times as other systems write them.

use dkm_core::Timestamp;

/// RFC 3339, also without the colon in its offset, as Samba writes it.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let with_colon = |text: &str| {
        let (head, minutes) = text.split_at_checked(text.len().checked_sub(2)?)?;
        Some(format!("{head}:{minutes}"))
    };
    let parsed = text.parse::<jiff::Timestamp>().ok().or_else(|| with_colon(text)?.parse().ok())?;
    u64::try_from(parsed.as_millisecond()).ok().map(Timestamp)
}

/// RFC 3339 to the millisecond, in UTC.
pub(super) fn format(at: Timestamp) -> String {
    let time = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "far future".to_owned(), |time| format!("{time:.3}"))
}
