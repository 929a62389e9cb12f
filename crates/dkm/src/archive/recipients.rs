//! To whom an archive is sealed.

use std::fmt;

use age::ssh::ParseRecipientKeyError;
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ssh_integers::public_is_unreadable;
use crate::{Error, Result};

/// Most recipients of an archive.
const RECIPIENTS_MAX: usize = 64;

/// To whom an archive is sealed: any one of them opens it.
pub struct Recipients {
    recipients: Vec<Recipient>,
}

enum Recipient {
    Native(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipients {
    /// How many there are, at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.recipients.len()
    }

    /// The recipients, without the comments of SSH keys.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.recipients.iter().map(|recipient| match recipient {
            Recipient::Native(recipient) => recipient.to_string(),
            Recipient::Ssh(recipient) => recipient.to_string(),
        })
    }

    pub(super) fn as_dyn(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.recipients.iter().map(|recipient| match recipient {
            Recipient::Native(recipient) => recipient as &dyn age::Recipient,
            Recipient::Ssh(recipient) => recipient as &dyn age::Recipient,
        })
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Reads recipients: `age1…` or an OpenSSH public key (`ssh-ed25519 …`, `ssh-rsa …`), one each.
///
/// # Errors
/// There is none, there are more than 64, or one is none of these; the message says which.
pub fn parse_recipients(texts: &[String]) -> Result<Recipients> {
    if texts.is_empty() || texts.len() > RECIPIENTS_MAX {
        return Err(Error::Invalid(format!(
            "an archive has 1 to {RECIPIENTS_MAX} recipients, not {}",
            texts.len()
        )));
    }
    let recipients = texts.iter().map(|text| parse(text.trim())).collect::<Result<_>>()?;
    Ok(Recipients { recipients })
}

fn parse(text: &str) -> Result<Recipient> {
    // A private key given by mistake must not come back in an error, so only the beginning of a public one is shown.
    let refuse = |why: &str| {
        let public = text.starts_with("age1") || text.starts_with("ssh-");
        let shown = if public { text.chars().take(16).collect() } else { String::new() };
        Err(Error::Invalid(format!("the recipient {shown}… {why}")))
    };
    if text.starts_with("AGE-SECRET-KEY-") {
        return refuse("is a secret identity; give its public recipient, age1…");
    }
    if text.starts_with("age1") {
        return match text.parse() {
            Ok(_) if !is_contributory(text) => refuse(NO_KEY),
            Ok(recipient) => Ok(Recipient::Native(recipient)),
            Err(_) => refuse("is mistyped or cut off, or is for an age plugin, which are not known here"),
        };
    }
    if public_is_unreadable(text) {
        return refuse("is an RSA key that is damaged");
    }
    match text.parse() {
        Ok(recipient) if has_small_order(&recipient) => refuse(NO_KEY),
        Ok(recipient) => Ok(Recipient::Ssh(recipient)),
        Err(ParseRecipientKeyError::RsaModulusTooSmall) => refuse("is an RSA key of less than 2048 bits"),
        Err(ParseRecipientKeyError::RsaModulusTooLarge) => {
            refuse("is an RSA key of more bits than are known here")
        }
        Err(ParseRecipientKeyError::Unsupported(_)) => {
            refuse("is an SSH key of a kind that age does not encrypt to")
        }
        Err(_) => refuse("is not age1…, nor an OpenSSH public key that begins with ssh-ed25519 or ssh-rsa"),
    }
}

const NO_KEY: &str = "is not anybody's key: what is sealed to it would be open to all";

/// Whether a secret can be shared with a recipient `age1…` that is spelt right. With a point of small order the secret
/// is always zero: anybody could open what is sealed to it, and the `age` library panics.
fn is_contributory(text: &str) -> bool {
    let Some(point) = point(text) else { return false };
    let random = SystemRandom::new();
    EphemeralPrivateKey::generate(&X25519, &random).is_ok_and(|ours| {
        let theirs = UnparsedPublicKey::new(&X25519, point);
        agree_ephemeral(ours, theirs, (), |_| Ok(())).is_ok()
    })
}

/// The bytes in a recipient (Bech32, BIP 173) whose spelling and checksum were found good.
fn point(text: &str) -> Option<[u8; 32]> {
    const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const CHECKSUM_LEN: usize = 6;
    let digits = text.strip_prefix("age1")?.as_bytes();
    let mut point = [0; 32];
    let (mut at, mut held, mut bits) = (0, 0u32, 0);
    for digit in &digits[..digits.len().checked_sub(CHECKSUM_LEN)?] {
        let value = DIGITS.iter().position(|d| d == digit)?;
        held = (held << 5 | u32::try_from(value).ok()?) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *point.get_mut(at)? = u8::try_from(held >> bits & 0xff).ok()?;
            at += 1;
        }
    }
    (at == point.len()).then_some(point)
}

/// Whether an SSH recipient is an Ed25519 point of small order, with which the same holds but the panic.
fn has_small_order(recipient: &age::ssh::Recipient) -> bool {
    /// The y of these points, sign aside, in all spellings (0, 1, -1, two of order 8, p, p + 1), in base64.
    const SMALL_ORDER: [&str; 7] = [
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "7P///////////////////////////////////////38=",
        "JuiVj8KyJ7BFw/SJ8u+Y8NXfrAXTxjM5sTgCiG1T/AU=",
        "xxdqcD1N2E+6PAt2DRBnDyogU/osOczGTsf9d5KsA3o=",
        "7f///////////////////////////////////////38=",
        "7v///////////////////////////////////////38=",
    ];
    let text = recipient.to_string();
    let Some(key) = text.strip_prefix("ssh-ed25519 ").and_then(|b| STANDARD.decode(b).ok()) else {
        return false;
    };
    // Two strings, each after its length: `ssh-ed25519` and the key.
    let Some(mut y) = key.get(19..).and_then(|key| key.first_chunk::<32>().copied()) else { return true };
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&STANDARD.encode(y).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NATIVE: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const SSH: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@rust";

    fn parse_one(text: &str) -> Result<Recipients> {
        parse_recipients(&[text.to_owned()])
    }

    #[test]
    fn both_kinds_are_read_with_what_stands_around_them() {
        let recipients = parse_recipients(&[format!(" {NATIVE}\n"), SSH.to_owned()]).unwrap();
        let names: Vec<_> = recipients.names().collect();
        assert_eq!(recipients.count(), 2);
        assert_eq!(names, [NATIVE, SSH.rsplit_once(' ').unwrap().0]);
        assert!(format!("{recipients:?}").contains(NATIVE));
    }

    #[test]
    fn others_are_refused_with_their_reason() {
        for (text, why) in [
            ("", "nor an OpenSSH public key"),
            ("alice", "nor an OpenSSH public key"),
            (&NATIVE[..40], "mistyped"),
            ("age1plugin1qqq", "plugin"),
            ("ssh-ed25519 AAAA", "nor an OpenSSH public key"),
            ("ssh-dss AAAAB3NzaC1kc3MAAACBAAAA", "of a kind that age does not"),
        ] {
            let error = parse_one(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse_recipients(&[]).is_err());
        assert!(parse_recipients(&vec![NATIVE.to_owned(); 65]).is_err());
    }

    #[test]
    fn a_key_that_is_nobodys_is_refused() {
        for text in [
            "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
            "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj7vrya",
            "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhqqqzyt4v9",
            "age1anlllllllllllllllllllllllllllllllllllllllllllllllals4n2t7m",
            "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqsuwj9m",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOz///////////////////////////////////////9/",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICbolY/CsiewRcP0ifLvmPDV36wF08YzObE4AohtU/yF",
        ] {
            let error = parse_one(text).unwrap_err().to_string();
            assert!(error.contains("not anybody's key"), "{text}: {error}");
        }
    }

    #[test]
    fn the_point_in_a_recipient_is_its_public_key() {
        assert_eq!(
            point(NATIVE).map(|p| STANDARD.encode(p)).as_deref(),
            Some("X4ZiZYoURuOqC2/GPISYiWbJn1+j/HECyac7BpD6kHU=")
        );
        assert_eq!(point("age1qqqq"), None);
    }

    #[test]
    fn a_secret_given_by_mistake_is_not_repeated() {
        for secret in ["AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZ", "-----BEGIN OPENSSH PRIVATE KEY-----"] {
            let error = parse_one(secret).unwrap_err().to_string();
            assert!(!error.contains("1GFP") && !error.contains("BEGIN"), "{error}");
        }
    }
}
