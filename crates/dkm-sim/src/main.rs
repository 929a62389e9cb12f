//! `dkm-sim`: runs the deterministic simulation.

#![forbid(unsafe_code)]
// A command: its output is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use dkm_sim::{Off, SEEDS_MAX, Span, prove, run_seed, run_span};

/// Deterministic simulation of DKM clients and replicas
#[derive(Debug, Parser)]
#[command(name = "dkm-sim")]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run many seeds, or replay one
    Run(Run),
    /// Switch off one safeguard after the other and show that the harm is noticed
    Prove,
}

#[derive(Debug, Args)]
struct Run {
    /// How many seeds
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// How many threads [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Replay this one seed
    #[arg(long)]
    seed: Option<u64>,
    /// Tell everything that happens in it
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> ExitCode {
    match Command::parse().what {
        What::Run(run) => match run.seed {
            Some(seed) => replay(seed, run.trace),
            None => many(&run),
        },
        What::Prove => proofs(),
    }
}

fn proofs() -> ExitCode {
    let mut unnoticed = 0;
    for off in Off::ALL {
        let proof = prove(off, 0, SEEDS_MAX);
        match &proof.found {
            Some(harm) => {
                println!("without {:<17} noticed after {:>5} seeds: {harm}", off.as_str(), proof.seeds)
            }
            None => {
                unnoticed += 1;
                println!("without {:<17} NOT NOTICED in {} seeds", off.as_str(), proof.seeds);
            }
        }
    }
    let noticed = Off::ALL.len() - unnoticed;
    println!("{noticed} noticed, {unnoticed} unnoticed");
    ExitCode::from(u8::from(unnoticed > 0))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn replay(seed: u64, trace: bool) -> ExitCode {
    let outcome = run_seed(seed, None, trace);
    for line in &outcome.lines {
        println!("{line}");
    }
    for (label, count) in outcome.tally.lines().into_iter().filter(|(_, count)| *count > 0) {
        println!("{label:<34} {count:>12}");
    }
    println!("hash {:016x}", outcome.hash);
    for violation in &outcome.violations {
        println!("{violation}");
    }
    let failed = u64::from(!outcome.violations.is_empty());
    println!("{} passed, {failed} failed", 1 - failed);
    ExitCode::from(u8::from(failed > 0))
}

fn many(run: &Run) -> ExitCode {
    let span = Span { from: run.from, seeds: run.seeds, threads: run.threads.unwrap_or_else(cores) };
    let begin = Instant::now();
    let last = Mutex::new(begin);
    let report = run_span(span, None, |done, failed| {
        let Ok(mut last) = last.lock() else { return };
        if last.elapsed() >= Duration::from_secs(10) {
            *last = Instant::now();
            eprintln!("{done} of {} seeds, {failed} failed, {} s", span.seeds, begin.elapsed().as_secs());
        }
    });
    for (label, count) in report.tally.lines() {
        println!("{label:<34} {count:>12}");
    }
    println!("fingerprint {:016x}", report.fingerprint);
    for violation in &report.violations {
        println!("{violation}");
    }
    if let Some(first) = report.violations.first() {
        println!("replay: cargo xtask sim run --seed {} --trace", first.seed);
    }
    println!("{} passed, {} failed", report.passed, report.failed);
    ExitCode::from(u8::from(report.failed > 0))
}
