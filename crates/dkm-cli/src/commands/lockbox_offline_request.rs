//! `dkm lockbox offline request`

use std::path::PathBuf;

use clap::Args;
use dkm::ErrorKind;
use dkm_core::RequestId;
use dkm_lockbox::{Mode, REQUEST_NAMESPACE, Request, Requester, request_statement, shown};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::offline::{self, Ground, GroundArguments, OfflineFile};
use crate::scope::ScopeArguments;
use crate::shell::Shell;
use crate::ssh::{self, Signer};
use crate::terminal::shell_word;
use crate::{asked, duration};

/// Ask for access in an emergency, by a file, while the server does not answer
///
/// The file holds the whole request under your signature. It goes to those whom the roster's section for emergencies names; they
/// sign it (dkm lockbox offline approve), and until the window for its activation is over somebody who can open what you need
/// may act by it. What was done is brought to the server later, and reviewed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm lockbox offline request --group mail --as alice --key ~/.ssh/id_ed25519 --reason 'dkmd is down, mail is not delivered' \\
      -c account=17 --duration 10m -o incident.request
  dkm lockbox offline request --group GROUP-ID --roster mail.roster --as alice --key agent --reason 'dkmd is down' --direct \\
      --duration 10m -o incident.request")]
pub(crate) struct Arguments {
    /// File for the request
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Who you are in the roster
    #[arg(long = "as", value_name = "PERSON")]
    person: String,
    /// The account that you use at the server; your first one in the roster, if not given
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Private key, public key of one that ssh-agent holds, or agent for the one there that is yours
    #[arg(long, value_name = "FILE|agent")]
    key: Signer,
    /// Why; those who approve and audit read it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Where the work is written down, such as the number of an incident
    #[arg(long, value_name = "TEXT", default_value = "")]
    ticket: String,
    /// How long access lasts once somebody acts by it
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    duration: u64,
    #[command(flatten)]
    scope: ScopeArguments,
    /// Ask for every key, where the roster allows that in an emergency
    #[arg(long, conflicts_with_all = ["blob", "blob_of", "context", "count"])]
    direct: bool,
    #[command(flatten)]
    ground: GroundArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = asked::group(shell)?;
    let ground = arguments.ground.read(shell, group)?;
    let request = request(arguments, &ground)?;
    let keys = ground.keys(&arguments.person)?;
    let text = request_statement(&request);
    shell.terminal.show(&format!("What you sign:\n\n{text}"));
    let signature = ssh::sign(&arguments.key, REQUEST_NAMESPACE, text.as_bytes(), Some(&keys))?;
    let file = OfflineFile { request, signature, answers: Vec::new(), usages: Vec::new() };
    // What nobody could use is not written.
    let found = offline::find(&file, &ground, ground.now())?;
    file.write(&arguments.output, arguments.force)?;
    let path = arguments.output.display().to_string();
    let mut value = found.json(&ground);
    value["file"] = json!(arguments.output);
    shell
        .terminal
        .result(&value, || format!("Request {} is in {path}; {}.\n", file.request.id, found.lacks()))?;
    if let Some((level, _)) = found.missing.first() {
        let approvers: Vec<String> = level.approvers.iter().map(|id| shown(id)).collect();
        shell.terminal.note(format!(
            "Next: {}: dkm lockbox offline approve {} --as PERSON --key FILE",
            approvers.join(" or "),
            shell_word(&path)
        ));
    }
    Ok(())
}

fn request(arguments: &Arguments, ground: &Ground) -> Result<Request> {
    let in_force = ground.in_force()?;
    let person = in_force.roster.person(&arguments.person).ok_or_else(|| {
        Failure::usage(format!("{} is nobody in the roster in force", shown(&arguments.person)))
            .help("dkm roster show lists the people")
    })?;
    let account = match &arguments.account {
        Some(account) => account.clone(),
        None => person.accounts.first().cloned().ok_or_else(|| {
            Failure::usage(format!("{} has no account in the roster", shown(&arguments.person)))
        })?,
    };
    let rules = in_force.roster.elevation.as_ref().filter(|rules| rules.break_glass.is_some());
    let rules = rules.ok_or_else(|| {
        Failure::new(ErrorKind::Denied, "the group's roster has no way for emergencies").help(
            "without [elevation.emergency] in the roster nobody is let in while the server does not answer",
        )
    })?;
    let mut id = [0u8; 16];
    getrandom::fill(&mut id).map_err(|_| Failure::internal("the system gives no randomness"))?;
    let made = ground.now();
    Ok(Request {
        id: RequestId(id),
        instance: ground.instance,
        group: ground.rosters.group,
        policy: in_force.policy.to_vec(),
        roster: in_force.rosters.to_vec(),
        requester: Requester { person: arguments.person.clone(), account },
        reason: arguments.reason.clone(),
        ticket: arguments.ticket.clone(),
        mode: if arguments.direct { Mode::Direct } else { Mode::Brokered },
        scope: if arguments.direct { None } else { Some(arguments.scope.scope()?) },
        break_glass: true,
        duration_s: arguments.duration / 1_000,
        made,
        not_after: made.plus(rules.untouched_ms),
        activation_window_s: (rules.activation_window_ms / 1_000).max(1),
    })
}
