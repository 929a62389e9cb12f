//! `dkmd --dev`: a server to try things with, made, filled and started by one command. For nothing that matters: the
//! private keys of everybody who approves lie in its folder.
//!
//! ```text
//! FOR-TRYING-ONLY.txt   says so, and that the folder is its own
//! dkmd.toml             the configuration
//! data/, checkpoint/    the server's own
//! socket                where it listens beside TLS
//! root-keys/            those of the group `demo`
//! credentials/NAME      certificates of people and of a service
//! keys/NAME             SSH keys of people
//! letter.dkm            a blob of the group
//! commands.txt          what to try next
//! ```

mod cast;
mod commands;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::server::Server;
use crate::setup::{self, SetupError, io_error, private, write_new};

const MARKER: &str = "FOR-TRYING-ONLY.txt";
const CONFIG: &str = "dkmd.toml";
const COMMANDS: &str = "commands.txt";

const WARNING: &str = "\
This folder was made by dkmd --dev, to try DKM with.

Whoever can read it is everybody: the administrator, the service, and each of the people who must approve. Keep nothing in it that
matters, and let nobody else on this machine into it. To be rid of it, stop the server and remove the folder.
";

/// Why there is nothing to try with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// Nobody said where, and nothing says where this account keeps its things.
    #[error("there is no folder to make it in: neither XDG_STATE_HOME nor HOME is set")]
    NoHome,
    /// The folder is somebody else's.
    #[error("{} is not empty, and was not made by dkmd --dev", .0.display())]
    Taken(PathBuf),
    /// It was not finished.
    #[error("{} was made by a dkmd --dev that was broken off", .0.display())]
    BrokenOff(PathBuf),
    /// It can't stand in a URL, or in a command.
    #[error("{} can't be used: its path is not absolute, or holds other characters than letters, digits and /.,_+@-", .0.display())]
    Path(PathBuf),
    /// Nothing makes the approvers' keys.
    #[error("ssh-keygen made no key: {0}")]
    Keygen(String),
    /// The server that was made does not do what it shall.
    #[error("{what} failed: {why}")]
    Step {
        /// What was being done.
        what: &'static str,
        /// Why it was not.
        why: String,
    },
}

impl DevError {
    /// How to recover.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::NoHome | Self::Taken(_) | Self::Path(_) => {
                "name a folder that is not there yet: dkmd --dev --folder /tmp/dkmd-dev".to_owned()
            }
            Self::BrokenOff(folder) => {
                format!("nothing in it matters: rm -r {}, and start again", folder.display())
            }
            Self::Keygen(_) => "install OpenSSH's client (Debian: apt-get install openssh-client)".to_owned(),
            Self::Step { .. } => return None,
        })
    }
}

/// A server to try things with.
#[derive(Debug)]
pub struct Dev {
    folder: PathBuf,
    config: Config,
    is_new: bool,
}

/// Where it is made if nobody says it.
fn default_folder() -> Result<PathBuf, DevError> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("dkmd-dev")).ok_or(DevError::NoHome)
}

/// Whether a path stands for itself in a URL, in a shell and in the configuration.
fn is_plain(path: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,_+@-".contains(c);
    path.is_absolute() && path.to_str().is_some_and(|path| path.chars().all(plain))
}

impl Dev {
    /// Makes a server's folder, or goes on with one that was made before.
    ///
    /// # Errors
    /// The folder is not empty and not its own; it can't be written; there is no `ssh-keygen`.
    pub fn prepare(folder: Option<&Path>) -> Result<Self, SetupError> {
        let folder = match folder {
            Some(folder) => std::path::absolute(folder).map_err(io_error(folder))?,
            None => default_folder()?,
        };
        if !is_plain(&folder) {
            return Err(DevError::Path(folder).into());
        }
        let is_empty = match std::fs::read_dir(&folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(io_error(&folder)(error)),
        };
        if !is_empty && !folder.join(MARKER).is_file() {
            return Err(DevError::Taken(folder).into());
        }
        if !is_empty && !folder.join(COMMANDS).is_file() {
            return Err(DevError::BrokenOff(folder).into());
        }
        if is_empty {
            cast::need_keygen()?;
            make(&folder)?;
        }
        private(&folder)?;
        let own = rustix::process::geteuid().as_raw();
        if std::fs::metadata(&folder).map_err(io_error(&folder))?.uid() != own {
            return Err(DevError::Taken(folder).into());
        }
        let config = Config::read(&folder.join(CONFIG))?;
        if is_empty {
            setup::init(&config)?;
        }
        Ok(Self { folder, config, is_new: is_empty })
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Fills the server, which runs, if that was not done before; and says what can be tried. Waits for the server.
    ///
    /// # Errors
    /// A step fails: what the server or the system says.
    pub fn fill(&self, server: &Server, address: SocketAddr) -> Result<String, SetupError> {
        let stage = cast::Stage {
            folder: &self.folder,
            address,
            authority: server.authority().digest(),
            log_key: server.audit().log().key().to_string(),
        };
        let path = self.folder.join(COMMANDS);
        let text = if self.is_new {
            cast::fill(&stage)?;
            let text = commands::text(&stage);
            // The last of all: with it, the folder is whole.
            write_new(&path, text.as_bytes())?;
            text
        } else {
            std::fs::read_to_string(&path).map_err(io_error(&path))?
        };
        Ok(format!("{WARNING}\n{text}"))
    }
}

/// Makes the folder and what the server needs to be made.
fn make(folder: &Path) -> Result<(), SetupError> {
    let private_folder = |path: &Path| {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path))
    };
    private_folder(folder)?;
    private(folder)?;
    write_new(&folder.join(MARKER), WARNING.as_bytes())?;
    for name in ["checkpoint", "root-keys", "credentials", "keys"] {
        private_folder(&folder.join(name))?;
    }
    // Kept for later starts: what was printed goes on to work.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = port.map_err(io_error(Path::new("127.0.0.1")))?.port();
    let at = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "# Made by dkmd --dev, to try things with.\ndata = \"{}\"\ncheckpoint = \"{}\"\nroot_keys = \"{}\"\n\
         tls = {{ listen = \"127.0.0.1:{port}\", names = [\"localhost\", \"127.0.0.1\"] }}\n\
         unix = {{ socket = \"{}\" }}\n",
        at("data"),
        at("checkpoint/last"),
        at("root-keys"),
        at("socket"),
    );
    write_new(&folder.join(CONFIG), config.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mine = folder.path().join("mine");
        std::fs::write(&mine, "precious").unwrap();
        let refused = Dev::prepare(Some(folder.path())).unwrap_err();
        assert!(matches!(refused, SetupError::Dev(DevError::Taken(_))), "{refused}");
        assert!(refused.advice().unwrap().contains("--folder"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        std::fs::write(folder.path().join(MARKER), "").unwrap();
        let refused = Dev::prepare(Some(folder.path())).unwrap_err();
        assert!(matches!(refused, SetupError::Dev(DevError::BrokenOff(_))), "{refused}");
        assert_eq!(std::fs::read_to_string(&mine).unwrap(), "precious");

        for odd in ["a b", "a'b", "a?b", "a&b", "a\nb", "a\"b", "ä"] {
            let refused = Dev::prepare(Some(&folder.path().join(odd))).unwrap_err();
            assert!(matches!(refused, SetupError::Dev(DevError::Path(_))), "{odd}");
        }
    }
}
