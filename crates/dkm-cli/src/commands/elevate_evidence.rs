//! `dkm elevate evidence`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use dkm::ErrorKind;
use dkm_core::RequestId;
use dkm_core::roster::Roster;
use dkm_lockbox::{Answer, Decision, Evidence, NAMESPACE, shown, statement};
use serde_json::json;

use crate::asked::{self, Asked, request_id};
use crate::control;
use crate::failure::{Failure, Result};
use crate::output_file::{ORDINARY, Output};
use crate::shell::Shell;
use crate::terminal::shell_word;

/// Write down what the answers to a request can be verified by without DKM
///
/// For each answer a statement, a signature and OpenSSH's allowed_signers file are written, and the ssh-keygen command is
/// told that verifies them. The statement is made here, from the request's records. The keys are those of the roster, where you
/// may read it; otherwise those that the server tells, which proves nothing to who does not believe it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  dkm elevate evidence 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b -o evidence"
)]
pub(crate) struct Arguments {
    /// The request's id
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
    /// Folder to write to, which is made if it is not there
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let asked = Asked::of(shell, arguments.request)?;
    let request = asked.request();
    let control = control::read(shell, request.group)?;
    // Those that the statement names: whoever has left since has approved nevertheless.
    let versions = control.rosters().map_or(&[][..], |rosters| rosters.chain.versions());
    let rosters: Vec<&Roster> = versions
        .iter()
        .filter(|version| request.roster.contains(&version.digest))
        .map(|version| &version.roster)
        .collect();
    let is_own = !rosters.is_empty();
    if !is_own {
        shell.terminal.warn(
            "evidence",
            "you may not read the group's roster: the keys in allowed_signers are those that the server tells",
            Some("compare them with the approvers' keys that you know"),
        );
    }
    let answers: Vec<&Answer> = asked.elevation.answers().collect();
    if answers.is_empty() {
        return Err(Failure::new(ErrorKind::NotFound, "nobody has answered the request yet")
            .help("dkm elevate show tells who is to approve"));
    }
    let told = if is_own {
        Vec::new()
    } else {
        shell.elevations()?.evidence(arguments.request).map_err(asked::failure)?.answers
    };
    std::fs::create_dir_all(&arguments.output)
        .map_err(|error| Failure::file("can't make the folder", &arguments.output, &error))?;
    let mut commands = Vec::new();
    let mut list = Vec::new();
    for (place, answer) in answers.iter().enumerate() {
        let own = rosters.iter().find_map(|roster| answer.evidence(request, roster));
        let evidence = match own {
            Some(evidence) => evidence,
            None => {
                let theirs = told.get(place).ok_or_else(|| {
                    Failure::new(
                        ErrorKind::NotFound,
                        format!("{} is not in the roster any more: there is no key to verify by", shown(&answer.approver)),
                    )
                    .help("the roster that was in force then has it: the record of the group that the statement names")
                })?;
                Evidence {
                    statement: statement(request, answer.decision, &answer.level, &answer.approver),
                    signature: answer.signature.clone(),
                    principal: theirs.principal.clone(),
                    allowed_signers: theirs.allowed_signers.clone(),
                }
            }
        };
        let number = place + 1;
        let decision = if answer.decision == Decision::Approve { "approve" } else { "deny" };
        let file = |name: &str| arguments.output.join(format!("{number}-{decision}.{name}"));
        let (text, signature, signers) = (file("statement"), file("sig"), file("allowed_signers"));
        write(&text, &evidence.statement, arguments.force)?;
        write(&signature, &evidence.signature, arguments.force)?;
        write(&signers, &evidence.allowed_signers, arguments.force)?;
        let word = |path: &Path| shell_word(&path.display().to_string());
        commands.push(format!(
            "ssh-keygen -Y verify -f {} -I {} -n {NAMESPACE} -s {} < {}",
            word(&signers),
            shell_word(&shown(&evidence.principal)),
            word(&signature),
            word(&text)
        ));
        list.push(json!({
            "approver": answer.approver,
            "level": answer.level,
            "decision": decision,
            "principal": evidence.principal,
            "statement": text,
            "signature": signature,
            "allowed_signers": signers,
            "keys_verified": is_own,
            "command": commands.last(),
        }));
    }
    shell.terminal.result(&json!({"request": arguments.request.to_string(), "answers": list}), || {
        let mut out =
            format!("Wrote {} answers to {}. To verify them:\n", list.len(), arguments.output.display());
        commands.iter().for_each(|command| out.push_str(&format!("  {command}\n")));
        out
    })
}

/// Writes a text file.
pub(super) fn write(path: &Path, text: &str, force: bool) -> Result {
    let mut file = Output::file(path, ORDINARY, force)?;
    file.write_all(text.as_bytes()).map_err(|error| Failure::file("can't write", path, &error))?;
    file.commit()
}
