//! `dkm elevate approve` and `dkm elevate deny`

use clap::Args;
use dkm::ErrorKind;
use dkm_core::{Digest, RequestId};
use dkm_lockbox::{Decision, NAMESPACE, Status, shown, statement};
use dkm_remote::wire::elevation::NewAnswer;
use serde_json::json;

use crate::asked::{self, Asked, request_id};
use crate::confirm::ConfirmArguments;
use crate::control::{self, Control};
use crate::failure::{Failure, Result};
use crate::shell::Shell;
use crate::ssh::{self, Signer};

/// An answer.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The request's id
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
    /// Private key, public key of one that ssh-agent holds, or agent for the one there that is yours
    #[arg(long, value_name = "FILE|agent")]
    key: Signer,
    /// The level at which you decide; the one that is to decide now, if you are one of its approvers
    #[arg(long, value_name = "NAME")]
    level: Option<String>,
    /// Who you are in the roster; found by your account, where you may read the roster
    #[arg(long = "as", value_name = "PERSON")]
    person: Option<String>,
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
    let asked = Asked::of(shell, arguments.request)?;
    let request = asked.request();
    let control = control::read(shell, request.group)?;
    control::pinned_instance(shell, request)?;
    let checked = check(&asked, &control, decision)?;
    let person = person(arguments, shell, &control)?;
    let level = level(arguments, (&asked, &control), &person, decision)?;
    let text = statement(request, decision, &level, &person);
    let digest = Digest::of(text.as_bytes());
    let heading = "What you sign:";
    let whole = format!("{checked}\n{heading}\n\n{text}\nDigest of what is signed: {digest}");
    arguments.confirm.show(shell, &whole);
    let (word, done) = match decision {
        Decision::Approve => ("approve", "approved"),
        Decision::Deny => ("deny", "denied"),
    };
    if arguments.confirm.dry_run {
        let value = json!({
            "statement": text,
            "digest": digest.to_string(),
            "checked": control.rosters().is_some(),
            "checks": checked,
            "signed": false,
        });
        return shell.terminal.result(&value, || "Nothing was signed.\n".to_owned());
    }
    arguments.confirm.confirmed(shell, digest, word)?;
    let keys = control.rosters().and_then(|rosters| rosters.chain.effective());
    let keys = keys.and_then(|roster| roster.person(&person)).map(|person| person.keys.clone());
    let signature = ssh::sign(&arguments.key, NAMESPACE, text.as_bytes(), keys.as_deref())?;
    let new = NewAnswer {
        approver: person.clone(),
        level: level.clone(),
        approve: decision == Decision::Approve,
        signature,
    };
    let view = shell.elevations()?.answer(arguments.request, &new).map_err(asked::failure)?;
    let asked = Asked::from_view(view, Some(arguments.request))?;
    let mut value = asked.json(Some(&control));
    value["digest"] = json!(digest.to_string());
    shell.terminal.result(&value, || {
        format!(
            "{} has {done} request {} at level {:?}; it is {}.\n",
            shown(&person),
            arguments.request,
            shown(&level),
            asked.status(Some(&control)).0
        )
    })
}

/// What was checked of a request, for people; an approval that would be worth nothing is not given.
fn check(asked: &Asked, control: &Control, decision: Decision) -> Result<String> {
    let request = asked.request();
    let (name, rosters) = match control {
        Control::Read { name, rosters } => (name, rosters),
        Control::Withheld(why) => {
            if decision == Decision::Approve {
                control::must_not_be_withheld(request.group, why)?;
            }
            return Ok(unchecked(why));
        }
    };
    let Some(in_force) = control.in_force(request) else {
        return Err(Failure::new(ErrorKind::Refused, "the group has no roster in force")
            .help("nobody can be let in: dkm roster show tells more"));
    };
    let status = asked.elevation.status(control.now(), &in_force);
    let good = match decision {
        Decision::Approve => status == Status::Pending,
        Decision::Deny => status.is_open(),
    };
    if !good {
        return Err(Failure::new(ErrorKind::Refused, format!("the request is {status}")).help(
            "no answer changes that; dkm elevate show tells what has come of it, and whoever needs access asks anew",
        ));
    }
    Ok(format!(
        "Checked in the records of group {:?}, from its first roster {} on: policy and roster are those in force ({} and \
         {}), the account {:?} is {:?} in the roster, and the roster allows what is asked for.",
        shown(name),
        rosters.genesis.map_or_else(String::new, |digest| digest.to_string()),
        rosters
            .policies
            .versions()
            .last()
            .map_or_else(String::new, |v| format!("policy version {}", v.version)),
        rosters
            .chain
            .versions()
            .iter()
            .filter(|v| rosters.chain.in_force().contains(&v.digest))
            .map(|v| format!("roster version {}", v.version))
            .collect::<Vec<_>>()
            .join(", "),
        shown(&request.requester.account),
        shown(&request.requester.person),
    ))
}

fn unchecked(why: &str) -> String {
    format!(
        "NOT CHECKED, because you may not read the group's records ({}): whether policy and roster are those in force, who \
         approves at which level, and whether the requester is who he says. The server checks it.",
        shown(why)
    )
}

/// Who answers, by the id in the roster.
fn person(arguments: &Arguments, shell: &Shell, control: &Control) -> Result<String> {
    if let Some(person) = &arguments.person {
        return Ok(person.clone());
    }
    let help = "say who you are in the roster: --as PERSON";
    let Some(roster) = control.rosters().and_then(|rosters| rosters.chain.effective()) else {
        return Err(
            Failure::usage("who you are in the roster can't be found out: you may not read it").help(help)
        );
    };
    let account = shell.directory()?.who_am_i()?.account;
    let person = roster.person_of(&account).map(|person| person.id.clone());
    person.ok_or_else(|| {
        Failure::new(ErrorKind::NotFound, format!("account {} is nobody's in the roster", shown(&account)))
            .help(help)
    })
}

/// The level at which it is decided, unless one is named: to approve, the one whose turn it is; to deny, the first still
/// missing that is his.
fn level(
    arguments: &Arguments,
    (asked, control): (&Asked, &Control),
    person: &str,
    decision: Decision,
) -> Result<String> {
    if let Some(level) = &arguments.level {
        return Ok(level.clone());
    }
    if control.rosters().is_none() {
        return Err(Failure::usage("the levels can't be checked: you may not read the group's records")
            .help("name the level at which you decide: --level NAME"));
    }
    let mut missing = asked.missing(Some(control));
    if decision == Decision::Approve {
        missing.truncate(1);
    }
    let is_his = |(_, _, approvers): &&(String, u32, Vec<String>)| approvers.iter().any(|id| id == person);
    missing.iter().find(is_his).map(|(level, ..)| level.clone()).ok_or_else(|| {
        Failure::usage(format!("{} is no approver of the level that is to decide now", shown(person)))
            .help("levels decide in their order: dkm elevate show lists whose turn it is; --level NAME names another")
    })
}
