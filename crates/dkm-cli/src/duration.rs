//! Durations as people write them: `90d`, `1h30m`, `500ms`.

use dkm_core::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

const UNITS: [(&str, u64); 6] =
    [("w", 7 * DAY_MS), ("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];

/// Shortest interval between two looks at the same thing, in milliseconds.
const INTERVAL_MS_MIN: u64 = 100;

/// Reads the interval between two looks at the same thing; the result is in milliseconds.
pub(crate) fn interval(text: &str) -> Result<u64, String> {
    let interval_ms = parse(text)?;
    if interval_ms < INTERVAL_MS_MIN {
        return Err(format!("{text:?} is shorter than {}", format(INTERVAL_MS_MIN)));
    }
    Ok(interval_ms)
}

/// Reads a duration; the result is in milliseconds.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("{text:?} is not a duration: expected numbers with units, such as 90d, 1h30m or 500ms");
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total_ms = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit_ms = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(wrong)?.1;
        rest = rest[letters..].trim_start();
        total_ms = number
            .checked_mul(unit_ms)
            .and_then(|part_ms| total_ms.checked_add(part_ms))
            .ok_or_else(|| format!("{text:?} is too long"))?;
    }
    Ok(total_ms)
}

/// Writes a duration exactly, so that [`parse`] reads the same.
pub(crate) fn format(ms: u64) -> String {
    let mut out = String::new();
    let mut rest = ms;
    // Weeks are read, not written: "13w" says less than "91d".
    for (unit, unit_ms) in &UNITS[1..] {
        let count = rest / unit_ms;
        rest %= unit_ms;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
        }
    }
    if out.is_empty() { "0".to_owned() } else { out }
}

/// Writes about how long it is, in one or two units.
pub(crate) fn about(ms: u64) -> String {
    let unit_ms = UNITS[1..].iter().map(|(_, unit_ms)| *unit_ms).find(|unit_ms| ms >= *unit_ms).unwrap_or(1);
    // Two units at most: the second one is the next smaller.
    let grain_ms = match unit_ms {
        DAY_MS => HOUR_MS,
        HOUR_MS => MINUTE_MS,
        MINUTE_MS => SECOND_MS,
        SECOND_MS => 100,
        _ => 1,
    };
    if unit_ms == SECOND_MS {
        let tenths = ms / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    // From ten days on, hours say nothing.
    let grain_ms = if ms >= 10 * DAY_MS { DAY_MS } else { grain_ms };
    format(ms - ms % grain_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [
            ("0", 0),
            ("500ms", 500),
            ("1h30m", 90 * MINUTE_MS),
            ("90d", 90 * DAY_MS),
            ("2w", 14 * DAY_MS),
            ("1d 2h", 26 * HOUR_MS),
            ("1s1ms", 1001),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
            assert_eq!(parse(&format(ms)), Ok(ms), "{text}");
        }
        assert_eq!(format(90 * DAY_MS), "90d");
        assert_eq!(format(5_400_000), "1h30m");
        assert_eq!(format(0), "0");
    }

    #[test]
    fn what_is_no_duration_says_what_is() {
        for text in ["", " ", "90", "d", "1x", "1h30", "-1d", "1.5h", "h1", "99999999999999999999d"] {
            assert!(parse(text).unwrap_err().contains("90d"), "{text}");
        }
        assert!(parse("999999999999999999d").unwrap_err().contains("too long"));
    }

    #[test]
    fn about_keeps_to_two_units() {
        assert_eq!(about(DAY_MS + HOUR_MS + MINUTE_MS), "1d1h");
        assert_eq!(about(45 * DAY_MS + 5 * HOUR_MS), "45d");
        assert_eq!(about(4321), "4.3 s");
        assert_eq!(about(61_500), "1m1s");
        assert_eq!(about(7), "7ms");
    }
}
