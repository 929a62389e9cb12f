//! Who is in the server that things are tried with: a service, people at two levels, and a group that they guard.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dkm::blocking::{Client, NewGroup, Options};
use dkm::repository::GroupAccess;
use dkm_core::record::{ApprovalLevel, BreakGlass, ElevationRules, Person, RosterRecord};
use dkm_core::{Context, Digest};
use dkm_remote::credentials::Credentials;
use dkm_remote::wire::{Kind, NewPrincipal};
use dkm_remote::{Directory, Endpoint, Limits, RemoteRepository, RemoteUrl, Trust};

use super::DevError;
use crate::broker;
use crate::server::now;
use crate::setup::{SetupError, write_new};

/// The group's name.
pub(super) const GROUP: &str = "demo";
/// A pair of the blob's context.
pub(super) const CONTEXT: (&str, &str) = ("customer", "4711");
/// The blob's file.
pub(super) const BLOB: &str = "letter.dkm";
/// The service that reads and makes keys.
pub(super) const SERVICE: &str = "demo";
/// Who asks.
pub(super) const REQUESTER: &str = "alice";
/// Who approves, and at which level.
pub(super) const APPROVERS: [(&str, &str); 2] = [("bob", "manager"), ("carol", "legal")];
/// Who reads the audit log.
pub(super) const AUDITOR: &str = "dora";

const LETTER: &[u8] = b"What a customer wrote, and nobody reads without a reason.\n";
const HOUR_MS: u64 = 3600 * 1000;

/// The server that is filled.
pub(super) struct Stage<'a> {
    pub(super) folder: &'a Path,
    pub(super) address: SocketAddr,
    pub(super) authority: Digest,
    pub(super) log_key: String,
}

impl Stage<'_> {
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The repository, as whom these credentials name.
    pub(super) fn url(&self, who: &str) -> String {
        format!(
            "https://{}?credentials={}&root-keys={}",
            self.address,
            self.at("credentials").join(who).display(),
            self.at("root-keys").display()
        )
    }

    /// The repository, as the account that this process runs under: its administrator.
    pub(super) fn socket(&self) -> String {
        format!("unix:{}", self.at("socket").display())
    }
}

/// Everybody who is no service.
fn people() -> impl Iterator<Item = &'static str> {
    [REQUESTER, AUDITOR].into_iter().chain(APPROVERS.map(|(name, _)| name))
}

fn step<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> DevError {
    move |error| DevError::Step { what, why: error.to_string() }
}

/// Whether there is something that makes keys.
pub(super) fn need_keygen() -> Result<(), DevError> {
    // What it says without arguments is how it is used.
    let found = Command::new("ssh-keygen")
        .arg("-?")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.map(drop).map_err(|error| DevError::Keygen(error.to_string()))
}

/// Makes an SSH key, and returns the line of its public part.
fn key_of(stage: &Stage<'_>, name: &str) -> Result<String, DevError> {
    let path = stage.at("keys").join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| DevError::Keygen(error.to_string()))?;
    if !made.status.success() {
        return Err(DevError::Keygen(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
    }
    let line = std::fs::read_to_string(path.with_extension("pub"));
    let line = line.map_err(|error| DevError::Keygen(error.to_string()))?;
    Ok(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Makes an account and its credentials.
fn enrol(stage: &Stage<'_>, directory: &Directory, (kind, name): (Kind, &str)) -> Result<(), DevError> {
    let account = format!("{}:{name}", crate::account::prefix(kind));
    let new = NewPrincipal { kind, uids: Vec::new(), administrator: false, auditor: name == AUDITOR };
    directory.add_principal(&account, &new).map_err(step("making an account"))?;
    let token = directory.token(&account).map_err(step("making a token"))?.token;
    let endpoint = Endpoint::Host { name: stage.address.ip().to_string(), port: stage.address.port() };
    let credentials = Credentials::in_folder(stage.at("credentials").join(name));
    let trust = Trust::AuthorityDigest(stage.authority);
    dkm_remote::enrol(&endpoint, token, &credentials, &trust, false, Limits::default())
        .map_err(step("enrolling an account"))?;
    Ok(())
}

fn roster(stage: &Stage<'_>) -> Result<RosterRecord, DevError> {
    let mut persons = Vec::new();
    for name in [REQUESTER].into_iter().chain(APPROVERS.map(|(name, _)| name)) {
        let (keys, accounts) = (vec![key_of(stage, name)?], vec![format!("person:{name}")]);
        persons.push(Person { id: name.to_owned(), keys, accounts });
    }
    let level = |name: &str, approver: &str| ApprovalLevel {
        name: name.to_owned(),
        approvers: vec![approver.to_owned()],
        quorum: 1,
    };
    let [_, (lawyer, _)] = APPROVERS;
    Ok(RosterRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: now().0,
        persons,
        levels: APPROVERS.iter().map(|(approver, name)| level(name, approver)).collect(),
        change_delay_ms: 24 * HOUR_MS,
        signatures: Vec::new(),
        elevation: Some(ElevationRules {
            duration_max_ms: 8 * HOUR_MS,
            untouched_ms: 24 * HOUR_MS,
            activation_window_ms: 8 * HOUR_MS,
            revokers: vec![lawyer.to_owned()],
            direct: None,
            break_glass: Some(BreakGlass {
                levels: vec![level("on call", lawyer)],
                duration_max_ms: HOUR_MS,
                review_within_ms: 24 * HOUR_MS,
                direct: false,
            }),
        }),
    })
}

/// Makes everybody, the group, and a blob. Asks the server as everybody else does.
pub(super) fn fill(stage: &Stage<'_>) -> Result<(), SetupError> {
    let socket = RemoteUrl {
        endpoints: vec![Endpoint::Socket(stage.at("socket"))],
        credentials: stage.at("credentials"),
        kerberos: false,
        principal: None,
        ca: None,
        root_keys: None,
    };
    let directory = Directory::of(RemoteRepository::open(socket, Limits::default()));
    for who in people().map(|name| (Kind::Person, name)).chain([(Kind::Service, SERVICE)]) {
        enrol(stage, &directory, who)?;
    }
    let service = format!("service:{SERVICE}");
    let options = Options { background: false, ..Options::default() };
    let client: Client =
        dkm_remote::open(&stage.url(SERVICE), options).map_err(step("opening the repository"))?;
    let new = NewGroup {
        name: GROUP.to_owned(),
        description: Some("to try things with".to_owned()),
        policy: client.default_policy(),
        access: GroupAccess {
            readers: vec![service.clone(), broker::ACCOUNT.to_owned()],
            creators: vec![service.clone()],
            owners: vec![service],
            // They see the policy and roster that they approve under, and no key.
            auditors: people().map(|name| format!("person:{name}")).collect(),
            elevators: Vec::new(),
        },
    };
    let group = client.create_group_with_roster(new, roster(stage)?).map_err(step("making the group"))?;
    let (key, value) = CONTEXT;
    let context = Context::new().with(key, value).map_err(step("making a context"))?;
    let blob = group.protect(&context, LETTER).map_err(step("making a blob"))?;
    write_new(&stage.at(BLOB), &blob)
}
