use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dkm_core::blob::{BlobKey, Header, PREFIX_LEN, TAG_LEN, open_stream, seal_stream};
use dkm_core::record::Family;
use dkm_core::{Context, GroupId, Suite};

use super::*;

const GROUP: GroupId = GroupId([5; 16]);
const CHUNK_SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const SMALL: usize = CHUNK_SIZES[0];
/// Chunks of the smallest size in a batch.
const BATCH: usize = 64;
/// No threads, as many as processors, fewer, more.
const WORKERS: [usize; 4] = [0, 1, 2, 5];

fn sealing(suite: Suite, chunk_size: usize) -> ChunkCipher {
    let key = BlobKey::new(GROUP, Family::Native, &[9; 32]);
    let header = Header::new(suite, GROUP, key.id(), [3; 32], chunk_size.try_into().unwrap()).unwrap();
    ChunkCipher::sealing(&key, &header, &Context::new()).unwrap()
}

fn opening(blob: &[u8]) -> ChunkCipher {
    ChunkCipher::opening(&BlobKey::new(GROUP, Family::Native, &[9; 32]), &Context::new(), blob).unwrap()
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn small_blob(len: usize) -> Vec<u8> {
    let mut blob = Vec::new();
    seal_stream(&sealing(Suite::Aes256Gcm, SMALL), &mut text(len).as_slice(), &mut blob).unwrap();
    blob
}

/// Result and output of the parallel way.
fn parallel(
    cipher: &ChunkCipher,
    direction: Direction,
    input: impl Read + Send,
    workers: usize,
) -> (Result<u64, BlobError>, Vec<u8>) {
    let mut out = Vec::new();
    (run(cipher, direction, input, &mut out, workers, Builder::new), out)
}

/// Result and output of the serial way.
fn serial(
    cipher: &ChunkCipher,
    direction: Direction,
    mut input: impl Read,
) -> (Result<u64, BlobError>, Vec<u8>) {
    let mut out = Vec::new();
    let result = match direction {
        Direction::Seal => seal_stream(cipher, &mut input, &mut out),
        Direction::Open => open_stream(cipher, &mut input, &mut out),
    };
    (result, out)
}

/// Gives a few bytes at a time, is interrupted now and then, and fails or ends at a place.
struct Rough<'a> {
    data: &'a [u8],
    fails: bool,
    step: usize,
    calls: usize,
}

impl<'a> Rough<'a> {
    fn new(data: &'a [u8], fails: bool, step: usize) -> Self {
        Self { data, fails, step, calls: 0 }
    }
}

impl Read for Rough<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.data.is_empty() && self.fails {
            return Err(io::Error::other("reader"));
        }
        let len = self.step.min(buffer.len()).min(self.data.len());
        buffer[..len].copy_from_slice(&self.data[..len]);
        self.data = &self.data[len..];
        Ok(len)
    }
}

/// Takes so many bytes, some at a time, then fails.
struct Full<'a> {
    out: &'a mut Vec<u8>,
    room: usize,
}

impl Write for Full<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::Error::other("writer"));
        }
        let len = buffer.len().min(self.room).min(3000);
        self.out.extend_from_slice(&buffer[..len]);
        self.room -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_bytes_are_those_of_the_serial_way_in_every_suite_and_size_around_every_boundary() {
    for suite in Suite::ALL {
        for chunk in CHUNK_SIZES {
            let batch = Direction::Seal.shape(chunk).chunks * chunk;
            let around = |at: usize| [at - 1, at, at + 1];
            let lengths = [chunk, 2 * chunk, batch, 2 * batch, 3 * batch + chunk].map(around);
            for len in [0, 1].into_iter().chain(lengths.into_iter().flatten()) {
                let (plain, cipher) = (text(len), sealing(suite, chunk));
                let (result, blob) = serial(&cipher, Direction::Seal, plain.as_slice());
                assert_eq!(result, Ok(len as u64));
                let opener = opening(&blob);
                for workers in [0, 2] {
                    let sealed = parallel(&cipher, Direction::Seal, plain.as_slice(), workers);
                    assert!(sealed == (Ok(len as u64), blob.clone()), "{suite} {chunk} {len} {workers}");
                    let opened = parallel(&opener, Direction::Open, &blob[PREFIX_LEN..], workers);
                    assert!(opened == (Ok(len as u64), plain.clone()), "{suite} {chunk} {len} {workers}");
                }
            }
        }
    }
}

#[test]
fn the_calls_of_the_crate_are_inverse() {
    let (plain, cipher) = (text(3 << 20), sealing(Suite::Aes256Gcm, 64 << 10));
    let (mut blob, mut opened) = (Vec::new(), Vec::new());
    assert_eq!(seal(&cipher, plain.as_slice(), &mut blob), Ok(3 << 20));
    assert_eq!(open(&opening(&blob), &blob[PREFIX_LEN..], &mut opened), Ok(3 << 20));
    assert!(opened == plain);
}

#[test]
fn how_a_reader_cuts_its_bytes_makes_no_difference() {
    for len in [0, 1, SMALL, 5 * SMALL + 7, (2 * BATCH + 3) * SMALL, 2 * BATCH * SMALL] {
        let (plain, blob) = (text(len), small_blob(len));
        let (sealer, opener) = (sealing(Suite::Aes256Gcm, SMALL), opening(&blob));
        for step in [1, 7, SMALL - 1, SMALL, SMALL + 1, SMALL + TAG_LEN, 3 * SMALL, BATCH * SMALL + 1] {
            for workers in WORKERS {
                let sealed = parallel(&sealer, Direction::Seal, Rough::new(&plain, false, step), workers);
                assert!(sealed == (Ok(len as u64), blob.clone()), "{len} {step} {workers}");
                let input = Rough::new(&blob[PREFIX_LEN..], false, step);
                let opened = parallel(&opener, Direction::Open, input, workers);
                assert!(opened == (Ok(len as u64), plain.clone()), "{len} {step} {workers}");
            }
        }
    }
}

#[test]
fn damage_of_any_chunk_gives_the_serial_error_and_nothing_behind_it() {
    let chunks = 2 * BATCH + 3;
    let blob = small_blob(chunks * SMALL);
    let (opener, step) = (opening(&blob), SMALL + TAG_LEN);
    for chunk in 0..chunks {
        let mut damaged = blob[PREFIX_LEN..].to_vec();
        damaged[chunk * step + chunk * 31] ^= 1;
        let wanted = serial(&opener, Direction::Open, damaged.as_slice());
        assert_eq!(wanted.0, Err(BlobError::Corrupt { chunk: chunk as u64 }));
        for workers in WORKERS {
            let found = parallel(&opener, Direction::Open, damaged.as_slice(), workers);
            assert!(found == wanted, "{chunk} {workers}: {:?}", found.0);
        }
    }
    // Of two faults the first counts, whoever finds it first.
    let mut damaged = blob[PREFIX_LEN..].to_vec();
    damaged[BATCH * step - 1] ^= 1;
    damaged[BATCH * step] ^= 1;
    for workers in WORKERS {
        let (result, out) = parallel(&opener, Direction::Open, damaged.as_slice(), workers);
        assert_eq!((result, out.len()), (Err(BlobError::Corrupt { chunk: 63 }), 63 * SMALL));
    }
}

#[test]
fn cut_moved_repeated_and_appended_chunks_give_the_serial_error() {
    let blob = small_blob((BATCH + 2) * SMALL + 5);
    let (opener, step) = (opening(&blob), SMALL + TAG_LEN);
    let body = &blob[PREFIX_LEN..];
    let ends = (0..=BATCH + 2).map(|chunk| chunk * step);
    let mut cases: Vec<Vec<u8>> = ends
        .flat_map(|end| [end.saturating_sub(1), end, end + 1, end + 15, end + 16, end + 17])
        .filter(|end| *end < body.len())
        .map(|end| body[..end].to_vec())
        .collect();
    let (first, second, last) = (&body[..step], &body[step..2 * step], &body[(BATCH + 2) * step..]);
    cases.push([second, first, &body[2 * step..]].concat());
    cases.push([first, body].concat());
    cases.push(body[step..].to_vec());
    cases.push([body, last].concat());
    cases.push([body, &[0]].concat());
    for case in &cases {
        let wanted = serial(&opener, Direction::Open, case.as_slice());
        assert!(wanted.0.is_err());
        for workers in WORKERS {
            let found = parallel(&opener, Direction::Open, case.as_slice(), workers);
            assert!(found == wanted, "{} {workers}: {:?} not {:?}", case.len(), found.0, wanted.0);
        }
    }
}

#[test]
fn a_reader_that_fails_anywhere_fails_the_stream_behind_what_was_read_before() {
    let len = (2 * BATCH + 2) * SMALL;
    let (plain, blob) = (text(len), small_blob(len));
    let (sealer, opener) = (sealing(Suite::Aes256Gcm, SMALL), opening(&blob));
    for chunk in 0..=2 * BATCH + 2 {
        for workers in [0, 2] {
            for (cipher, direction, input, whole, slot, made) in [
                (&sealer, Direction::Seal, &plain[..], &blob[..], SMALL, SMALL + TAG_LEN),
                (&opener, Direction::Open, &blob[PREFIX_LEN..], &plain[..], SMALL + TAG_LEN, SMALL),
            ] {
                let at = (chunk * slot + chunk * 17 % slot).min(input.len());
                let reader = || Rough::new(&input[..at], true, 3 * SMALL);
                let (result, out) = parallel(cipher, direction, reader(), workers);
                assert_eq!(result, Err(BlobError::Io("reader".into())), "{chunk} {workers}");
                // All chunks with a byte behind them, which is no less than the serial way writes.
                let prefix = if direction == Direction::Seal { PREFIX_LEN } else { 0 };
                assert_eq!(out.len(), prefix + at.saturating_sub(1) / slot * made, "{chunk} {workers}");
                assert!(whole.starts_with(&out) && out.len() >= serial(cipher, direction, reader()).1.len());
            }
        }
    }
}

#[test]
fn a_writer_that_fails_anywhere_fails_the_stream_though_the_reader_never_ends() {
    let endless = sealing(Suite::Aes256Gcm, SMALL);
    let whole = serial(&endless, Direction::Seal, io::repeat(7).take(3 << 20)).1;
    for room in (0..800_000).step_by(13_001).chain([PREFIX_LEN - 1, PREFIX_LEN, PREFIX_LEN + SMALL]) {
        for workers in [0, 2] {
            let mut out = Vec::new();
            let writer = Full { out: &mut out, room };
            let result = run(&endless, Direction::Seal, io::repeat(7), writer, workers, Builder::new);
            assert_eq!(result, Err(BlobError::Io("writer".into())));
            assert!(out == whole[..room], "{room} {workers}");
        }
    }
    let len = 3 * BATCH * SMALL;
    let (plain, blob) = (text(len), small_blob(len));
    for room in (0..len).step_by(29_989) {
        let mut out = Vec::new();
        let writer = Full { out: &mut out, room };
        let result = run(&opening(&blob), Direction::Open, &blob[PREFIX_LEN..], writer, 2, Builder::new);
        assert_eq!(result, Err(BlobError::Io("writer".into())));
        assert!(out == plain[..room], "{room}");
    }
}

#[test]
fn a_flush_that_fails_fails_the_stream() {
    struct Unflushed;
    impl Write for Unflushed {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::other("flush"))
        }
    }
    let cipher = sealing(Suite::Aes256Gcm, SMALL);
    for (len, workers) in [(1, 0), (3 * BATCH * SMALL, 0), (3 * BATCH * SMALL, 2)] {
        let result = run(&cipher, Direction::Seal, text(len).as_slice(), Unflushed, workers, Builder::new);
        assert_eq!(result, Err(BlobError::Io("flush".into())));
    }
}

#[test]
fn a_reader_that_claims_too_much_is_an_error() {
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len() + 1)
        }
    }
    for workers in WORKERS {
        let found = parallel(&sealing(Suite::Aes256Gcm, SMALL), Direction::Seal, Liar, workers);
        assert!(matches!(found.0, Err(BlobError::Io(_))));
    }
}

#[test]
fn without_threads_to_be_had_it_goes_on_without() {
    // A stack that no system has room for.
    let none = || Builder::new().stack_size(1 << 60);
    let plain = text(3 * BATCH * SMALL);
    let mut out = Vec::new();
    let cipher = sealing(Suite::Aes256Gcm, SMALL);
    let result = run(&cipher, Direction::Seal, plain.as_slice(), &mut out, 2, none);
    assert_eq!(result, Ok(plain.len() as u64));
    assert!(out == small_blob(plain.len()));
}

/// Counts what is read and written, and the most that lay between.
#[derive(Default)]
struct Meter {
    read: AtomicUsize,
    written: AtomicUsize,
    most: AtomicUsize,
}

struct Metered(Arc<Meter>, usize);

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.1);
        self.1 -= len;
        let read = self.0.read.fetch_add(len, Ordering::SeqCst) + len;
        let between = read.saturating_sub(self.0.written.load(Ordering::SeqCst));
        self.0.most.fetch_max(between, Ordering::SeqCst);
        Ok(len)
    }
}

impl Write for Metered {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // Others run first, so that all that may be read ahead is.
        (0..50).for_each(|_| thread::yield_now());
        self.0.written.fetch_add(buffer.len(), Ordering::SeqCst);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_more_is_read_ahead_than_the_buffers_hold() {
    for chunk in [SMALL, 1 << 20] {
        let meter = Arc::new(Meter::default());
        let (reader, writer) = (Metered(meter.clone(), 48 << 20), Metered(meter.clone(), 0));
        run(&sealing(Suite::Aes256Gcm, chunk), Direction::Seal, reader, writer, WORKERS_MAX, Builder::new)
            .unwrap();
        let most = meter.most.load(Ordering::SeqCst);
        let buffers = (WORKERS_MAX + OTHER_BUFFERS) * chunk.max(BATCH * SMALL);
        assert!(most <= buffers && buffers <= 8 << 20, "{most} of {buffers}");
    }
}

#[test]
fn whole_chunks_do_not_wait_for_a_reader_that_takes_its_time() {
    /// Gives the next piece only when the last was written, as a peer does that waits for an answer.
    struct Patient {
        pieces: usize,
        answers: Receiver<()>,
    }
    impl Read for Patient {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.pieces == 0 {
                return Ok(0);
            }
            self.answers
                .recv_timeout(Duration::from_secs(60))
                .map_err(|_| io::Error::other("a chunk was kept back"))?;
            self.pieces -= 1;
            // A chunk and the byte behind it, without which nobody knows whether it is the last.
            let len = buffer.len().min(SMALL + 1);
            buffer[..len].fill(7);
            Ok(len)
        }
    }
    struct Answering(Sender<()>);
    impl Write for Answering {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            // After the last piece nobody waits for an answer.
            let _ = self.0.send(());
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for workers in [0, 2] {
        let (answer, answers) = channel();
        let reader = Patient { pieces: 20, answers };
        let cipher = sealing(Suite::Aes256Gcm, SMALL);
        // The prefix is the first answer.
        run(&cipher, Direction::Seal, reader, Answering(answer), workers, Builder::new).unwrap();
    }
}

#[test]
fn a_panic_of_the_writer_ends_the_threads_too() {
    struct Panics;
    impl Write for Panics {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            assert!(buffer.len() == PREFIX_LEN, "the writer's own words");
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let cipher = sealing(Suite::Aes256Gcm, SMALL);
    let result =
        std::panic::catch_unwind(|| run(&cipher, Direction::Seal, io::repeat(7), Panics, 2, Builder::new));
    assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"the writer's own words"));
}

#[test]
fn a_panic_of_the_reader_is_the_callers() {
    struct Panics(usize);
    impl Read for Panics {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).expect("the reader's own words");
            Ok(buffer.len())
        }
    }
    let cipher = sealing(Suite::Aes256Gcm, SMALL);
    let result =
        std::panic::catch_unwind(|| run(&cipher, Direction::Seal, Panics(500), io::sink(), 2, Builder::new));
    let words = result.unwrap_err();
    assert_eq!(words.downcast_ref::<String>(), Some(&"the reader's own words".to_owned()));
}
