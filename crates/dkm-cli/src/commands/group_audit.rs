//! `dkm group audit`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dkm_ad::audit::{PathKind, Round, Services, ServicesError, Verdict, Watch, audit};
use serde_json::json;

use crate::duration;
use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// Search every path by which somebody could come to read the group's keys
///
/// Asks one domain controller who is in the readers group by any route, who may read, own or rewrite key objects, who
/// controls the readers group and its members' accounts, who replicates the domain, and more; --kinds lists it. Whoever
/// is not in the signed list of services is a person or an unexpected trustee. What this account may not read is told as
/// not checked, and the audit is incomplete then. To leave nothing unchecked, the account must be an auditor,
/// an administrator, an owner or a member of the group, and may list the repository's container. Changes nothing.
///
/// What was done with keys is another question, which an audit log answers: dkm audit.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The list of services has one SID a line, then a comment. Its owner signs it, which writes FILE.sig:
  ssh-keygen -Y sign -n dkm-services -f ~/.ssh/id_ed25519 services

Exit codes:
  0  no path found: only services, and those who always have control
  4  no path found in what could be read, which was not all
  7  a person or an unexpected trustee has a path

Examples:
  dkm group audit mail --services services --allowed-signers signers --signer ciso@example.com
  dkm group audit mail --services services --unsigned-services --watch 5m --json")]
pub(crate) struct Arguments {
    /// Group, by name or id; --group otherwise
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The accounts that are services: a file with one SID and a comment a line
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    /// Who may sign the list of services: a file as ssh-keygen(1) describes under ALLOWED SIGNERS
    #[arg(long, value_name = "FILE", requires = "services", conflicts_with = "unsigned_services")]
    allowed_signers: Option<PathBuf>,
    /// Who must have signed the list of services: an identity in the file of signers
    #[arg(long, value_name = "ID", requires = "allowed_signers")]
    signer: Option<String>,
    /// Take a list of services that nobody signed
    #[arg(long, requires = "services")]
    unsigned_services: bool,
    /// Go on looking, at this interval such as 5m, and tell what changes; Ctrl-C ends it
    #[arg(long, value_name = "INTERVAL", value_parser = duration::interval)]
    watch: Option<u64>,
    /// End after this many looks
    #[arg(long, value_name = "NUMBER", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// Only list the kinds of paths that are searched, and what is not
    #[arg(long, exclusive = true)]
    kinds: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    if arguments.kinds {
        let kinds: Vec<_> =
            PathKind::ALL.iter().map(|kind| json!({"kind": kind, "what": kind.what()})).collect();
        let value = json!({"kinds": kinds, "not_searched": dkm_ad::audit::NOT_SEARCHED});
        return shell.terminal.result(&value, PathKind::table);
    }
    let repository = shell.active_directory("; others tell who has access in dkm group show")?;
    let services = services(arguments, shell)?;
    let group = shell.group_id(arguments.name.as_ref())?;
    match arguments.watch {
        Some(interval_ms) => {
            watch(shell, Watch::new(repository, group, services), interval_ms, arguments.rounds)
        }
        None => {
            let report = audit(&repository, group, &services)?;
            shell.terminal.result(&report, || report.to_string())?;
            conclude(report.verdict)
        }
    }
}

fn services(arguments: &Arguments, shell: &Shell) -> Result<Services> {
    let Some(path) = &arguments.services else {
        shell.terminal.warn(
            "no-services",
            "without a list of services, every account that reads the keys counts as a person",
            Some("list their SIDs in a file, sign it, and name it with --services"),
        );
        return Ok(Services::none());
    };
    let listed = match (&arguments.allowed_signers, &arguments.signer) {
        (Some(allowed), Some(signer)) => Services::from_signed_file(path, allowed, signer),
        _ if arguments.unsigned_services => {
            shell.terminal.warn(
                "unsigned-services",
                "the list of services is not signed: whoever can write it decides who is a person",
                Some("sign it: ssh-keygen -Y sign -n dkm-services -f KEY FILE"),
            );
            Services::from_unsigned_file(path)
        }
        _ => {
            return Err(Failure::usage("the list of services must be signed").help(
                "name who may sign it with --allowed-signers and --signer, or give --unsigned-services",
            ));
        }
    };
    listed.map_err(|error| match &error {
        ServicesError::Unreadable { .. } => Failure::new(dkm::ErrorKind::NotFound, error.to_string()),
        ServicesError::Signature { .. } => Failure::new(dkm::ErrorKind::Refused, error.to_string()).help(
            "whoever answers for the list signs it anew: ssh-keygen -Y sign -n dkm-services -f KEY FILE",
        ),
        _ => Failure::usage(error.to_string()),
    })
}

fn watch(shell: &Shell, mut watch: Watch, interval_ms: u64, rounds: Option<u64>) -> Result {
    let mut verdict = None;
    let mut done = 0u64;
    loop {
        match watch.round() {
            Ok(round) => verdict = told(shell, round)?.or(verdict),
            // Without a first report there is nothing to compare with.
            Err(error @ dkm::repository::RepositoryError::Unavailable { .. }) if verdict.is_some() => {
                let advice = format!("the next look is in {}", duration::format(interval_ms));
                shell.terminal.warn("unavailable", &error.to_string(), Some(&advice));
            }
            Err(error) => return Err(error.into()),
        }
        done += 1;
        if rounds.is_some_and(|rounds| done >= rounds) {
            return verdict.map_or(Ok(()), conclude);
        }
        std::thread::sleep(Duration::from_millis(interval_ms));
    }
}

/// Tells what a round saw; returns the verdict if there is a new report.
fn told(shell: &Shell, round: Round) -> Result<Option<Verdict>> {
    let report = match round {
        Round::First(report) => {
            shell.terminal.result(&json!({"report": report}), || report.to_string())?;
            report
        }
        Round::Changed { changes, report } => {
            for change in changes {
                let value = json!({"change": change, "failure": change.is_failure()});
                shell.terminal.result(&value, || change.to_string())?;
            }
            report
        }
        _ => return Ok(None),
    };
    Ok(Some(report.verdict))
}

/// The exit code that a verdict stands for. The report has said the rest.
fn conclude(verdict: Verdict) -> Result {
    match verdict {
        Verdict::NoPath => Ok(()),
        Verdict::Incomplete => Err(Failure::silent(dkm::ErrorKind::Denied.exit_code())),
        Verdict::Paths => Err(Failure::silent(dkm::ErrorKind::Refused.exit_code())),
    }
}
