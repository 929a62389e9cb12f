//! `cargo xtask quickstart`: builds the `dkm` command and starts its tour.

use anyhow::Result;

use crate::shell;

/// Arguments of `cargo xtask quickstart`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `dkm quickstart`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the command. Nothing has to be installed for it: Rust and a C compiler are enough, so it is built without
/// Active Directory, which needs the Kerberos library.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    shell::run(
        shell::cargo()
            .args([
                "run",
                "--quiet",
                "--locked",
                "--no-default-features",
                "--package",
                "dkm-cli",
                "--bin",
                "dkm",
                "--",
                "quickstart",
            ])
            .args(&arguments.arguments),
    )
}
