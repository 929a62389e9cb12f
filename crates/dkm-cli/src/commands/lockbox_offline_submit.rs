//! `dkm lockbox offline submit`

use std::path::PathBuf;

use clap::Args;
use dkm_lockbox::{Decision, request_statement, shown};
use dkm_remote::ElevationError;
use dkm_remote::wire::elevation::NewOffline;
use serde_json::json;

use crate::asked::{self, Asked};
use crate::failure::{Failure, Result};
use crate::offline::{OfflineFile, sent, told};
use crate::shell::Shell;
use crate::{columns, control};

/// Bring a request by file to the server, now that it answers
///
/// The server verifies all of it as if it had come there first. Where somebody has acted by the request, that is recorded, in
/// the audit log too; nothing more is given by it, and it waits for its review. Otherwise it goes on there: its approvals count
/// from now, if its time is not over. Bringing the same again changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm lockbox offline submit incident.request")]
pub(crate) struct Arguments {
    /// The request's file, or copies of it that were signed by different people
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let file = OfflineFile::read(&arguments.files)?;
    let (id, group) = (file.request.id, file.request.group);
    let elevations = shell.elevations()?;
    control::pinned_instance(shell, &file.request)?;
    let new = |usage| NewOffline {
        request: request_statement(&file.request),
        signature: file.signature.clone(),
        usage,
        answers: Vec::new(),
    };
    let mut known = match elevations.show(id) {
        Ok(view) => Some(Asked::from_view(view, Some(id))?),
        Err(ElevationError::NotFound { .. }) => None,
        Err(error) => return Err(asked::failure(error)),
    };
    if known.as_ref().is_some_and(|known| *known.request() != file.request) {
        return Err(Failure::new(dkm::ErrorKind::Corrupt, format!("the server has another request {id}"))
            .help("the file was changed, or made from one that was there already: have it looked into"));
    }
    let mut refused = Vec::new();
    for usage in &file.usages {
        if known.as_ref().is_some_and(|known| known.elevation.usages().contains(usage)) {
            continue;
        }
        let answers = file.answers.iter().map(sent).collect();
        let view = elevations.submit(group, &NewOffline { answers, ..new(Some(told(usage))) });
        known = Some(Asked::from_view(view.map_err(asked::failure)?, Some(id))?);
    }
    let mut asked = match known {
        Some(known) => known,
        None => Asked::from_view(elevations.submit(group, &new(None)).map_err(asked::failure)?, Some(id))?,
    };
    if file.usages.is_empty() {
        let mut left: Vec<_> = file
            .answers
            .iter()
            .filter(|answer| !asked.elevation.answers().any(|known| known == *answer))
            .collect();
        left.sort_by_key(|answer| answer.decision == Decision::Approve);
        // Levels approve in their order, whatever that of the file is.
        loop {
            let before = left.len();
            refused.clear();
            let mut again = Vec::new();
            for answer in left {
                match elevations.answer(id, &sent(answer)) {
                    Ok(view) => asked = Asked::from_view(view, Some(id))?,
                    Err(error @ (ElevationError::Refused { .. } | ElevationError::Denied { .. })) => {
                        refused.push((answer, error.to_string()));
                        again.push(answer);
                    }
                    Err(error) => return Err(asked::failure(error)),
                }
            }
            if again.len() == before || again.is_empty() {
                break;
            }
            left = again;
        }
    }
    for (answer, why) in &refused {
        shell.terminal.warn(
            "offline",
            &format!(
                "the answer of {} at level {:?} is not taken: {}",
                shown(&answer.approver),
                shown(&answer.level),
                shown(why)
            ),
            None,
        );
    }
    let control = control::read(shell, group)?;
    let mut value = asked.json(Some(&control));
    value["refused"] = refused
        .iter()
        .map(|(answer, why)| json!({"approver": answer.approver, "level": answer.level, "why": why}))
        .collect();
    shell.terminal.result(&value, || columns::facts(&asked.facts(Some(&control))))?;
    shell.terminal.note(if asked.elevation.review_is_due() {
        format!("Next: somebody who may end such access looks at what was done: dkm elevate review {id}")
    } else {
        format!("Next: dkm elevate show {id}")
    });
    Ok(())
}
