//! `dkm roster sign`

use std::path::PathBuf;

use clap::Args;
use dkm::ErrorKind;
use dkm_core::record::RosterRecord;
use dkm_core::roster::Roster;
use dkm_lockbox::shown;
use serde_json::json;

use crate::confirm::ConfirmArguments;
use crate::control::{self, Control};
use crate::failure::{Failure, Result};
use crate::proposal::Proposal;
use crate::shell::Shell;
use crate::ssh::{self, Signer};
use crate::{roster_view, when};

/// Sign a proposal of a roster, as one of the people whom the version before names
///
/// What changes is read from the group itself and shown; where this account may not read the group, the whole roster is
/// shown instead. ssh-keygen signs, with a private key or with one that ssh-agent holds.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm roster sign roster.proposal --as bob --key ~/.ssh/id_ed25519
  dkm roster sign roster.proposal --as bob --key agent")]
pub(crate) struct Arguments {
    /// The proposal, which gets the signature
    #[arg(value_name = "PROPOSAL")]
    proposal: PathBuf,
    /// Who signs, by the id in the roster
    #[arg(long = "as", value_name = "PERSON")]
    person: String,
    /// Private key, public key of one that ssh-agent holds, or agent for the one there that is yours
    #[arg(long, value_name = "FILE|agent")]
    key: Signer,
    #[command(flatten)]
    confirm: ConfirmArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut proposal = Proposal::read(&arguments.proposal)?;
    let control = control::read(shell, proposal.group)?;
    let after = Roster::from(&proposal.record);
    let mut told = format!(
        "Roster of group {}, version {}, proposed at {} by its own word\n",
        proposal.group,
        proposal.record.version,
        when::second(dkm_core::Timestamp(proposal.record.created_at_ms))
    );
    let mut keys = None;
    match &control {
        Control::Read { rosters, .. } => {
            if proposal.record.previous != rosters.chain.tips() {
                return Err(Failure::new(
                    ErrorKind::Refused,
                    "the proposal does not follow the last version that the group has",
                )
                .help("it could never count: have it proposed anew (dkm roster propose)"));
            }
            let mut lines = Vec::new();
            for version in roster_view::followed(rosters, &proposal.record) {
                let person = version.roster.person(&arguments.person).ok_or_else(|| {
                    Failure::usage(format!("{:?} is nobody in version {}", arguments.person, version.version))
                        .help("the people of the version before sign: dkm roster show lists them")
                })?;
                lines.extend(person.keys.iter().cloned());
                told.push_str(&format!("Changes to version {}:\n", version.version));
                told.push_str(&roster_view::difference(&roster_view::changes(&version.roster, &after)));
            }
            keys = Some(lines);
        }
        Control::Withheld(why) => {
            control::must_not_be_withheld(proposal.group, why)?;
            told.push_str(&format!(
                "Not checked: what it changes, and whether it follows the last version ({}). The whole roster:\n",
                shown(why)
            ));
            roster_view::lines(&after).iter().for_each(|line| told.push_str(&format!("  {line}\n")));
        }
    }
    let digest = proposal.digest();
    told.push_str(&format!("Digest of what is signed: {digest}"));
    arguments.confirm.show(shell, &told);
    if arguments.confirm.dry_run {
        let value = json!({
            "digest": digest.to_string(),
            "checked": control.rosters().is_some(),
            "shown": told,
            "signed": false,
        });
        return shell.terminal.result(&value, || "Nothing was signed.\n".to_owned());
    }
    arguments.confirm.confirmed(shell, digest, "sign")?;
    let message = proposal.signed_bytes();
    let signature = ssh::sign(&arguments.key, RosterRecord::NAMESPACE, &message, keys.as_deref())?;
    proposal.add(&arguments.person, signature);
    proposal.write(&arguments.proposal, true)?;
    let people: Vec<&str> = proposal.record.signatures.iter().map(|s| s.person.as_str()).collect();
    let value = json!({"digest": digest.to_string(), "signed": true, "signed_by": people});
    shell.terminal.result(&value, || {
        format!("{} bears the signature of {}.\n", arguments.proposal.display(), shown(&arguments.person))
    })?;
    shell.terminal.note("Next: hand it to the next who signs, or to an owner: dkm roster apply");
    Ok(())
}
