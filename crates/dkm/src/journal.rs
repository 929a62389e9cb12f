//! The audit journal: releases and changes, each durable before it happens.
//!
//! An event never holds a secret, a plaintext, or a context pair in clear.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dkm_core::{Digest, GroupId, KeyId, Timestamp};
use rustix::fs::OFlags;

use crate::unix::sync_folder;
use crate::{Error, Result};

/// Version of the lines that [`FileJournal`] writes.
const VERSION: u8 = 1;

/// What happened, or is about to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A group is made.
    GroupCreated,
    /// A policy is put in force.
    PolicySet,
    /// A version of a roster is written.
    RosterSet,
    /// A key is made.
    KeyCreated,
    /// A key of another system is taken over.
    KeyImported,
    /// A key does not protect until it is resumed.
    KeySuspended,
    /// A key's suspensions are cancelled.
    KeyResumed,
    /// A key that waited for its activation is archived instead.
    KeyDeactivated,
    /// A key is known to others.
    KeyCompromised,
    /// The cooling-off time before a key's destruction begins.
    KeyCoolingOff,
    /// A key is destroyed for ever.
    KeyDestroyed,
    /// Somebody needed a key in its cooling-off time: its destruction is off.
    DestructionAborted,
    /// Somebody needed a key in its cooling-off time, and its destruction could not be called off.
    UseNotNoted,
    /// A blob of a compromised key is opened all the same.
    OverrideUsed,
    /// Every key of a group is released into an archive.
    ArchiveExported,
    /// Keys are put back from an archive.
    ArchiveRestored,
    /// A record that the repository has lost is put back from memory.
    KeyRepublished,
    /// A root key is made, which does not wrap yet.
    RootKeyMade,
    /// A root key is replaced by a new one.
    RootKeyRotated,
    /// A group's objects get the access control again that is written down for it.
    AccessRepaired,
    /// Another group of accounts reads a group's keys.
    ReadersReplaced,
    /// A record has gone or changed, or something else that must not happen was seen.
    Alarm,
}

impl EventKind {
    /// The kind's name, which stays the same in all versions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GroupCreated => "group-created",
            Self::PolicySet => "policy-set",
            Self::RosterSet => "roster-set",
            Self::KeyCreated => "key-created",
            Self::KeyImported => "key-imported",
            Self::KeySuspended => "key-suspended",
            Self::KeyResumed => "key-resumed",
            Self::KeyDeactivated => "key-deactivated",
            Self::KeyCompromised => "key-compromised",
            Self::KeyCoolingOff => "key-cooling-off",
            Self::KeyDestroyed => "key-destroyed",
            Self::DestructionAborted => "destruction-aborted",
            Self::UseNotNoted => "use-not-noted",
            Self::OverrideUsed => "override-used",
            Self::ArchiveExported => "archive-exported",
            Self::ArchiveRestored => "archive-restored",
            Self::KeyRepublished => "key-republished",
            Self::RootKeyMade => "root-key-made",
            Self::RootKeyRotated => "root-key-rotated",
            Self::AccessRepaired => "access-repaired",
            Self::ReadersReplaced => "readers-replaced",
            Self::Alarm => "alarm",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub what: EventKind,
    /// The group.
    pub group: GroupId,
    /// The key, where one key is meant.
    pub key: Option<KeyId>,
    /// The blob, where one blob is meant.
    pub blob: Option<Digest>,
    /// Who does it, as the system names this process: `uid:1000`.
    pub who: String,
    /// Why, in the words of who does it.
    pub reason: Option<String>,
    /// More, for people.
    pub detail: Option<String>,
    /// When, by this machine's clock.
    pub at: Timestamp,
}

/// Takes events.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Records an event. It MUST be durable when this returns: what cannot be recorded is not done.
    ///
    /// # Errors
    /// [`Error::Journal`].
    fn record(&self, event: &Event) -> Result<()>;
}

/// A journal in a file, one JSON object a line, for many processes at once.
///
/// A line is appended by a single write and made durable before the event happens. A file that was moved away
/// (`logrotate`) or removed is made anew with the next event. The file belongs to its owner alone (mode 0600); it is
/// evidence against mistakes, not against its owner, who can change it.
pub struct FileJournal {
    path: PathBuf,
    file: Mutex<File>,
}

/// A line: fields in this order, those without a value left out.
#[derive(serde::Serialize)]
struct Line<'a> {
    version: u8,
    at: String,
    event: &'static str,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
    who: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl FileJournal {
    /// Opens a journal, or makes it.
    ///
    /// # Errors
    /// [`Error::Journal`] if it can't be written, or is no file.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        match open(&path) {
            Ok(file) => Ok(Self { path, file: Mutex::new(file) }),
            Err(source) => Err(Error::Journal { path, source }),
        }
    }

    /// Where the journal is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&self, event: &Event) -> io::Result<()> {
        let line = Line {
            version: VERSION,
            at: rfc3339(event.at),
            event: event.what.as_str(),
            group: event.group.to_string(),
            key: event.key.map(|key| key.to_string()),
            blob: event.blob.map(|blob| blob.to_string()),
            who: &event.who,
            reason: event.reason.as_deref(),
            detail: event.detail.as_deref(),
        };
        // Begins with a newline, which is dropped unless the line before was torn.
        let mut bytes = vec![b'\n'];
        serde_json::to_writer(&mut bytes, &line)?;
        bytes.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_still_at(&file, &self.path)? {
            *file = open(&self.path)?;
        }
        let bytes = if ends_torn(&file)? { bytes.as_slice() } else { &bytes[1..] };
        let written = loop {
            match file.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        if written < bytes.len() {
            return Err(io::Error::new(ErrorKind::StorageFull, "the line was written in part only"));
        }
        file.sync_data()
    }
}

impl Journal for FileJournal {
    fn record(&self, event: &Event) -> Result<()> {
        self.append(event).map_err(|source| Error::Journal { path: self.path.clone(), source })
    }
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileJournal({})", self.path.display())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        // Not blocking, should it be a pipe: that is refused below.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(folder)?;
    Ok(file)
}

/// Whether an open file is still the one at its path: events written to a removed file would be lost with it.
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the last line has no end, because its writer died or the disk was full.
fn ends_torn(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [b'\n'];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != [b'\n'])
}

/// RFC 3339 in UTC with milliseconds. Times beyond the year 9999 stay at its end.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    let ms = at.0.min(LAST_MS);
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    // Counted in eras of 400 years from 0000-03-01, so that the leap day ends a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1_000 % 60, in_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests;
