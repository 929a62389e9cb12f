//! Names, ids and public keys of signers.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_core::Digest;

use super::NoteSignature;

/// Longest name of a key, in bytes.
pub const KEY_NAME_LEN_MAX: usize = 255;

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Empty, too long, or with a space, a plus or a control character.
    #[error(
        "a key's name has 1 to {KEY_NAME_LEN_MAX} bytes, without spaces, plus signs and control characters"
    )]
    BadName,
    /// Not `name+id+key`.
    #[error("the key does not have the form name+id+key")]
    Malformed,
    /// A kind of key that this program does not know.
    #[error("the key is of a kind that this program does not know")]
    UnknownKind,
    /// The id does not follow from name and key: mistyped, or put together.
    #[error("the key's id does not fit its name and key")]
    WrongId,
    /// The system's generator failed.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// Name of a signer: by convention a URL without scheme, such as `example.com/audit`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if text.is_empty() || text.len() > KEY_NAME_LEN_MAX || text.contains(bad) {
            return Err(KeyError::BadName);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of a key: an abbreviation that finds it, and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteKeyId(pub u32);

impl fmt::Display for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// A log's own key: Ed25519 over the text of a note (type 1 of signed-note).
    Log,
    /// A witness's key: Ed25519 over a time and a checkpoint (type 4, tlog-cosignature).
    Witness,
}

impl KeyKind {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }
}

/// A signer's public key. Its text is a *vkey* of signed-note: `name+id+key`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    public: [u8; 32],
}

impl VerifierKey {
    /// The key with these 32 bytes (RFC 8032).
    #[must_use]
    pub const fn new(name: KeyName, kind: KeyKind, public: [u8; 32]) -> Self {
        Self { name, kind, public }
    }

    /// The signer's name.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key's 32 bytes.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The key's id: first four bytes of SHA-256 over name, newline, kind and key.
    #[must_use]
    pub fn id(&self) -> NoteKeyId {
        let input = [self.name.as_str().as_bytes(), b"\n", &self.material()].concat();
        let [a, b, c, d, ..] = Digest::of(&input).0;
        NoteKeyId(u32::from_be_bytes([a, b, c, d]))
    }

    fn material(&self) -> Vec<u8> {
        [&[self.kind.byte()][..], &self.public].concat()
    }

    /// Whether `signature` is this key's, of this message. The message is made by who knows the kind.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }

    pub(super) fn sign_as(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature { name: self.name.clone(), id: self.id(), signature }
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Malformed);
        };
        let name = name.parse()?;
        // 44 digits hold a kind and an Ed25519 key.
        if key.len() > 44 {
            return Err(KeyError::UnknownKind);
        }
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| KeyError::Malformed)?;
        let (kind, public) = bytes.split_first().ok_or(KeyError::Malformed)?;
        let kind = [KeyKind::Log, KeyKind::Witness].into_iter().find(|known| known.byte() == *kind);
        let public = public.try_into().map_err(|_| KeyError::Malformed)?;
        let key = Self { name, kind: kind.ok_or(KeyError::UnknownKind)?, public };
        if key.to_string() == text {
            Ok(key)
        } else if key.id().to_string() == id {
            Err(KeyError::Malformed)
        } else {
            Err(KeyError::WrongId)
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, self.id(), BASE64_STANDARD.encode(self.material()))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
