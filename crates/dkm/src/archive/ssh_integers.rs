//! A look at SSH keys before the `age` library reads them: it panics at an integer of nothing but zero bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

/// Most integers after the name of an RSA key: those of a private one.
const INTEGERS_MAX: usize = 6;

/// Whether a public key `ssh-rsa …` has an integer that `age` can't read.
pub(super) fn public_is_unreadable(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("ssh-rsa ") else { return false };
    let is_digit = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    let end = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
    // What can't be decoded here is not read there.
    STANDARD_NO_PAD.decode(&rest[..end]).is_ok_and(|blob| has_blank_integer(&blob))
}

/// Whether a private key in a file of OpenSSH's has an integer that `age` can't read.
pub(super) fn private_is_unreadable(file: &[u8]) -> bool {
    let Some(rest) = file.strip_prefix(b"-----BEGIN OPENSSH PRIVATE KEY-----") else { return false };
    let mut text = Zeroizing::new(Vec::with_capacity(rest.len()));
    // The lines of base64 that come first, the last one to its last digit: what follows is read only after them.
    for line in rest.split(|b| *b == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_digit = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        let digits = line.iter().take_while(|b| is_digit(b)).count();
        text.extend_from_slice(&line[..digits]);
        if digits == 0 || digits < line.len() {
            break;
        }
    }
    let mut blob = Zeroizing::new(vec![0; text.len()]);
    STANDARD.decode_slice(&*text, &mut blob).is_ok_and(|len| has_blank_integer(&blob[..len]))
}

/// Whether an integer of zero bytes only follows the name of an RSA key anywhere.
fn has_blank_integer(blob: &[u8]) -> bool {
    const NAME: &[u8] = b"ssh-rsa";
    // Not only after the name alone: one of another length that begins so is taken for it.
    (4..blob.len()).filter(|at| blob[*at..].starts_with(NAME)).any(|at| {
        let Some((_, mut rest)) = split(&blob[at - 4..]) else { return false };
        for _ in 0..INTEGERS_MAX {
            let Some((integer, after)) = split(rest) else { break };
            if !integer.is_empty() && integer.iter().all(|b| *b == 0) {
                return true;
            }
            rest = after;
        }
        false
    })
}

/// The SSH string (RFC 4251, section 5) at the beginning, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Identities, parse_recipients};

    fn strings(strings: &[&[u8]]) -> Vec<u8> {
        strings.iter().flat_map(|s| [&u32::try_from(s.len()).unwrap().to_be_bytes(), *s].concat()).collect()
    }

    #[test]
    fn zero_integers_of_a_public_key_are_seen_wherever_they_stand() {
        let public = |integers: &[&[u8]]| {
            let blob = strings(&[&[b"ssh-rsa".as_slice()], integers].concat());
            format!("ssh-rsa {} alice", STANDARD_NO_PAD.encode(blob))
        };
        for damaged in [public(&[&[0, 0, 0]]), public(&[&[1, 0, 1], &[0]])] {
            assert!(public_is_unreadable(&damaged), "{damaged}");
            let error = parse_recipients(&[damaged]).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{error}");
        }
        assert!(!public_is_unreadable(&public(&[&[1, 0, 1], &[0, 0x80]])));
        assert!(!public_is_unreadable(&public(&[&[], &[5]])));
        for text in ["", "ssh-rsa ", "ssh-rsa =", "ssh-rsa AAAAB3NzaC1yc2EAAAAD"] {
            assert!(!public_is_unreadable(text), "{text}");
        }
    }

    /// A private key's file, with what ends its lines and what follows its base64.
    fn private_file(integers: &[&[u8]], newline: &str, end: &str) -> String {
        let private = [vec![9; 8], strings(&[&[b"ssh-rsa".as_slice()], integers].concat())].concat();
        let public = strings(&[b"ssh-rsa", &[1, 0, 1], &[5]]);
        let head =
            [b"openssh-key-v1\0", strings(&[b"none", b"none", b""]).as_slice(), &[0, 0, 0, 1]].concat();
        let blob = STANDARD.encode([head, strings(&[&public, &private])].concat());
        let (a, b) = blob.split_at(20);
        format!("-----BEGIN OPENSSH PRIVATE KEY-----{newline}{a}{newline}{b}{end}")
    }

    #[test]
    fn zero_integers_of_a_private_key_are_seen_whatever_its_file_looks_like() {
        const END: &str = "\n-----END OPENSSH PRIVATE KEY-----\n";
        let zero: &[&[u8]] = &[&[1], &[2], &[3], &[4], &[5], &[0]];
        for newline in ["\n", "\r\n"] {
            for end in [END, "\n# no end", "\n\nAAAA\n-----END", " !", "-"] {
                let file = private_file(zero, newline, end);
                assert!(private_is_unreadable(file.as_bytes()), "{file:?}");
                assert!(Identities::default().add(file.as_bytes()).is_err(), "{file:?}");
            }
        }
        // The seventh is the comment.
        let seven: [[&[u8]; 7]; 2] = [[&[1], &[2], &[3], &[4], &[5], &[6], &[0]], [&[]; 7]];
        for integers in seven {
            assert!(!private_is_unreadable(private_file(&integers, "\n", END).as_bytes()));
        }
        assert!(!private_is_unreadable(private_file(zero, "\n", END).trim_start_matches('-').as_bytes()));
    }
}
