//! Windows blobs as text: AD FS stores them as base64 in its settings (`EncryptedPfx`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm_core::windows::{WINDOWS_BLOB_LEN_MAX, is_windows_blob};

/// Longest text of a blob, in bytes: base64 with line breaks.
pub const WINDOWS_TEXT_LEN_MAX: usize = WINDOWS_BLOB_LEN_MAX / 2 * 3;

/// How many digits of base64 tell whether a Windows blob begins.
const DIGITS: usize = 16;

/// Whether bytes begin like a Windows blob, or like the base64 of one.
#[must_use]
pub fn begins_like_windows_blob(bytes: &[u8]) -> bool {
    if is_windows_blob(bytes) {
        return true;
    }
    let digits: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(DIGITS).collect();
    STANDARD.decode(digits).is_ok_and(|start| is_windows_blob(&start))
}

/// The blob of which these bytes are the base64, white space aside; the bytes themselves if they are not.
#[must_use]
pub fn without_base64(bytes: &[u8]) -> Cow<'_, [u8]> {
    if is_windows_blob(bytes) || bytes.len() > WINDOWS_TEXT_LEN_MAX || !begins_like_windows_blob(bytes) {
        return Cow::Borrowed(bytes);
    }
    let digits: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).map_or(Cow::Borrowed(bytes), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_as_it_is_and_as_text_in_lines() {
        let blob = [&[0, 0, 0, 1, 0, 0, 0, 0, 4, 16][..], &[0xa5; 300]].concat();
        let text = STANDARD.encode(&blob);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        for form in
            [blob.clone(), text.clone().into_bytes(), format!(" {}\r\n", lines.join("\r\n")).into_bytes()]
        {
            assert!(begins_like_windows_blob(&form[..40]));
            assert_eq!(*without_base64(&form), blob);
        }
        for other in [&b"AAAA"[..], b"", b"hello, world: no base64", &text.as_bytes()[..301], &[0, 0, 0, 2]] {
            assert_eq!(*without_base64(other), *other);
        }
        assert!(!begins_like_windows_blob(STANDARD.encode(b"another content").as_bytes()));
    }
}
