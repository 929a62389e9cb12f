//! `cargo xtask`: every command a developer of DKM needs, with its own set-up.
//!
//! One file per subcommand; [`setup`] finds or installs the tools they call.

// A command-line tool talks on its standard streams.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
#[cfg(target_os = "linux")]
mod demo;
mod fuzz;
mod lanes;
mod licences;
mod quickstart;
mod setup;
mod shell;
mod sim;
mod test;
#[cfg(target_os = "linux")]
mod testbed;
mod vectors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of DKM.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build `dkm` and run its tour: protect a real file, roll the key, open the old blob
    Quickstart(quickstart::Arguments),
    /// Run every check: formatting, lints, licences, vectors, tests, simulation, documentation
    Test(test::Arguments),
    /// Measure against the raw primitive and peers, and write docs/performance.md
    Bench(bench::Arguments),
    /// Fuzz the parsers
    Fuzz(fuzz::Arguments),
    /// Write testdata/vectors/ anew, or check that it would not change
    Vectors(vectors::Arguments),
    /// Start a real Active Directory domain (Samba) on this machine to try things with, and end it
    #[cfg(target_os = "linux")]
    Testbed(testbed::Arguments),
    /// Show DKM in a real domain, with nothing but this machine
    #[cfg(target_os = "linux")]
    Demo(demo::Arguments),
    /// Run the deterministic simulation in release mode; arguments go to `dkm-sim`
    Sim(sim::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Vectors(arguments) => vectors::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Testbed(arguments) => testbed::run(&arguments),
        #[cfg(target_os = "linux")]
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
