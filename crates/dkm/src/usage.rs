//! Which keys stored blobs need: a report over files, folders and JSON lines.
//!
//! Only the beginning of each blob is read, and no key is needed. The report is **evidence, not proof**: it knows of
//! the places that it was pointed to, not of backups, queues, or other people's copies.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm_core::blob::{BlobError, Header, Layout, PREFIX_LEN, read_full};
use dkm_core::ring::{KeyState, Ring};
use dkm_core::{GroupId, KeyGuid, KeyId, Timestamp};
use serde::{Serialize, Serializer};

use crate::json_lines::{JsonPointer, Line, Lines};
use crate::unix::open_file;
use crate::walk::{Found, Walk};
use crate::windows::key_guids_of;
use crate::{Error, Progress, Result};

/// What goes with every report.
pub const EVIDENCE_NOT_PROOF: &str = "evidence, not proof: only the places named were looked at, not backups, queues \
                                      or copies elsewhere, and they may have changed since";
/// Most examples that are kept of each finding.
pub const EXAMPLES_MAX: usize = 3;
/// Most places that are kept of what could not be read.
pub const UNREADABLE_MAX: usize = 1_000;
/// Most other groups, or unknown keys, that are told apart.
const DISTINCT_MAX: usize = 100_000;

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file that is a blob, or a folder of such files. Links are not followed.
    Files(PathBuf),
    /// A file of JSON lines with blobs as base64 text in some fields.
    JsonLines {
        /// The file.
        path: PathBuf,
        /// The fields.
        fields: Vec<JsonPointer>,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// [`EVIDENCE_NOT_PROOF`].
    pub note: &'static str,
    /// The group whose blobs were looked for.
    #[serde(serialize_with = "display")]
    pub group: GroupId,
    /// Files and JSON fields that were looked at.
    pub examined: u64,
    /// The group's keys for which blobs were found: those on the ring in its order, then those that are not.
    pub keys: Vec<KeyUsage>,
    /// Keys on the ring, destroyed ones aside, for which nothing was found.
    #[serde(serialize_with = "display_all")]
    pub unused: Vec<KeyId>,
    /// Blobs of other groups.
    pub other_groups: Vec<OtherGroup>,
    /// Files and fields that are no blobs; blobs of Windows DKM too, if no key of the ring has their GUID.
    pub not_blobs: u64,
    /// What could not be looked at, and why, at most [`UNREADABLE_MAX`] of it.
    pub unreadable: Vec<Unreadable>,
    /// How much could not be looked at. As long as this is not 0, nothing follows from what was not found.
    pub unreadable_total: u64,
}

/// What was found of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyUsage {
    /// The key.
    #[serde(serialize_with = "display")]
    pub key: KeyId,
    /// Its state; none if the ring does not know it. Blobs of such a key, or of a destroyed one, can't be opened.
    #[serde(serialize_with = "display_option")]
    pub state: Option<KeyState>,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Blobs among them that are cut off or damaged at the start.
    pub damaged: u64,
    /// The first places, at most [`EXAMPLES_MAX`].
    pub examples: Vec<String>,
}

/// Blobs of another group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OtherGroup {
    /// The group.
    #[serde(serialize_with = "display")]
    pub group: GroupId,
    /// Blobs.
    pub blobs: u64,
    /// The first places, at most [`EXAMPLES_MAX`].
    pub examples: Vec<String>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unreadable {
    /// Where.
    pub place: String,
    /// Why not.
    pub why: String,
}

fn display<S: Serializer>(value: impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&value)
}

fn display_option<S: Serializer>(value: &Option<KeyState>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(KeyState::as_str).serialize(serializer)
}

fn display_all<S: Serializer>(values: &[KeyId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

/// Looks for blobs of a group.
///
/// A blob of Windows DKM counts for every imported key that has its GUID: nothing else in it tells which one it needs.
///
/// What is missing, denied or malformed is reported and does not stop the scan. At most 100 000 keys that are not on
/// the ring, and as many other groups, are told apart; beyond that, their blobs count as unreadable.
///
/// # Errors
/// A source of JSON lines without fields.
pub fn scan(
    sources: &[Source],
    group: GroupId,
    ring: &Ring,
    now: Timestamp,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Usage> {
    let mut scan = Scan::new(group, ring);
    for source in sources {
        match source {
            Source::Files(path) => scan.files(path, progress),
            Source::JsonLines { fields, .. } if fields.is_empty() => {
                return Err(Error::Invalid(
                    "name the fields of the JSON lines in which blobs stand".to_owned(),
                ));
            }
            Source::JsonLines { path, fields } => scan.json_lines(path, fields, progress),
        }
    }
    Ok(scan.report(ring, now))
}

#[derive(Default)]
struct Tally {
    blobs: u64,
    bytes: u64,
    damaged: u64,
    examples: Vec<String>,
}

impl Tally {
    fn add(&mut self, len: u64, damaged: bool, place: impl Fn() -> String) {
        self.blobs += 1;
        self.bytes += len;
        self.damaged += u64::from(damaged);
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(place());
        }
    }
}

struct Scan {
    group: GroupId,
    /// Keys that were imported from Windows, with their names there.
    imported: Vec<(KeyGuid, KeyId)>,
    keys: BTreeMap<KeyId, Tally>,
    groups: BTreeMap<GroupId, Tally>,
    not_blobs: u64,
    examined: u64,
    unreadable: Vec<Unreadable>,
    unreadable_total: u64,
    progress: Progress,
}

impl Scan {
    fn new(group: GroupId, ring: &Ring) -> Self {
        let imported = ring.keys.iter().filter_map(|key| Some((key.record.guid?, key.id()))).collect();
        Self {
            group,
            imported,
            keys: BTreeMap::new(),
            groups: BTreeMap::new(),
            not_blobs: 0,
            examined: 0,
            unreadable: Vec::new(),
            unreadable_total: 0,
            progress: Progress { items: 0, items_total: None, bytes: 0, bytes_total: None },
        }
    }

    fn files(&mut self, path: &Path, progress: &mut dyn FnMut(&Progress)) {
        for found in Walk::new(&[path.to_path_buf()]) {
            match found {
                Found::Other(path, why) => self.unreadable(path.display().to_string(), why),
                Found::File(path, metadata) => match beginning(&path) {
                    Ok(bytes) => self.count(&bytes, metadata.len(), || path.display().to_string()),
                    Err(error) => self.unreadable(path.display().to_string(), error.to_string()),
                },
            }
            self.progress.items += 1;
            self.progress.bytes += PREFIX_LEN as u64;
            progress(&self.progress);
        }
    }

    fn json_lines(&mut self, path: &Path, fields: &[JsonPointer], progress: &mut dyn FnMut(&Progress)) {
        let opened = open_file(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.unreadable(path.display().to_string(), error.to_string()),
        };
        self.progress.bytes_total = Some(self.progress.bytes + len);
        if let Err((number, error)) = self.lines(path, BufReader::new(file), fields, progress) {
            self.unreadable(format!("{} from line {number} on", path.display()), error.to_string());
        }
    }

    fn lines(
        &mut self,
        path: &Path,
        reader: impl BufRead,
        fields: &[JsonPointer],
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), (u64, std::io::Error)> {
        let mut lines = Lines::new(reader);
        let mut bytes = Vec::new();
        for number in 1u64.. {
            let Some(kind) = lines.next(&mut bytes).map_err(|e| (number, e))? else { break };
            let place = || format!("{}:{number}", path.display());
            self.progress.bytes += bytes.len() as u64;
            match (kind, std::str::from_utf8(&bytes)) {
                (Line::Beginning, _) => {
                    self.progress.bytes += lines.copy_rest(&mut std::io::sink()).map_err(|e| (number, e))?;
                    self.unreadable(place(), "the line is too long".to_owned());
                }
                (Line::Whole, Err(_)) => self.unreadable(place(), "not UTF-8".to_owned()),
                (Line::Whole, Ok(line)) if line.trim().is_empty() => {}
                (Line::Whole, Ok(line)) => {
                    for field in fields {
                        let place = || format!("{}#{field}", place());
                        match field.find(line) {
                            Err(why) => self.unreadable(place(), why),
                            Ok(None) => {}
                            Ok(Some(found)) => self.field(found.string(), place),
                        }
                    }
                }
            }
            self.progress.items += 1;
            progress(&self.progress);
        }
        Ok(())
    }

    fn field(&mut self, text: Option<String>, place: impl Fn() -> String) {
        match text.and_then(|text| STANDARD.decode(text).ok()) {
            Some(blob) => self.count(&blob, blob.len() as u64, place),
            None => {
                self.examined += 1;
                self.not_blobs += 1;
            }
        }
    }

    fn unreadable(&mut self, place: String, why: String) {
        self.unreadable_total += 1;
        if self.unreadable.len() < UNREADABLE_MAX {
            self.unreadable.push(Unreadable { place, why });
        }
    }

    /// Counts what begins with `bytes` and has `len` bytes in all.
    fn count(&mut self, bytes: &[u8], len: u64, place: impl Fn() -> String) {
        self.examined += 1;
        let header = match Header::parse(bytes) {
            Ok(header) => header,
            Err(BlobError::NotABlob) => return self.count_windows(bytes, len, place),
            Err(error) => return self.unreadable(place(), error.to_string()),
        };
        let tally = if header.group() == self.group {
            distinct(&mut self.keys, header.key())
        } else {
            distinct(&mut self.groups, header.group())
        };
        let Some(tally) = tally else {
            return self.unreadable(place(), "too many different keys or groups".to_owned());
        };
        let damaged = Layout::of_blob(len, header.chunk_len()).is_err();
        tally.add(len, damaged, place);
    }

    /// Counts what is no blob of DKM's own.
    fn count_windows(&mut self, bytes: &[u8], len: u64, place: impl Fn() -> String) {
        let names = key_guids_of(bytes);
        let fits = |guid: &KeyGuid| names.is_some_and(|names| names.contains(guid));
        let needed: Vec<KeyId> =
            self.imported.iter().filter(|(guid, _)| fits(guid)).map(|(_, id)| *id).collect();
        if needed.is_empty() {
            self.not_blobs += 1;
        }
        for id in needed {
            self.keys.entry(id).or_default().add(len, false, &place);
        }
    }

    fn report(mut self, ring: &Ring, now: Timestamp) -> Usage {
        let mut keys = Vec::new();
        let mut unused = Vec::new();
        let usage = |key, state, tally: Tally| KeyUsage {
            key,
            state,
            blobs: tally.blobs,
            bytes: tally.bytes,
            damaged: tally.damaged,
            examples: tally.examples,
        };
        for on_ring in &ring.keys {
            match self.keys.remove(&on_ring.id()) {
                Some(tally) => keys.push(usage(on_ring.id(), Some(on_ring.state(now)), tally)),
                None if on_ring.state(now) == KeyState::Destroyed => {}
                None => unused.push(on_ring.id()),
            }
        }
        keys.extend(
            self.keys
                .into_iter()
                .map(|(key, tally)| usage(key, ring.is_destroyed(key).then_some(KeyState::Destroyed), tally)),
        );
        Usage {
            note: EVIDENCE_NOT_PROOF,
            group: self.group,
            examined: self.examined,
            keys,
            unused,
            other_groups: self
                .groups
                .into_iter()
                .map(|(group, tally)| OtherGroup { group, blobs: tally.blobs, examples: tally.examples })
                .collect(),
            not_blobs: self.not_blobs,
            unreadable: self.unreadable,
            unreadable_total: self.unreadable_total,
        }
    }
}

/// The tally of a key or group, unless there are too many already.
fn distinct<K: Ord>(tallies: &mut BTreeMap<K, Tally>, id: K) -> Option<&mut Tally> {
    let full = tallies.len() >= DISTINCT_MAX;
    match tallies.entry(id) {
        Entry::Vacant(_) if full => None,
        entry => Some(entry.or_default()),
    }
}

/// The beginning of a file, as much as tells which key a blob needs.
fn beginning(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = open_file(path)?;
    let mut bytes = vec![0u8; PREFIX_LEN];
    let len = read_full(&mut file, &mut bytes).map_err(std::io::Error::other)?;
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
