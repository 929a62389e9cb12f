//! `dkm audit tail`

use std::time::Duration;

use clap::Args;
use dkm_audit::source::Source;
use dkm_audit::tile::TILE_WIDTH;
use dkm_audit::tree::Tree;

use crate::audit_entry::Found;
use crate::audit_log::{Head, LogArguments};
use crate::duration;
use crate::failure::Result;
use crate::shell::Shell;

/// Show the newest entries of an audit log, and follow it
///
/// With a key, the checkpoint's signatures are verified, and every entry is proved to be in its tree. Without one, entries
/// and tree fit each other, but anybody could have written both. Either way, a log that is followed and rolled back or
/// forked is refused.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  shown
  3  there is no log
  5  the log is damaged, forged, rolled back or forked
  6  the log can't be read

Examples:
  dkm audit tail /var/lib/dkmd/audit --verify --keys log.keys
  dkm audit tail /var/lib/dkmd/audit --verify --keys log.keys --follow --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    /// How many entries to begin with
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 10)]
    lines: u64,
    /// Verify signatures and proofs; needs a key
    #[arg(long)]
    verify: bool,
    /// Go on, and show what is added; Ctrl-C ends it
    #[arg(long, short)]
    follow: bool,
    /// How often to look when following, such as 5s
    #[arg(long, value_name = "INTERVAL", requires = "follow", default_value = "1s", value_parser = duration::interval)]
    interval: u64,
    /// End after this many looks
    #[arg(long, value_name = "NUMBER", requires = "follow", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let log = &arguments.log;
    let verified = arguments.verify || log.has_keys();
    if verified {
        // What is wrong with the keys is told before anything is read.
        log.trust()?;
    } else {
        let advice = "give the log's key with --key or --keys";
        shell.terminal.warn("unverified", "the log's signature is not verified", Some(advice));
    }
    let source = log.source(shell)?;
    let head = |source| if verified { log.head(source) } else { log.unverified_head(source) };
    let mut now = head(&source)?;
    let from = now.checkpoint.size.saturating_sub(arguments.lines);
    show(log, &source, &now, from, shell)?;
    let remember = |head: &Head| if verified { log.remember(head, shell) } else { Ok(()) };
    remember(&now)?;
    let mut looks = 1;
    while arguments.follow && arguments.rounds.is_none_or(|rounds| looks < rounds) {
        std::thread::sleep(Duration::from_millis(arguments.interval));
        let next = match head(&source) {
            // A log that is out of reach for a while has lost nothing.
            Err(failure) if failure.kind == dkm::ErrorKind::Unavailable => {
                shell.terminal.warn("unavailable", &failure.message, failure.advice.as_deref());
                looks += 1;
                continue;
            }
            next => next?,
        };
        if next.note != now.note {
            log.extends(&source, &next, &now.checkpoint)?;
            show(log, &source, &next, now.checkpoint.size, shell)?;
            remember(&next)?;
            now = next;
        }
        looks += 1;
    }
    Ok(())
}

/// Shows the entries from an index on.
fn show<S: Source>(log: &LogArguments, source: &S, head: &Head, from: u64, shell: &Shell) -> Result {
    let tree = Tree::new(source, &head.checkpoint);
    let mut bundle = from / TILE_WIDTH;
    while bundle.saturating_mul(TILE_WIDTH) < head.checkpoint.size && from < head.checkpoint.size {
        let leaves = tree.bundle(bundle).map_err(|error| log.fault(&error))?;
        for leaf in leaves.into_iter().filter(|leaf| leaf.index >= from) {
            let found = Found::read(leaf)?;
            shell.terminal.result(&found.json(), || found.line())?;
        }
        bundle += 1;
    }
    Ok(())
}
