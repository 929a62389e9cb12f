//! Text that people decide by: what they can't see, or would misread, has no place in it.

/// Whether a character could hide something or show it in another order (Unicode UAX #9, UTS #36): controls, line breaks,
/// directional and joining marks, invisible and private characters.
#[must_use]
pub const fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}'
        | '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{2800}' | '\u{E000}'..='\u{F8FF}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{10FFFF}')
}

/// Text of others as it can be shown to people: each character that could hide something, move a terminal's cursor or show
/// text in another order is replaced by its name, such as `<U+202E>`.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) { out.push_str(&format!("<{}>", escape(c))) } else { out.push(c) }
    }
    out
}

/// The name of a character that can't be shown.
pub(crate) fn escape(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// Bytes as one word that stands for nothing else: quoted where they are plain text, hexadecimal where not.
pub(crate) fn word(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| is_deceptive(c) || c == '"' || c == '\\') => format!("\"{text}\""),
        _ => bytes.iter().fold("hex:".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    }
}

/// What [`word`] wrote.
pub(crate) fn unword(word: &str) -> Option<Vec<u8>> {
    if let Some(text) = word.strip_prefix('"') {
        return text.strip_suffix('"').map(|text| text.as_bytes().to_vec());
    }
    let digits = word.strip_prefix("hex:")?.as_bytes();
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_or_turns_text_is_deceptive() {
        for c in ['\n', '\r', '\t', '\u{202E}', '\u{200B}', '\u{2066}', '\u{FEFF}', '\u{E0041}', '\u{AD}'] {
            assert!(is_deceptive(c), "{}", escape(c));
        }
        for c in ['a', ' ', 'é', 'ß', '中', 'ع', '→', '€', '😀'] {
            assert!(!is_deceptive(c), "{}", escape(c));
        }
        assert_eq!(escape('\u{202E}'), "U+202E");
    }

    #[test]
    fn what_is_shown_moves_no_cursor_and_turns_no_text() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202E}c\r\n"), "a<U+001B>[2Jb<U+202E>c<U+000D><U+000A>");
        assert_eq!(shown("Grüße, 中 😀"), "Grüße, 中 😀");
    }

    #[test]
    fn words_are_read_one_way() {
        assert_eq!(word(b"alice@example.org"), "\"alice@example.org\"");
        assert_eq!(word(b"hex:00"), "\"hex:00\"");
        assert_eq!(word(b"a\"b"), "hex:612262");
        assert_eq!(word(b"\xFF"), "hex:ff");
    }

    proptest! {
        #[test]
        fn different_bytes_are_different_words(all: Vec<Vec<u8>>) {
            let words: BTreeMap<String, &Vec<u8>> = all.iter().map(|bytes| (word(bytes), bytes)).collect();
            for bytes in &all {
                prop_assert_eq!(words[&word(bytes)], bytes);
                prop_assert_eq!(&unword(&word(bytes)).unwrap(), bytes);
            }
        }
    }
}
