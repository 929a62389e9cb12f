//! `dkm reprotect`

use std::path::PathBuf;

use clap::Args;
use dkm::JsonPointer;
use dkm::reprotect::{self, ContextTemplate, JsonOptions, Options, Summary};
use dkm_core::member::UnprotectRefusal;
use serde_json::json;

use crate::context_pair::ContextArguments;
use crate::failure::{Failure, Result};
use crate::input::must_exist;
use crate::overriding::OverrideArguments;
use crate::progress::Progress;
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::terminal::{BAD, FAINT, count, styled};

/// Protect blobs anew with the key that is active now, in place
///
/// Each file, or the whole store of JSON lines, is replaced at once after the new one is durable: a run that breaks off
/// loses nothing, and running it again goes on where it was. What is no blob is left alone and told.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm reprotect --group mail -c service=imap /srv/mail/secrets
  dkm reprotect --json-lines accounts.jsonl --field /password --context-from account=/id --dry-run
  dkm reprotect --group adfs --windows -c service=adfs /srv/adfs/certificates")]
pub(crate) struct Arguments {
    /// Files that are blobs, or folders of them
    #[arg(value_name = "PATH", required_unless_present = "json_lines", conflicts_with = "json_lines")]
    paths: Vec<PathBuf>,
    /// File of JSON lines that holds blobs as base64 text
    #[arg(long, value_name = "FILE", requires = "field")]
    json_lines: Option<PathBuf>,
    /// Field of the JSON lines, as a JSON pointer such as /password. Repeatable
    #[arg(long, value_name = "POINTER", requires = "json_lines")]
    field: Vec<JsonPointer>,
    #[command(flatten)]
    context: ContextArguments,
    /// A pair of the context whose value is another field of the same JSON line. Repeatable
    #[arg(long, value_name = "KEY=POINTER", requires = "json_lines", value_parser = pair_from)]
    context_from: Vec<(String, JsonPointer)>,
    /// Renew blobs of Windows DKM (AD FS), as they are or as base64, into the group's own with the context given
    #[arg(long)]
    windows: bool,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    overriding: OverrideArguments,
}

fn pair_from(text: &str) -> Result<(String, JsonPointer), String> {
    let (key, pointer) = crate::context_pair::parse_pair(text)?;
    Ok((key, pointer.parse().map_err(|error| format!("{error}"))?))
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let context = arguments.context.context()?;
    must_exist(&arguments.paths)?;
    let group = arguments.overriding.apply(shell.group()?)?;
    let mut bar = Progress::of_items(&shell.terminal, "re-protecting");
    let mut progress = |progress: &dkm::Progress| bar.items(progress.items, progress.items_total);
    let summary = match &arguments.json_lines {
        Some(path) => {
            let from = arguments.context_from.iter().cloned();
            let options = JsonOptions {
                fields: arguments.field.clone(),
                context: from
                    .fold(ContextTemplate::new(context), |all, (key, field)| all.with_field(key, field)),
                dry_run: arguments.dry_run,
                windows: arguments.windows,
                ..JsonOptions::default()
            };
            reprotect::json_lines(&group, path, &options, &mut progress)?
        }
        None => {
            let (dry_run, windows) = (arguments.dry_run, arguments.windows);
            let options = Options { context, dry_run, windows, ..Options::default() };
            reprotect::files(&group, &arguments.paths, &options, &mut progress)?
        }
    };
    drop(bar);
    shell.warn_about(&group)?;
    for warning in &summary.warnings {
        shell.terminal.warn("reprotect", &format!("{}: {}", warning.item, warning.why), None);
    }
    let failed: Vec<_> = summary
        .failed
        .iter()
        .map(|failed| {
            json!({"item": failed.item, "kind": failed.error.kind().as_str(), "why": failed.error.to_string()})
        })
        .collect();
    let value = json!({
        "group": GroupShape::of(&group),
        "dry_run": summary.dry_run,
        "renewed": summary.renewed,
        "current": summary.current,
        "skipped": summary.skipped,
        "skipped_total": summary.skipped_total,
        "failed": failed,
        "failed_total": summary.failed_total,
        "stopped": summary.stopped,
    });
    shell.terminal.result(&value, || text(&summary))?;
    judged(summary)
}

fn text(summary: &Summary) -> String {
    let renewed = if summary.dry_run { "to be renewed" } else { "renewed" };
    let mut out = format!(
        "{} {renewed}, {} current already, {} skipped, {} failed\n",
        summary.renewed, summary.current, summary.skipped_total, summary.failed_total
    );
    for skipped in &summary.skipped {
        out.push_str(&format!("{}: {}: {}\n", styled(FAINT, "skipped"), skipped.item, skipped.why));
    }
    for failed in &summary.failed {
        out.push_str(&format!("{}: {}: {}\n", styled(BAD, "failed"), failed.item, failed.error));
    }
    out
}

/// An item that failed fails the command, with the exit code of the first one.
fn judged(summary: Summary) -> Result {
    let (total, stopped) = (summary.failed_total, summary.stopped);
    let Some(first) = summary.failed.into_iter().next() else { return Ok(()) };
    let compromised = matches!(&first.error, dkm::Error::Unprotect(UnprotectRefusal::Compromised { .. }));
    let mut first = Failure::from(first.error);
    if compromised {
        first = first
            .help("--allow-compromised REASON re-protects it all the same, forged or not, and is recorded");
    }
    let message = if stopped {
        format!("stopped at what would meet every other item too: {}", first.message)
    } else {
        format!("not renewed, and as before: {}; the first one: {}", count(total, "item"), first.message)
    };
    Err(Failure { message, ..first })
}
