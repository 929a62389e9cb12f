//! Streams whose chunks are sealed and opened on several threads: the same bytes as [`dkm_core::blob::seal_stream`] and
//! [`dkm_core::blob::open_stream`], sooner.
//!
//! A reader's thread fills batches of chunks, workers seal or open them, and the caller's thread writes them in order. Batch n goes to worker n mod w and is taken back from the same one, so that order needs no sorting.
//! All buffers come from one pool of a fixed size: it bounds memory, and it bounds every queue. Whoever ends drops its
//! ends of the queues, at which its neighbours end too; nobody outlives the call.

mod batch;
mod source;

use std::io::{Read, Write};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Builder};

use dkm_core::Plaintext;
use dkm_core::blob::{BlobError, ChunkCipher};

use batch::{Batch, Direction, Done, Next};
use source::Source;

/// Most threads that seal or open chunks; files and pipes are not as fast as four of them.
const WORKERS_MAX: usize = 4;

/// Buffers in use beside those of the workers, who have a spare one besides: two of the reader (a batch is the last or not only when something, or
/// nothing, follows it), one being written, one on its way.
const OTHER_BUFFERS: usize = 4;

/// Protects everything that `reader` gives; returns the number of plaintext bytes.
///
/// The reader is read ahead of what is written, by a few batches. After an error the call returns as soon as the
/// reader's present `read` does.
///
/// # Errors
/// [`BlobError::Io`], [`BlobError::TooLarge`]. What was written by then is no blob and opens nowhere.
pub(crate) fn seal(
    cipher: &ChunkCipher,
    reader: impl Read + Send,
    writer: impl Write,
) -> Result<u64, BlobError> {
    run(cipher, Direction::Seal, reader, writer, workers(), Builder::new)
}

/// Opens the chunks behind a blob's prefix, which was read to make `cipher`; returns the number of plaintext bytes.
///
/// Each chunk is written only after it is authentic, and nothing behind a faulty one is: a blob cut off at a chunk's end
/// is noticed only there. A caller that gets an error must let go of what was written. Reading ahead and returning
/// are as with [`seal`].
///
/// # Errors
/// [`BlobError::Corrupt`], [`BlobError::Truncated`], [`BlobError::TooLarge`], [`BlobError::Io`].
pub(crate) fn open(
    cipher: &ChunkCipher,
    reader: impl Read + Send,
    writer: impl Write,
) -> Result<u64, BlobError> {
    run(cipher, Direction::Open, reader, writer, workers(), Builder::new)
}

/// None on a single processor, where threads would only cost.
fn workers() -> usize {
    match thread::available_parallelism().map_or(1, NonZero::get) {
        1 => 0,
        processors => processors.min(WORKERS_MAX),
    }
}

fn io(error: &std::io::Error) -> BlobError {
    BlobError::Io(error.to_string())
}

fn run(
    cipher: &ChunkCipher,
    direction: Direction,
    reader: impl Read + Send,
    mut writer: impl Write,
    workers: usize,
    builder: fn() -> Builder,
) -> Result<u64, BlobError> {
    if direction == Direction::Seal {
        writer.write_all(cipher.prefix()).map_err(|e| io(&e))?;
    }
    let (used, returned) = channel();
    let shape = direction.shape(cipher.chunk_size());
    let mut source = Source::new(reader, shape, workers + OTHER_BUFFERS, returned);
    let mut sink = Sink { writer, used, total: 0 };
    let mut first = source.next();
    // A second batch pays for threads; a first that is the last does not.
    let more = matches!(&first, Some(Ok(batch)) if !batch.is_last());
    if more
        && workers > 0
        && threaded(cipher, direction, &mut source, &mut first, &mut sink, workers, builder)?
    {
        return sink.finish();
    }
    // No threads are wanted, or the system has none to give.
    let mut spare = Plaintext::zeroed(shape.buffer);
    while let Some(batch) = first.take().or_else(|| source.next()) {
        if sink.take(batch?.work(cipher, direction, &mut spare))? {
            return sink.finish();
        }
    }
    Err(BlobError::Truncated)
}

/// Runs to the end on threads. False: no threads could be started, and nothing was taken from `source` and `first`.
fn threaded<R: Read + Send, W: Write>(
    cipher: &ChunkCipher,
    direction: Direction,
    source: &mut Source<R>,
    first: &mut Option<Result<Batch, BlobError>>,
    sink: &mut Sink<W>,
    workers: usize,
    builder: fn() -> Builder,
) -> Result<bool, BlobError> {
    thread::scope(|scope| {
        let (mut inputs, mut outputs): (Vec<Sender<_>>, Vec<Receiver<_>>) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (input, batches) = channel::<Result<Batch, BlobError>>();
            let (results, output) = channel();
            let work = move || {
                let mut spare = Plaintext::zeroed(direction.shape(cipher.chunk_size()).buffer);
                for batch in batches {
                    let done = batch.map(|batch| batch.work(cipher, direction, &mut spare));
                    if results.send(done).is_err() {
                        break;
                    }
                }
            };
            if builder().name("dkm chunks".into()).spawn_scoped(scope, work).is_err() {
                break;
            }
            inputs.push(input);
            outputs.push(output);
        }
        let read = move || {
            for input in inputs.iter().cycle() {
                let Some(batch) = first.take().or_else(|| source.next()) else { break };
                if input.send(batch).is_err() {
                    break;
                }
            }
        };
        if outputs.is_empty() {
            return Ok(false);
        }
        let Ok(reading) = builder().name("dkm reader".into()).spawn_scoped(scope, read) else {
            return Ok(false);
        };
        let result = write(outputs, sink);
        match reading.join() {
            Ok(()) => result.map(|()| true),
            // The reader is the caller's, and so is its panic.
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// Writes what the workers give. When it ends, their and the reader's next step finds nobody who takes it.
fn write<W: Write>(
    outputs: Vec<Receiver<Result<Done, BlobError>>>,
    sink: &mut Sink<W>,
) -> Result<(), BlobError> {
    let Closing(sink) = &mut Closing(sink);
    for output in outputs.iter().cycle() {
        // Cut off only if the reader panicked.
        let done = output.recv().map_err(|_| BlobError::Truncated)?;
        if sink.take(done?)? {
            break;
        }
    }
    Ok(())
}

/// Where batches end: what is ready of them is written, and their buffers go back.
struct Sink<W> {
    writer: W,
    used: Sender<Plaintext>,
    total: u64,
}

impl<W: Write> Sink<W> {
    /// Whether that was the last batch.
    fn take(&mut self, done: Done) -> Result<bool, BlobError> {
        self.writer.write_all(done.ready()).map_err(|e| io(&e))?;
        self.total += done.plaintext_len();
        let (buffer, next) = done.end();
        match next {
            Next::Fault(error) => Err(error),
            Next::End => Ok(true),
            Next::More => {
                // If the reader is gone, it needs no buffers.
                let _ = self.used.send(buffer);
                Ok(false)
            }
        }
    }

    fn finish(mut self) -> Result<u64, BlobError> {
        self.writer.flush().map_err(|e| io(&e))?;
        Ok(self.total)
    }
}

/// When dropped, no more buffers go back: the reader waits for none, whatever ended the writing, a panic too.
struct Closing<'a, W>(&'a mut Sink<W>);

impl<W> Drop for Closing<'_, W> {
    fn drop(&mut self) {
        self.0.used = channel().0;
    }
}

#[cfg(test)]
mod tests;
