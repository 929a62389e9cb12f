//! Names of objects, and the values in which the directory keeps times and ids.

use dkm_core::{SlotName, Timestamp};

/// A value inside of a distinguished name, RFC 4514 §2.4.
pub(crate) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let escape = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if escape {
            text.push('\\');
        }
        if c.is_control() {
            let mut buffer = [0u8; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                text.push_str(&format!("\\{byte:02x}"));
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// The name of an object's parent: what follows the first comma that is not escaped, RFC 4514 §2.4.
pub(crate) fn parent(dn: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in dn.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => return dn.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// An object by its id rather than its name: it is found after it was moved or renamed. MS-ADTS §3.1.1.3.1.2.4.
pub(crate) fn by_guid(guid: &[u8; 16]) -> String {
    let hex: String = guid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<GUID={hex}>")
}

/// The slot of a record object. When two objects of one name meet, replication renames one to
/// `name\nCNF:<guid>`; its slot is the one that both were made for, which `displayName` tells. An object whose name and
/// `displayName` are at odds otherwise is nobody's record.
pub(crate) fn slot(name: &str, display_name: &str) -> Option<SlotName> {
    const CONFLICT: &str = "\nCNF:";
    let agreed = match name.split_once(CONFLICT) {
        // The name is cut to make room for the mark.
        Some((rest, _)) => display_name.starts_with(rest),
        None => name == display_name,
    };
    agreed.then(|| display_name.parse().ok()).flatten()
}

/// A time as the directory writes it: `20261124225345.0Z`, with whole seconds. MS-ADTS §3.1.1.2.2.2.5.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let (digits, rest) = text.split_at_checked(14)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !rest.ends_with('Z') {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<i8>().ok());
    let year = digits.get(..4)?.parse::<i16>().ok()?;
    let time = jiff::civil::DateTime::new(
        year,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        // A leap second is the last of its minute.
        part(12, 14)?.min(59),
        0,
    )
    .ok()?;
    let at = jiff::tz::Offset::UTC.to_timestamp(time).ok()?.as_millisecond();
    u64::try_from(at).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_where_they_would_end_a_name() {
        assert_eq!(escaped("plain name"), "plain name");
        assert_eq!(escaped(" a,b=c\\ "), "\\ a\\,b\\=c\\\\\\ ");
        assert_eq!(escaped("#1"), "\\#1");
        assert_eq!(escaped("a\nb"), "a\\0ab");
    }

    #[test]
    fn parents_begin_after_the_first_comma_that_is_not_escaped() {
        assert_eq!(parent("CN=a,DC=b,DC=c"), Some("DC=b,DC=c"));
        assert_eq!(parent("CN=a\\,b\\\\,DC=c"), Some("DC=c"));
        assert_eq!(parent("CN=a\\0ACNF:6f1c,DC=c"), Some("DC=c"));
        assert_eq!(parent("DC=c"), None);
    }

    #[test]
    fn conflict_twins_are_in_the_same_slot() {
        let long = format!("key-{}", "0".repeat(60));
        assert_eq!(slot("key-1", "key-1").unwrap().as_str(), "key-1");
        assert_eq!(slot("key-1\nCNF:6f1c", "key-1").unwrap().as_str(), "key-1");
        assert_eq!(slot(&format!("{}\nCNF:6f1c", &long[..30]), &long).unwrap().as_str(), long);
        assert_eq!(slot("key-1", "key-2"), None);
        assert_eq!(slot("key-1\nCNF:6f1c", "other"), None);
        assert_eq!(slot("Key 1", "Key 1"), None);
    }

    #[test]
    fn times_are_read() {
        assert_eq!(timestamp("19700101000001.0Z"), Some(Timestamp(1_000)));
        assert_eq!(timestamp("20261124225345.0Z"), Some(Timestamp(1_795_560_825_000)));
        for odd in
            ["", "2026", "20261324225345.0Z", "20261124225345.0", "2026112422534xZ", "ä20261124225345.0Z"]
        {
            assert_eq!(timestamp(odd), None, "{odd}");
        }
    }
}
