//! The right edge of a growing tree.

use dkm_core::Digest;

use super::{empty_root, node_hash};

/// What must be known of a tree to append to it: the roots of its largest complete subtrees, at most 64 of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// One for each bit that is set in `size`, the largest subtree first.
    roots: Vec<Digest>,
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, roots: Vec::new() }
    }

    /// The frontier of a tree of `size` leaves whose largest complete subtrees have these roots, the largest first.
    /// `None` if their number does not fit the size.
    #[must_use]
    pub fn from_roots(size: u64, roots: Vec<Digest>) -> Option<Self> {
        (usize::try_from(size.count_ones()) == Ok(roots.len())).then_some(Self { size, roots })
    }

    /// Leaves in the tree.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The complete subtrees: level, index within the level, root; the largest first.
    pub fn subtrees(&self) -> impl Iterator<Item = (u8, u64, Digest)> {
        let levels = (0u8..64).rev().filter(|level| self.size >> level & 1 == 1);
        levels.zip(&self.roots).map(|(level, root)| (level, (self.size >> level) - 1, *root))
    }

    /// Appends a leaf by its hash, and tells `made` of every node that is complete with it: level, index, hash. The leaf
    /// itself is the node of level 0. `false`, and nothing is changed, if the tree has 2^64 − 1 leaves.
    #[must_use]
    pub fn push(&mut self, leaf: Digest, mut made: impl FnMut(u8, u64, Digest)) -> bool {
        let Some(size) = self.size.checked_add(1) else { return false };
        let mut node = leaf;
        made(0, self.size, node);
        // A tree grows like a counter: each bit that carries joins two subtrees.
        for level in 0u8..64 {
            if self.size >> level & 1 == 0 {
                break;
            }
            if let Some(left) = self.roots.pop() {
                node = node_hash(&left, &node);
            }
            made(level + 1, self.size >> (level + 1), node);
        }
        self.roots.push(node);
        self.size = size;
        true
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return empty_root() };
        roots.fold(*last, |right, left| node_hash(left, &right))
    }
}
