//! Another implementation of tiled logs reads ours.

use std::fs;

use dkm_audit::merkle::leaf_hash;
use dkm_audit::tree::Tree;
use dkm_audit::{Checkpoint, Trust};
use tlog_tiles::{
    Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
    record_hash, tree_hash,
};

use super::common::{Place, batch, entry, trust};

/// Tiles as they lie in the folder. The crate's paths begin with the height of a tile; those of C2SP do not.
struct Folder<'a>(&'a Place);

impl TileReader for Folder<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            Ok(fs::read(self.0.log().join(path)).unwrap())
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn check(place: &Place, sizes: &[(u64, Checkpoint)], trust: &Trust) {
    let verified = trust.verify(&fs::read(place.log().join("checkpoint")).unwrap()).unwrap();
    let now = verified.checkpoint;
    let folder = Folder(place);
    let root = Hash(now.root.0);
    let reader = TileHashReader::new(now.size, root, &folder);
    assert_eq!(tree_hash(now.size, &reader).unwrap().0, now.root.0);
    let source = place.source();
    let tree = Tree::new(&source, &now);
    for index in [0, 1, 255, 256, now.size / 2, now.size.saturating_sub(2), now.size - 1]
        .into_iter()
        .filter(|n| *n < now.size)
    {
        let (leaf, proof) = tree.prove(index).unwrap();
        let theirs = prove_record(now.size, index, &reader).unwrap();
        assert_eq!(
            theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(),
            proof.iter().map(|hash| hash.0).collect::<Vec<_>>()
        );
        assert_eq!(record_hash(&leaf).0, leaf_hash(&leaf).0);
        check_record(&theirs, now.size, root, index, record_hash(&leaf)).unwrap();
    }
    for (size, earlier) in sizes.iter().filter(|(size, _)| *size > 0) {
        let ours = tree.prove_extends(earlier).unwrap();
        let theirs = prove_tree(now.size, *size, &reader).unwrap();
        assert_eq!(
            theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(),
            ours.iter().map(|hash| hash.0).collect::<Vec<_>>()
        );
        check_tree(&theirs, now.size, root, *size, Hash(earlier.root.0)).unwrap();
    }
}

#[test]
fn proofs_from_our_tiles_are_theirs() {
    let place = Place::new();
    let log = place.create();
    let mut sizes = Vec::new();
    // One, a few, up to a full tile, beyond it, and up to the second level of full tiles and beyond it.
    for many in [0, 1, 3, 248, 1, 300, 511].into_iter().chain([1000; 66]) {
        let receipts = batch(&log, (0..many).map(entry));
        assert!(receipts.iter().all(Result::is_ok));
        let now = trust(1).verify(&log.checkpoint()).unwrap().checkpoint;
        sizes.push((now.size, now));
        if sizes.len() < 9 {
            check(&place, &sizes, &trust(1));
        }
    }
    assert!(sizes.last().unwrap().0 > 65_536 + 1000);
    check(&place, &sizes, &trust(1));
    let place_checkpoint = log.checkpoint();
    drop(log);
    assert_eq!(place.verify().unwrap().checkpoint.size, sizes.last().unwrap().0);
    assert_eq!(*place.open(1).unwrap().checkpoint(), *place_checkpoint);
}
