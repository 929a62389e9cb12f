//! The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1, with SHA-256: hashes, growth, proofs and their verification.
//!
//! Sizes and indices are `u64`; no function recurses or panics, whatever it is given.

mod check;
mod frontier;
mod prove;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest;
use dkm_core::Digest;

pub use check::{verify_consistency, verify_inclusion};
pub use frontier::Frontier;
pub use prove::{Nodes, prove_consistency, prove_inclusion, subtree_hash};

/// Why a proof cannot be made, or proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf lies outside the tree.
    #[error("there is no leaf {index} in a tree of {size}")]
    NoLeaf {
        /// Index of the leaf, from 0.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// The earlier tree is larger than the later one.
    #[error("a tree of {later} leaves cannot contain one of {earlier}")]
    Shrunk {
        /// Leaves in the tree that claims to be earlier.
        earlier: u64,
        /// Leaves in the tree that claims to be later.
        later: u64,
    },
    /// Nothing can be proved of an empty tree: every tree contains it.
    #[error("nothing can be proved of an empty tree")]
    Empty,
    /// The proof has not as many hashes as a proof for these sizes.
    #[error("the proof has too few or too many hashes")]
    WrongLength,
    /// The hashes do not lead to the root of the tree, or of the earlier tree.
    #[error("the proof does not lead to the root")]
    WrongRoot,
}

/// Hash of a leaf: SHA-256 of a zero byte and the leaf's bytes.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    hash(&[&[0], leaf])
}

/// Hash of an inner node: SHA-256 of a one byte and the hashes of its children.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    hash(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// Root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Digest {
    hash(&[])
}

fn hash(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest(out)
}

/// Largest power of two below `size`, which must be at least 2: where a tree of that size is split.
pub(crate) fn split(size: u64) -> u64 {
    1 << size.saturating_sub(1).checked_ilog2().unwrap_or(0)
}
