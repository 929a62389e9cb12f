//! The right edge of the log: what the next entries are appended to.

use std::collections::HashMap;

use dkm_core::Digest;

use crate::merkle::{Frontier, Nodes, ProofError, leaf_hash};
use crate::source::Source;
use crate::tile::{TILE_LEVELS, TILE_WIDTH, Tile, decode_bundle, decode_hashes, push_entry, tile_root};
use crate::tree::{TreeError, read};

/// The tree's frontier, and its partial tiles and bundle.
#[derive(Debug, Clone, Default)]
pub(super) struct Edge {
    pub(super) frontier: Frontier,
    /// Hashes of the partial tile of each level.
    tiles: Vec<Vec<Digest>>,
    /// The partial bundle.
    bundle: Vec<u8>,
}

/// What a batch adds.
#[derive(Default)]
pub(super) struct Added {
    /// Tiles and bundles that are to be written.
    pub(super) files: Vec<(Tile, Vec<u8>)>,
    /// Nodes that the proofs of the batch's leaves may need.
    pub(super) nodes: BatchNodes,
}

/// Nodes of the tree that lie to the left of a batch, or in it.
#[derive(Default)]
pub(super) struct BatchNodes(HashMap<(u8, u64), Digest>);

impl Nodes for BatchNodes {
    type Error = ProofError;

    fn node(&self, level: u8, index: u64) -> Result<Digest, ProofError> {
        let known = self.0.get(&(level, index)).copied();
        known.ok_or(ProofError::NoLeaf { index: index.saturating_mul(1 << level.min(63)), size: 0 })
    }
}

impl Edge {
    /// Reads the edge of a log of `size` entries. Its root is what the tiles say: the caller compares it with the
    /// checkpoint's.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub(super) fn load<S: Source>(source: &S, size: u64) -> Result<Self, TreeError> {
        let mut edge = Self::default();
        let mut roots = Vec::new();
        for level in 0..TILE_LEVELS {
            let hashes = match partial(Some(level), size) {
                Some(tile) => {
                    let hashes = decode_hashes(&read(source, tile)?);
                    let whole = hashes.filter(|hashes| hashes.len() == usize::from(tile.width));
                    whole.ok_or_else(|| TreeError::Damaged { path: tile.path() })?
                }
                None => Vec::new(),
            };
            edge.tiles.push(hashes);
        }
        // Complete subtrees, the largest first: those of the highest level's tile come first.
        for hashes in edge.tiles.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let (subtree, after) = rest.split_at(1 << rest.len().ilog2());
                roots.push(tile_root(subtree));
                rest = after;
            }
        }
        edge.frontier = Frontier::from_roots(size, roots).ok_or(ProofError::WrongRoot)?;
        if let Some(tile) = partial(None, size) {
            edge.bundle = read(source, tile)?;
            let entries = decode_bundle(&edge.bundle);
            let hashes = entries.map(|entries| entries.into_iter().map(leaf_hash).collect::<Vec<_>>());
            if hashes.as_ref() != edge.tiles.first() {
                return Err(TreeError::Damaged { path: tile.path() });
            }
        }
        Ok(edge)
    }

    /// The partial tiles and bundle, as they lie in the log's folder.
    pub(super) fn files(&self) -> Vec<(Tile, Vec<u8>)> {
        let size = self.frontier.size();
        let bundle = partial(None, size).map(|tile| (tile, self.bundle.clone()));
        let tiles = (0..TILE_LEVELS).zip(&self.tiles);
        let tiles = tiles.filter_map(|(level, hashes)| Some((partial(Some(level), size)?, encode(hashes))));
        bundle.into_iter().chain(tiles).collect()
    }

    /// Appends entries; `None` if one is too long for a bundle, or the tree is full. What is to be written is in the
    /// order in which it was filled, partial tiles last.
    pub(super) fn append<'e>(&mut self, entries: impl Iterator<Item = &'e [u8]>) -> Option<Added> {
        let mut added = Added::default();
        let before = self.frontier.size();
        added.nodes.0.extend(self.frontier.subtrees().map(|(level, index, hash)| ((level, index), hash)));
        self.tiles.resize(usize::from(TILE_LEVELS), Vec::new());
        for entry in entries {
            let leaf = leaf_hash(entry);
            let nodes = &mut added.nodes.0;
            let pushed = self.frontier.push(leaf, |level, index, hash| {
                nodes.insert((level, index), hash);
            });
            if !pushed || !push_entry(&mut self.bundle, entry) {
                return None;
            }
            self.carry(leaf, &mut added.files);
        }
        let changed = |tile: &Tile| partial(tile.level, before) != Some(*tile);
        added.files.extend(self.files().into_iter().filter(|(tile, _)| changed(tile)));
        Some(added)
    }

    /// Puts a leaf's hash into its tile, and the root of each tile that it fills into the tile above.
    fn carry(&mut self, leaf: Digest, full: &mut Vec<(Tile, Vec<u8>)>) {
        let size = self.frontier.size();
        let mut hash = leaf;
        for (level, hashes) in (0..TILE_LEVELS).zip(&mut self.tiles) {
            hashes.push(hash);
            if u64::try_from(hashes.len()) != Ok(TILE_WIDTH) {
                break;
            }
            let hashes = std::mem::take(hashes);
            let index = (size >> (8 * level)) / TILE_WIDTH - 1;
            if level == 0 {
                full.push((Tile { level: None, index, width: 256 }, std::mem::take(&mut self.bundle)));
            }
            full.push((Tile { level: Some(level), index, width: 256 }, encode(&hashes)));
            hash = tile_root(&hashes);
        }
    }
}

/// The partial tile of a level in a tree of `size` leaves.
fn partial(level: Option<u8>, size: u64) -> Option<Tile> {
    let last = crate::tile::hashes_at(level.unwrap_or(0), size).checked_sub(1)?;
    Tile::of(level, last, size).filter(|tile| !tile.is_full())
}

fn encode(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}
