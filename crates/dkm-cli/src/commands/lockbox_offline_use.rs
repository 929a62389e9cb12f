//! `dkm lockbox offline use`

use std::path::PathBuf;

use clap::Args;
use dkm::ErrorKind;
use dkm_core::{Digest, Timestamp};
use dkm_lockbox::{USE_NAMESPACE, Usage, shown};
use serde_json::json;

use crate::columns;
use crate::confirm::ConfirmArguments;
use crate::failure::{Failure, Result};
use crate::offline::{self, GroundArguments, OfflineFile};
use crate::shell::Shell;
use crate::ssh::{self, Signer};
use crate::when;

/// Say what you are about to do by an approved request, before you do it
///
/// For whoever can open what is asked for while the server does not answer: with an archive's identity, as one of the recovery
/// group, as root. It refuses unless the request is approved by all levels, its time is not over, and nobody has acted by it.
/// What you sign is brought to the server later and reviewed, and nothing more is given by the request there.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  dkm lockbox offline use incident.request --as carol --key ~/.ssh/id_ed25519 --what 'archive of 3 May restored, mail of account 17 opened'")]
pub(crate) struct Arguments {
    /// The request's file, which gets what you say
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who you are in the roster
    #[arg(long = "as", value_name = "PERSON")]
    person: String,
    /// Private key, public key of one that ssh-agent holds, or agent for the one there that is yours
    #[arg(long, value_name = "FILE|agent")]
    key: Signer,
    /// What you do; whoever reviews it reads this
    #[arg(long, value_name = "TEXT")]
    what: String,
    /// From when on, in RFC 3339; now, if not given. A script names the time that --dry-run has told
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    #[command(flatten)]
    ground: GroundArguments,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut file = OfflineFile::read(std::slice::from_ref(&arguments.file))?;
    let ground = arguments.ground.read(shell, file.request.group)?;
    let keys = ground.keys(&arguments.person)?;
    let now = ground.now();
    let given = arguments.from.map(|from| Timestamp(u64::try_from(from.as_millisecond()).unwrap_or(0)));
    let from = given.unwrap_or(now);
    if from > now {
        return Err(Failure::usage("what is done in times to come can't be told").help("leave --from away"));
    }
    // Both: what was approved when it began, and is not over now.
    for at in [from, now] {
        offline::find(&file, &ground, at)?.must_be_complete()?;
    }
    if !file.usages.is_empty() {
        return Err(Failure::new(ErrorKind::Refused, "somebody has acted by it already")
            .help("nobody may once more: whoever needs access asks anew"));
    }
    let found = offline::find(&file, &ground, from)?;
    let mut usage =
        Usage { by: arguments.person.clone(), from, what: arguments.what.clone(), signature: String::new() };
    let text = usage.statement(&file.request);
    let digest = Digest::of(text.as_bytes());
    let facts = columns::facts(&found.facts());
    arguments
        .confirm
        .show(shell, &format!("{facts}\nWhat you sign:\n\n{text}\nDigest of what is signed: {digest}"));
    if arguments.confirm.dry_run {
        let value = json!({
            "statement": text, "digest": digest.to_string(), "from": when::precise(from), "signed": false,
        });
        return shell.terminal.result(&value, || "Nothing was signed.\n".to_owned());
    }
    arguments.confirm.confirmed(shell, digest, "use")?;
    usage.signature = ssh::sign(&arguments.key, USE_NAMESPACE, text.as_bytes(), Some(&keys))?;
    let in_force = ground.in_force()?;
    usage.check(&file.request, [in_force.roster], in_force.verify).map_err(|why| offline::refused(&why))?;
    let until = file.request.until(from);
    let mut value = found.json(&ground);
    file.usages.push(usage);
    file.write(&arguments.file, true)?;
    value["until"] = json!(when::precise(until));
    shell.terminal.result(&value, || {
        format!(
            "{} acts by request {}, until {}. Nobody else may by it.\n",
            shown(&arguments.person),
            file.request.id,
            when::second(until)
        )
    })?;
    shell.terminal.note("Next, once the server answers: dkm lockbox offline submit; then it is reviewed.");
    Ok(())
}
