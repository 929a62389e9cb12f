//! Tiles ([C2SP tlog-tiles](https://c2sp.org/tlog-tiles)): the pieces in which a log is stored and served.
//!
//! A tile of level 0 holds the hashes of 256 leaves; each hash in a tile of a higher level is the root of a full tile
//! below it. Entry bundles hold the leaves themselves, 256 each. The last of each kind may be partial.

use dkm_core::Digest;

use crate::entry::ENTRY_LEN_MAX;
use crate::merkle::Frontier;

/// Hashes of a full tile, and leaves of a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Levels of tiles of the largest tree.
pub const TILE_LEVELS: u8 = 8;
/// Longest path of a tile.
const PATH_LEN_MAX: usize = 64;
/// Longest bundle, in bytes.
pub const BUNDLE_LEN_MAX: usize = 256 * (2 + ENTRY_LEN_MAX);

/// Which tile or bundle, and how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Level of a tile of hashes; `None` for a bundle of entries.
    pub level: Option<u8>,
    /// Index within the level.
    pub index: u64,
    /// Hashes or entries in it, from 1; 256 if it is full.
    pub width: u16,
}

impl Tile {
    /// The tile of `level` that holds its hash `at` in a tree of `size` leaves, as wide as it is in that tree. `None` if
    /// the tree has no such hash.
    #[must_use]
    pub fn of(level: Option<u8>, at: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at(level.unwrap_or(0), size);
        let index = at / TILE_WIDTH;
        let width = u16::try_from(hashes.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH)).ok()?;
        (at < hashes).then_some(Self { level, index, width })
    }

    /// Whether it will never change.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The tile when it is full.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: 256, ..self }
    }

    /// Where it lies below the log's folder or URL.
    #[must_use]
    pub fn path(&self) -> String {
        let kind = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let mut path = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            path = format!("x{:03}/{path}", rest % 1000);
            rest /= 1000;
        }
        if self.is_full() {
            format!("tile/{kind}/{path}")
        } else {
            format!("tile/{kind}/{path}.p/{}", self.width)
        }
    }

    /// The tile that lies at this path; `None` for any other text, also for another spelling of a tile's path.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        // The longest is that of the last partial tile of the largest tree.
        if path.len() > PATH_LEN_MAX {
            return None;
        }
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let level = match kind {
            "entries" => None,
            level => Some(level.parse().ok().filter(|level| *level < TILE_LEVELS)?),
        };
        let (rest, width) = match rest.split_once(".p/") {
            Some((rest, width)) => (rest, width.parse().ok().filter(|width| (1..256).contains(width))?),
            None => (rest, 256),
        };
        let index = rest.split('/').try_fold(0u64, |index, part| {
            let number: u64 = part.strip_prefix('x').unwrap_or(part).parse().ok()?;
            index.checked_mul(1000)?.checked_add(number)
        })?;
        let tile = Self { level, index, width };
        (tile.path() == path).then_some(tile)
    }

    /// Whether a tree of so many leaves has the tile, as wide as it is here.
    #[must_use]
    pub fn is_in(&self, size: u64) -> bool {
        let end = self.index.checked_mul(TILE_WIDTH).and_then(|start| start.checked_add(self.width.into()));
        self.width > 0 && end.is_some_and(|end| end <= hashes_at(self.level.unwrap_or(0), size))
    }

    /// Folder of the tile's partial versions.
    #[must_use]
    pub fn partial_folder(&self) -> String {
        format!("{}.p", self.full().path())
    }

    /// Longest file that it can be, in bytes.
    #[must_use]
    pub fn len_max(&self) -> usize {
        if self.level.is_some() { usize::from(self.width) * 32 } else { BUNDLE_LEN_MAX }
    }
}

/// Hashes that the tiles of a level hold for a tree of `size` leaves.
#[must_use]
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * 8).unwrap_or(0)
}

/// The hashes in a tile; `None` if its length is not a multiple of 32.
#[must_use]
pub fn decode_hashes(tile: &[u8]) -> Option<Vec<Digest>> {
    let (hashes, rest) = tile.as_chunks::<32>();
    rest.is_empty().then(|| hashes.iter().map(|hash| Digest(*hash)).collect())
}

/// The Merkle tree hash over all hashes of a tile.
#[must_use]
pub fn tile_root(hashes: &[Digest]) -> Digest {
    let mut frontier = Frontier::new();
    for hash in hashes {
        // A tile is never as long as a tree can be.
        let _ = frontier.push(*hash, |_, _, _| {});
    }
    frontier.root()
}

/// Appends an entry to a bundle: its length in two bytes, big-endian, and its bytes.
///
/// `false`, and nothing is appended, if the entry is longer than 65 535 bytes.
#[must_use]
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(len) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries in a bundle; `None` if it is cut off, or holds more than 256.
#[must_use]
pub fn decode_bundle(bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() == 256 {
            return None;
        }
        let (len, tail) = rest.split_first_chunk()?;
        let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        entries.push(entry);
        rest = tail;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(level: Option<u8>, index: u64, width: u16) -> String {
        Tile { level, index, width }.path()
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(path(Some(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(Some(0), 273, 112), "tile/0/273.p/112");
        assert_eq!(path(None, 5, 256), "tile/entries/005");
        assert_eq!(path(None, 1000, 1), "tile/entries/x001/000.p/1");
        assert_eq!(path(Some(7), u64::MAX / 256, 256), "tile/7/x072/x057/x594/x037/x927/935");
    }

    #[test]
    fn a_tree_has_the_tiles_of_the_specifications_example() {
        let last = |level, at| Tile::of(level, at, 70_000).map(|tile| (tile.index, tile.width));
        assert_eq!(last(Some(0), 69_999), Some((273, 112)));
        assert_eq!(last(Some(0), 69_000), Some((269, 256)));
        assert_eq!(last(None, 69_999), Some((273, 112)));
        assert_eq!(last(Some(1), 255), Some((0, 256)));
        assert_eq!(last(Some(1), 272), Some((1, 17)));
        assert_eq!(last(Some(2), 0), Some((0, 1)));
        assert_eq!((last(Some(0), 70_000), last(Some(1), 273), last(Some(2), 1)), (None, None, None));
        assert_eq!(Tile::of(Some(200), 0, u64::MAX), None);
    }

    #[test]
    fn another_spelling_is_no_path() {
        for path in [
            "tile/0/1",
            "tile/00/001",
            "tile/8/001",
            "tile/+1/001",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/07",
            "tile/0/001.p",
            "tile/0/x001",
            "tile/0/../001",
            "tile/0//001",
            "tile/entries",
            "checkpoint",
            "tile/0/001/",
            "/tile/0/001",
            "tile/0/xx001/001",
            "tile/0/-01",
            "tile/entries/001.p/1.p/1",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
        assert_eq!(Tile::parse(&format!("tile/0/{}001", "x001/".repeat(100))), None);
    }

    proptest! {
        #[test]
        fn paths_come_back(level in prop::option::of(0u8..TILE_LEVELS), index in any::<u64>(), width in 1u16..=256) {
            let tile = Tile { level, index, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }

        #[test]
        fn any_text_is_a_path_or_none(text in "(tile/)?[0-9a-z./x]{0,40}") {
            if let Some(tile) = Tile::parse(&text) {
                prop_assert_eq!(tile.path(), text);
            }
        }

        #[test]
        fn a_tree_has_the_tiles_that_its_hashes_are_in(level in 0u8..4, at in 0u64..100_000, size in 0u64..100_000) {
            match Tile::of(Some(level), at, size) {
                Some(tile) => {
                    prop_assert!(tile.is_in(size));
                    let wider = Tile { width: tile.width + 1, ..tile };
                    prop_assert!(tile.is_full() || !wider.is_in(size));
                }
                None => prop_assert!(at >= hashes_at(level, size)),
            }
        }

        #[test]
        fn bundles_come_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=256)) {
            let mut bundle = Vec::new();
            for entry in &entries {
                prop_assert!(push_entry(&mut bundle, entry));
            }
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(decode_bundle(&bundle), Some(slices));
            if entries.len() == 256 {
                prop_assert!(push_entry(&mut bundle, b"one more"));
                prop_assert_eq!(decode_bundle(&bundle), None);
            } else if !bundle.is_empty() {
                prop_assert_ne!(decode_bundle(&bundle[..bundle.len() - 1]).map(|found| found.len()), Some(entries.len()));
            }
            prop_assert!(!push_entry(&mut bundle, &vec![0; 65_536]));
        }
    }
}
