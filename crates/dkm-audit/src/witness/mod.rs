//! Witnesses: others who cosign a log's checkpoints, each only if it extends all that it has cosigned before.
//!
//! Whoever needs a quorum of cosignatures cannot be shown one of two forks unless that many witnesses help. The protocol is
//! `add-checkpoint` of [C2SP tlog-witness](https://c2sp.org/tlog-witness). How a request gets to a witness, a
//! [`Transport`] decides; what the answer means is decided here, and every cosignature is verified.

mod quorum;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::cosignature;
use crate::note::{KeyKind, KeyName, Note, NoteSignature, VerifierKey};
use crate::proof::ConsistencyProof;
use crate::source::Source;
use crate::tree::{Tree, TreeError};
use crate::trust::TrustError;

pub use quorum::{When, Witnesses};

/// Longest answer of a witness, in bytes.
pub const ANSWER_LEN_MAX: usize = 64 * 1024;
/// How often a witness is told a size that is not its last one, before it is given up for this checkpoint.
const CONFLICTS_MAX: usize = 3;
/// Type of the body that tells a witness's last size.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// What a witness has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The type of the body, if there was one.
    pub content_type: Option<String>,
    /// The body, of at most [`ANSWER_LEN_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Takes requests to one witness.
pub trait Transport: Send + fmt::Debug {
    /// Sends a request `add-checkpoint`, and waits for the answer, though not for ever.
    ///
    /// # Errors
    /// There is no answer.
    fn add_checkpoint(&mut self, request: &[u8]) -> io::Result<Answer>;
}

/// Why a witness has not cosigned a checkpoint.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// There was no answer.
    #[error("the witness {name} does not answer: {source}")]
    NoAnswer {
        /// The witness.
        name: KeyName,
        /// Why.
        source: Arc<io::Error>,
    },
    /// It does not know the log, or not its key.
    #[error("the witness {name} does not know this log, or not its present key (status {status})")]
    Unknown {
        /// The witness.
        name: KeyName,
        /// The status of HTTP.
        status: u16,
    },
    /// It has cosigned a larger tree of this log: the log was rolled back, or somebody else writes under its key.
    #[error("the witness {name} has cosigned this log with {seen} entries, and it has {size}")]
    Ahead {
        /// The witness.
        name: KeyName,
        /// Entries in the tree that it has cosigned.
        seen: u64,
        /// Entries in the log.
        size: u64,
    },
    /// It has cosigned a tree that this log does not extend: there are two forks of the log.
    #[error("the witness {name} has cosigned another tree of this log than its first {seen} entries")]
    Forked {
        /// The witness.
        name: KeyName,
        /// Entries in the tree that it has cosigned.
        seen: u64,
    },
    /// It keeps telling other sizes: somebody else is asking for the same log at the same time.
    #[error("the witness {name} tells another last size each time")]
    Unsteady {
        /// The witness.
        name: KeyName,
    },
    /// The answer has no cosignature by the witness's key, or one that does not hold.
    #[error("the witness {name} has answered without a good cosignature by its key")]
    NotCosigned {
        /// The witness.
        name: KeyName,
    },
    /// The answer makes no sense.
    #[error("the witness {name} has answered what it should not (status {status})")]
    BadAnswer {
        /// The witness.
        name: KeyName,
        /// The status of HTTP.
        status: u16,
    },
    /// The log's own tiles cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl WitnessError {
    /// Whether the witness claims to have seen another state of the log: it was rolled back or forked, or the witness lies.
    #[must_use]
    pub const fn is_evidence(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Forked { .. })
    }
}

/// One witness, by the key that must cosign.
#[derive(Debug)]
pub struct Witness {
    key: VerifierKey,
    transport: Box<dyn Transport>,
    /// Entries in the tree that it has cosigned last, as far as is known.
    last: u64,
}

impl Witness {
    /// The witness with this key.
    ///
    /// # Errors
    /// [`TrustError::BadRule`] if it is no witness's key.
    pub fn new(key: VerifierKey, transport: Box<dyn Transport>) -> Result<Self, TrustError> {
        if key.kind() == KeyKind::Witness {
            Ok(Self { key, transport, last: 0 })
        } else {
            Err(TrustError::BadRule)
        }
    }

    /// The key that must cosign.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Asks for a cosignature on `note`, whose text is `checkpoint` and whose log's tiles are at `source`.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn cosign<S: Source>(
        &mut self,
        source: &S,
        checkpoint: &Checkpoint,
        note: &Note,
    ) -> Result<NoteSignature, WitnessError> {
        let name = || self.key.name().clone();
        let size = checkpoint.size;
        // Who has rolled back the log rolls back nothing that is asked of the witness.
        let mut old = self.last.min(size);
        for _ in 0..=CONFLICTS_MAX {
            let request = ConsistencyProof {
                old_size: old,
                hashes: proof(source, checkpoint, old)?,
                checkpoint: note.encode(),
            };
            let answer = self.transport.add_checkpoint(&request.encode());
            let answer =
                answer.map_err(|source| WitnessError::NoAnswer { name: name(), source: Arc::new(source) })?;
            let status = answer.status;
            match status {
                200 => {
                    let cosignature = self.cosignature(note, &answer.body);
                    let cosignature =
                        cosignature.ok_or_else(|| WitnessError::NotCosigned { name: name() })?;
                    self.last = size;
                    return Ok(cosignature);
                }
                409 => match last_size(&answer) {
                    Some(seen) if seen > size => {
                        return Err(WitnessError::Ahead { name: name(), seen, size });
                    }
                    // It knows this very size, with another root.
                    Some(seen) if seen == old && old == size => {
                        return Err(WitnessError::Forked { name: name(), seen });
                    }
                    Some(seen) if seen != old => old = seen,
                    None if old == size => return Err(WitnessError::Forked { name: name(), seen: old }),
                    _ => return Err(WitnessError::BadAnswer { name: name(), status }),
                },
                // The proof is right: it was made of this log's tiles, and leads to this log's root.
                422 => return Err(WitnessError::Forked { name: name(), seen: old }),
                403 | 404 => return Err(WitnessError::Unknown { name: name(), status }),
                _ => return Err(WitnessError::BadAnswer { name: name(), status }),
            }
        }
        Err(WitnessError::Unsteady { name: name() })
    }

    /// The witness's own cosignature in its answer, verified; those by others are ignored.
    fn cosignature(&self, note: &Note, body: &[u8]) -> Option<NoteSignature> {
        let signed = [note.text().as_bytes(), b"\n", body].concat();
        let answered = Note::parse(&signed).ok().filter(|answered| answered.text() == note.text())?;
        let signature = answered.by(&self.key)?;
        cosignature::verify(&self.key, note.text(), signature)?;
        Some(signature.clone())
    }
}

fn proof<S: Source>(
    source: &S,
    checkpoint: &Checkpoint,
    old: u64,
) -> Result<Vec<dkm_core::Digest>, TreeError> {
    if old == 0 || old == checkpoint.size {
        return Ok(Vec::new());
    }
    crate::merkle::prove_consistency(&Tree::new(source, checkpoint), old, checkpoint.size)
}

/// The size that a witness tells in a conflict.
fn last_size(answer: &Answer) -> Option<u64> {
    if answer.content_type.as_deref() != Some(SIZE_TYPE) {
        return None;
    }
    let text = std::str::from_utf8(&answer.body).ok()?.strip_suffix('\n')?;
    let size: u64 = text.parse().ok()?;
    (size.to_string() == text).then_some(size)
}
