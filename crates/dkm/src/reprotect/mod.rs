//! Re-protecting stored blobs in bulk: each under the key and suite that protect now.
//!
//! An item is renewed atomically: the new blob is whole and durable beside the old one before it takes its place. So a
//! run may be killed at any moment and started again; what is renewed already is left alone. A bad item does not stop
//! the work: it stays as it is, and is reported at the end.
//!
//! Blobs of a compromised key may be forged. They are refused unless the group's handle overrides
//! ([`Group::overriding`]), and each use of the override is recorded.

mod context;
mod file;
pub(crate) mod lines;
mod pipe;
mod replace;
mod summary;
mod windows;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;

use dkm_core::blob::Header;
use dkm_core::{Context, GroupId};

pub use context::ContextTemplate;
pub use summary::{Failure, REPORTED_MAX, Remark, Summary};

use self::file::{Outcome, Verdict};
use self::windows::FromWindows;
use crate::blocking::Group;
use crate::json_lines::JsonPointer;
use crate::walk::{Found, Walk};
use crate::{Error, Progress, Reprotected, Result};

/// Most threads that renew files.
const THREADS_MAX: usize = 8;
/// Most messages on their way to the caller's thread.
const TOLD_MAX: usize = 1_024;
/// Most folders whose last renewals are not durable yet.
const UNSETTLED_MAX: usize = 256;

/// How files are renewed.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The context with which all of them were protected.
    pub context: Context,
    /// Renew Windows DKM blobs, which become the group's own with this context; the group's own are left alone.
    pub windows: bool,
    /// Only tell what would be renewed, by the blobs' beginnings. Nothing is opened or written.
    pub dry_run: bool,
    /// Threads; none: as many as the machine has, at least 2 and at most 8.
    pub threads: Option<usize>,
}

/// How a file of JSON lines is renewed.
#[derive(Debug, Clone, Default)]
pub struct JsonOptions {
    /// The fields in which blobs stand, as base64 text.
    pub fields: Vec<JsonPointer>,
    /// The context of each line's blobs.
    pub context: ContextTemplate,
    /// Renew Windows DKM blobs, which become the group's own with this context; the group's own are left alone.
    pub windows: bool,
    /// Only tell what would be renewed, by the blobs' beginnings. Nothing is opened or written.
    pub dry_run: bool,
    /// Threads; none: as many as the machine has, at least 2 and at most 8.
    pub threads: Option<usize>,
}

/// Re-protects files that are blobs, and all such files in folders and what is below them.
///
/// A file keeps its owner, mode and extended attributes; its times are those of the renewal. Symbolic links are not
/// followed, hard links are warned of, and a file that changes while it is read is left alone. When this returns, all
/// that it counts as renewed is durable.
///
/// # Errors
/// None by a single item: those are in the summary.
pub fn files(
    group: &Group,
    paths: &[PathBuf],
    options: &Options,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary> {
    Ok(if options.windows {
        files_with(&FromWindows(group), paths, options, progress)
    } else {
        files_with(group, paths, options, progress)
    })
}

/// Re-protects the blobs in some fields of a file of JSON lines.
///
/// Everything but the blobs stays as it is, byte by byte. The new file is written beside the old one and takes its
/// place when it is whole and durable; it keeps owner, mode and extended attributes. A file to which others wrote
/// meanwhile is left alone: stop them first.
///
/// # Errors
/// The file can't be read or replaced, or changed meanwhile; then it is as it was. Single lines are no errors: they are
/// in the summary.
pub fn json_lines(
    group: &Group,
    path: &Path,
    options: &JsonOptions,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary> {
    if options.windows {
        lines::renew(&FromWindows(group), path, options, progress)
    } else {
        lines::renew(group, path, options, progress)
    }
}

/// What re-protecting needs of a group.
pub(crate) trait Renewer: Sync + Sized {
    fn id(&self) -> GroupId;

    /// Whether a blob that begins like this is to be renewed.
    fn judge(&self, beginning: &[u8]) -> Verdict {
        file::judge(self, beginning)
    }

    /// Whether a blob has another key or suite than those that protect now.
    fn is_outdated(&self, header: &Header) -> Result<bool>;

    /// A whole blob, renewed.
    fn renew(&self, context: &Context, blob: &[u8]) -> Result<Reprotected>;

    /// Opens a blob chunk by chunk. After an error, what was written counts for nothing.
    fn open(&self, context: &Context, from: &mut (dyn Read + Send), to: &mut dyn Write) -> Result<()>;

    /// Protects chunk by chunk.
    fn seal(&self, context: &Context, from: &mut (dyn Read + Send), to: &mut dyn Write) -> Result<()>;
}

impl Renewer for Group {
    fn id(&self) -> GroupId {
        Self::id(self)
    }

    fn is_outdated(&self, header: &Header) -> Result<bool> {
        self.engine().is_outdated(header)
    }

    fn renew(&self, context: &Context, blob: &[u8]) -> Result<Reprotected> {
        self.reprotect(context, blob)
    }

    fn open(&self, context: &Context, from: &mut (dyn Read + Send), to: &mut dyn Write) -> Result<()> {
        self.unprotect_stream(context, from, to).map(|_| ())
    }

    fn seal(&self, context: &Context, from: &mut (dyn Read + Send), to: &mut dyn Write) -> Result<()> {
        self.protect_stream(context, from, to).map(|_| ())
    }
}

/// What a worker tells.
enum Told {
    /// So many bytes were read.
    Bytes(u64),
    /// What became of an item.
    Item(PathBuf, Outcome),
}

fn threads(asked: Option<usize>) -> usize {
    let there = std::thread::available_parallelism().map_or(2, usize::from);
    asked.unwrap_or(there.max(2)).clamp(1, THREADS_MAX)
}

/// Whether a failure would meet every other item too, so that going on makes no sense.
fn meets_all(error: &Error) -> bool {
    use std::io::ErrorKind as K;

    use dkm_core::member::UnprotectRefusal as U;
    match error {
        Error::Protect(_)
        | Error::Repository(_)
        | Error::Journal { .. }
        | Error::Unprotect(U::Denied | U::NotRead | U::OutOfReach { .. }) => true,
        Error::Io { source, .. } => {
            matches!(source.kind(), K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem)
        }
        _ => false,
    }
}

fn files_with(
    group: &impl Renewer,
    paths: &[PathBuf],
    options: &Options,
    progress: &mut dyn FnMut(&Progress),
) -> Summary {
    let mut now = Progress { items_total: Some(0), bytes_total: Some(0), ..Progress::default() };
    for found in Walk::new(paths) {
        let len = if let Found::File(_, metadata) = &found { metadata.len() } else { 0 };
        now.items_total = now.items_total.map(|n| n + 1);
        now.bytes_total = now.bytes_total.map(|n| n + len);
    }
    progress(&now);
    let walk = Mutex::new(Walk::new(paths));
    let stop = AtomicBool::new(false);
    let mut summary = Summary { dry_run: options.dry_run, ..Summary::default() };
    std::thread::scope(|scope| {
        let told = start(scope, group, &walk, &stop, options);
        let mut unsettled = BTreeSet::new();
        for told in told {
            match told {
                Told::Bytes(bytes) => now.bytes += bytes,
                Told::Item(path, outcome) => {
                    now.items += 1;
                    if matches!(outcome, Outcome::Renewed(_)) && !options.dry_run {
                        unsettled.insert(replace::folder_of(&path).to_path_buf());
                    }
                    summary.take(path.display().to_string(), outcome);
                }
            }
            if unsettled.len() > UNSETTLED_MAX {
                settle(&mut unsettled, &mut summary);
            }
            progress(&now);
        }
        settle(&mut unsettled, &mut summary);
    });
    summary.stopped = stop.load(Ordering::Relaxed);
    summary
}

/// Makes the renewals in these folders durable.
fn settle(folders: &mut BTreeSet<PathBuf>, summary: &mut Summary) {
    while let Some(folder) = folders.pop_first() {
        if let Err(error) = replace::settle(&folder) {
            let error = Error::io("renewed, but perhaps not durable: can't sync", &folder, error);
            summary.fail(folder.display().to_string(), error);
        }
    }
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    group: &'scope impl Renewer,
    walk: &'scope Mutex<Walk>,
    stop: &'scope AtomicBool,
    options: &'scope Options,
) -> Receiver<Told> {
    let (teller, told) = sync_channel(TOLD_MAX);
    for _ in 0..threads(options.threads) {
        let teller = teller.clone();
        scope.spawn(move || work(group, walk, stop, options, &teller));
    }
    told
}

/// Takes one item after the other.
fn work(
    group: &impl Renewer,
    walk: &Mutex<Walk>,
    stop: &AtomicBool,
    options: &Options,
    teller: &SyncSender<Told>,
) {
    while !stop.load(Ordering::Relaxed) {
        let Some(found) = walk.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
        let (path, outcome) = match found {
            Found::Other(path, why) => (path, Outcome::Skipped(why)),
            Found::File(path, _) => {
                let outcome = file::renew(group, &path, options, &mut |bytes| {
                    let _ = teller.send(Told::Bytes(bytes));
                });
                (path, outcome)
            }
        };
        if matches!(&outcome, Outcome::Failed(error) if meets_all(error)) {
            stop.store(true, Ordering::Relaxed);
        }
        if teller.send(Told::Item(path, outcome)).is_err() {
            // Nobody listens any more: the caller's thread panics.
            return;
        }
    }
}

#[cfg(test)]
mod tests;
