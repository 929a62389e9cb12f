//! `dkm ad doctor`

use std::time::Duration;

use clap::Args;
use dkm::{ErrorKind, Location};
use dkm_ad::doctor::{Conclusion, Options, Subject, examine};
use dkm_ad::{AdRepository, Limits};

use crate::duration;
use crate::failure::{Failure, Result};
use crate::shell::Shell;
use crate::terminal::shell_word;

/// The longest that probes are waited for.
const PROBE_TIMEOUT_MS_MAX: u64 = 24 * 3_600_000;

/// Measure a domain: replication, lock-out times, schema, deleted objects, and what is recorded
///
/// Makes a probe, an empty container, in the repository's container on each domain controller of the URL, waits until
/// the others have it, and deletes it. For that the account must be one named with dkm ad init --makers, or a domain
/// administrator; everything else any account may look at, and what it may not see is told as not checked. With --group
/// the policy is held against what was measured: a replication_bound or an activation_delay below that is wrong, and the
/// command that repairs it is told; key objects that were written to again are told, too, to a member of the group.
/// Apart from probes, it changes nothing but what any use of a group may: a key that is due is made.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  nothing is wrong in what could be looked at
  4  nothing is wrong, but the account may not measure what the policy was to be held against
  6  a domain controller did not answer, or a probe did not arrive in time
  7  something is wrong, such as an activation delay below what was measured

Examples:
  dkm ad doctor -g mail
  dkm ad doctor --probe-timeout 4h --json")]
pub(crate) struct Arguments {
    /// Make no probe: replication is not measured then
    #[arg(long)]
    no_probe: bool,
    /// How long probes are waited for, such as 5m; longer than the slowest replication between sites
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = timeout, conflicts_with = "no_probe")]
    probe_timeout: u64,
}

fn timeout(text: &str) -> Result<u64, String> {
    let timeout_ms = duration::parse(text)?;
    if timeout_ms == 0 || timeout_ms > PROBE_TIMEOUT_MS_MAX {
        return Err(format!("{text:?} is not between 1ms and {}", duration::format(PROBE_TIMEOUT_MS_MAX)));
    }
    Ok(timeout_ms)
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let location = shell.location()?;
    let Location::ActiveDirectory { url } = &location else {
        return Err(Failure::usage(format!("{location} is no repository in Active Directory"))
            .help("name one: --repository ad://example.com; dkm doctor checks any repository"));
    };
    let url = url.parse().map_err(|error: dkm_ad::ParseAdUrlError| Failure::usage(error.to_string()))?;
    let repository = AdRepository::open(url, None, Limits::default())?;
    let subject = subject(shell)?;
    let probe_timeout = (!arguments.no_probe).then(|| Duration::from_millis(arguments.probe_timeout));
    if let Some(timeout) = probe_timeout {
        let longest = duration::format(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        shell.terminal.note(format!("Measuring replication with probes takes {longest} at most."));
    }
    let report = examine(&repository, &Options { probe_timeout, subject })?;
    shell.terminal.result(&report, || report.to_string())?;
    match report.conclusion {
        Conclusion::NothingWrong => Ok(()),
        Conclusion::NotMeasured => Err(Failure::silent(ErrorKind::Denied.exit_code())),
        Conclusion::Unavailable => Err(Failure::silent(ErrorKind::Unavailable.exit_code())),
        Conclusion::Wrong => Err(Failure::silent(ErrorKind::Refused.exit_code())),
    }
}

/// The group, if one was named: whoever may open it sees its policy.
fn subject(shell: &Shell) -> Result<Option<Subject>> {
    if !shell.names_a_group()? {
        return Ok(None);
    }
    let group = shell.group()?;
    let policy = group.policy()?;
    Ok(Some(Subject { group: group.id(), name: shell_word(&group.name()), policy }))
}
