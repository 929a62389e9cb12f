//! The configuration file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use dkm_core::GroupId;
use serde::{Deserialize, Deserializer};

/// Everything that can be configured. docs/dkmd.md shows it with its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the database, the audit log and the authority. Only the server's account may enter it.
    pub data: PathBuf,
    /// File that keeps the audit log's last checkpoint: on another disk, if it shall tell of a data folder put back.
    pub checkpoint: PathBuf,
    /// Mutual TLS.
    pub tls: Option<Tls>,
    /// A Unix socket.
    pub unix: Option<Unix>,
    /// Where its figures can be read; nowhere if not given.
    pub metrics: Option<Metrics>,
    /// Folder of root keys of groups whose blobs the server opens for people.
    #[serde(default = "root_keys")]
    pub root_keys: PathBuf,
    /// Where traces are sent; nowhere if not given.
    pub telemetry: Option<Telemetry>,
    /// A domain to whose groups people are let in, too.
    pub directory: Option<Directory>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Certificates of principals.
    #[serde(default)]
    pub certificates: Certificates,
}

fn root_keys() -> PathBuf {
    PathBuf::from("/etc/dkm/root-keys")
}

/// Where mutual TLS is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Address and port.
    pub listen: SocketAddr,
    /// DNS names and addresses under which clients reach it.
    pub names: Vec<String>,
}

/// Where a Unix socket lies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unix {
    /// The socket. Everybody may connect who may enter its folder: the kernel tells who it is.
    pub socket: PathBuf,
}

/// Where the server's figures can be read (`/metrics`), over plain HTTP and by everybody who reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Address and port.
    pub listen: SocketAddr,
}

/// A collector of OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// URL that takes traces (OTLP over HTTP, protobuf), such as `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// File of the authorities that vouch for it, in PEM, for `https`; the system's if not given.
    pub ca: Option<PathBuf>,
    /// Of a thousand requests, how many are traced.
    #[serde(default = "all")]
    pub sampled_permille: u16,
}

const fn all() -> u16 {
    1000
}

/// A repository in Active Directory, to whose groups people are let in by requests at this server. The server comes as whom
/// Kerberos says (`KRB5_CLIENT_KTNAME`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Its URL, such as `ad://example.com`.
    pub repository: String,
    /// Accounts by which the server opens blobs for people, one for each group.
    #[serde(default)]
    pub brokers: Vec<DirectoryBroker>,
    /// Accounts of the domain that sign in here by Kerberos; none if not given.
    pub accounts: Option<DirectoryAccounts>,
}

/// Who of a domain signs in, and as what. Groups are given by their name, `DOMAIN\\name`, distinguished name or SID.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryAccounts {
    /// Keytab with the key of `HTTP/<host>`.
    pub keytab: PathBuf,
    /// The host in that name; the first of `tls.names` if not given.
    pub host: Option<String>,
    /// Group whose members sign in.
    pub sign_in: String,
    /// Groups whose members are service accounts. Everybody else is a person.
    #[serde(default)]
    pub services: Vec<String>,
    /// Group whose members administer principals and directory groups; people only.
    pub administrators: Option<String>,
    /// Group whose members read the audit log.
    pub auditors: Option<String>,
    /// Whether tickets must be bound to their TLS connection.
    #[serde(default)]
    pub channel_binding: ChannelBinding,
    /// How long what was read of an account is believed, in seconds.
    #[serde(default = "cache_s")]
    pub cache_s: u64,
}

const fn cache_s() -> u64 {
    60
}

/// Whether tickets must be bound to their TLS connection (RFC 5929). One that is bound to another is never taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelBinding {
    /// They must.
    #[default]
    Required,
    /// Tickets without a binding are taken: of programs that send none.
    IfSent,
}

/// An account that is a member of one group of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryBroker {
    /// The group's id.
    #[serde(deserialize_with = "group_id")]
    pub group: GroupId,
    /// The account's Kerberos principal, whose key is in the server's client keytab.
    pub principal: String,
}

fn group_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is no group's id")))
}

/// Bounds on what callers can make the server do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections in all.
    pub connections: usize,
    /// Requests a second of one account.
    pub requests_per_second: NonZeroU32,
    /// How long a request may take, in seconds.
    pub request_s: u64,
    /// How long a connection may take for its handshake or a request's head, or be idle, in seconds.
    pub idle_s: u64,
    /// How long requests may go on once the server is told to stop, in seconds.
    pub shutdown_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests_per_second: const { NonZeroU32::new(10_000).unwrap() },
            request_s: 30,
            idle_s: 60,
            shutdown_s: 20,
        }
    }
}

/// Certificates of principals.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// How long one lasts, in hours. Clients renew theirs at half of it.
    pub life_h: u64,
    /// How long a token for an enrolment lasts, in hours.
    pub token_h: u64,
}

impl Default for Certificates {
    fn default() -> Self {
        Self { life_h: 24, token_h: 24 }
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration {} can't be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something that is not understood.
    #[error("the configuration {} is not understood: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What, and where.
        why: String,
    },
    /// A value can't be.
    #[error("the configuration's {field} {why}")]
    Value {
        /// Which.
        field: &'static str,
        /// Why.
        why: &'static str,
    },
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_owned(), why: error.to_string() })?;
        config.check()?;
        Ok(config)
    }

    /// Checks what one field alone does not show.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let error = |field, why| Err(ConfigError::Value { field, why });
        if self.tls.is_none() && self.unix.is_none() {
            return error("tls and unix", "are both missing: nobody could connect");
        }
        if self.tls.as_ref().is_some_and(|tls| tls.names.is_empty()) {
            return error("tls.names", "is empty: no client would know the server");
        }
        if self.checkpoint.starts_with(&self.data) {
            let why = "lies in the data folder: whoever puts back an older folder would put it back, too";
            return error("checkpoint", why);
        }
        if let Some(telemetry) = &self.telemetry {
            let is_http = ["http://", "https://"].iter().any(|scheme| telemetry.endpoint.starts_with(scheme));
            if !is_http || telemetry.sampled_permille > 1000 {
                let why = "wants an endpoint of http:// or https://, and of 1000 requests at most 1000";
                return error("telemetry", why);
            }
        }
        if let Some(directory) = &self.directory {
            if !directory.repository.starts_with("ad://") {
                return error(
                    "directory.repository",
                    "is no URL of a repository in Active Directory (ad://…)",
                );
            }
            let groups: BTreeSet<_> = directory.brokers.iter().map(|broker| broker.group).collect();
            if groups.len() < directory.brokers.len() {
                return error("directory.brokers", "name a group twice");
            }
            if let Some(accounts) = &directory.accounts {
                if self.tls.is_none() {
                    return error("directory.accounts", "sign in over TLS only, and tls is missing");
                }
                if !accounts.keytab.is_absolute() {
                    return error("directory.accounts.keytab", "is no absolute path");
                }
                if !(10..=3600).contains(&accounts.cache_s) {
                    return error("directory.accounts.cache_s", "is not 10 seconds to an hour");
                }
            }
        }
        if !(1..=24 * 365).contains(&self.certificates.life_h)
            || !(1..=24 * 30).contains(&self.certificates.token_h)
        {
            return error("certificates", "last 1 hour to a year, and tokens 1 hour to 30 days");
        }
        let Limits { connections, request_s, idle_s, shutdown_s, .. } = self.limits;
        if !(1..=100_000).contains(&connections)
            || [request_s, idle_s].contains(&0)
            || request_s > 3600
            || idle_s > 3600
            || shutdown_s > 3600
        {
            return error("limits", "are 1 to 100000 connections, and 1 second to an hour");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        data = "/var/lib/dkmd"
        checkpoint = "/var/lib/dkmd-checkpoint/last"
        tls = { listen = "0.0.0.0:7443", names = ["dkm.example.org"] }
        unix = { socket = "/run/dkmd/socket" }
    "#;

    fn parsed(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn what_is_left_out_has_defaults_and_what_is_not_understood_is_named() {
        let config = parsed(GOOD).unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.certificates.life_h, 24);
        assert!(parsed(&format!("{GOOD}\n[limits]\nconections = 5")).unwrap_err().contains("conections"));
        for (from, to, what) in [
            ("/var/lib/dkmd-checkpoint/last", "/var/lib/dkmd/last", "checkpoint"),
            ("[\"dkm.example.org\"]", "[]", "tls.names"),
            ("0.0.0.0:7443", "nowhere", "listen"),
        ] {
            assert!(parsed(&GOOD.replace(from, to)).unwrap_err().contains(what), "{to}");
        }
        assert!(parsed(&format!("{GOOD}\n[certificates]\nlife_h = 0")).unwrap_err().contains("certificates"));
        for odd in ["endpoint = \"grpc://x\"", "endpoint = \"http://x\"\nsampled_permille = 1001"] {
            assert!(parsed(&format!("{GOOD}\n[telemetry]\n{odd}")).unwrap_err().contains("telemetry"));
        }
        assert!(parsed(&format!("{GOOD}\n[limits]\nidle_s = 0")).unwrap_err().contains("limits"));
        let broker =
            "[[directory.brokers]]\ngroup = \"0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a\"\nprincipal = \"x@X\"\n";
        let directory = format!("{GOOD}\n[directory]\nrepository = \"ad://example.com\"\n{broker}");
        assert_eq!(parsed(&directory).unwrap().directory.unwrap().brokers.len(), 1);
        let accounts = format!(
            "{directory}[directory.accounts]\nkeytab = \"/k\"\nsign_in = \"dkm-users\"\nservices = [\"dkm-services\"]\n"
        );
        let read = parsed(&accounts).unwrap().directory.unwrap().accounts.unwrap();
        assert_eq!((read.channel_binding, read.cache_s), (ChannelBinding::Required, 60));
        for (odd, what) in [
            (accounts.replace("/k", "k"), "keytab"),
            (accounts.replace("tls = ", "metrics = { listen = \"[::]:1\" }\n#"), "sign in over TLS only"),
            (format!("{accounts}cache_s = 9"), "cache_s"),
            (format!("{accounts}channel_binding = \"no\""), "required"),
            (accounts.replace("sign_in", "signin"), "signin"),
            (directory.replace("ad://", "dir:"), "directory.repository"),
            (format!("{directory}{broker}"), "directory.brokers"),
            (directory.replace("0a0a0a0a-0a0a", "x"), "no group's id"),
        ] {
            assert!(parsed(&odd).unwrap_err().contains(what), "{what}");
        }
    }
}
