//! Bundles and tiles against the entries.

use dkm_core::Digest;

use crate::merkle::leaf_hash;
use crate::source::Source;
use crate::tile::{TILE_LEVELS, TILE_WIDTH, Tile, decode_bundle, decode_hashes, tile_root};
use crate::tree::{TreeError, read};

use super::{Fault, Found};

/// The tiles that the entries so far demand.
pub(super) struct Tiles<'a, S> {
    source: &'a S,
    /// Of each level, hashes of the tile that is not full yet, and its index.
    levels: Vec<(Vec<Digest>, u64)>,
    pub(super) leftovers: u64,
}

/// A leaf: its hash, and its entry where that could be read.
pub(super) type Leaf = (Digest, Option<Vec<u8>>);

impl<'a, S: Source> Tiles<'a, S> {
    pub(super) fn new(source: &'a S) -> Self {
        let levels = (0..TILE_LEVELS).map(|_| (Vec::new(), 0)).collect();
        Self { source, levels, leftovers: 0 }
    }

    /// The leaves of a bundle, from the hashes in the tile beside it if the bundle cannot be read. `None` if neither can.
    pub(super) fn leaves(&mut self, bundle: Tile, faults: &mut Found) -> Option<Vec<Leaf>> {
        let fault = match read(self.source, bundle) {
            Ok(bytes) => match decode_bundle(&bytes) {
                Some(entries) if entries.len() == usize::from(bundle.width) => {
                    self.partials(bundle, &bytes, faults);
                    let leaf = |entry: &[u8]| (leaf_hash(entry), Some(entry.to_vec()));
                    return Some(entries.into_iter().map(leaf).collect());
                }
                Some(entries) => width(bundle, entries.len()),
                None => TreeError::Damaged { path: bundle.path() }.into(),
            },
            Err(error) => error.into(),
        };
        faults.add(fault);
        let tile = Tile { level: Some(0), ..bundle };
        let hashes = read(self.source, tile).ok().and_then(|bytes| decode_hashes(&bytes))?;
        (hashes.len() == usize::from(tile.width))
            .then(|| hashes.into_iter().map(|hash| (hash, None)).collect())
    }

    /// Takes a leaf's hash, and compares every tile that is full with it.
    pub(super) fn push(&mut self, leaf: Digest, faults: &mut Found) {
        let mut hash = leaf;
        for level in 0..TILE_LEVELS {
            let Some((hashes, index)) = self.levels.get_mut(usize::from(level)) else { return };
            hashes.push(hash);
            if u64::try_from(hashes.len()) != Ok(TILE_WIDTH) {
                return;
            }
            let (hashes, at) = (std::mem::take(hashes), *index);
            *index += 1;
            hash = tile_root(&hashes);
            self.compare(Tile { level: Some(level), index: at, width: 256 }, &hashes, faults);
        }
    }

    /// Compares the tiles that are not full.
    pub(super) fn finish(&mut self, faults: &mut Found) {
        for (level, (hashes, index)) in (0..TILE_LEVELS).zip(std::mem::take(&mut self.levels)) {
            let Ok(width) = u16::try_from(hashes.len()) else { return };
            if width > 0 {
                self.compare(Tile { level: Some(level), index, width }, &hashes, faults);
            }
        }
    }

    fn compare(&mut self, tile: Tile, hashes: &[Digest], faults: &mut Found) {
        let bytes = match read(self.source, tile) {
            Ok(bytes) => bytes,
            Err(error) => return faults.add(error),
        };
        let Some(found) = decode_hashes(&bytes) else {
            return faults.add(TreeError::Damaged { path: tile.path() });
        };
        if found.len() != hashes.len() {
            return faults.add(width(tile, found.len()));
        }
        let path = tile.path();
        for (at, (ours, _)) in
            (0u64..).zip(hashes.iter().zip(&found)).filter(|(_, (ours, found))| ours != found)
        {
            faults.add(match tile.level {
                Some(0) => {
                    Fault::Entry { index: tile.index * TILE_WIDTH + at, tile: path.clone(), found: *ours }
                }
                _ => Fault::Tile { tile: path.clone(), at },
            });
        }
        self.partials(tile, &bytes, faults);
    }

    /// Compares earlier partial versions of a tile or bundle with its newest.
    fn partials(&mut self, tile: Tile, newest: &[u8], faults: &mut Found) {
        let folder = tile.partial_folder();
        let names = match self.source.names(&folder) {
            Ok(names) => names,
            Err(error) => return faults.add(TreeError::Io { path: folder, source: error.into() }),
        };
        for name in names {
            let parsed = name.parse().ok();
            let width = parsed.filter(|width: &u16| (1..256).contains(width) && width.to_string() == name);
            match width {
                Some(width) if width > tile.width => self.leftovers += 1,
                Some(width) if width < tile.width || tile.is_full() => {
                    let part = Tile { width, ..tile };
                    let path = part.path();
                    match read(self.source, part) {
                        Ok(bytes) if newest.starts_with(&bytes) && holds(part, &bytes) => {}
                        Ok(_) => faults.add(Fault::Partial { path }),
                        Err(error) => faults.add(error),
                    }
                }
                Some(_) => {}
                None => faults.add(Fault::Partial { path: format!("{folder}/{name}") }),
            }
        }
    }
}

/// Whether a partial version has as much in it as its name says.
fn holds(tile: Tile, bytes: &[u8]) -> bool {
    match tile.level {
        Some(_) => bytes.len() == usize::from(tile.width) * 32,
        None => decode_bundle(bytes).is_some_and(|entries| entries.len() == usize::from(tile.width)),
    }
}

fn width(tile: Tile, found: usize) -> Fault {
    Fault::Width {
        path: tile.path(),
        found: u64::try_from(found).unwrap_or(u64::MAX),
        expected: u64::from(tile.width),
    }
}
