//! How tests against real domains are run: Kerberos is told where its configuration is by the environment, so they run in
//! a process that was started with it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::PoisonError;

use anyhow::{Context as _, Result};
use dkm_testbed::{Domain, Options};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::stage::{Stage, Test};

/// Where Kerberos finds its configuration.
pub(crate) const CONFIGURATION: &str = "KRB5_CONFIG";
/// Where Kerberos finds tickets: a folder.
const TICKETS: &str = "KRB5CCNAME";
/// Where a server finds its keys: a file.
pub(crate) const SERVER_KEYS: &str = "KRB5_KTNAME";
/// Where TLS finds the authorities that the system believes: a file.
pub(crate) const AUTHORITIES: &str = "SSL_CERT_FILE";
/// Set in the process that runs the tests.
const CHILD: &str = "DKM_AD_TEST_CHILD";

/// Runs the tests with a domain. `alone`: one after the other, because they change what all of them need.
pub(crate) fn run(options: &Options, alone: bool, tests: Vec<Test>) -> ExitCode {
    match try_run(options, alone, tests) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Options, alone: bool, tests: Vec<Test>) -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    if std::env::var_os(CHILD).is_none() && !arguments.list {
        let folder = tempfile::tempdir()?;
        let tickets = folder.path().join("tickets");
        std::fs::create_dir(&tickets)?;
        let status = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(CHILD, "1")
            .env(CONFIGURATION, folder.path().join("krb5.conf"))
            // Whatever tickets the caller has: the tests bring their own.
            .env(TICKETS, format!("DIR:{}", tickets.display()))
            // What a test puts there: keys of servers that it plays, and authorities that the system believes.
            .env(SERVER_KEYS, folder.path().join("server.keytab"))
            .env(AUTHORITIES, folder.path().join("authorities.pem"))
            .status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if alone {
        arguments.test_threads = Some(1);
    }
    if !arguments.list {
        let Some(domain) = Domain::start_or_skip(options)? else { return Ok(ExitCode::SUCCESS) };
        // A domain where Kerberos may sign in inside TLS is there for that.
        let url = if options.sasl_inside_tls { domain.tls_url() } else { domain.url() };
        Stage::set_up(domain, &url)?;
    }
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                let stage = Stage::get().map_err(|error| Failed::from(format!("{error:#}")))?;
                // What stops the domain for a moment must not meet others.
                let (_many, _one);
                if name.starts_with("alone_") {
                    _one = stage.turn.write().unwrap_or_else(PoisonError::into_inner);
                } else {
                    _many = stage.turn.read().unwrap_or_else(PoisonError::into_inner);
                }
                test(stage).map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    Stage::end();
    Ok(if conclusion.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The folder where Kerberos looks for tickets of any principal.
pub(crate) fn tickets() -> Result<PathBuf> {
    let name = std::env::var(TICKETS)?;
    Ok(name.strip_prefix("DIR:").context("not a folder")?.into())
}
