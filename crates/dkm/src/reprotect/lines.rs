//! A file of JSON lines with blobs in some fields.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm_core::blob::PREFIX_LEN;

use super::file::{Outcome, Verdict, changed_meanwhile};
use super::replace::{Original, Placed, Replacement, clear_leftovers_beside, folder_of, settle};
use super::{JsonOptions, Renewer, Summary, meets_all, threads};
use crate::json_lines::{JsonPointer, Line, Lines};
use crate::{Error, Progress, Reprotected, Result};

/// Lines are handed to threads in batches of at least so many bytes.
const BATCH_LEN: usize = 1 << 20;
/// Size of the buffers for reading and writing, in bytes.
const BUFFER_LEN: usize = 256 << 10;

pub(super) fn renew(
    group: &impl Renewer,
    path: &Path,
    options: &JsonOptions,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary> {
    if options.fields.is_empty() {
        return Err(Error::Invalid("name the fields in which blobs stand".to_owned()));
    }
    let twice = options.fields.iter().enumerate().find(|(at, field)| options.fields[..*at].contains(field));
    if let Some((_, field)) = twice {
        return Err(Error::Invalid(format!("the field {field} is named twice")));
    }
    let read = |error| Error::io("can't read", path, error);
    let write = |error| Error::io("can't write beside", path, error);
    let original = Original::open(path).map_err(read)?;
    let mut summary = Summary { dry_run: options.dry_run, ..Summary::default() };
    if options.dry_run {
        copy(group, Source::of(&original), &mut io::sink(), options, &mut summary, progress)?;
        return Ok(summary);
    }
    clear_leftovers_beside(path).map_err(write)?;
    let replacement = Replacement::beside(&original).map_err(write)?;
    let mut out = BufWriter::with_capacity(BUFFER_LEN, &replacement.file);
    copy(group, Source::of(&original), &mut out, options, &mut summary, progress)?;
    out.flush().map_err(write)?;
    drop(out);
    if summary.renewed == 0 {
        return Ok(summary);
    }
    let replace = |error| Error::io("can't replace", path, error);
    match replacement.place(&original).map_err(replace)? {
        Placed::Changed => return Err(changed_meanwhile()),
        Placed::Done(warnings) => {
            for why in warnings.into_iter().chain(original.warning()) {
                summary.warn(path.display().to_string(), why);
            }
        }
    }
    settle(folder_of(path)).map_err(replace)?;
    Ok(summary)
}

/// Where lines come from.
pub(crate) struct Source<'a, R> {
    /// What messages call it.
    pub(crate) path: &'a Path,
    /// Its length in bytes, for the progress.
    pub(crate) len: u64,
    pub(crate) lines: Lines<R>,
}

impl<'a> Source<'a, BufReader<&'a File>> {
    fn of(original: &'a Original) -> Self {
        let lines = Lines::new(BufReader::with_capacity(BUFFER_LEN, &original.file));
        Self { path: &original.path, len: original.metadata.len(), lines }
    }
}

/// A line on its way, and what became of its fields.
struct Work {
    number: u64,
    line: Vec<u8>,
    /// Its length before it was renewed.
    len: u64,
    /// Only its beginning is here, and it is not looked into.
    too_long: bool,
    outcomes: Vec<(Option<JsonPointer>, Outcome)>,
}

/// Copies all lines, renewing their blobs. After a failure that meets all, the rest is copied as it is.
pub(crate) fn copy(
    group: &impl Renewer,
    source: Source<'_, impl BufRead>,
    out: &mut impl Write,
    options: &JsonOptions,
    summary: &mut Summary,
    progress: &mut dyn FnMut(&Progress),
) -> Result<()> {
    let Source { path, len, mut lines } = source;
    let read = |error| Error::io("can't read", path, error);
    let write = |error| Error::io("can't write beside", path, error);
    let mut now = Progress { bytes_total: Some(len), ..Progress::default() };
    let threads = threads(options.threads);
    let mut number = 0;
    loop {
        let mut batch = Vec::new();
        let mut len = 0;
        let mut ended = false;
        while len < BATCH_LEN {
            let mut line = Vec::new();
            let Some(kind) = lines.next(&mut line).map_err(read)? else {
                ended = true;
                break;
            };
            number += 1;
            len += line.len();
            let too_long = kind == Line::Beginning;
            let work_len = line.len() as u64;
            batch.push(Work { number, line, len: work_len, too_long, outcomes: Vec::new() });
            if too_long {
                // Its rest is still in the reader, and goes out behind it.
                break;
            }
        }
        if !summary.stopped {
            renew_batch(group, options, &mut batch, threads);
        }
        for work in batch {
            out.write_all(&work.line).map_err(write)?;
            now.items += 1;
            now.bytes += work.len;
            if work.too_long {
                now.bytes += lines.copy_rest(out).map_err(write)?;
            }
            for (field, outcome) in work.outcomes {
                summary.stopped |= matches!(&outcome, Outcome::Failed(error) if meets_all(error));
                let field = field.map(|field| format!("#{field}")).unwrap_or_default();
                summary.take(format!("{}:{}{field}", path.display(), work.number), outcome);
            }
            progress(&now);
        }
        if ended {
            return Ok(());
        }
        crate::steps::step("batch of lines copied");
    }
}

/// Renews the lines of a batch, shared out among threads.
fn renew_batch(group: &impl Renewer, options: &JsonOptions, batch: &mut [Work], threads: usize) {
    let share = batch.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for works in batch.chunks_mut(share) {
            scope.spawn(move || works.iter_mut().for_each(|work| renew_line(group, options, work)));
        }
    });
}

fn renew_line(group: &impl Renewer, options: &JsonOptions, work: &mut Work) {
    if work.too_long {
        let why = format!("the line is longer than {} MiB", crate::LINE_LEN_MAX >> 20);
        work.outcomes.push((None, Outcome::Failed(Error::Invalid(why))));
        return;
    }
    let Ok(line) = std::str::from_utf8(&work.line) else {
        work.outcomes.push((None, Outcome::Failed(Error::Invalid("the line is not UTF-8".to_owned()))));
        return;
    };
    if line.trim().is_empty() {
        return;
    }
    let mut replaced = Vec::new();
    for field in &options.fields {
        let place = match field.find(line) {
            Ok(Some(place)) => place,
            Ok(None) => continue,
            Err(why) => {
                work.outcomes.push((Some(field.clone()), Outcome::Failed(Error::Invalid(why))));
                continue;
            }
        };
        let outcome = match renew_text(group, options, line, place.string()) {
            Ok((outcome, new)) => {
                replaced.extend(new.map(|new| (place.range, new)));
                outcome
            }
            Err(error) => Outcome::Failed(error),
        };
        work.outcomes.push((Some(field.clone()), outcome));
    }
    if replaced.is_empty() {
        return;
    }
    // Strings: none lies in another.
    replaced.sort_by_key(|(range, _)| range.start);
    let mut new = Vec::with_capacity(work.line.len() + 64);
    let mut done = 0;
    for (range, text) in replaced {
        new.extend_from_slice(&work.line[done..range.start]);
        new.push(b'"');
        new.extend_from_slice(text.as_bytes());
        new.push(b'"');
        done = range.end;
    }
    new.extend_from_slice(&work.line[done..]);
    work.line = new;
}

/// The new text of a field, if it is to have one.
fn renew_text(
    group: &impl Renewer,
    options: &JsonOptions,
    line: &str,
    text: Option<String>,
) -> Result<(Outcome, Option<String>)> {
    let Some(blob) = text.and_then(|text| STANDARD.decode(text).ok()) else {
        return Ok((Outcome::Skipped("it is not base64 text".to_owned()), None));
    };
    match group.judge(&blob[..blob.len().min(PREFIX_LEN)]) {
        Verdict::Leave(outcome) => return Ok((outcome, None)),
        Verdict::Renew if options.dry_run => return Ok((Outcome::Renewed(Vec::new()), None)),
        Verdict::Renew => {}
    }
    let context = options.context.resolve(line).map_err(Error::Invalid)?;
    Ok(match group.renew(&context, &blob)? {
        Reprotected::Current => (Outcome::Current, None),
        Reprotected::Renewed(new) => (Outcome::Renewed(Vec::new()), Some(STANDARD.encode(new))),
    })
}
