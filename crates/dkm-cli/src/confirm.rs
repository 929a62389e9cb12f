//! What a person is asked before something is signed in his name.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;
use dkm::ErrorKind;
use dkm_core::Digest;

use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// How a person, or a script, says that something is to be signed.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfirmArguments {
    /// Ask nobody: sign if what is to be signed has the digest given with --digest
    #[arg(long, requires = "digest", conflicts_with = "dry_run")]
    yes: bool,
    /// SHA-256 of what is to be signed, in hexadecimal; --dry-run tells it
    #[arg(long, value_name = "HEX")]
    digest: Option<Digest>,
    /// Only show what would be signed, and what was checked
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl ConfirmArguments {
    /// Shows a person what is to be signed. A program that writes JSON and asks nobody is told in the result.
    pub(crate) fn show(&self, shell: &Shell, text: &str) {
        if !(shell.terminal.is_json() && (self.yes || self.dry_run)) {
            shell.terminal.show(text);
        }
    }

    /// Goes on if the person at the terminal types `word`, or the digest is the one that was given.
    pub(crate) fn confirmed(&self, shell: &Shell, digest: Digest, word: &str) -> Result {
        if let Some(expected) = self.digest.filter(|expected| *expected != digest) {
            return Err(Failure::new(
                ErrorKind::Refused,
                format!("what is to be signed has the digest {digest}, not {expected}"),
            )
            .help("it is not what was looked at before: look at it again; nothing was signed"));
        }
        if self.yes {
            return Ok(());
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Err(Failure::usage("nobody is there to confirm what is to be signed").help(
                "run it in a terminal; a script looks at it first (--dry-run), and then says --yes --digest HEX",
            ));
        }
        shell.terminal.ask(&format!("Type {word:?} to sign this: "));
        let mut typed = String::new();
        stdin
            .lock()
            .read_line(&mut typed)
            .map_err(|error| Failure::internal(format!("can't read: {error}")))?;
        if typed.trim() == word {
            return Ok(());
        }
        Err(Failure::new(ErrorKind::Refused, "it was not confirmed").help("nothing was signed"))
    }
}
