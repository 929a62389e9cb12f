//! The repository against a real domain: Samba, with accounts, groups and tickets of its own.

// A test may stop at the first fault, and tells on its standard streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod access;
mod attacks;
mod audit;
mod conformance;
mod person;
mod refresh;
mod removal;
mod stage;
mod story;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use stage::{Stage, Test};

/// Where Kerberos finds its configuration.
const CONFIGURATION: &str = "KRB5_CONFIG";
/// Set in the process that runs the tests.
const CHILD: &str = "DKM_AD_TEST_CHILD";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    if std::env::var_os(CHILD).is_none() && !arguments.list {
        let folder = tempfile::tempdir()?;
        let status = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(CHILD, "1")
            .env(CONFIGURATION, folder.path().join("krb5.conf"))
            // Whatever tickets the caller has: the tests bring their own.
            .env("KRB5CCNAME", "MEMORY:none")
            .status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Err(missing) = dkm_testbed::Domain::available() {
        eprintln!("\nSKIPPED: every test against a real domain. {missing}\n");
        return Ok(ExitCode::SUCCESS);
    }
    let tests: Vec<Test> = [
        access::TESTS,
        attacks::TESTS,
        audit::TESTS,
        audit::PATHS,
        conformance::TESTS,
        refresh::TESTS,
        removal::TESTS,
        story::TESTS,
    ]
    .concat();
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                let stage = Stage::get().map_err(|error| Failed::from(format!("{error:#}")))?;
                test(stage).map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    Stage::end();
    Ok(if conclusion.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
