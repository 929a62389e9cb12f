//! A log's tree, read from its tiles: entries and proofs for any size up to the log's own.
//!
//! Tiles are not trusted. A proof is returned only after it has been verified against the roots that the caller gives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;

use dkm_core::Digest;

use crate::checkpoint::Checkpoint;
use crate::merkle::{Nodes, ProofError, leaf_hash, prove_consistency, prove_inclusion, verify_inclusion};
use crate::source::Source;
use crate::tile::{TILE_WIDTH, Tile, decode_bundle, decode_hashes, tile_root};

/// Why a log's tree cannot be read, or a proof cannot be given.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A file of the log is not there.
    #[error("the log's file {path} is missing")]
    Missing {
        /// Path below the log's folder.
        path: String,
    },
    /// A file of the log holds something else than its place demands.
    #[error("the log's file {path} is damaged")]
    Damaged {
        /// Path below the log's folder.
        path: String,
    },
    /// A file of the log cannot be read.
    #[error("the log's file {path} cannot be read: {source}")]
    Io {
        /// Path below the log's folder.
        path: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// There is no such proof, or the tiles do not belong to the checkpoint.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// A leaf that is proved to be in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its place in the log, from 0.
    pub index: u64,
    /// Its hash.
    pub hash: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A log's tree at one checkpoint.
pub struct Tree<'a, S> {
    source: &'a S,
    checkpoint: &'a Checkpoint,
    /// Tiles that were read, so that a proof reads none twice.
    read: RefCell<BTreeMap<Tile, Vec<Digest>>>,
}

impl<'a, S: Source> Tree<'a, S> {
    /// The tree of `checkpoint`, which the caller has verified, in the log at `source`.
    #[must_use]
    pub const fn new(source: &'a S, checkpoint: &'a Checkpoint) -> Self {
        Self { source, checkpoint, read: RefCell::new(BTreeMap::new()) }
    }

    /// Proves that a leaf is in the tree: the leaf's bytes, and the proof.
    ///
    /// # Errors
    /// [`ProofError::NoLeaf`]; files that are missing or damaged.
    pub fn prove(&self, index: u64) -> Result<(Vec<u8>, Vec<Digest>), TreeError> {
        let proof = prove_inclusion(self, index, self.checkpoint.size)?;
        let leaf = self.leaf(index)?;
        let root = &self.checkpoint.root;
        verify_inclusion(&leaf_hash(&leaf), index, self.checkpoint.size, root, &proof)?;
        Ok((leaf, proof))
    }

    /// Proves that the tree begins with that of an earlier checkpoint, which is verified too: the proof is empty if the
    /// earlier tree is.
    ///
    /// # Errors
    /// [`ProofError::Shrunk`] if the other tree is larger; [`ProofError::WrongRoot`] if this log does not begin with
    /// it; files that are missing or damaged.
    pub fn prove_extends(&self, earlier: &Checkpoint) -> Result<Vec<Digest>, TreeError> {
        let proof = if earlier.size == 0 {
            Vec::new()
        } else {
            prove_consistency(self, earlier.size, self.checkpoint.size)?
        };
        self.checkpoint.verify_extends(earlier, &proof)?;
        Ok(proof)
    }

    /// The leaves from `number` × 256 on, up to 256 of them, each proved to be in the tree. Reading a log in this way
    /// costs one proof a bundle, and holds one bundle at a time.
    ///
    /// # Errors
    /// [`ProofError::NoLeaf`]; [`ProofError::WrongRoot`] if the tiles do not belong to the checkpoint; files that are
    /// missing or damaged.
    pub fn bundle(&self, number: u64) -> Result<Vec<Leaf>, TreeError> {
        let Checkpoint { size, root, .. } = self.checkpoint;
        let start = number.saturating_mul(TILE_WIDTH);
        let no_leaf = ProofError::NoLeaf { index: start, size: *size };
        let bundle = Tile::of(None, start, *size).ok_or(no_leaf)?;
        let damaged = || TreeError::Damaged { path: bundle.path() };
        let bytes = read(self.source, bundle)?;
        let entries = decode_bundle(&bytes).filter(|entries| entries.len() == usize::from(bundle.width));
        let leaves: Vec<Leaf> = (start..)
            .zip(entries.ok_or_else(damaged)?)
            .map(|(index, entry)| Leaf { index, hash: leaf_hash(entry), bytes: entry.to_vec() })
            .collect();
        let first = leaves.first().ok_or_else(damaged)?;
        // This proof is made of all other hashes of the tile. So it holds only if every one of them is right.
        let proof = prove_inclusion(self, start, *size)?;
        verify_inclusion(&first.hash, start, *size, root, &proof)?;
        let tile = Tile { level: Some(0), ..bundle };
        let same = self.hashes(tile, |hashes| hashes.iter().eq(leaves.iter().map(|leaf| &leaf.hash)))?;
        self.read.borrow_mut().remove(&tile);
        if same { Ok(leaves) } else { Err(damaged()) }
    }

    /// Looks at the hashes of a tile, which are as many as it is wide.
    fn hashes<T>(&self, tile: Tile, look: impl FnOnce(&[Digest]) -> T) -> Result<T, TreeError> {
        let mut known = self.read.borrow_mut();
        let hashes = match known.entry(tile) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let hashes = decode_hashes(&read(self.source, tile)?);
                let whole = hashes.filter(|hashes| hashes.len() == usize::from(tile.width));
                place.insert(whole.ok_or_else(|| TreeError::Damaged { path: tile.path() })?)
            }
        };
        Ok(look(hashes))
    }

    /// The bytes of a leaf, which only [`Tree::prove`] verifies.
    pub(crate) fn leaf(&self, index: u64) -> Result<Vec<u8>, TreeError> {
        let size = self.checkpoint.size;
        let tile = Tile::of(None, index, size).ok_or(ProofError::NoLeaf { index, size })?;
        let bytes = read(self.source, tile)?;
        let entries = decode_bundle(&bytes).ok_or_else(|| TreeError::Damaged { path: tile.path() })?;
        let entry = usize::try_from(index % 256).ok().and_then(|at| entries.get(at));
        entry.map(|entry| entry.to_vec()).ok_or_else(|| TreeError::Damaged { path: tile.path() })
    }
}

/// A tile or bundle as wide as asked for. One that has been filled since is read from its full version.
pub(crate) fn read<S: Source>(source: &S, tile: Tile) -> Result<Vec<u8>, TreeError> {
    let of = |tile: Tile| {
        let path = tile.path();
        match source.read(&path, tile.len_max()) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(TreeError::Damaged { path }),
            read => read.map_err(|source| TreeError::Io { path, source: Arc::new(source) }),
        }
    };
    if let Some(bytes) = of(tile)? {
        return Ok(bytes);
    }
    let missing = || TreeError::Missing { path: tile.path() };
    if tile.is_full() {
        return Err(missing());
    }
    let mut bytes = of(tile.full())?.ok_or_else(missing)?;
    let len = if tile.level.is_some() {
        tile.len_max()
    } else {
        let entries = decode_bundle(&bytes).ok_or_else(|| TreeError::Damaged { path: tile.full().path() })?;
        entries.iter().take(usize::from(tile.width)).map(|entry| 2 + entry.len()).sum()
    };
    bytes.truncate(len);
    Ok(bytes)
}

impl<S: Source> Nodes for Tree<'_, S> {
    type Error = TreeError;

    fn node(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
        let size = self.checkpoint.size;
        let (tile_level, height) = (level / 8, level % 8);
        let none = || ProofError::NoLeaf { index: index.saturating_mul(1 << level.min(63)), size };
        let first = index.checked_mul(1 << height).ok_or_else(none)?;
        let tile = Tile::of(Some(tile_level), first, size).ok_or_else(none)?;
        let start = usize::try_from(first % 256).unwrap_or(0);
        let root = self.hashes(tile, |hashes| hashes.get(start..start + (1 << height)).map(tile_root))?;
        root.ok_or_else(|| none().into())
    }
}
