//! `dkm lockbox offline approve` and `deny`

use std::path::PathBuf;

use clap::Args;
use dkm::ErrorKind;
use dkm_core::Digest;
use dkm_lockbox::{Answer, Decision, NAMESPACE, Status, shown, statement};
use serde_json::json;

use crate::columns;
use crate::confirm::ConfirmArguments;
use crate::failure::{Failure, Result};
use crate::offline::{self, Found, GroundArguments, OfflineFile};
use crate::shell::Shell;
use crate::ssh::{self, Signer};

/// An answer.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The request's file, which gets the answer
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who you are in the roster
    #[arg(long = "as", value_name = "PERSON")]
    person: String,
    /// Private key, public key of one that ssh-agent holds, or agent for the one there that is yours
    #[arg(long, value_name = "FILE|agent")]
    key: Signer,
    /// The level at which you decide; the one that is to decide now, if you are one of its approvers
    #[arg(long, value_name = "NAME")]
    level: Option<String>,
    #[command(flatten)]
    ground: GroundArguments,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

pub(crate) fn approve(arguments: &Arguments, shell: &Shell) -> Result {
    answer(arguments, shell, Decision::Approve)
}

pub(crate) fn deny(arguments: &Arguments, shell: &Shell) -> Result {
    answer(arguments, shell, Decision::Deny)
}

fn answer(arguments: &Arguments, shell: &Shell, decision: Decision) -> Result {
    let mut file = OfflineFile::read(std::slice::from_ref(&arguments.file))?;
    let ground = arguments.ground.read(shell, file.request.group)?;
    let keys = ground.keys(&arguments.person)?;
    let found = offline::find(&file, &ground, ground.now())?;
    let is_good = match decision {
        Decision::Approve => found.status == Status::Pending,
        Decision::Deny => found.status.is_open(),
    };
    if !is_good {
        return Err(Failure::new(ErrorKind::Refused, format!("the request is {}", found.status))
            .help("dkm lockbox offline verify tells what it has come to"));
    }
    let level = level(arguments, &found, decision)?;
    let text = statement(&file.request, decision, &level, &arguments.person);
    let digest = Digest::of(text.as_bytes());
    let checked = format!(
        "Checked by {}: the requester has signed it, policy and roster are those in force, and the roster allows what is asked for.",
        ground.source
    );
    let facts = columns::facts(&found.facts());
    arguments.confirm.show(
        shell,
        &format!("{facts}\n{checked}\n\nWhat you sign:\n\n{text}\nDigest of what is signed: {digest}"),
    );
    let (word, done) = match decision {
        Decision::Approve => ("approve", "approved"),
        Decision::Deny => ("deny", "denied"),
    };
    if arguments.confirm.dry_run {
        let value =
            json!({"statement": text, "digest": digest.to_string(), "checks": checked, "signed": false});
        return shell.terminal.result(&value, || "Nothing was signed.\n".to_owned());
    }
    arguments.confirm.confirmed(shell, digest, word)?;
    let signature = ssh::sign(&arguments.key, NAMESPACE, text.as_bytes(), Some(&keys))?;
    let answer = Answer { approver: arguments.person.clone(), level, decision, signature };
    file.answers.push(answer.clone());
    let found = offline::find(&file, &ground, ground.now())?;
    if let Some((_, why)) = found.gathered.refused.iter().find(|(refused, _)| *refused == answer) {
        return Err(offline::refused(why));
    }
    file.write(&arguments.file, true)?;
    let mut value = found.json(&ground);
    value["signed"] = json!(true);
    shell.terminal.result(&value, || {
        let more =
            if found.status == Status::Pending { format!("; {}", found.lacks()) } else { String::new() };
        format!(
            "{} has {done} request {} at level {:?}; it is {}{more}.\n",
            shown(&arguments.person),
            file.request.id,
            shown(&answer.level),
            found.status
        )
    })
}

/// The level at which it is decided: to approve, the one whose turn it is; to deny, the first still missing that is his.
fn level(arguments: &Arguments, found: &Found<'_>, decision: Decision) -> Result<String> {
    if let Some(level) = &arguments.level {
        return Ok(level.clone());
    }
    let most = if decision == Decision::Approve { 1 } else { usize::MAX };
    let mut missing = found.missing.iter().take(most);
    let is_his = missing.find(|(level, _)| level.approvers.contains(&arguments.person));
    is_his.map(|(level, _)| level.name.clone()).ok_or_else(|| {
        Failure::usage(format!("{} is no approver of the level that is to decide now", shown(&arguments.person)))
            .help("levels decide in their order: dkm lockbox offline verify lists whose turn it is; --level NAME names another")
    })
}
