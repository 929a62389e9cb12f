//! Making proofs, from whatever knows the hashes of complete subtrees.

use dkm_core::Digest;

use super::{Frontier, ProofError, node_hash, split};

/// Knows the hashes of a tree's complete subtrees.
pub trait Nodes {
    /// Why a hash could not be had.
    type Error: From<ProofError>;

    /// Hash of the complete subtree over the leaves from `index` × 2^`level` up to (`index` + 1) × 2^`level`, which
    /// lies within the tree.
    ///
    /// # Errors
    /// As the implementation says.
    fn node(&self, level: u8, index: u64) -> Result<Digest, Self::Error>;
}

/// Root of the subtree over the leaves from `start` up to `end`, as RFC 6962 splits it. `start` must be a multiple of a
/// power of two that is no smaller than `end` − `start`; all ranges that RFC 6962 comes to are.
///
/// # Errors
/// As the source of the nodes says; [`ProofError::Empty`] for an empty range.
pub fn subtree_hash<N: Nodes + ?Sized>(nodes: &N, start: u64, end: u64) -> Result<Digest, N::Error> {
    // From the right: each complete subtree joins what is to its right.
    let mut right = None;
    let mut end = end;
    while end > start {
        let level = u8::try_from(end.trailing_zeros().min(63)).unwrap_or(63).min(level_of(end - start));
        let index = (end >> level) - 1;
        let left = nodes.node(level, index)?;
        right = Some(right.map_or(left, |right| node_hash(&left, &right)));
        end = index << level;
    }
    right.ok_or_else(|| ProofError::Empty.into())
}

/// Level of the largest complete subtree that has no more than `len` leaves.
fn level_of(len: u64) -> u8 {
    len.checked_ilog2().and_then(|level| u8::try_from(level).ok()).unwrap_or(0)
}

/// Proves that the leaf `index` is in the tree of `size` leaves: PATH of RFC 6962 §2.1.1.
///
/// # Errors
/// [`ProofError::NoLeaf`], or as the source of the nodes says.
pub fn prove_inclusion<N: Nodes + ?Sized>(nodes: &N, index: u64, size: u64) -> Result<Vec<Digest>, N::Error> {
    if index >= size {
        return Err(ProofError::NoLeaf { index, size }.into());
    }
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(subtree_hash(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree_hash(nodes, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proves that the tree of `later` leaves begins with the one of `earlier` leaves: PROOF of RFC 6962 §2.1.2.
///
/// # Errors
/// [`ProofError::Empty`] or [`ProofError::Shrunk`], or as the source of the nodes says.
pub fn prove_consistency<N: Nodes + ?Sized>(
    nodes: &N,
    earlier: u64,
    later: u64,
) -> Result<Vec<Digest>, N::Error> {
    if earlier == 0 {
        return Err(ProofError::Empty.into());
    }
    if earlier > later {
        return Err(ProofError::Shrunk { earlier, later }.into());
    }
    let (mut start, mut end) = (0, later);
    let mut proof = Vec::new();
    while end != earlier {
        let middle = start + split(end - start);
        if earlier <= middle {
            proof.push(subtree_hash(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree_hash(nodes, start, middle)?);
            start = middle;
        }
    }
    // The earlier tree's own root is known to who asks, if it is a whole subtree of the later one.
    if start != 0 {
        proof.push(subtree_hash(nodes, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The leaves' hashes alone, for small trees: every node is worked out when it is asked for.
impl Nodes for [Digest] {
    type Error = ProofError;

    fn node(&self, level: u8, index: u64) -> Result<Digest, ProofError> {
        let size = u64::try_from(self.len()).unwrap_or(u64::MAX);
        let missing =
            ProofError::NoLeaf { index: index.saturating_add(1).saturating_mul(1 << level.min(63)), size };
        let range = || {
            let start = index.checked_mul(1u64.checked_shl(level.into())?)?;
            let end = start.checked_add(1u64.checked_shl(level.into())?)?;
            self.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
        };
        let mut frontier = Frontier::new();
        for leaf in range().ok_or(missing)? {
            if !frontier.push(*leaf, |_, _, _| {}) {
                return Err(missing);
            }
        }
        Ok(frontier.root())
    }
}
