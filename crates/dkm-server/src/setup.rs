//! The server's folder: how it is made, opened, and put up with after a loss.
//!
//! ```text
//! dkmd.db            principals, access, records
//! audit/             the audit log, in the form of C2SP tlog-tiles
//! audit.key          its secret key
//! authority.pem      certificate of the certificate authority
//! authority.key      its secret key
//! context.key        under it, contexts stand in the audit log
//! replays            tickets that were shown, as the Kerberos library keeps them
//! ```

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dkm_audit::entry::{Actor, ContextKey, Phase, Reason};
use dkm_audit::store::FileAnchor;
use dkm_audit::{Log, LogKey};
use zeroize::Zeroizing;

use crate::actions::Action;
use crate::audit::{self, Audit, Mismatch};
use crate::authority::{Authority, AuthorityError};
use crate::config::{Config, ConfigError};
use crate::dev::DevError;
use crate::elevation::Boxes;
use crate::listen::ListenError;
use crate::server::{Parts, Server, now};
use crate::store::{FILE, Store, StoreError};
use crate::telemetry::TelemetryError;

const AUDIT: &str = "audit";
const AUDIT_KEY: &str = "audit.key";
const CONTEXT_KEY: &str = "context.key";
const AUTHORITY: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority.key";

/// File of the Kerberos library, of the tickets that were shown: none is taken twice, also after a restart.
const REPLAYS: &str = "replays";

/// What the Kerberos library is to be told by the environment, which it alone reads: the keytab by which tickets are taken,
/// and where it keeps those that it has seen. Nothing without accounts of a domain.
#[must_use]
pub fn environment(config: &Config) -> Vec<(&'static str, String)> {
    let accounts = config.directory.as_ref().and_then(|directory| directory.accounts.as_ref());
    let wanted = |accounts: &crate::config::DirectoryAccounts| {
        vec![
            ("KRB5_KTNAME", format!("FILE:{}", accounts.keytab.display())),
            ("KRB5RCACHENAME", format!("file2:{}", config.data.join(REPLAYS).display())),
        ]
    };
    accounts.map(wanted).unwrap_or_default()
}

/// Why a server can't be set up or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is what it wraps")]
pub enum SetupError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] dkm_audit::store::Error),
    #[error("the audit log's key: {0}")]
    AuditKey(#[from] dkm_audit::note::KeyError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the database can't be read: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file or folder of the server.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read or change what is secret.
    #[error("{} can be read or written by others (mode {mode:03o})", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The server can't be a member of its own groups.
    #[error("the server can't open blobs: {0}")]
    Broker(String),
    /// The domain of the configuration can't be used.
    #[error("the domain of the configuration: {0}")]
    Domain(String),
    /// The last checkpoint's folder is not there.
    #[error("the checkpoint {} has no folder", .0.display())]
    NoFolder(PathBuf),
}

impl SetupError {
    /// How to recover.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Store(StoreError::None(_)) => "make a server with dkmd init --config FILE".to_owned(),
            Self::Mismatch(Mismatch::Behind { .. } | Mismatch::Ahead { .. })
            | Self::Audit(dkm_audit::store::Error::Behind { .. } | dkm_audit::store::Error::Forked { .. }) => {
                "an older state was put back: revoked access could be in force again. Put back the newest data folder, \
                 or go on with what there is: dkmd recover --config FILE --reason TEXT, which is recorded"
                    .to_owned()
            }
            Self::Audit(error) => return error.advice().map(str::to_owned),
            Self::Dev(error) => return error.advice(),
            Self::Open { path, mode } => format!("chmod {:03o} {}", mode & 0o700, path.display()),
            Self::NoFolder(path) => {
                let folder = path.parent().unwrap_or(path);
                format!("make it, on another disk if you can: install -d -m 700 {}", folder.display())
            }
            _ => return None,
        })
    }
}

pub(crate) fn io_error(path: &Path) -> impl Fn(io::Error) -> SetupError + '_ {
    move |source| SetupError::Io { path: path.to_owned(), source }
}

/// Writes a file that is not there, for this account alone, durably.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), SetupError> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error(path))
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, SetupError> {
    private(path)?;
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(io_error(path))
}

fn read_context_key(path: &Path) -> Result<ContextKey, SetupError> {
    private(path)?;
    let bytes = std::fs::read(path).map(Zeroizing::new).map_err(io_error(path))?;
    let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| SetupError::Io {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "it does not hold 32 bytes"),
    })?;
    Ok(ContextKey::from_bytes(bytes))
}

/// Refuses what others can read or change.
pub(crate) fn private(path: &Path) -> Result<(), SetupError> {
    let mode = std::fs::metadata(path).map_err(io_error(path))?.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SetupError::Open { path: path.to_owned(), mode }) }
}

/// Makes a server's folder. What an attempt that was cut off has left is completed only by making it anew: the database
/// is made last, and with it there is a server.
///
/// # Errors
/// There is one already, or the folder can't be written.
pub fn init(config: &Config) -> Result<(), SetupError> {
    config.check()?;
    let data = &config.data;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(io_error(data))?;
    private(data)?;
    if data.join(FILE).exists() {
        return Err(StoreError::Exists(data.clone()).into());
    }
    if !config.checkpoint.parent().is_some_and(Path::is_dir) {
        return Err(SetupError::NoFolder(config.checkpoint.clone()));
    }
    // Of an attempt that was cut off: no client has seen any of it.
    for name in [AUDIT_KEY, CONTEXT_KEY, AUTHORITY, AUTHORITY_KEY] {
        remove(&data.join(name))?;
    }
    if data.join(AUDIT).exists() {
        std::fs::remove_dir_all(data.join(AUDIT)).map_err(io_error(data))?;
        remove(&config.checkpoint)?;
    }
    let mut id = [0u8; 8];
    getrandom::fill(&mut id).map_err(|_| StoreError::NoRandomness)?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = LogKey::generate(format!("dkm.log/{id}").parse()?)?;
    write_new(&data.join(AUDIT_KEY), key.to_text().as_bytes())?;
    write_new(&data.join(CONTEXT_KEY), ContextKey::generate()?.expose())?;
    let (authority, secret) = Authority::generate(&id, now())?;
    write_new(&data.join(AUTHORITY_KEY), secret.as_bytes())?;
    write_new(&data.join(AUTHORITY), authority.pem().as_bytes())?;
    let log = Log::create(&data.join(AUDIT), key, Box::new(FileAnchor::new(&config.checkpoint)))?;
    let made =
        audit::entry(now(), "dkmd", Action::Start.into(), Phase::Recorded, Some("the server was made"));
    log.append(&made)?;
    Store::create(data)?;
    Ok(())
}

fn remove(path: &Path) -> Result<(), SetupError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path)(error)),
        _ => Ok(()),
    }
}

/// Opens a server's folder.
///
/// # Errors
/// It can't be used; or an older database or log was put back.
pub fn open(config: &Config) -> Result<Server, SetupError> {
    open_as(config, None)
}

/// Opens a server's folder although an older database or log was put back, and records that, by whom and why. One that is
/// in order is opened as [`open`] does.
///
/// # Errors
/// It can't be used.
pub fn recover(config: &Config, by: &str, reason: &Reason) -> Result<Server, SetupError> {
    open_as(config, Some((by, reason)))
}

fn open_as(config: &Config, recovery: Option<(&str, &Reason)>) -> Result<Server, SetupError> {
    config.check()?;
    let data = &config.data;
    private(data).or_else(|error| if data.exists() { Err(error) } else { Ok(()) })?;
    let store = Store::open(data)?;
    let key = LogKey::from_text(read_secret(&data.join(AUDIT_KEY))?.trim_end())?;
    let anchor = Box::new(FileAnchor::new(&config.checkpoint));
    let secret = read_secret(&data.join(AUTHORITY_KEY))?;
    let authority = data.join(AUTHORITY);
    let authority = std::fs::read_to_string(&authority).map_err(io_error(&authority))?;
    let authority = Authority::from_pem(&authority, &secret)?;
    let context_key = read_context_key(&data.join(CONTEXT_KEY))?;
    let log = match recovery {
        Some((by, reason)) => {
            Log::recover(&data.join(AUDIT), key, anchor, (now(), Actor::lossy(by), reason.clone()))?
        }
        None => Log::open(&data.join(AUDIT), key, anchor)?,
    };
    let audit = Audit::new(log);
    let is_change =
        |action: &dkm_audit::entry::Action| Action::named(action.as_str()).is_some_and(Action::changes);
    let last = store.last_leaf()?;
    let boxes = audit.check(last, is_change).and_then(|()| Boxes::load(&store, &audit));
    let (store, elevation) = match (boxes, recovery) {
        (Ok(boxes), _) => (store, boxes),
        (Err(mismatch @ Mismatch::Unreadable(_)), _) | (Err(mismatch), None) => return Err(mismatch.into()),
        (Err(mismatch), Some((by, reason))) => {
            let detail = mismatch.to_string();
            let mut entry = audit::entry(now(), by, Action::Recover.into(), Phase::Recorded, Some(&detail));
            entry.reason = Some(reason.clone());
            let leaf = audit.log().append(&entry)?.index;
            store.recover(leaf)?;
            drop(store);
            let store = Store::open(data)?;
            let boxes = Boxes::load(&store, &audit)?;
            (store, boxes)
        }
    };
    let (limits, certificates) = (config.limits.clone(), config.certificates.clone());
    Ok(Server::new(Parts { store, audit, authority, context_key, elevation, limits, certificates })?)
}
