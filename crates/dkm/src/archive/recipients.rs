//! To whom an archive is sealed.

use std::fmt;

use age::ssh::ParseRecipientKeyError;

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
            Ok(recipient) => Ok(Recipient::Native(recipient)),
            Err(_) => refuse("is mistyped or cut off, or is for an age plugin, which are not known here"),
        };
    }
    match text.parse() {
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
    fn a_secret_given_by_mistake_is_not_repeated() {
        for secret in ["AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZ", "-----BEGIN OPENSSH PRIVATE KEY-----"] {
            let error = parse_one(secret).unwrap_err().to_string();
            assert!(!error.contains("1GFP") && !error.contains("BEGIN"), "{error}");
        }
    }
}
