//! What is on disk, read for a writer.

use std::sync::Arc;

use super::Error;
use super::edge::Edge;
use super::files::Files;
use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::note::{LogKey, NOTE_LEN_MAX};
use crate::source::{DirectorySource, Source};
use crate::tile::{TILE_LEVELS, TILE_WIDTH, Tile, hashes_at};
use crate::tree::{Tree, TreeError};
use crate::trust::Trust;

pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const HANDOVER: &str = "handover";

/// Tiles around the right edge among which a writer that died may have left some: more than the largest batch fills.
const TIDY_TILES: u64 = 8;

/// Where the checkpoint of a change of key is kept.
pub(crate) fn handover_path(size: u64) -> String {
    format!("{HANDOVER}/{size}")
}

/// The log's newest state.
pub(super) struct Loaded {
    pub(super) checkpoint: Checkpoint,
    pub(super) note: Arc<[u8]>,
    pub(super) edge: Edge,
}

/// Reads the log's edge, and completes a change of key that was cut off.
pub(super) fn load(files: &mut Files, source: &DirectorySource, key: &LogKey) -> Result<Loaded, Error> {
    let read = source.read(CHECKPOINT, NOTE_LEN_MAX);
    let note = read.map_err(|error| Error::io(&files.root().join(CHECKPOINT), error))?;
    let note = note.ok_or_else(|| TreeError::Missing { path: CHECKPOINT.to_owned() })?;
    let checkpoint = Trust::log(key.public().clone())?.verify(&note)?.checkpoint;
    let edge = Edge::load(source, checkpoint.size)?;
    if edge.frontier.root() != checkpoint.root {
        return Err(TreeError::Damaged { path: "tile".to_owned() }.into());
    }
    hand_over(files, source, key, &checkpoint, &note)?;
    Ok(Loaded { checkpoint, note: note.into(), edge })
}

/// Refuses a key that the log has changed away from.
fn hand_over(
    files: &mut Files,
    source: &DirectorySource,
    key: &LogKey,
    checkpoint: &Checkpoint,
    note: &[u8],
) -> Result<(), Error> {
    let tree = Tree::new(source, checkpoint);
    let announced = |size: u64| -> Result<_, Error> {
        let Some(last) = size.checked_sub(1) else { return Ok(None) };
        let (leaf, _) = tree.prove(last)?;
        Ok(Entry::decode(&leaf)?.announces().cloned())
    };
    let next = match announced(checkpoint.size)? {
        Some(next) => {
            let path = handover_path(checkpoint.size);
            // The writer may have died before it kept the checkpoint that both keys have signed.
            let there = source
                .read(&path, NOTE_LEN_MAX)
                .map_err(|error| Error::io(&files.root().join(&path), error))?;
            if there.is_none() {
                files.put(&path, note)?;
            }
            Some(next)
        }
        None => {
            let names =
                source.names(HANDOVER).map_err(|error| Error::io(&files.root().join(HANDOVER), error))?;
            let sizes = names.iter().filter_map(|name| name.parse().ok());
            match sizes.filter(|size| *size <= checkpoint.size).max() {
                Some(size) => announced(size)?,
                None => None,
            }
        }
    };
    match next {
        Some(next) if next != *key.public() => Err(Error::Retired { next }),
        _ => Ok(()),
    }
}

/// Removes tiles beyond the checkpoint, which were never acknowledged, and partial tiles of full ones.
pub(super) fn tidy(files: &mut Files, source: &DirectorySource, size: u64) -> Result<(), Error> {
    files.clear()?;
    for level in (0..TILE_LEVELS).map(Some).chain([None]) {
        let hashes = hashes_at(level.unwrap_or(0), size);
        let (edge, width) = (hashes / TILE_WIDTH, hashes % TILE_WIDTH);
        for index in edge.saturating_sub(TIDY_TILES)..edge.saturating_add(TIDY_TILES) {
            let tile = Tile { level, index, width: 256 };
            files.doubt(&tile.path());
            if index >= edge {
                files.remove(&tile.path())?;
            }
            if index != edge {
                files.remove(&tile.partial_folder())?;
                continue;
            }
            let folder = tile.partial_folder();
            let names =
                source.names(&folder).map_err(|error| Error::io(&files.root().join(&folder), error))?;
            for name in names.iter().filter(|name| name.parse::<u64>().is_ok_and(|found| found > width)) {
                files.remove(&format!("{folder}/{name}"))?;
            }
        }
    }
    Ok(())
}
