//! What a command works with: terminal, options, environment, configuration, and the library's client.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dkm::blocking::{Client, Group, Options};
#[cfg(feature = "active-directory")]
use dkm::journal::{Event, EventKind, Journal as _};
use dkm::{FolderEscrow, Location};
use dkm_remote::{Directory, Elevations, Limits, RemoteRepository};

use crate::cli::Global;
use crate::config::{self, Config};
use crate::failure::{Failure, Result};
use crate::recording::LazyJournal;
use crate::terminal::Terminal;
use crate::warning;

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) terminal: Terminal,
    global: Global,
    unhardened: Vec<String>,
    config: OnceCell<Config>,
}

impl Shell {
    pub(crate) fn new(global: Global, unhardened: Vec<String>) -> Self {
        let terminal = Terminal::new(global.json, global.quiet);
        Self { terminal, global, unhardened, config: OnceCell::new() }
    }

    fn config(&self) -> Result<&Config> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = match variable("DKM_CONFIG") {
            Some(path) => config::load(&path, true)?,
            None => folder("XDG_CONFIG_HOME", ".config")
                .map_or_else(|| Ok(Config::default()), |dir| config::load(&dir.join("config.toml"), false))?,
        };
        Ok(self.config.get_or_init(|| config))
    }

    /// The repository: option or environment, configuration, or the default.
    pub(crate) fn location(&self) -> Result<Location> {
        if let Some(url) = given(self.global.repository.as_ref()) {
            return Ok(url.parse::<Location>()?);
        }
        if let Some(url) = given(self.config()?.repository.as_ref()) {
            return url.parse::<Location>().map_err(|e| Failure::from(e).during("configuration file"));
        }
        let dir = folder("XDG_DATA_HOME", ".local/share").ok_or_else(|| {
            Failure::usage("no repository was named, and there is no home folder to look for one")
                .help("name it: --repository dir:/path, or DKM_REPOSITORY")
        })?;
        Ok(Location::directory(dir.join("repository")))
    }

    /// Folder of the root keys, where it was named.
    pub(crate) fn root_keys(&self) -> Result<Option<PathBuf>> {
        let configured = self.config()?.root_keys.clone();
        Ok(variable("DKM_ROOT_KEYS").or(configured))
    }

    /// The client of the repository that is meant.
    pub(crate) fn client(&self) -> Result<Client> {
        let location = self.location()?;
        // A URL that names them is the more exact word.
        let root_keys = match &location {
            Location::Directory { root_keys: Some(_), .. } => None,
            _ => self.root_keys()?,
        };
        let options = Options {
            identity: client_id(),
            background: false,
            journal: Some(Arc::new(LazyJournal::new(self.audit_log()?))),
            escrow: self.archive_folder()?.map(|folder| Arc::new(FolderEscrow::new(folder)) as Arc<_>),
            root_keys,
            ..Options::default()
        };
        self.unhardened.iter().for_each(|why| self.terminal.warn("memory", why, None));
        Ok(open(&location, options)?)
    }

    /// What the group is called that is meant: `named`, or else option, environment and configuration.
    pub(crate) fn group_name(&self, named: Option<&String>) -> Result<Option<String>> {
        let config = self.config()?;
        let named = given(named)
            .or_else(|| given(self.global.group.as_ref()))
            .or_else(|| given(config.group.as_ref()));
        Ok(named.cloned())
    }

    /// The group that is meant, as [`group_name`](Self::group_name) has it.
    pub(crate) fn group_of(&self, client: &Client, named: Option<&String>) -> Result<Group> {
        let Some(named) = self.group_name(named)? else {
            let names: Vec<String> = client.groups()?.into_iter().map(|group| group.name).collect();
            let there = match names.as_slice() {
                [] => "there is none yet: dkm group create NAME".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            };
            return Err(
                Failure::usage("no group was named").help(format!("--group NAME, or DKM_GROUP; {there}"))
            );
        };
        Ok(client.group(&named)?)
    }

    /// The id of the group that is meant, as [`group_name`](Self::group_name) has it. The group itself is not opened where
    /// its id or the list of groups tells enough: whoever keeps its access control need not read its keys.
    pub(crate) fn group_id(&self, named: Option<&String>) -> Result<dkm::GroupId> {
        let name = self.group_name(named)?;
        if let Some(id) = name.as_ref().and_then(|name| name.parse().ok()) {
            return Ok(id);
        }
        let client = self.client()?;
        let groups = client.groups()?;
        let mut those = groups.iter().filter(|group| Some(&group.name) == name.as_ref());
        match (those.next(), those.next()) {
            (Some(group), None) => Ok(group.id),
            // None or several: the words for that are elsewhere.
            _ => Ok(self.group_of(&client, named)?.id()),
        }
    }

    /// The repository in Active Directory that is meant.
    #[cfg(feature = "active-directory")]
    pub(crate) fn active_directory(&self, otherwise: &str) -> Result<dkm_ad::AdRepository> {
        let location = self.location()?;
        let Location::ActiveDirectory { url } = &location else {
            return Err(Failure::usage(format!("{location} is no repository in Active Directory"))
                .help(format!("name one: --repository ad://example.com{otherwise}")));
        };
        let url = url.parse().map_err(|error: dkm_ad::ParseAdUrlError| Failure::usage(error.to_string()))?;
        Ok(dkm_ad::AdRepository::open(url, None, dkm_ad::Limits::default()).map_err(dkm::Error::from)?)
    }

    /// The repository behind `dkmd` that is meant.
    pub(crate) fn remote(&self) -> Result<RemoteRepository> {
        let location = self.location()?;
        let Location::Remote { url } = &location else {
            return Err(Failure::usage(format!("{location} is no repository behind dkmd")).help(
                "name one: --repository https://keys.example.com, or unix:/path on the server's own machine",
            ));
        };
        let url = url
            .parse()
            .map_err(|error: dkm_remote::ParseRemoteUrlError| Failure::usage(error.to_string()))?;
        Ok(RemoteRepository::open(url, Limits::default()))
    }

    /// Requests for elevated access at the server of `dkmd` that is meant.
    pub(crate) fn elevations(&self) -> Result<Elevations> {
        self.remote().map(Elevations::of)
    }

    /// Whether a server of `dkmd` is meant.
    pub(crate) fn names_a_server(&self) -> Result<bool> {
        Ok(matches!(self.location()?, Location::Remote { .. }))
    }

    /// Whom the server of `dkmd` knows that is meant.
    pub(crate) fn directory(&self) -> Result<Directory> {
        self.remote().map(Directory::of)
    }

    /// Records what is about to be done to a group, durably: what can't be recorded is not done.
    #[cfg(feature = "active-directory")]
    pub(crate) fn record(
        &self,
        what: EventKind,
        group: dkm::GroupId,
        reason: &str,
        detail: String,
    ) -> Result<()> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let event = Event {
            what,
            group,
            key: None,
            blob: None,
            who: format!("uid:{}", rustix::process::geteuid().as_raw()),
            reason: Some(reason.to_owned()),
            detail: Some(detail),
            at: dkm::Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        };
        Ok(LazyJournal::new(self.audit_log()?).record(&event)?)
    }

    /// Whether a group is meant.
    pub(crate) fn names_a_group(&self) -> Result<bool> {
        let named = given(self.global.group.as_ref()).is_some();
        Ok(named || given(self.config()?.group.as_ref()).is_some())
    }

    /// The group that is meant.
    pub(crate) fn group(&self) -> Result<Group> {
        self.group_of(&self.client()?, None)
    }

    /// Tells what is wrong with a group. Done at the end: what a command puts right, or fails for, is not told twice.
    pub(crate) fn warn_about(&self, group: &Group) -> Result {
        warning::about(&self.terminal, &group.view()?);
        Ok(())
    }

    fn audit_log(&self) -> Result<Option<PathBuf>> {
        if let Some(path) = variable("DKM_AUDIT_LOG") {
            return Ok(Some(path));
        }
        let configured = self.config()?.audit_log.clone();
        Ok(configured.or_else(|| folder("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("audit.jsonl"))))
    }

    fn archive_folder(&self) -> Result<Option<PathBuf>> {
        let configured = self.config()?.archive_folder.clone();
        Ok(variable("DKM_ARCHIVE_FOLDER").or(configured))
    }
}

fn open(location: &Location, options: Options) -> dkm::Result<Client> {
    match location {
        #[cfg(feature = "active-directory")]
        Location::ActiveDirectory { url } => dkm_ad::open(url, options),
        Location::Remote { url } => dkm_remote::open(url, options),
        _ => Client::open(location, options),
    }
}

/// An empty option or variable is as good as none.
fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Our folder below an XDG base folder; the specification says that relative ones are ignored.
fn folder(variable_name: &str, below_home: impl AsRef<OsStr>) -> Option<PathBuf> {
    let base = variable(variable_name).filter(|path| path.is_absolute());
    let home =
        || variable("HOME").filter(|path| path.is_absolute()).map(|home| home.join(below_home.as_ref()));
    base.or_else(home).map(|base| base.join("dkm"))
}

/// Where this account keeps what it works with.
pub(crate) fn data_folder() -> Option<PathBuf> {
    folder("XDG_DATA_HOME", ".local/share")
}

/// Where this account's commands remember things.
pub(crate) fn state_folder() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state")
}

/// This account's stable random id: it names its luck in rollovers, so that short runs do not draw anew each time.
/// Without a place to keep it, each run has its own.
fn client_id() -> Option<[u8; 16]> {
    let path = folder("XDG_STATE_HOME", ".local/state")?.join("client-id");
    read_client_id(&path).or_else(|| make_client_id(&path)).or_else(|| read_client_id(&path))
}

fn read_client_id(path: &Path) -> Option<[u8; 16]> {
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse::<dkm_core::KeyId>().ok().map(|id| id.0)
}

fn make_client_id(path: &Path) -> Option<[u8; 16]> {
    let mut id = [0u8; 16];
    std::fs::File::open("/dev/urandom").ok()?.read_exact(&mut id).ok()?;
    make_private_folder(path.parent()?).ok()?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).ok()?;
    writeln!(file, "{}", dkm_core::KeyId(id)).ok()?;
    Some(id)
}

/// Makes a folder that only its owner may enter, where there is none.
pub(crate) fn make_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_client_id_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/dkm/client-id");
        let made = make_client_id(&path).unwrap();
        assert_eq!(read_client_id(&path), Some(made));
        assert_eq!(make_client_id(&path), None);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_client_id_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client-id");
        std::fs::write(&path, "xyz").unwrap();
        assert_eq!(read_client_id(&path), None);
    }
}
