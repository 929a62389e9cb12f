//! `dkm elevate withdraw`, `activate`, `revoke` and `review`

use clap::Args;
use dkm_core::RequestId;
use dkm_remote::wire::elevation::RequestView;
use dkm_remote::{ElevationError, Elevations};

use crate::asked::{self, Asked, request_id};
use crate::failure::Result;
use crate::shell::Shell;
use crate::when;

/// A request.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The request's id
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
}

fn step(
    arguments: &Arguments,
    shell: &Shell,
    take: impl FnOnce(&Elevations, RequestId) -> std::result::Result<RequestView, ElevationError>,
    done: impl FnOnce(&Asked) -> String,
) -> Result {
    let view = take(&shell.elevations()?, arguments.request).map_err(asked::failure)?;
    let asked = Asked::from_view(view, Some(arguments.request))?;
    shell.terminal.result(&asked.json(None), || format!("{}\n", done(&asked)))
}

pub(crate) fn withdraw(arguments: &Arguments, shell: &Shell) -> Result {
    step(arguments, shell, Elevations::withdraw, |asked| {
        format!("Request {} is withdrawn.", asked.request().id)
    })
}

pub(crate) fn activate(arguments: &Arguments, shell: &Shell) -> Result {
    step(arguments, shell, Elevations::activate, |asked| {
        let until = asked.until().map_or_else(String::new, |until| format!(" until {}", when::second(until)));
        format!("Access is given{until}.")
    })?;
    shell
        .terminal
        .note(format!("Next: dkm elevate run {} -- unprotect FILE -o OUT -c key=value", arguments.request));
    Ok(())
}

pub(crate) fn revoke(arguments: &Arguments, shell: &Shell) -> Result {
    step(arguments, shell, Elevations::revoke, |asked| {
        format!("Request {} is ended: nothing is opened under it any more.", asked.request().id)
    })
}

pub(crate) fn review(arguments: &Arguments, shell: &Shell) -> Result {
    step(arguments, shell, Elevations::review, |asked| {
        format!("It is recorded that you have reviewed request {}.", asked.request().id)
    })
}
