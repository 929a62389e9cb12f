//! Who opens an archive.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use age::ssh::{Identity as SshIdentity, UnsupportedKey};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Longest identity file, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Secret identities that open archives.
#[derive(Default)]
pub struct Identities {
    identities: Vec<Box<dyn age::Identity + Send + Sync>>,
}

impl Identities {
    /// The identities in a file: an `age` identity file as `age-keygen` writes it, or an OpenSSH private key without
    /// passphrase.
    ///
    /// # Errors
    /// The file can't be read, or is none of these; a key with a passphrase.
    pub fn from_file(path: &Path) -> Result<Self> {
        let mut identities = Self::default();
        identities.add_file(path)?;
        Ok(identities)
    }

    /// Adds the identities in another file.
    ///
    /// # Errors
    /// As [`Identities::from_file`].
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let read = |error| Error::io("can't read", path, error);
        let refuse = |why: &str| Err(Error::Invalid(format!("{}: {why}", path.display())));
        let file = File::open(path).map_err(read)?;
        let capacity = usize::try_from(FILE_LEN_MAX + 1).unwrap_or(usize::MAX);
        // Not grown while it is read: a buffer that moves leaves the key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > FILE_LEN_MAX {
            return refuse("too long for an identity file");
        }
        self.add(&bytes).or_else(|why| refuse(&why))
    }

    /// Adds the identities that stand in a file. The error says why they can't be used, and nothing of what they are.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        let refuse = |why: &str| Err(why.to_owned());
        if bytes.starts_with(b"age-encryption.org/")
            || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
        {
            return refuse("the identity file is itself encrypted; decrypt it with age -d first");
        }
        if super::ssh_integers::private_is_unreadable(bytes) {
            return refuse("not an SSH private key that is known here");
        }
        if bytes.starts_with(b"-----BEGIN ") {
            return match SshIdentity::from_buffer(Cursor::new(bytes), None) {
                Ok(identity @ SshIdentity::Unencrypted(_)) => {
                    self.identities.push(Box::new(identity));
                    Ok(())
                }
                Ok(
                    SshIdentity::Encrypted(_)
                    | SshIdentity::Unsupported(UnsupportedKey::EncryptedPem | UnsupportedKey::EncryptedSsh(_)),
                ) => refuse(
                    "the SSH key has a passphrase; remove it from a copy of the key: ssh-keygen -p -f COPY",
                ),
                Ok(SshIdentity::Unsupported(_)) => refuse("an SSH key of a kind that age can't decrypt with"),
                Err(_) => refuse("not an SSH private key that is known here"),
            };
        }
        let parsed = age::IdentityFile::from_buffer(Cursor::new(bytes));
        // The error tells the line's number, not its content.
        let parsed = parsed.and_then(|file| file.into_identities().map_err(std::io::Error::other));
        match parsed {
            Ok(identities) if identities.is_empty() => refuse("there is no identity in it"),
            Ok(identities) => {
                self.identities.extend(identities);
                Ok(())
            }
            Err(error) => refuse(&error.to_string()),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.identities.len()
    }

    pub(super) fn as_dyn(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.identities.iter().map(|identity| identity.as_ref() as &dyn age::Identity)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.count())
    }
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;

    use super::*;

    fn written(content: &str) -> Result<Identities> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        std::fs::write(&path, content).unwrap();
        Identities::from_file(&path)
    }

    #[test]
    fn identity_files_are_read() {
        let key = || age::x25519::Identity::generate().to_string().expose_secret().to_owned();
        let identities = written(&format!("# created: today\n{}\n\n{}\n", key(), key())).unwrap();
        assert_eq!(identities.count(), 2);
        assert_eq!(format!("{identities:?}"), "Identities(2)");
    }

    #[test]
    fn other_files_are_refused_with_their_reason() {
        for (content, why) in [
            ("", "no identity"),
            ("# nothing\n", "no identity"),
            ("hello\n", "line 1"),
            ("age-encryption.org/v1\n-> scrypt x\n", "age -d"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "not an SSH private key"),
        ] {
            let error = written(content).unwrap_err().to_string();
            assert!(error.contains(why), "{content:?}: {error}");
        }
        assert!(written(&"#".repeat(1 << 21)).unwrap_err().to_string().contains("too long"));
        assert!(matches!(Identities::from_file(Path::new("/no/such/file")), Err(Error::Io { .. })));
    }
}
