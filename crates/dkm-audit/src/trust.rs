//! Whose signatures a checkpoint needs to be believed.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature;
use crate::note::{KeyKind, KeyName, Note, NoteError, VerifierKey};

/// Why a checkpoint is not believed, or a rule for believing does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// It is no note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It is another log's.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    WrongOrigin {
        /// The origin found.
        found: String,
        /// The origin asked for.
        expected: String,
    },
    /// The log's key has not signed it.
    #[error("the checkpoint is not signed by {key}")]
    NotSigned {
        /// The key.
        key: VerifierKey,
    },
    /// A key that is known claims to have signed it, and has not.
    #[error("the signature of {name} on the checkpoint is forged or damaged")]
    BadSignature {
        /// The key's name.
        name: KeyName,
    },
    /// Too few witnesses have cosigned it.
    #[error("the checkpoint is cosigned by {found} of the {needed} witnesses that are needed")]
    TooFewWitnesses {
        /// Witnesses that have.
        found: usize,
        /// Witnesses that must have.
        needed: usize,
    },
    /// The rule names a key twice, a key of the wrong kind, or needs more witnesses than it names.
    #[error(
        "the keys to trust are not one log key and distinct witness keys, at least as many as must cosign"
    )]
    BadRule,
}

/// The log, and which witnesses must have seen what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    origin: String,
    key: VerifierKey,
    witnesses: Vec<VerifierKey>,
    quorum: usize,
}

/// What a checkpoint's signatures have shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Witnesses that have cosigned it, and when by their own clocks, in seconds since the Unix epoch.
    pub cosigned: Vec<(KeyName, u64)>,
}

impl Trust {
    /// Trusts a log by its key, whose name is the log's origin.
    ///
    /// # Errors
    /// [`TrustError::BadRule`] if it is a witness's key.
    pub fn log(key: VerifierKey) -> Result<Self, TrustError> {
        if key.kind() != KeyKind::Log {
            return Err(TrustError::BadRule);
        }
        Ok(Self { origin: key.name().as_str().to_owned(), key, witnesses: Vec::new(), quorum: 0 })
    }

    /// Also wants the cosignatures of `quorum` among `witnesses`. A key counts once, whatever names it has.
    ///
    /// # Errors
    /// [`TrustError::BadRule`].
    pub fn with_witnesses(mut self, witnesses: Vec<VerifierKey>, quorum: usize) -> Result<Self, TrustError> {
        let distinct = witnesses.iter().enumerate().all(|(at, key)| {
            let others = witnesses.iter().take(at);
            let known = |other: &VerifierKey| other.public() == key.public() || other.name() == key.name();
            // A log that witnesses itself is no witness.
            key.kind() == KeyKind::Witness
                && key.public() != self.key.public()
                && !others.into_iter().any(known)
        });
        if !distinct || quorum > witnesses.len() {
            return Err(TrustError::BadRule);
        }
        (self.witnesses, self.quorum) = (witnesses, quorum);
        Ok(self)
    }

    /// The log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The log's key.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// How many witnesses must have cosigned.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        self.quorum
    }

    /// The same log and witnesses, after the log has changed its key.
    #[must_use]
    pub(crate) fn succeeded_by(&self, key: VerifierKey) -> Self {
        Self { key, ..self.clone() }
    }

    /// Verifies a checkpoint. A forged signature by any key that is known makes the whole checkpoint unbelievable;
    /// signatures by others are ignored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, bytes: &[u8]) -> Result<Verified, TrustError> {
        let note = Note::parse(bytes)?;
        let verified = self.verify_signed(&note)?;
        let found = verified.cosigned.len();
        if found < self.quorum {
            return Err(TrustError::TooFewWitnesses { found, needed: self.quorum });
        }
        Ok(verified)
    }

    /// [`Trust::verify`], but for the number of witnesses.
    pub(crate) fn verify_signed(&self, note: &Note) -> Result<Verified, TrustError> {
        let signature = note.by(&self.key).ok_or_else(|| TrustError::NotSigned { key: self.key.clone() })?;
        if !self.key.verifies(note.text().as_bytes(), &signature.signature) {
            return Err(TrustError::BadSignature { name: self.key.name().clone() });
        }
        let checkpoint: Checkpoint = note.text().parse()?;
        if checkpoint.origin != self.origin {
            return Err(TrustError::WrongOrigin { found: checkpoint.origin, expected: self.origin.clone() });
        }
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            let Some(signature) = note.by(witness) else { continue };
            let seconds = cosignature::verify(witness, note.text(), signature);
            let seconds = seconds.ok_or_else(|| TrustError::BadSignature { name: witness.name().clone() })?;
            cosigned.push((witness.name().clone(), seconds));
        }
        Ok(Verified { checkpoint, cosigned })
    }
}
