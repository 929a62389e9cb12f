//! `cargo xtask bench`: measures, and writes docs/performance.md.
//!
//! The measuring program and the peers live in bench/, a workspace of its own: nothing of theirs enters the
//! product's dependency tree.

use anyhow::Result;

use crate::{setup, shell};

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measure for a shorter time and write no page; to see that it works
    #[arg(long)]
    quick: bool,
    /// Only measurements whose name contains this; writes no page
    #[arg(long)]
    only: Option<String>,
    /// Leave out measurements whose name contains this; the page says so
    #[arg(long)]
    without: Option<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::need(&[setup::AGE, setup::SSH_KEYGEN])?;
    setup::need(setup::DOMAIN)?;
    setup::cargo_tool("rage", "rage")?;
    // The programs themselves, whose time and memory are measured from outside.
    let programs = ["--package", "dkm-cli", "--package", "dkm-server"];
    shell::run(shell::cargo().args(["build", "--locked", "--release"]).args(programs))?;
    let mut bench = shell::cargo();
    bench
        .args(["run", "--locked", "--release", "--manifest-path", "bench/Cargo.toml"])
        // What the product is built from is there already.
        .arg("--target-dir")
        .arg(shell::target())
        .arg("--")
        .arg("--dkm")
        .arg(shell::target().join("release/dkm"))
        .arg("--dkmd")
        .arg(shell::target().join("release/dkmd"))
        .arg("--disk")
        .arg(shell::target().join("bench"));
    if arguments.quick {
        bench.arg("--quick");
    }
    if let Some(name) = &arguments.without {
        bench.arg("--without").arg(name);
    }
    match &arguments.only {
        Some(name) => bench.arg("--only").arg(name),
        None if arguments.quick => &mut bench,
        None => bench.arg("--write").arg(shell::root().join("docs/performance.md")),
    };
    shell::run(&mut bench)
}
