//! Running seeds: one, or many on all cores. What comes out does not depend on the number of threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::crowd;
use crate::off::Off;
use crate::tally::Tally;
use crate::violation::Violation;
use crate::world::World;

/// Failing seeds whose violations are kept.
const FAILURES_KEPT_MAX: usize = 20;
/// Seeds that a thread takes at a time.
const CHUNK: u64 = 16;

/// What became of one seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What happened.
    pub tally: Tally,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// A hash of everything that happened, in order.
    pub hash: u64,
    /// All that happened, if it was asked for.
    pub lines: Vec<String>,
}

/// Runs one seed.
#[must_use]
pub fn run_seed(seed: u64, off: Option<Off>, tracing: bool) -> Outcome {
    if let Some(clients) = crowd::crowd_of(seed) {
        let (tally, violations, trace) = crowd::run(seed, clients, off, tracing);
        return Outcome { tally, violations, hash: trace.hash(), lines: trace.into_lines() };
    }
    let mut world = World::new(seed, off, tracing);
    world.run();
    Outcome {
        tally: world.tally,
        violations: world.violations,
        hash: world.trace.hash(),
        lines: world.trace.into_lines(),
    }
}

/// Which seeds to run, and on how many threads.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// Threads, at least 1.
    pub threads: usize,
}

/// What became of many seeds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Sum of what happened.
    pub tally: Tally,
    /// Seeds without a violation.
    pub passed: u64,
    /// Seeds with one.
    pub failed: u64,
    /// Violations of the failing seeds with the lowest numbers.
    pub violations: Vec<Violation>,
    /// Sum of the seeds' hashes.
    pub fingerprint: u64,
}

impl Report {
    fn take(&mut self, outcome: Outcome) {
        self.tally.add(&outcome.tally);
        self.fingerprint = self.fingerprint.wrapping_add(outcome.hash);
        if outcome.violations.is_empty() {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.violations.extend(outcome.violations);
        }
    }

    fn join(&mut self, other: Self) {
        self.tally.add(&other.tally);
        self.passed += other.passed;
        self.failed += other.failed;
        self.violations.extend(other.violations);
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
    }
}

/// Runs many seeds. `progress` is told now and then how many are done and how many of them failed.
pub fn run_span(span: Span, off: Option<Off>, progress: impl Fn(u64, u64) + Sync) -> Report {
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    let telling = AtomicBool::new(false);
    let work = || {
        let mut report = Report::default();
        loop {
            let begin = next.fetch_add(CHUNK, Ordering::Relaxed);
            if begin >= span.seeds {
                break;
            }
            let end = begin.saturating_add(CHUNK).min(span.seeds);
            let before = report.failed;
            for offset in begin..end {
                report.take(run_seed(span.from.wrapping_add(offset), off, false));
            }
            let all = done.fetch_add(end - begin, Ordering::Relaxed) + end - begin;
            let bad = failed.fetch_add(report.failed - before, Ordering::Relaxed) + report.failed - before;
            if !telling.swap(true, Ordering::Relaxed) {
                progress(all, bad);
                telling.store(false, Ordering::Relaxed);
            }
        }
        report
    };
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..span.threads.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => report.join(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    report.violations.sort();
    let kept: std::collections::BTreeSet<u64> =
        report.violations.iter().map(|v| v.seed).collect::<std::collections::BTreeSet<_>>();
    let kept: std::collections::BTreeSet<u64> = kept.into_iter().take(FAILURES_KEPT_MAX).collect();
    report.violations.retain(|v| kept.contains(&v.seed));
    report
}
