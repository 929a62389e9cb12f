//! `dkm audit verify`

use std::io;
use std::path::PathBuf;

use clap::Args;
use dkm::ErrorKind;
use dkm_audit::source::Source;
use dkm_audit::tree::TreeError;
use dkm_audit::verify::{Fault, Faults, Report, verify};
use serde_json::json;

use crate::audit_log::{EVIDENCE, Head, LogArguments, checkpoint_file};
use crate::failure::{Failure, Result};
use crate::shell::Shell;
use crate::terminal::{BAD, GOOD, count, styled};
use crate::{columns, when};

/// Verify a whole audit log, from nothing but its files and a key
///
/// Hashes every entry again, and compares tiles, changes of key, the checkpoint's signatures and an earlier checkpoint
/// with that. Any key that the log has had will do: changes of key are followed from there. Without an earlier checkpoint
/// (--since, --remember) or witnesses, a log that its operator has written anew looks as good as the old one.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  the log is in order
  3  there is no log
  5  the log is damaged, forged, rolled back or forked: what is wrong is told, and where
  6  the log can't be read

Examples:
  dkm audit verify /var/lib/dkmd/audit --keys log.keys --remember seen.checkpoint
  dkm audit verify --keys log.keys --remember seen.checkpoint --repository https://keys.example.com
  dkm audit verify https://audit.example.com/log --keys log.keys --since march.checkpoint")]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    /// An earlier checkpoint of the log, which it must extend
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "remember")]
    since: Option<PathBuf>,
}

/// How often a log is verified that changes meanwhile, before what is wrong is believed.
const LOOKS_MAX: u32 = 3;

/// A log whose newest checkpoint stays what it is, whatever its writer does meanwhile.
struct Pinned<'a, S> {
    source: &'a S,
    place: &'a str,
    note: &'a [u8],
}

impl<S: Source> Source for Pinned<'_, S> {
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        if path == self.place { Ok(Some(self.note.to_vec())) } else { self.source.read(path, limit) }
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        self.source.names(path)
    }
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let log = &arguments.log;
    let trust = log.trust()?;
    let earlier = match &arguments.since {
        Some(path) => Some(checkpoint_file(path)?.0),
        None => log.remembered_note()?,
    };
    let source = log.source(shell)?;
    let (mut place, mut note) = log.note(&source, Some(&trust))?;
    let mut looks = 0;
    let report = loop {
        looks += 1;
        let pinned = Pinned { source: &source, place, note: &note };
        let verified = verify(&pinned, &trust, earlier.as_deref());
        let Err(faults) = verified else { break verified };
        // What looks wrong may be what the log's writer has done meanwhile.
        let now = log.note(&source, Some(&trust))?;
        if now.1 == note || looks == LOOKS_MAX {
            break Err(faults);
        }
        (place, note) = now;
    };
    match report {
        Ok(report) => {
            let head = Head { checkpoint: report.checkpoint.clone(), note };
            log.remember(&head, shell)?;
            if report.leftovers > 0 {
                let message =
                    format!("{} lie beyond the checkpoint", count(report.leftovers, "partial tile"));
                let advice = "they are no part of the log, and are removed when it is opened for writing";
                shell.terminal.warn("leftovers", &message, Some(advice));
            }
            told(&report, earlier.is_some(), shell)
        }
        Err(faults) => Err(refused(log, &faults, shell)),
    }
}

fn told(report: &Report, compared: bool, shell: &Shell) -> Result {
    let cosigned = |(name, seconds): &(dkm_audit::note::KeyName, u64)| {
        (name.to_string(), when::second(dkm_core::Timestamp(seconds.saturating_mul(1000))))
    };
    let cosigned: Vec<(String, String)> = report.cosigned.iter().map(cosigned).collect();
    let checkpoint = &report.checkpoint;
    let value = json!({
        "verified": true,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.to_string(),
        "key": report.key.to_string(),
        "key_changes": report.key_changes,
        "witnesses": cosigned.iter().map(|(name, at)| json!({"name": name, "cosigned": at})).collect::<Vec<_>>(),
        "extends_earlier": compared,
        "latest_entry": (checkpoint.size > 0).then(|| when::precise(report.latest)),
        "denied": report.denied,
        "open_intents": report.open_intents,
        "stray_outcomes": report.stray_outcomes,
    });
    shell.terminal.result(&value, || {
        let witnesses: Vec<String> = cosigned.iter().map(|(name, at)| format!("{name} at {at}")).collect();
        let earlier = if compared { "extended" } else { "none to compare with" };
        let latest = if checkpoint.size > 0 { when::second(report.latest) } else { "-".to_owned() };
        let facts = columns::facts(&[
            ("log", checkpoint.origin.clone()),
            ("entries", checkpoint.size.to_string()),
            ("root", checkpoint.root.to_string()),
            ("key", report.key.to_string()),
            ("changes of key", report.key_changes.to_string()),
            ("witnesses", if witnesses.is_empty() { "none".to_owned() } else { witnesses.join("\n") }),
            ("earlier checkpoint", earlier.to_owned()),
            ("latest entry", latest),
            ("denied", report.denied.to_string()),
            ("without an outcome", report.open_intents.to_string()),
            ("stray outcomes", report.stray_outcomes.to_string()),
        ]);
        format!("{}\n{facts}", styled(GOOD, "The log is in order."))
    })
}

/// Tells all that is wrong.
fn refused(log: &LogArguments, faults: &Faults, shell: &Shell) -> Failure {
    let unreadable = |fault: &Fault| matches!(fault, Fault::File(TreeError::Io { .. }));
    let all_unreadable = faults.list().iter().all(unreadable);
    let list: Vec<String> = faults.list().iter().map(ToString::to_string).collect();
    let value = json!({"verified": false, "faults": list});
    let told = shell.terminal.result(&value, || {
        let lines: String = list.iter().map(|fault| format!("{}: {fault}\n", styled(BAD, "fault"))).collect();
        lines
    });
    if let Err(failure) = told {
        return failure;
    }
    let number = count(list.len(), "fault");
    if all_unreadable {
        Failure::new(ErrorKind::Unavailable, format!("{} can't be read: {number}", log.name()))
            .help("nothing is known of the log until all of it can be read")
    } else {
        Failure::new(ErrorKind::Corrupt, format!("{} is not in order: {number}", log.name())).help(EVIDENCE)
    }
}
