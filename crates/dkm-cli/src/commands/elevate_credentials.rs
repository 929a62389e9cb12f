//! `dkm elevate credentials`

use std::path::PathBuf;

use clap::Args;
use dkm_core::{RequestId, Timestamp};
use dkm_remote::credentials::Credentials;
use dkm_remote::{Endpoint, RemoteUrl};
use serde_json::json;

use crate::asked::{self, request_id};
use crate::failure::Result;
use crate::shell::Shell;
use crate::terminal::shell_word;
use crate::when;

/// Get credentials that read the group's keys until a direct grant ends
///
/// The request must have been for direct access (--direct), and be active. Before it gives anything out, the server writes
/// down in the group that its keys are exposed; services roll away from them when the grant ends. The credentials open
/// that group for reading and nothing else, each use is in the audit log under your name, and they can't be renewed.
/// Getting them again ends those that were got before.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  dkm elevate credentials 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b --credentials ~/incident-4711")]
pub(crate) struct Arguments {
    /// The request's id
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
    /// Folder for the credentials, which must not hold your own
    #[arg(long, value_name = "FOLDER")]
    credentials: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let folder = Credentials::in_folder(&arguments.credentials);
    let elevations = shell.elevations()?;
    let got = elevations.credentials(arguments.request, &folder).map_err(asked::failure)?;
    let until = Timestamp(got.not_after_ms);
    let value = json!({
        "account": got.account,
        "request": arguments.request.to_string(),
        "credentials": arguments.credentials,
        "not_after": when::precise(until),
    });
    shell.terminal.result(&value, || {
        format!(
            "Credentials until {} are in {}. The group's keys count as exposed.\n",
            when::second(until),
            arguments.credentials.display()
        )
    })?;
    let server = match shell.remote()?.location() {
        url if matches!(url.endpoints.first(), Some(Endpoint::Host { .. })) => {
            RemoteUrl { credentials: arguments.credentials.clone(), ..url.clone() }.to_string()
        }
        _ => format!("https://HOST:PORT?credentials={}", arguments.credentials.display()),
    };
    shell.terminal.note(format!("Next: dkm --repository {} unprotect -g GROUP FILE", shell_word(&server)));
    Ok(())
}
