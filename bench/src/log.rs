//! The audit log alone: appending and proving at several sizes.

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::channel;

use anyhow::{Context as _, Result, ensure};
use dkm::core::{GroupId, KeyId, Timestamp};
use dkm_audit::checkpoint::Checkpoint;
use dkm_audit::entry::{Detail, Phase};
use dkm_audit::store::{BATCH_MAX, FileAnchor};
use dkm_audit::tree::Tree;
use dkm_audit::{Entry, Log, LogKey, Trust};
use tempfile::TempDir;

use crate::measure::{Effort, Times, compare, plain};
use crate::report::{Limit, Section, number, spread, spread_time};

/// Entries of a batch that is appended when measuring.
const BATCH: u64 = 256;

/// A log of some size.
struct Sized {
    size: u64,
    log: Log,
    /// The checkpoint at which it had this size.
    checkpoint: Checkpoint,
    folder: TempDir,
}

fn entry(number: u64) -> Entry {
    // All of them are made here, of characters and lengths that the log takes.
    let actor = format!("service:mail-{}", number % 1000).parse().expect("a name");
    let action = "read-key".parse().expect("an action");
    let mut entry = Entry::new(Timestamp(1_800_000_000_000 + number), actor, action, Phase::Intent);
    entry.group = Some(GroupId([7; 16]));
    entry.key = Some(KeyId((number % 100).to_be_bytes().repeat(2).try_into().expect("16 bytes")));
    entry.size = Some(158);
    entry.detail = Some(Detail::lossy("keys/0123456789abcdef0123456789abcdef"));
    entry
}

/// Appends entries that share commits as far as they may, and waits for all.
fn append(log: &Log, numbers: std::ops::Range<u64>) -> Result<()> {
    let (sender, done) = channel();
    for number in numbers.clone() {
        let sender = sender.clone();
        log.submit(&entry(number), move |receipt| drop(sender.send(receipt.map(|_| ()))))?;
    }
    for _ in numbers {
        done.recv()??;
    }
    Ok(())
}

impl Sized {
    fn new(size: u64, parent: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(parent)?;
        let key = LogKey::from_seed("bench.example.com/log".parse()?, &[7; 32])?;
        let trust = Trust::log(key.public().clone())?;
        let anchor = Box::new(FileAnchor::new(&folder.path().join("anchor")));
        let log = Log::create(&folder.path().join("log"), key, anchor)?;
        // No more at once than the log's queue takes.
        let step = 2 * BATCH_MAX as u64;
        for begin in (0..size).step_by(usize::try_from(step)?) {
            append(&log, begin..(begin + step).min(size))?;
        }
        let checkpoint = trust.verify(&log.checkpoint())?.checkpoint;
        ensure!(checkpoint.size == size, "the log has {} entries, not {size}", checkpoint.size);
        Ok(Self { size, log, checkpoint, folder })
    }

    /// Proves a leaf, from files alone; how many hashes that took.
    fn prove(&self, index: u64) -> Result<usize> {
        let source = self.log.source();
        Ok(Tree::new(&source, &self.checkpoint).prove(index)?.1.len())
    }
}

fn words(size: u64) -> &'static str {
    match size {
        10_000 => "10⁴",
        1_000_000 => "10⁶",
        _ => "10⁷",
    }
}

/// Appending and proving at 10⁴, 10⁶ and 10⁷ entries.
pub(crate) fn log(quick: bool, effort: Effort) -> Result<Section> {
    let memory = Path::new("/dev/shm");
    ensure!(memory.is_dir(), "there is no file system in memory at /dev/shm");
    let small = Sized::new(10_000, memory)?;
    let middle = Sized::new(1_000_000, memory)?;
    // A million appended once more is not what a quick look is for.
    let large = Sized::new(if quick { 1_000_000 } else { 10_000_000 }, memory)?;
    let logs = [&small, &middle, &large];
    let mut section = Section::new(
        "The audit log at 10⁴, 10⁶ and 10⁷ entries",
        "The log alone, in a file system in memory: what a disk takes to make a commit durable does not depend on the log's \
         size. Entries are those of reading a key. Appending is 256 entries that wait together, until all are acknowledged, for each \
         entry. Proving reads whole tiles of 256 hashes, takes an entry out, works out the proof that it is under a checkpoint, and verifies \
         it; each time another entry, with nothing kept from the time before.",
        ["operation", "time", "hashes of a proof, at most", "times the smallest"],
    );
    let next = logs.map(|log| Cell::new(log.size));
    let appending = |at: usize| {
        let (log, next) = (logs[at], &next[at]);
        plain(move || {
            let from = next.replace(next.get() + BATCH);
            // What fails here was full or broken since: there is nothing to measure.
            append(&log.log, from..from + BATCH).expect("it worked before");
        })
    };
    let appended = compare(effort, [appending(0), appending(1), appending(2)]);
    let each = appended.map(|times| Times(times.0.iter().map(|batch| batch / BATCH as f64).collect()));
    let proving = |at: usize| {
        let (log, mut random) = (logs[at], 1u64);
        plain(move || {
            // Knuth's MMIX generator: any spread will do.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // As above; the entry is one of those that were put.
            log.prove((random >> 16) % log.size).expect("it worked before")
        })
    };
    let proved = compare(effort, [proving(0), proving(1), proving(2)]);
    for (at, log) in logs.iter().enumerate() {
        if at == 2 && quick {
            continue;
        }
        let name = words(log.size);
        let ratio = each[at].per(&each[0]);
        section.row([format!("append at {name}"), spread_time(&each[at]), String::new(), spread(ratio)]);
        let hashes = (0..64).map(|n| log.prove(n * (log.size - 1) / 63)).collect::<Result<Vec<_>>>()?;
        let most = hashes.into_iter().max().context("nothing was proved")?;
        section.row([
            format!("proof at {name}"),
            spread_time(&proved[at]),
            most.to_string(),
            spread(proved[at].per(&proved[0])),
        ]);
        let levels = (log.size as f64).log2().ceil();
        section.target(&format!("hashes of a proof at {name} entries"), Limit::Most(levels), most as f64, "");
        if at > 0 {
            let what = format!("append at {name} entries, times that at 10⁴");
            section.target(&what, Limit::Most(1.2), ratio.median, "×");
            let what = format!("proof at {name} entries, times that at 10⁴");
            let grows = levels / (small.size as f64).log2().ceil();
            // A proof reads whole tiles of 256 hashes, and one more of them from time to time.
            let limit = (grows * 1.5 * 100.0).round() / 100.0;
            section.target(&what, Limit::Most(limit), proved[at].per(&proved[0]).median, "×");
        }
    }
    let used: u64 = folder_len(large.folder.path())?;
    println!("  {} bytes for an entry on disk", number(used as f64 / large.size as f64));
    Ok(section)
}

/// Bytes of all files below a folder.
fn folder_len(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let data = item.metadata()?;
        sum += if data.is_dir() { folder_len(&item.path())? } else { data.len() };
    }
    Ok(sum)
}
