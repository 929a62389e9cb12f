//! The `dkm` command. The library does the work; terminal, environment and home folder are dealt with here alone.

#![forbid(unsafe_code)]

mod account_store;
mod asked;
mod audit_entry;
mod audit_log;
mod cli;
mod columns;
mod commands;
mod config;
mod confirm;
mod context_pair;
mod control;
mod duration;
mod failure;
mod input;
mod key_argument;
mod offline;
mod output_file;
mod overriding;
mod pin;
mod policy_field;
mod progress;
mod proposal;
mod receipt;
mod recording;
mod roster_file;
mod roster_view;
mod scope;
mod shape;
mod shell;
mod ssh;
mod terminal;
mod timeline;
mod waiting;
mod warning;
mod when;
mod windows_blob;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind as ClapErrorKind;

use cli::Cli;
use failure::Failure;
use shell::Shell;
use terminal::Terminal;

fn main() -> ExitCode {
    // Before anything secret is in memory. What the system refuses is told only once something secret may be.
    let unhardened = dkm::harden_process();
    log_if_asked();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, &arguments),
    };
    let shell = Shell::new(cli.global, unhardened);
    match failure::guarded(|| commands::run(cli.command, &shell)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            shell.terminal.failure(&failure);
            ExitCode::from(failure.exit_code)
        }
    }
}

/// `DKM_LOG=debug` and the like write the library's log to stderr; otherwise nothing is logged.
fn log_if_asked() {
    if let Some(filter) = std::env::var("DKM_LOG").ok().filter(|filter| !filter.is_empty()) {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .init();
    }
}

/// Help and version go to stdout; a command line that is not understood is an error of its own form with `--json`.
fn not_understood(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let shown = matches!(
        error.kind(),
        ClapErrorKind::DisplayHelp
            | ClapErrorKind::DisplayVersion
            | ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let before_end = arguments.iter().take_while(|argument| *argument != "--");
    if shown || !before_end.into_iter().any(|argument| argument == "--json") {
        let _ = error.print();
    } else {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Terminal::new(true, false).failure(&Failure::usage(message).help("dkm --help tells what there is"));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
