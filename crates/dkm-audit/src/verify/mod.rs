//! Verification of a whole log, from nothing but its files and a key.
//!
//! Every entry is hashed again; tiles of all levels, their earlier partial versions, changes of key, the checkpoint's
//! signatures and an earlier checkpoint are compared with that. Nothing that the log says is believed before.

mod fault;
mod handovers;
mod tiles;

use std::collections::BTreeSet;

use dkm_core::{Digest, Timestamp};

use crate::checkpoint::Checkpoint;
use crate::entry::{Entry, Phase};
use crate::merkle::Frontier;
use crate::note::{KeyName, NOTE_LEN_MAX, Note, VerifierKey};
use crate::source::Source;
use crate::store::{CHECKPOINT, PUBLISHED};
use crate::tile::{TILE_WIDTH, Tile};
use crate::tree::TreeError;
use crate::trust::{Trust, TrustError};

pub use fault::{FAULTS_MAX, Fault, Faults, HandoverProblem};
use handovers::Handovers;
use tiles::Tiles;

/// What a log that is in order says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log's newest checkpoint. Keep it: the next verification can show that the log has only grown since.
    pub checkpoint: Checkpoint,
    /// The key that signs the log now.
    pub key: VerifierKey,
    /// How often the log has changed its key.
    pub key_changes: usize,
    /// Witnesses that have cosigned the checkpoint, and when, in seconds since the Unix epoch.
    pub cosigned: Vec<(KeyName, u64)>,
    /// The latest time of any entry.
    pub latest: Timestamp,
    /// Intents without an outcome: their actions count as done.
    pub open_intents: usize,
    /// Outcomes whose entry before is no intent, or has an outcome already.
    pub stray_outcomes: u64,
    /// Entries that record a refusal.
    pub denied: u64,
    /// Partial tiles beyond the checkpoint, from a writer that died: they are no part of the log.
    pub leftovers: u64,
}

/// Verifies a log. `earlier` is a checkpoint of it that somebody has kept: the log must contain its tree.
///
/// If `trust` needs witnesses, the log ends where enough of them have cosigned: what was written since counts for nothing.
///
/// `trust` may name any key that the log has had; changes of key are followed from there.
///
/// # Errors
/// Everything that is wrong, and where.
pub fn verify<S: Source>(source: &S, trust: &Trust, earlier: Option<&[u8]>) -> Result<Report, Faults> {
    verify_each(source, trust, earlier, |_, _, _| {})
}

/// [`verify`], which also hands each entry to `visit`: index, hash of the leaf, entry. They are hashed, but not yet known to
/// be signed: what is made of them counts only if this returns a report.
///
/// # Errors
/// As [`verify`].
pub fn verify_each<S: Source>(
    source: &S,
    trust: &Trust,
    earlier: Option<&[u8]>,
    visit: impl FnMut(u64, &Digest, &Entry),
) -> Result<Report, Faults> {
    let mut faults = Found::default();
    let report = run(source, trust, earlier, visit, &mut faults);
    match report {
        Some(report) if faults.0.is_empty() => Ok(report),
        _ => Err(Faults(faults.0)),
    }
}

/// Faults found so far.
#[derive(Default)]
struct Found(Vec<Fault>);

impl Found {
    fn add(&mut self, fault: impl Into<Fault>) {
        if !self.is_full() {
            self.0.push(fault.into());
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }
}

/// What was learned from the entries.
#[derive(Default)]
struct Seen {
    latest: Timestamp,
    open: BTreeSet<u64>,
    stray: u64,
    denied: u64,
}

impl Seen {
    fn note(&mut self, index: u64, entry: &Entry) {
        self.latest = self.latest.max(entry.time);
        match entry.phase {
            Phase::Intent => {
                self.open.insert(index);
            }
            Phase::Success { intent } | Phase::Failure { intent } => {
                if !self.open.remove(&intent) {
                    self.stray += 1;
                }
            }
            Phase::Denied => self.denied += 1,
            Phase::Recorded => {}
        }
    }
}

fn run<S: Source>(
    source: &S,
    trust: &Trust,
    earlier: Option<&[u8]>,
    mut visit: impl FnMut(u64, &Digest, &Entry),
    faults: &mut Found,
) -> Option<Report> {
    let note = newest(source, trust, faults)?;
    // Believed only once the entries have told which key must have signed it.
    let claimed = match claim(&note) {
        Ok(claimed) => claimed,
        Err(error) => {
            faults.add(Fault::Checkpoint(error));
            return None;
        }
    };
    let mut earlier = Earlier::new(earlier, faults);
    let mut frontier = Frontier::new();
    let mut handovers = Handovers::default();
    let mut tiles = Tiles::new(source);
    let mut seen = Seen::default();
    earlier.look(&frontier);
    for bundle in 0..claimed.size.div_ceil(TILE_WIDTH) {
        let start = bundle * TILE_WIDTH;
        let tile = Tile::of(None, start, claimed.size)?;
        // Without entries nor their hashes there is nothing to go on with.
        let leaves = tiles.leaves(tile, faults)?;
        for (index, (hash, entry)) in (start..).zip(leaves) {
            if !frontier.push(hash, |_, _, _| {}) {
                return None;
            }
            earlier.look(&frontier);
            tiles.push(hash, faults);
            match entry.as_deref().map(Entry::decode) {
                Some(Ok(entry)) => {
                    seen.note(index, &entry);
                    if let Some(next) = entry.announces() {
                        let newest = (frontier.size() == claimed.size).then_some(&*note);
                        handovers.announced(source, (&frontier, newest), next, faults);
                    }
                    visit(index, &hash, &entry);
                }
                Some(Err(error)) => faults.add(Fault::Malformed { index, error }),
                None => {}
            }
        }
        if faults.is_full() {
            return None;
        }
    }
    tiles.finish(faults);
    if frontier.root() != claimed.root {
        faults.add(Fault::Root { found: frontier.root() });
    }
    earlier.compare(&handovers.keys(trust), &claimed, faults);
    let trust = handovers.follow(source, trust, claimed.size, faults);
    match trust.verify(&note) {
        Ok(verified) => Some(Report {
            checkpoint: verified.checkpoint,
            key: trust.key().clone(),
            key_changes: handovers.len(),
            cosigned: verified.cosigned,
            latest: seen.latest,
            open_intents: seen.open.len(),
            stray_outcomes: seen.stray,
            denied: seen.denied,
            leftovers: tiles.leftovers,
        }),
        Err(error) => {
            faults.add(Fault::Checkpoint(error));
            None
        }
    }
}

/// The log's newest checkpoint; if witnesses must have cosigned, the newest that enough of them have.
fn newest<S: Source>(source: &S, trust: &Trust, faults: &mut Found) -> Option<Vec<u8>> {
    if trust.quorum() > 0 {
        match source.read(PUBLISHED, NOTE_LEN_MAX) {
            // Who serves a log with witnesses may serve this one as the checkpoint.
            Ok(None) => {}
            Ok(published) => return published,
            Err(error) => {
                faults.add(TreeError::Io { path: PUBLISHED.to_owned(), source: error.into() });
                return None;
            }
        }
    }
    file(source, CHECKPOINT, faults)
}

fn claim(note: &[u8]) -> Result<Checkpoint, TrustError> {
    Ok(Note::parse(note)?.text().parse()?)
}

fn file<S: Source>(source: &S, path: &str, faults: &mut Found) -> Option<Vec<u8>> {
    let path = path.to_owned();
    match source.read(&path, NOTE_LEN_MAX) {
        Ok(Some(bytes)) => return Some(bytes),
        Ok(None) => faults.add(TreeError::Missing { path }),
        Err(error) => faults.add(TreeError::Io { path, source: error.into() }),
    }
    None
}

/// A checkpoint that somebody has kept, and the root of as many entries here.
struct Earlier {
    kept: Option<(Vec<u8>, Checkpoint)>,
    found: Option<Digest>,
}

impl Earlier {
    fn new(kept: Option<&[u8]>, faults: &mut Found) -> Self {
        let kept = kept.and_then(|bytes| match claim(bytes) {
            Ok(checkpoint) => Some((bytes.to_vec(), checkpoint)),
            Err(error) => {
                faults.add(Fault::Earlier(error));
                None
            }
        });
        Self { kept, found: None }
    }

    fn look(&mut self, frontier: &Frontier) {
        if self.kept.as_ref().is_some_and(|(_, checkpoint)| checkpoint.size == frontier.size()) {
            self.found = Some(frontier.root());
        }
    }

    fn compare(self, keys: &[Trust], claimed: &Checkpoint, faults: &mut Found) {
        let Some((bytes, earlier)) = self.kept else { return };
        // Any key that the log has had may have signed it.
        let mut refusal = None;
        if !keys.iter().any(|trust| match Note::parse(&bytes).map_err(TrustError::from) {
            Ok(note) => trust.verify_signed(&note).map_err(|error| refusal = Some(error)).is_ok(),
            Err(error) => {
                refusal = Some(error);
                false
            }
        }) {
            faults.0.extend(refusal.map(Fault::Earlier));
            return;
        }
        let earlier = Box::new(earlier);
        match self.found {
            None => faults.add(Fault::RolledBack { size: claimed.size, earlier }),
            Some(found) if found != earlier.root => faults.add(Fault::Forked { earlier, found }),
            Some(_) => {}
        }
    }
}
