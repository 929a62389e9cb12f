//! Verifying proofs, by the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2.

use dkm_core::Digest;

use super::{ProofError, node_hash};

/// Verifies that the leaf with this hash is leaf `index` of the tree with this size and root.
///
/// # Errors
/// What is wrong with the proof.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::NoLeaf { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node without a right sibling is carried up until it is somebody's right sibling.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Verifies that the tree of size and root `later` begins with the one of size and root `earlier`.
///
/// # Errors
/// What is wrong with the proof. [`ProofError::Empty`] if the earlier tree has no leaves: every tree begins with that
/// one, and no proof says more.
pub fn verify_consistency(
    earlier: (u64, &Digest),
    later: (u64, &Digest),
    proof: &[Digest],
) -> Result<(), ProofError> {
    let ((first, first_root), (second, second_root)) = (earlier, later);
    if first == 0 {
        return Err(ProofError::Empty);
    }
    if first > second {
        return Err(ProofError::Shrunk { earlier: first, later: second });
    }
    if first == second {
        return match proof {
            [] if first_root == second_root => Ok(()),
            [] => Err(ProofError::WrongRoot),
            _ => Err(ProofError::WrongLength),
        };
    }
    // A proof from a complete tree leaves out that tree's root, which is known.
    let (start, rest) = if first.is_power_of_two() {
        (first_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::WrongLength)?
    };
    if rest.is_empty() {
        return Err(ProofError::WrongLength);
    }
    let (mut node, mut last) = (first - 1, second - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut first_hash, mut second_hash) = (*start, *start);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            first_hash = node_hash(sibling, &first_hash);
            second_hash = node_hash(sibling, &second_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            second_hash = node_hash(&second_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if first_hash == *first_root && second_hash == *second_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}
