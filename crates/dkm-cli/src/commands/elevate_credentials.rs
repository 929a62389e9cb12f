//! `dkm elevate credentials`

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::Args;
use dkm::ErrorKind;
use dkm_core::{RequestId, Timestamp};
use dkm_lockbox::shown;
use dkm_remote::credentials::Credentials;
use dkm_remote::{Elevations, Endpoint, RemoteUrl};
use serde_json::json;
use zeroize::Zeroizing;

use crate::asked::{self, request_id};
use crate::failure::{Failure, Result};
use crate::shell::Shell;
use crate::terminal::shell_word;
use crate::when;

/// Get credentials that read the group's keys until a direct grant ends
///
/// The request must have been for direct access (--direct), and be active. Before it gives anything out, the server writes
/// down in the group that its keys are exposed; services roll away from them when the grant ends. The credentials open
/// that group for reading and nothing else, and can't be renewed.
///
/// For a group at the server they are a certificate: each use is in the audit log under your name, and getting one again
/// ends the one before. For a group in Active Directory they are Kerberos tickets of a temporary account, in the file
/// krb5cc of the folder: no password comes with them, and no other ticket can be got by them.
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
    if elevations.show(arguments.request).map_err(asked::failure)?.domain.is_some() {
        return tickets(arguments, shell, &elevations);
    }
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
        url if matches!(url.endpoints.first(), Some(Endpoint::Host { .. })) => RemoteUrl {
            credentials: arguments.credentials.clone(),
            kerberos: false,
            principal: None,
            ..url.clone()
        }
        .to_string(),
        _ => format!("https://HOST:PORT?credentials={}", arguments.credentials.display()),
    };
    shell.terminal.note(format!("Next: dkm --repository {} unprotect -g GROUP FILE", shell_word(&server)));
    Ok(())
}

/// Tickets for the domain in which the group lies, in a file for this account alone.
fn tickets(arguments: &Arguments, shell: &Shell, elevations: &Elevations) -> Result {
    // All that can fail here fails before the server writes down that keys are exposed.
    let folder = &arguments.credentials;
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::new(ErrorKind::Usage, format!("{} can't be written: {error}", path.display()))
            .help("name a folder of your own for the credentials")
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| cannot(folder, &error))?;
    let mut file = tempfile::Builder::new()
        .prefix(".krb5cc-")
        .tempfile_in(folder)
        .map_err(|error| cannot(folder, &error))?;
    let got = elevations.tickets(arguments.request).map_err(asked::failure)?;
    let cache = BASE64_STANDARD
        .decode(got.cache.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| Failure::new(ErrorKind::Corrupt, "the server's tickets are not in Base64".to_owned()))?;
    let path = folder.join("krb5cc");
    let written = file.write_all(&cache).and_then(|()| file.as_file().sync_all());
    written.map_err(|error| cannot(&path, &error))?;
    file.persist(&path).map_err(|error| cannot(&path, &error.error))?;
    let until = Timestamp(got.until_ms);
    let value = json!({
        "account": got.account,
        "sid": got.sid,
        "request": arguments.request.to_string(),
        "group": got.group,
        "repository": got.repository,
        "services": got.services,
        "cache": path,
        "not_after": when::precise(until),
    });
    shell.terminal.result(&value, || {
        format!(
            "Tickets of {} until {} are in {}. The group's keys count as exposed.\n",
            shown(&got.account),
            when::second(until),
            path.display()
        )
    })?;
    let absolute = std::path::absolute(&path).unwrap_or(path);
    let cache = shell_word(&format!("FILE:{}", absolute.display()));
    let repository = shell_word(&shown(&got.repository));
    shell.terminal.note(format!(
        "Next: KRB5CCNAME={cache} dkm --repository {repository} unprotect -g {} FILE",
        shown(&got.group)
    ));
    Ok(())
}
