//! One file that may be a blob.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use dkm_core::blob::{BlobError, Header, PREFIX_LEN, read_full};
use dkm_core::{Context, GroupId};

use super::pipe::pipe;
use super::replace::{Original, Placed, Replacement, clear_leftover};
use super::{Options, Renewer};
use crate::{Error, Reprotected, Result};

/// Longest blob that is renewed in memory, in bytes; longer ones are streamed.
pub(super) const WHOLE_LEN_MAX: u64 = 1 << 20;

/// What became of an item.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Renewed, and what should be known about it.
    Renewed(Vec<String>),
    /// Nothing to do.
    Current,
    /// Not a blob of the group.
    Skipped(String),
    /// A file of ours that is no item.
    Passed,
    /// To be renewed, but as it was.
    Failed(Error),
}

/// Whether a blob that begins like this is to be renewed.
pub(crate) enum Verdict {
    Renew,
    Leave(Outcome),
}

pub(super) fn judge(group: &impl Renewer, beginning: &[u8]) -> Verdict {
    let header = match Header::parse(beginning) {
        Ok(header) => header,
        Err(BlobError::NotABlob) => return Verdict::Leave(Outcome::Skipped("it is not a blob".to_owned())),
        Err(error) => return Verdict::Leave(Outcome::Failed(error.into())),
    };
    if header.group() != group.id() {
        return Verdict::Leave(Outcome::Skipped(of_another(header.group())));
    }
    match group.is_outdated(&header) {
        Ok(true) => Verdict::Renew,
        Ok(false) => Verdict::Leave(Outcome::Current),
        Err(error) => Verdict::Leave(Outcome::Failed(error)),
    }
}

fn of_another(group: GroupId) -> String {
    format!("it belongs to group {group}")
}

pub(super) fn changed_meanwhile() -> Error {
    Error::Refused {
        what: "replacing the file".to_owned(),
        why: "it changed while it was read; it was left alone".to_owned(),
        advice: "stop what writes to it, then run the same command again".to_owned(),
    }
}

/// Renews a file if it is an outdated blob. `read` is told of bytes as they are read.
pub(super) fn renew(
    group: &impl Renewer,
    path: &Path,
    options: &Options,
    read: &mut (impl FnMut(u64) + Send),
) -> Outcome {
    match clear_leftover(path, !options.dry_run) {
        Ok(false) => {}
        Ok(true) => return Outcome::Passed,
        Err(error) => return Outcome::Failed(Error::io("can't clear up", path, error)),
    }
    let (mut original, beginning) = match open(path) {
        Ok(opened) => opened,
        Err(error) => return Outcome::Failed(Error::io("can't read", path, error)),
    };
    let len = original.metadata.len();
    match group.judge(&beginning) {
        Verdict::Leave(outcome) => {
            read(len);
            return outcome;
        }
        Verdict::Renew if options.dry_run => {
            read(len);
            return Outcome::Renewed(original.warning().into_iter().collect());
        }
        Verdict::Renew => {}
    }
    let renewed = if len <= WHOLE_LEN_MAX {
        let renewed = whole(group, &mut original, &options.context);
        read(len);
        renewed
    } else {
        streamed(group, &original, &options.context, read)
    };
    let placed = renewed.and_then(|replacement| match replacement {
        None => Ok(None),
        Some(new) => new.place(&original).map(Some).map_err(|error| Error::io("can't replace", path, error)),
    });
    match placed {
        Ok(None) => Outcome::Current,
        Ok(Some(Placed::Done(mut warnings))) => {
            warnings.extend(original.warning());
            Outcome::Renewed(warnings)
        }
        Ok(Some(Placed::Changed)) => match open(path).map(|(_, beginning)| group.judge(&beginning)) {
            // Another run was faster.
            Ok(Verdict::Leave(Outcome::Current)) => Outcome::Current,
            _ => Outcome::Failed(changed_meanwhile()),
        },
        Err(error) => Outcome::Failed(error),
    }
}

/// A file and how it begins.
fn open(path: &Path) -> io::Result<(Original, Vec<u8>)> {
    let mut original = Original::open(path)?;
    let mut beginning = vec![0u8; PREFIX_LEN];
    let len = read_full(&mut original.file, &mut beginning).map_err(io::Error::other)?;
    beginning.truncate(len);
    original.file.rewind()?;
    Ok((original, beginning))
}

/// The new blob beside the old one; none if another key took over meanwhile and it is current.
fn whole(group: &impl Renewer, original: &mut Original, context: &Context) -> Result<Option<Replacement>> {
    let path = &original.path;
    let mut blob = Vec::new();
    // One byte more: a file that grows meanwhile is no cause to read without end.
    let limit = WHOLE_LEN_MAX + 1;
    (&mut original.file)
        .take(limit)
        .read_to_end(&mut blob)
        .map_err(|error| Error::io("can't read", path, error))?;
    let Reprotected::Renewed(new) = group.renew(context, &blob)? else { return Ok(None) };
    let write = || {
        let mut replacement = Replacement::beside(original)?;
        replacement.file.write_all(&new)?;
        Ok(replacement)
    };
    write().map(Some).map_err(|error| Error::io("can't write beside", path, error))
}

/// As [`whole`], with a few chunks in memory at a time.
fn streamed(
    group: &impl Renewer,
    original: &Original,
    context: &Context,
    read: &mut (impl FnMut(u64) + Send),
) -> Result<Option<Replacement>> {
    let mut replacement = Replacement::beside(original)
        .map_err(|error| Error::io("can't write beside", &original.path, error))?;
    let (mut inlet, mut outlet) = pipe();
    let (opened, sealed) = std::thread::scope(|scope| {
        let opening = scope.spawn(|| {
            let mut from = Counted { file: &original.file, read };
            let opened = group.open(context, &mut from, &mut inlet);
            // Without this the other side fails: it must not take a part for the whole.
            if opened.is_ok() {
                inlet.finish();
            }
            opened
        });
        let mut to = Watched { file: &replacement.file, fault: None };
        let sealed = group.seal(context, &mut outlet, &mut to);
        // Lets the other side end, should this one have failed.
        drop(outlet);
        let fault = to.fault.map(|error| Error::io("can't write beside", &original.path, error));
        let opened = opening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (opened, fault.map_or(sealed, Err))
    });
    match (opened, sealed) {
        (Ok(()), Ok(())) => {}
        // Whoever failed first made the other fail too: the one with more to say than a broken pipe.
        (Err(error), Err(other)) => return Err(if is_broken_pipe(&error) { other } else { error }),
        (Err(error), Ok(())) | (Ok(()), Err(error)) => return Err(error),
    }
    replacement.file.flush().map_err(|error| Error::io("can't write beside", &original.path, error))?;
    Ok(Some(replacement))
}

fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Blob(BlobError::Io(_)))
}

/// A file whose reader counts.
struct Counted<'a, F> {
    file: &'a File,
    read: &'a mut F,
}

impl<F: FnMut(u64)> Read for Counted<'_, F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(out)?;
        (self.read)(len as u64);
        Ok(len)
    }
}

/// A file that remembers what the system said: a stream's error tells it as text only.
struct Watched<'a> {
    file: &'a File,
    fault: Option<io::Error>,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::steps::step("part of replacement");
        self.file.write(bytes).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.fault = Some(
                    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error),
                );
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
