//! `dkm elevate run`

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::{Args, FromArgMatches as _};
use dkm::ErrorKind;
use dkm_audit::VerifierKey;
use dkm_core::blob::{Header, PREFIX_LEN, blob_id};
use dkm_core::{Context, RequestId};
use dkm_remote::wire::elevation::OpenBlob;
use serde_json::json;
use zeroize::Zeroizing;

use crate::asked::{self, Asked, request_id};
use crate::context_pair::ContextArguments;
use crate::control;
use crate::failure::{Failure, Result};
use crate::input::InputArguments;
use crate::output_file::{OutputArguments, PRIVATE};
use crate::receipt::KnownLog;
use crate::shell::Shell;

/// Longest blob that the server opens at once, in bytes: what fits into a request, in Base64 and with its context.
const BLOB_LEN_MAX: usize = 760 * 1024;

/// Open a blob under your grant: the server opens it, records that first, and no key leaves it
///
/// What the server gives is taken only with its proof that it stands in the audit log, under a checkpoint that extends the one
/// that this account has kept. A file appears only after that, readable by you alone.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  dkm elevate run 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b -- unprotect token.dkm -o token -c account=17")]
pub(crate) struct Arguments {
    /// The request's id
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
    /// Verifier key of the server's audit log, which dkmd check tells; the one that was seen first otherwise
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// What is to be done: unprotect [FILE] [-o FILE [--force]] [-c KEY=VALUE]…
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// `unprotect`, as it stands behind the two hyphens.
#[derive(Debug, Args)]
struct Unprotect {
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    context: ContextArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let unprotect = parse(&arguments.command)?;
    let context = unprotect.context.context()?;
    let mut input = unprotect.input.open()?;
    let blob = input.read_up_to(BLOB_LEN_MAX + 1)?;
    if blob.len() > BLOB_LEN_MAX {
        return Err(Failure::usage(format!(
            "the blob is longer than {BLOB_LEN_MAX} bytes, which a server opens at once"
        ))
        .help("a service account that is a member of the group opens blobs of any length: dkm unprotect"));
    }
    let header = Header::parse(&blob).map_err(dkm::Error::from).map_err(|error| input.fault(error))?;
    let id = blob.first_chunk::<PREFIX_LEN>().map(blob_id).unwrap_or_default();
    let mut output = unprotect.output.open(PRIVATE)?;

    let asked = Asked::of(shell, arguments.request)?;
    let request = asked.request();
    control::pinned_instance(shell, request)?;
    if header.group() != request.group {
        return Err(Failure::usage(format!(
            "the blob is of group {}, and the grant of group {}",
            header.group(),
            request.group
        )));
    }
    if !asked.is_active() {
        return Err(Failure::new(ErrorKind::Refused, format!("the request is {}", asked.status(None).0)).help(
            "what is approved is activated first (dkm elevate activate); what is over is asked for anew (dkm elevate \
             request)",
        ));
    }
    let log = KnownLog::of(request.instance, arguments.log_key.as_ref())?;
    let open =
        OpenBlob { context: texts(&context)?, blob: BASE64_STANDARD.encode(&*blob), known_size: log.size() };
    let opened = shell.elevations()?.open(arguments.request, &open).map_err(asked::failure)?;
    let plaintext = BASE64_STANDARD.decode(opened.plaintext.as_bytes()).map(Zeroizing::new);
    let plaintext = plaintext.map_err(|_| {
        Failure::new(
            ErrorKind::Corrupt,
            "the server's answer is not understood: the plaintext is not in Base64",
        )
    })?;
    let proved = log.verify(&opened, request, id, plaintext.len(), shell)?;
    if output.write_all(&plaintext).is_err() {
        return Err(output
            .failure()
            .unwrap_or_else(|| Failure::internal("the plaintext could not be written")));
    }
    output.commit()?;
    let value = json!({
        "request": arguments.request.to_string(),
        "group": request.group.to_string(),
        "blob_id": id.to_string(),
        "plaintext_len": plaintext.len(),
        "output": unprotect.output.path(),
        "audit": {"log": proved.log, "leaf": proved.leaf, "size": proved.size},
    });
    if unprotect.output.is_stdout() {
        return shell.terminal.summary_beside_data(&value);
    }
    if shell.terminal.is_json() {
        return shell.terminal.result(&value, String::new);
    }
    shell.terminal.note(format!(
        "Opened {} bytes; entry {} of the audit log, which has {} entries, says so.",
        plaintext.len(),
        proved.leaf,
        proved.size
    ));
    Ok(())
}

/// The command behind the two hyphens.
fn parse(words: &[OsString]) -> Result<Unprotect> {
    let wrong = |why: String| {
        Failure::usage(why)
            .help("expected: dkm elevate run REQUEST -- unprotect FILE [-o FILE] [-c key=value]")
    };
    let command = Unprotect::augment_args(clap::Command::new("unprotect")).disable_help_flag(true);
    match words.first().and_then(|word| word.to_str()) {
        Some("unprotect") => {}
        Some(other) => return Err(wrong(format!("{other:?} can't be run under a grant: only unprotect"))),
        None => return Err(wrong("it was not said what to run".to_owned())),
    }
    let matches =
        command.try_get_matches_from(words).and_then(|matches| Unprotect::from_arg_matches(&matches));
    matches.map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        wrong(first.strip_prefix("error: ").unwrap_or(first).to_owned())
    })
}

/// The pairs of a context as JSON has them.
fn texts(context: &Context) -> Result<BTreeMap<String, String>> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .map_err(|_| Failure::usage("a context pair is not UTF-8, which a server needs"))
    };
    context.pairs().map(|(key, value)| Ok((text(key)?, text(value)?))).collect()
}
