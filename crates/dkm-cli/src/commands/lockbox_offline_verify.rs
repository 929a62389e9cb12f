//! `dkm lockbox offline verify`

use std::path::{Path, PathBuf};

use clap::Args;
use dkm_lockbox::{Evidence, NAMESPACE, REQUEST_NAMESPACE, USE_NAMESPACE, request_statement, shown};
use serde_json::json;

use super::elevate_evidence::write;
use crate::columns;
use crate::failure::{Failure, Result};
use crate::offline::{self, Found, Ground, GroundArguments, OfflineFile};
use crate::shell::Shell;
use crate::terminal::shell_word;
use crate::when;

/// Verify a request by file, and list who is still to approve
///
/// Every signature is verified here, by the roster in force. Whoever is to act by the request needs nobody's word for it: exit
/// code 0 says that it is approved by all levels, and its time is not over; 7 that something is missing.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm lockbox offline verify incident.request
  dkm lockbox offline verify from-bob.request from-dave.request --roster mail.roster --evidence evidence")]
pub(crate) struct Arguments {
    /// The request's file, or copies of it that were signed by different people
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Folder for statements, signatures and keys that ssh-keygen verifies without DKM
    #[arg(long, value_name = "FOLDER")]
    evidence: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "evidence")]
    force: bool,
    #[command(flatten)]
    ground: GroundArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let file = OfflineFile::read(&arguments.files)?;
    let ground = arguments.ground.read(shell, file.request.group)?;
    let found = offline::find(&file, &ground, ground.now())?;
    let in_force = ground.in_force()?;
    for usage in &file.usages {
        usage
            .check(&file.request, [in_force.roster], in_force.verify)
            .map_err(|why| offline::refused(&why).during("what is said to have been done"))?;
    }
    let commands = match &arguments.evidence {
        Some(folder) => evidence(&found, &ground, folder, arguments.force)?,
        None => Vec::new(),
    };
    let mut value = found.json(&ground);
    value["commands"] = json!(commands);
    shell.terminal.result(&value, || {
        let mut out = columns::facts(&found.facts());
        out.push_str(&format!("Verified by {}.\n", ground.source));
        if !commands.is_empty() {
            out.push_str("To verify it without DKM:\n");
        }
        commands.iter().for_each(|command| out.push_str(&format!("  {command}\n")));
        out
    })?;
    if !file.usages.is_empty() {
        return Err(Failure::new(dkm::ErrorKind::Refused, "somebody has acted by it already")
            .help("nobody may once more; bring it to the server: dkm lockbox offline submit"));
    }
    found.must_be_complete()?;
    shell.terminal.note(format!(
        "Whoever acts by it before {} says so first: dkm lockbox offline use",
        when::second(found.until())
    ));
    Ok(())
}

/// Writes what can be verified, and tells how.
fn evidence(found: &Found<'_>, ground: &Ground, folder: &Path, force: bool) -> Result<Vec<String>> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::file("can't make the folder", folder, &error))?;
    let (file, in_force) = (found.file, ground.in_force()?);
    let (request, roster) = (&file.request, in_force.roster);
    let mut all = Vec::new();
    if let Some(person) = roster.person(&request.requester.person) {
        let text = request_statement(request);
        let evidence = Evidence::of(person, REQUEST_NAMESPACE, text, file.signature.clone());
        all.push(("request".to_owned(), REQUEST_NAMESPACE, evidence));
    }
    let answers = found
        .gathered
        .elevation
        .answers()
        .filter_map(|answer| Some((answer.decision, answer.evidence(request, roster)?)));
    for (number, (decision, evidence)) in (1..).zip(answers) {
        let decision = if decision == dkm_lockbox::Decision::Approve { "approve" } else { "deny" };
        all.push((format!("{number}-{decision}"), NAMESPACE, evidence));
    }
    for (number, usage) in (1..).zip(&file.usages) {
        if let Some(person) = roster.person(&usage.by) {
            let evidence =
                Evidence::of(person, USE_NAMESPACE, usage.statement(request), usage.signature.clone());
            all.push((format!("use-{number}"), USE_NAMESPACE, evidence));
        }
    }
    let mut commands = Vec::new();
    for (name, namespace, evidence) in all {
        let path = |ending: &str| folder.join(format!("{name}.{ending}"));
        let (text, signature, signers) = (path("statement"), path("sig"), path("allowed_signers"));
        write(&text, &evidence.statement, force)?;
        write(&signature, &evidence.signature, force)?;
        write(&signers, &evidence.allowed_signers, force)?;
        let word = |path: &Path| shell_word(&path.display().to_string());
        commands.push(format!(
            "ssh-keygen -Y verify -f {} -I {} -n {namespace} -s {} < {}",
            word(&signers),
            shell_word(&shown(&evidence.principal)),
            word(&signature),
            word(&text)
        ));
    }
    Ok(commands)
}
