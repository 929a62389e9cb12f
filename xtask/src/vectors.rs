//! `cargo xtask vectors`: the format's test vectors.

use anyhow::{Result, bail};

/// Arguments of `cargo xtask vectors`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a file would change
    #[arg(long)]
    pub(crate) check: bool,
}

/// Runs the command.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    bail!("there are no vectors in this tree yet")
}
