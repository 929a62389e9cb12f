//! Secret keys of logs and witnesses.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::key::KeyKind;
use super::{KeyError, KeyName, NoteSignature, VerifierKey};
use crate::checkpoint::Checkpoint;
use crate::cosignature;

/// The seed (RFC 8032) is wiped when the key is dropped; what the cryptographic library derives from it, the library
/// wipes.
struct Secret {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: VerifierKey,
}

impl Secret {
    fn generate(name: KeyName, kind: KeyKind) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
        Self::new(name, kind, &seed)
    }

    fn new(name: KeyName, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Malformed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed)?;
        Ok(Self { seed: Zeroizing::new(*seed), pair, public: VerifierKey::new(name, kind, public) })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret of {}", self.public)
    }
}

/// The secret key of a log, which signs its checkpoints.
#[derive(Debug)]
pub struct LogKey(Secret);

impl LogKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate(name: KeyName) -> Result<Self, KeyError> {
        Secret::generate(name, KeyKind::Log).map(Self)
    }

    /// The key with this seed (RFC 8032).
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if the cryptographic library refuses it.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Secret::new(name, KeyKind::Log, seed).map(Self)
    }

    /// Reads what [`LogKey::to_text`] has written.
    ///
    /// # Errors
    /// What is wrong with the text; never the text itself.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Malformed)?.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Malformed);
        };
        let mut bytes = Zeroizing::new([0u8; 33]);
        // The buffer is wiped whatever was decoded into it.
        let decoded = BASE64_STANDARD.decode_slice(key, bytes.as_mut_slice());
        if decoded != Ok(33) {
            return Err(KeyError::Malformed);
        }
        if bytes[0] != KeyKind::Log.byte() {
            return Err(KeyError::UnknownKind);
        }
        let mut seed = Zeroizing::new([0u8; 32]);
        seed.copy_from_slice(&bytes[1..]);
        let key = Self::from_seed(name.parse()?, &seed)?;
        if key.public().id().to_string() == id { Ok(key) } else { Err(KeyError::WrongId) }
    }

    /// The secret as text for a key file: `PRIVATE+KEY+name+id+key`, as other programs for signed notes write it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0u8; 33]);
        bytes[0] = KeyKind::Log.byte();
        bytes[1..].copy_from_slice(self.0.seed.as_slice());
        let key = Zeroizing::new(BASE64_STANDARD.encode(bytes.as_slice()));
        let head = format!("PRIVATE+KEY+{}+{}+", self.0.public.name(), self.0.public.id());
        // Of its final length from the start: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(head.len() + key.len()));
        text.push_str(&head);
        text.push_str(&key);
        text
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &VerifierKey {
        &self.0.public
    }

    /// Signs the text of a note.
    #[must_use]
    pub fn sign(&self, text: &str) -> NoteSignature {
        self.0.public.sign_as(self.0.pair.sign(text.as_bytes()).as_ref().to_vec())
    }
}

/// The secret key of a witness, which cosigns checkpoints of others.
///
/// Who holds one MUST have verified that the checkpoint is consistent with every earlier one that it has cosigned for
/// this log: [`Checkpoint::verify_extends`].
#[derive(Debug)]
pub struct WitnessKey(Secret);

impl WitnessKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate(name: KeyName) -> Result<Self, KeyError> {
        Secret::generate(name, KeyKind::Witness).map(Self)
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &VerifierKey {
        &self.0.public
    }

    /// Cosigns a checkpoint: "as of `seconds` since the Unix epoch, this is the largest tree that I have seen of this
    /// log". Times beyond 2^63 − 1 stay there.
    #[must_use]
    pub fn cosign(&self, checkpoint: &Checkpoint, seconds: u64) -> NoteSignature {
        let seconds = seconds.min(cosignature::SECONDS_MAX);
        let signature = self.0.pair.sign(&cosignature::message(&checkpoint.text(), seconds));
        self.0.public.sign_as([&seconds.to_be_bytes()[..], signature.as_ref()].concat())
    }
}
