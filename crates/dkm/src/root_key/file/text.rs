//! What stands in a root key's file: one line, `dkm-root-key-1 GROUP KEY`, the key as 64 lower-case hexadecimal digits.

use dkm_core::{GroupId, RootKeyId, kdf};
use zeroize::Zeroizing;

const PREFIX: &[u8] = b"dkm-root-key-1 ";
/// Prefix, UUID, space, digits, newline.
pub(super) const LEN: usize = PREFIX.len() + 36 + 1 + 64 + 1;

/// The line of a root key.
pub(crate) fn write(group: GroupId, key: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = Zeroizing::new(Vec::with_capacity(LEN));
    line.extend_from_slice(PREFIX);
    line.extend_from_slice(group.to_string().as_bytes());
    line.push(b' ');
    for byte in key {
        line.push(DIGITS[usize::from(byte >> 4)]);
        line.push(DIGITS[usize::from(byte & 15)]);
    }
    line.push(b'\n');
    line
}

/// Reads the line of the root key `id` of `group`. Anything else than [`write()`] would have written is refused.
pub(crate) fn read(group: GroupId, id: RootKeyId, line: &[u8]) -> Result<Zeroizing<[u8; 32]>, &'static str> {
    const NOT_ONE: &str = "it is not a root key file that this program knows";
    let rest = line.strip_prefix(PREFIX).ok_or(NOT_ONE)?;
    let (found, rest) = rest.split_at_checked(36).ok_or(NOT_ONE)?;
    let digits = rest.strip_prefix(b" ").and_then(|r| r.strip_suffix(b"\n")).ok_or(NOT_ONE)?;
    if found != group.to_string().as_bytes() {
        return Err("it is a root key of another group");
    }
    if digits.len() != 64 {
        return Err(NOT_ONE);
    }
    let mut key = Zeroizing::new([0u8; 32]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0]).ok_or(NOT_ONE)? << 4) | digit(pair[1]).ok_or(NOT_ONE)?;
    }
    if kdf::root_key_id(group, &key) == id { Ok(key) } else { Err("its content does not give its name") }
}

const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (group, key) = (GroupId([3; 16]), [0xa7; 32]);
        let id = kdf::root_key_id(group, &key);
        let line = write(group, &key);
        assert_eq!(line.len(), LEN);
        assert_eq!(*read(group, id, &line).unwrap(), key);
    }

    #[test]
    fn nothing_else_is_read() {
        let (group, key) = (GroupId([3; 16]), [0xa7; 32]);
        let id = kdf::root_key_id(group, &key);
        let line = write(group, &key);
        for len in 0..line.len() {
            assert!(read(group, id, &line[..len]).is_err(), "{len}");
        }
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.to_vec();
                damaged[at] ^= 1 << bit;
                assert!(read(group, id, &damaged).is_err(), "bit {bit} at {at}");
            }
        }
        assert!(read(group, id, &[line.as_slice(), b"\n"].concat()).is_err());
        assert!(read(GroupId([4; 16]), id, &line).is_err());
        assert!(read(group, RootKeyId([0; 16]), &line).is_err());
        assert!(read(group, id, &line.to_ascii_uppercase()).is_err());
    }
}
