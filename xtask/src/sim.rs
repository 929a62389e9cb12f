//! `cargo xtask sim`: the deterministic simulation, in release mode.

use anyhow::Result;

use crate::shell;

/// Arguments of `cargo xtask sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `dkm-sim`, for example `run --seeds 100000`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    with(&arguments.arguments)
}

/// Runs `dkm-sim` with these arguments.
pub(crate) fn with(arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<()> {
    shell::run(
        shell::cargo()
            .args([
                "run",
                "--quiet",
                "--locked",
                "--release",
                "--package",
                "dkm-sim",
                "--bin",
                "dkm-sim",
                "--",
            ])
            .args(arguments),
    )
}
