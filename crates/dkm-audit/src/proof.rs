//! Proofs as text, for other programs: that an entry is in a log ([C2SP tlog-proof](https://c2sp.org/tlog-proof)), and
//! that a log has only grown (the request `add-checkpoint` of [C2SP tlog-witness](https://c2sp.org/tlog-witness)).
//!
//! Both are lines, then an empty line, then a checkpoint as it was signed. One proof has one text here: what does not
//! encode back to the same bytes is refused.

use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_core::Digest;

use crate::checkpoint::Checkpoint;
use crate::entry::ENTRY_LEN_MAX;
use crate::merkle::{ProofError, leaf_hash, verify_inclusion};
use crate::note::NOTE_LEN_MAX;
use crate::trust::{Trust, TrustError, Verified};

/// Most hashes of a proof.
pub const PROOF_HASHES_MAX: usize = 63;
/// Longest text of a proof, in bytes: its lines, the leaf in base64, and a note.
pub const PROOF_LEN_MAX: usize = NOTE_LEN_MAX + 2 * ENTRY_LEN_MAX + 64 * 64;

const HEAD: &str = "c2sp.org/tlog-proof@v1";

/// Why a text is no proof, or the proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofTextError {
    /// Longer than [`PROOF_LEN_MAX`].
    #[error("the proof is longer than {PROOF_LEN_MAX} bytes")]
    TooLong,
    /// Not lines of text with an empty line before a checkpoint.
    #[error("the proof is not lines of text, an empty line, and a checkpoint")]
    Malformed,
    /// A line before the checkpoint is not what it must be.
    #[error("line {line} of the proof is malformed")]
    BadLine {
        /// Number of the line, from 1.
        line: usize,
    },
    /// More than [`PROOF_HASHES_MAX`] hashes.
    #[error("the proof has more than {PROOF_HASHES_MAX} hashes")]
    TooManyHashes,
    /// The proof carries no leaf, and none was given.
    #[error("the proof carries no leaf")]
    NoLeaf,
    /// The checkpoint is not to be believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The hashes do not lead from the leaf to the checkpoint's root.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// A proof that a leaf is in a log, with the checkpoint that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The leaf's bytes, if they go with the proof. Nothing vouches for them but [`InclusionProof::verify`].
    pub leaf: Option<Vec<u8>>,
    /// The leaf's place in the log, from 0.
    pub index: u64,
    /// The hashes beside the leaf's way to the root, from the leaf on.
    pub hashes: Vec<Digest>,
    /// The signed checkpoint.
    pub checkpoint: Vec<u8>,
}

impl InclusionProof {
    /// The proof's text. The leaf stands in the line `extra`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{HEAD}\n");
        if let Some(leaf) = &self.leaf {
            text.push_str(&format!("extra {}\n", BASE64_STANDARD.encode(leaf)));
        }
        text.push_str(&format!("index {}\n", self.index));
        with_checkpoint(text, &self.hashes, &self.checkpoint)
    }

    /// Reads a proof's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofTextError> {
        let (head, checkpoint) = halves(bytes)?;
        let mut lines = (1..).zip(head.split('\n')).peekable();
        if lines.next().is_none_or(|(_, line)| line != HEAD) {
            return Err(ProofTextError::BadLine { line: 1 });
        }
        let mut leaf = None;
        if let Some((line, extra)) =
            lines.peek().and_then(|(at, line)| Some((*at, line.strip_prefix("extra ")?)))
        {
            let decoded = BASE64_STANDARD.decode(extra).map_err(|_| ProofTextError::BadLine { line })?;
            leaf = Some(decoded);
            lines.next();
        }
        let index = number(lines.next(), "index ")?;
        let proof = Self { leaf, index, hashes: hashes(lines)?, checkpoint: checkpoint.to_vec() };
        if proof.encode() == bytes { Ok(proof) } else { Err(ProofTextError::Malformed) }
    }

    /// Verifies that the leaf which goes with the proof is in the log that is trusted.
    ///
    /// # Errors
    /// [`ProofTextError::NoLeaf`]; what is wrong with checkpoint or proof.
    pub fn verify(&self, trust: &Trust) -> Result<Verified, ProofTextError> {
        let leaf = self.leaf.as_ref().ok_or(ProofTextError::NoLeaf)?;
        let verified = trust.verify(&self.checkpoint)?;
        let Checkpoint { size, root, .. } = &verified.checkpoint;
        verify_inclusion(&leaf_hash(leaf), self.index, *size, root, &self.hashes)?;
        Ok(verified)
    }
}

/// A proof that the tree of a checkpoint begins with the tree of an earlier size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Leaves in the earlier tree.
    pub old_size: u64,
    /// PROOF of RFC 6962 §2.1.2; none if the earlier tree is empty.
    pub hashes: Vec<Digest>,
    /// The signed checkpoint of the later tree.
    pub checkpoint: Vec<u8>,
}

impl ConsistencyProof {
    /// The proof's text.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        with_checkpoint(format!("old {}\n", self.old_size), &self.hashes, &self.checkpoint)
    }

    /// Reads a proof's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofTextError> {
        let (head, checkpoint) = halves(bytes)?;
        let mut lines = (1..).zip(head.split('\n'));
        let old_size = number(lines.next(), "old ")?;
        let proof = Self { old_size, hashes: hashes(lines)?, checkpoint: checkpoint.to_vec() };
        if proof.encode() == bytes { Ok(proof) } else { Err(ProofTextError::Malformed) }
    }
}

fn with_checkpoint(mut text: String, hashes: &[Digest], checkpoint: &[u8]) -> Vec<u8> {
    for hash in hashes {
        text.push_str(&BASE64_STANDARD.encode(hash.as_bytes()));
        text.push('\n');
    }
    text.push('\n');
    [text.as_bytes(), checkpoint].concat()
}

/// The lines before the first empty line, and what stands behind it.
fn halves(bytes: &[u8]) -> Result<(&str, &[u8]), ProofTextError> {
    if bytes.len() > PROOF_LEN_MAX {
        return Err(ProofTextError::TooLong);
    }
    let end = bytes.windows(2).position(|two| two == b"\n\n").ok_or(ProofTextError::Malformed)?;
    let head = bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok());
    Ok((head.ok_or(ProofTextError::Malformed)?, bytes.get(end + 2..).unwrap_or_default()))
}

fn number(line: Option<(usize, &str)>, name: &str) -> Result<u64, ProofTextError> {
    let (line, text) = line.ok_or(ProofTextError::Malformed)?;
    let number = text.strip_prefix(name).and_then(|digits| digits.parse().ok());
    number.ok_or(ProofTextError::BadLine { line })
}

fn hashes<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<Digest>, ProofTextError> {
    let mut hashes = Vec::new();
    for (line, text) in lines {
        if hashes.len() == PROOF_HASHES_MAX {
            return Err(ProofTextError::TooManyHashes);
        }
        let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        hashes.push(Digest(bytes.ok_or(ProofTextError::BadLine { line })?));
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn proofs_come_back(
            leaf in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
            index in any::<u64>(),
            hashes in prop::collection::vec(any::<[u8; 32]>(), 0..=63),
            checkpoint in prop::collection::vec(any::<u8>(), 0..90),
        ) {
            let hashes: Vec<Digest> = hashes.into_iter().map(Digest).collect();
            let consistency =
                ConsistencyProof { old_size: index, hashes: hashes.clone(), checkpoint: checkpoint.clone() };
            prop_assert_eq!(ConsistencyProof::parse(&consistency.encode()), Ok(consistency));
            let inclusion = InclusionProof { leaf, index, hashes, checkpoint };
            prop_assert_eq!(InclusionProof::parse(&inclusion.encode()), Ok(inclusion));
        }
    }

    #[test]
    fn what_is_no_proof_is_told_by_line() {
        let hash = BASE64_STANDARD.encode([7; 32]);
        let parsed = |text: &str| InclusionProof::parse(text.as_bytes());
        let good = format!("{HEAD}\nindex 7\n{hash}\n\ncheckpoint");
        assert_eq!(parsed(&good).unwrap().hashes, [Digest([7; 32])]);
        let bad = |line| Err(ProofTextError::BadLine { line });
        assert_eq!(parsed(&good.replace("@v1", "@v2")), bad(1));
        assert_eq!(parsed(&good.replace("index 7", "index -7")), bad(2));
        assert_eq!(parsed(&good.replace("index 7", "extra *\nindex 7")), bad(2));
        assert_eq!(parsed(&good.replace(&hash, &hash[4..])), bad(3));
        assert_eq!(parsed(&good.replace("index 7", "index 07")), Err(ProofTextError::Malformed));
        assert_eq!(parsed(&good.replace("\n\n", "\n")), Err(ProofTextError::Malformed));
        let many = good.replace(&hash, &vec![hash.clone(); 64].join("\n"));
        assert_eq!(parsed(&many), Err(ProofTextError::TooManyHashes));
        assert_eq!(parsed(&"a".repeat(PROOF_LEN_MAX + 1)), Err(ProofTextError::TooLong));
    }
}
