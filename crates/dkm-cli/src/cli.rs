//! The command line as a whole. Each command's own arguments are in its file.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};

use crate::commands::Command;

const LONG_ABOUT: &str = "\
Protect secrets with a group's keys, which roll by themselves and stay archived.

A group's keys lie in a repository, whose access control decides who may read them. `dkm protect` \
encrypts with the key that is active now; `dkm unprotect` opens blobs of every key the group has had. \
Start with `dkm quickstart`, which shows all of it in one run.";

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  a fault of this program or its machine
  2  the command line or an argument cannot be
  3  a group, key, file or repository is not there
  4  access is denied
  5  data is damaged, or was protected in another context
  6  the repository or a file can't be used at the moment
  7  refused: by policy, by a key's state, or until a waiting time is over

Environment:
  DKM_REPOSITORY      the repository, such as dir:/var/lib/dkm/repository
  DKM_GROUP           the group, by name or id
  DKM_ROOT_KEYS       folder of the root keys, if not where the repository says
  DKM_AUDIT_LOG       the audit journal, if not $XDG_STATE_HOME/dkm/audit.jsonl
  DKM_ARCHIVE_FOLDER  where new keys are sealed to before use, for groups whose policy asks for it
  DKM_ACCOUNTS        the store of connected accounts, if not $XDG_DATA_HOME/dkm/accounts.db
  DKM_CONFIG          the configuration file, if not $XDG_CONFIG_HOME/dkm/config.toml
  DKM_LOG             writes a log to stderr, such as DKM_LOG=debug
  NO_COLOR            no colours, not even on a terminal

Options go before the environment, the environment before the configuration file, whose keys are
repository, group, root_keys, audit_log and archive_folder. Without any, the repository is
$XDG_DATA_HOME/dkm/repository, or ~/.local/share/dkm/repository, for root as for everybody.

With --json a result is one line of JSON on stdout; errors and warnings are lines on stderr:
{\"error\":{\"kind\",\"message\",\"advice\",\"exit_code\"}} and {\"warning\":{\"kind\",\"message\",\"advice\"}}.
Where stdout carries a blob or plaintext, the result goes to stderr too.";

/// Protect secrets with a group's rolling, archived keys
#[derive(Debug, Parser)]
#[command(
    name = "dkm",
    version,
    long_about = LONG_ABOUT,
    after_long_help = AFTER_HELP,
    after_help = "dkm --help tells more: exit codes, environment, configuration.",
    max_term_width = 100,
    disable_help_subcommand = true,
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Repository, such as dir:/var/lib/dkm/repository
    #[arg(long, global = true, value_name = "URL", env = "DKM_REPOSITORY", hide_env_values = true)]
    pub(crate) repository: Option<String>,
    /// Group, by name or id
    #[arg(long, short, global = true, value_name = "NAME", env = "DKM_GROUP", hide_env_values = true)]
    pub(crate) group: Option<String>,
    /// Write results as JSON, and errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write no progress, notes or warnings; errors are written
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Cli {
    /// Reads the command line. An option that is given and empty is a mistake, as of a script whose variable is not set:
    /// it would name another repository or group than was meant. An empty variable of the environment is as good as
    /// none.
    ///
    /// # Errors
    /// What is wrong with it, or help or version where those were asked for.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        for (id, option) in [("repository", "--repository <URL>"), ("group", "--group <NAME>")] {
            let is_empty = matches.get_one::<String>(id).is_some_and(String::is_empty);
            if is_empty && matches.value_source(id) == Some(ValueSource::CommandLine) {
                let message = format!("a value is required for '{option}', and it is empty");
                return Err(command.error(ErrorKind::InvalidValue, message));
            }
        }
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
