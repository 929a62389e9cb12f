//! `dkm elevate list`

use clap::Args;
use dkm_lockbox::shown;
use serde_json::json;

use crate::asked::{self, Asked};
use crate::failure::Result;
use crate::shell::Shell;
use crate::{columns, duration, when};

/// List the requests for access to a group, the newest first
///
/// What each has come to is the server's word: dkm elevate show finds it out from the records, where you may read them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm elevate list --group mail --open
  dkm elevate list --group mail --json")]
pub(crate) struct Arguments {
    /// Only those of which something can still come: pending, approved and active ones
    #[arg(long)]
    open: bool,
}

/// States in which a request is open.
const OPEN: [&str; 3] = ["pending", "approved", "active"];

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let views = shell.elevations()?.list(asked::group(shell)?).map_err(asked::failure)?;
    let views = views.into_iter().filter(|view| !arguments.open || OPEN.contains(&view.status.as_str()));
    let all = views.map(|view| Asked::from_view(view, None)).collect::<Result<Vec<_>>>()?;
    let value: Vec<_> = all.iter().map(|asked| asked.json(None)).collect();
    shell.terminal.result(&json!({"requests": value}), || {
        let row = |asked: &Asked| {
            let request = asked.request();
            vec![
                request.id.to_string(),
                asked.told_status(),
                shown(&request.requester.person),
                when::second(request.made),
                duration::format(request.duration_s.saturating_mul(1_000)),
                if request.break_glass { "emergency".to_owned() } else { request.mode.to_string() },
                shortened(&shown(&request.reason)),
            ]
        };
        let headings = ["REQUEST", "STATUS", "BY", "MADE", "FOR", "HOW", "REASON"];
        columns::table(&headings, &all.iter().map(row).collect::<Vec<_>>())
    })
}

/// The beginning of a text.
fn shortened(text: &str) -> String {
    const MAX: usize = 60;
    if text.chars().count() <= MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX - 1).collect();
    short.push('…');
    short
}
