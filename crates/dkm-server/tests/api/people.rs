//! People of a roster, with keys of `ssh-keygen`, and a group that they guard.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::http::Method;
use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_core::blob::{BlobKey, Header, PREFIX_LEN, blob_id};
use dkm_core::policy::{Policy, Wrap};
use dkm_core::record::{
    ApprovalLevel, BreakGlass, ElevationRules, Family, GroupRecord, KeyRecord, Material, Origin, Person,
    PolicyRecord, Record, RosterRecord,
};
use dkm_core::{Context, Digest, GroupId, Suite};
use dkm_lockbox::{Decision, statement};
use dkm_server::caller::Peer;
use serde_json::{Value, json};

use crate::support::{CREATOR, GROUP, Place, ROOT};

pub(crate) const ALICE: Peer = Peer::Uid(3001);
pub(crate) const BOB: Peer = Peer::Uid(3002);
pub(crate) const CAROL: Peer = Peer::Uid(3003);
pub(crate) const DAVE: Peer = Peer::Uid(3004);
/// A person whom the roster does not name.
pub(crate) const EVE: Peer = Peer::Uid(3005);
/// Alice's other account.
pub(crate) const ALICE_2: Peer = Peer::Uid(3006);

const PEOPLE: &[(u32, &str)] = &[
    (3001, "person:alice"),
    (3002, "person:bob"),
    (3003, "person:carol"),
    (3004, "person:dave"),
    (3005, "person:eve"),
    (3006, "person:alice-2"),
];

pub(crate) const HOUR_MS: u64 = 3_600_000;

fn key_file(folder: &Path, of: &str) -> PathBuf {
    let path = folder.join(format!("{of}.key"));
    if !path.exists() {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", of, "-f"])
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
    }
    path
}

fn public_key(folder: &Path, of: &str) -> String {
    let line = std::fs::read_to_string(key_file(folder, of).with_extension("key.pub")).unwrap();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Signs with the real `ssh-keygen`.
pub(crate) fn sign(folder: &Path, who: &str, namespace: &str, message: &str) -> String {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(key_file(folder, who))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), message.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn person(folder: &Path, id: &str, accounts: &[&str]) -> Person {
    Person {
        id: id.into(),
        keys: vec![public_key(folder, id)],
        accounts: accounts.iter().map(|account| (*account).to_owned()).collect(),
    }
}

fn level(name: &str, approvers: &[&str]) -> ApprovalLevel {
    ApprovalLevel {
        name: name.into(),
        approvers: approvers.iter().map(|id| (*id).to_owned()).collect(),
        quorum: 1,
    }
}

/// Bob or Alice as the manager, Carol of the legal department; Dave may end what was granted.
pub(crate) fn roster(folder: &Path) -> RosterRecord {
    RosterRecord {
        version: 1,
        previous: vec![],
        created_at_ms: 1,
        persons: vec![
            person(folder, "alice", &["person:alice", "person:alice-2"]),
            person(folder, "bob", &["person:bob"]),
            person(folder, "carol", &["person:carol"]),
            person(folder, "dave", &["person:dave"]),
        ],
        levels: vec![level("manager", &["alice", "bob"]), level("legal", &["carol"])],
        change_delay_ms: 24 * HOUR_MS,
        signatures: vec![],
        elevation: Some(ElevationRules {
            duration_max_ms: HOUR_MS,
            untouched_ms: HOUR_MS,
            activation_window_ms: HOUR_MS,
            revokers: vec!["dave".into()],
            direct: Some(vec![level("security", &["dave"])]),
            break_glass: Some(BreakGlass {
                levels: vec![level("on call", &["dave"])],
                duration_max_ms: HOUR_MS / 4,
                review_within_ms: HOUR_MS,
                direct: false,
            }),
        }),
    }
}

pub(crate) fn group() -> GroupId {
    GROUP.parse().unwrap()
}

const MATERIAL: [u8; 32] = [0x42; 32];

/// A group with a roster, a policy, a key, and the server among its readers.
pub(crate) struct Guarded {
    pub place: Arc<Place>,
}

impl Guarded {
    pub(crate) async fn new() -> Self {
        let place = Place::with_everybody().await;
        for (uid, account) in PEOPLE {
            let body = json!({ "kind": "person", "uids": [uid] });
            place.must(ROOT, Method::PUT, &format!("/v1/principals/{account}"), body).await;
        }
        let guarded = Self { place: Arc::new(place) };
        let roster = Record::Roster(roster(guarded.folder()));
        let pin = Digest::of(&roster.encode(group()));
        let named = Record::Group(GroupRecord {
            name: "mail".into(),
            created_at_ms: 1,
            repository: guarded.place.server.store().identity().repository,
            roster_genesis: Some(pin),
            description: None,
        });
        let policy = Record::Policy(PolicyRecord {
            version: 1,
            previous: vec![],
            created_at_ms: 1,
            policy: Policy { wrap: Wrap::None, ..Policy::for_directory() },
        });
        for record in [named, roster, policy] {
            assert_eq!(guarded.put(CREATOR, "control", &record).await["outcome"], "created");
        }
        let id = dkm_core::kdf::key_id(group(), Family::Native, &MATERIAL);
        let now = dkm_server::server::now().0;
        let key = Record::Key(KeyRecord {
            id,
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: now,
            activates_at_ms: now,
            predecessor: None,
            attempt: 0,
            material: Material::Plain(zeroize::Zeroizing::new(MATERIAL)),
            guid: None,
        });
        assert_eq!(guarded.put(CREATOR, "keys", &key).await["outcome"], "created");
        guarded
    }

    pub(crate) fn folder(&self) -> &Path {
        self.place.folder.path()
    }

    pub(crate) async fn put(&self, who: Peer, room: &str, record: &Record) -> Value {
        let slot = record.slot(group(), 0);
        let path = format!("/v1/groups/{GROUP}/rooms/{room}/{slot}");
        self.place.ask(who, Method::PUT, &path, record.encode(group())).await.body
    }

    /// A blob of the group, and its id.
    pub(crate) fn blob(&self, context: &[(&str, &str)], plaintext: &[u8]) -> (String, String) {
        let context =
            context.iter().fold(Context::new(), |context, (key, value)| context.with(key, value).unwrap());
        let blob = protect(&context, plaintext);
        let id = blob_id(blob.first_chunk::<PREFIX_LEN>().unwrap());
        (BASE64_STANDARD.encode(&blob), id.to_string())
    }

    pub(crate) async fn request(&self, who: Peer, body: Value) -> Value {
        self.place.must(who, Method::POST, &format!("/v1/groups/{GROUP}/requests"), body).await
    }

    pub(crate) async fn step(&self, who: Peer, request: &str, step: &str) -> crate::support::Answer {
        self.place.json(who, Method::POST, &format!("/v1/requests/{request}/{step}"), Value::Null).await
    }

    /// What an approver sends.
    pub(crate) async fn answer(
        &self,
        submitter: Peer,
        request: &str,
        (approver, level): (&str, &str),
        approve: bool,
    ) -> crate::support::Answer {
        let seen = self.place.get(submitter, &format!("/v1/requests/{request}")).await;
        let asked = asked(&seen.body);
        let decision = if approve { Decision::Approve } else { Decision::Deny };
        let text = statement(&asked, decision, level, approver);
        let signature = sign(self.folder(), approver, "dkm-approval", &text);
        let body =
            json!({ "approver": approver, "level": level, "approve": approve, "signature": signature });
        self.place.json(submitter, Method::POST, &format!("/v1/requests/{request}/answers"), body).await
    }

    /// A grant of Alice's over blobs with a context, approved and active; its request's id.
    pub(crate) async fn granted(&self, count_max: u64) -> String {
        let body = json!({
            "reason": "a customer can't read his mail", "ticket": "INC-1", "duration_s": 600,
            "scope": { "context": { "account": "17" }, "count_max": count_max, "bytes_max": 1000 },
        });
        let request = self.request(ALICE, body).await["request"].as_str().unwrap().to_owned();
        for (who, answer) in [(BOB, ("bob", "manager")), (CAROL, ("carol", "legal"))] {
            let answer = self.answer(who, &request, answer, true).await;
            assert!(answer.status.is_success(), "{}", answer.body);
        }
        let active = self.step(ALICE, &request, "activation").await;
        assert_eq!(active.body["status"], "active", "{}", active.body);
        request
    }

    pub(crate) async fn open(
        &self,
        who: Peer,
        request: &str,
        context: Value,
        blob: &str,
    ) -> crate::support::Answer {
        let body = json!({ "context": context, "blob": blob });
        self.place.json(who, Method::POST, &format!("/v1/requests/{request}/unprotect"), body).await
    }
}

/// A guarded group's server that was stopped.
pub(crate) struct Stopped {
    folder: tempfile::TempDir,
    config: dkm_server::Config,
}

impl Stopped {
    pub(crate) fn tamper(&self, sql: &str) {
        let database = rusqlite::Connection::open(self.config.data.join("dkmd.db")).unwrap();
        database.execute_batch(sql).unwrap();
    }

    /// Copies the data folder, as a backup does.
    pub(crate) fn back_up(&self) {
        copy(&self.config.data, &self.folder.path().join("backup"));
    }

    /// Puts the whole data folder back; the last checkpoint outside stays.
    pub(crate) fn restore(&self) {
        std::fs::remove_dir_all(&self.config.data).unwrap();
        copy(&self.folder.path().join("backup"), &self.config.data);
    }

    pub(crate) fn recover(&self) {
        let reason = "INC-3: the disk was lost".parse().unwrap();
        drop(dkm_server::setup::recover(&self.config, "uid:0", &reason).unwrap());
    }

    /// Whether it would start.
    pub(crate) fn try_start(&self) -> Result<(), dkm_server::setup::SetupError> {
        dkm_server::setup::open(&self.config).map(|_| ())
    }

    pub(crate) fn start(self) -> Guarded {
        let place = Place::opened(self.folder, self.config);
        Guarded { place: Arc::new(place) }
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

impl Guarded {
    pub(crate) fn stop(self) -> Stopped {
        let Place { folder, config, server } = Arc::try_unwrap(self.place).ok().unwrap();
        drop(Arc::try_unwrap(server).unwrap());
        Stopped { folder, config }
    }

    /// The server is a member of no group any more.
    pub(crate) async fn forget_the_server(&self) {
        self.place.must(ROOT, Method::DELETE, "/v1/principals/service:dkmd", Value::Null).await;
    }
}

/// The request as its first record says.
pub(crate) fn asked(view: &Value) -> dkm_lockbox::Request {
    let first = BASE64_STANDARD.decode(view["records"][0].as_str().unwrap()).unwrap();
    match dkm_lockbox::Record::decode(&first).unwrap().event {
        dkm_lockbox::Event::Requested { request, .. } => *request,
        other => panic!("{other:?}"),
    }
}

fn protect(context: &Context, plaintext: &[u8]) -> Vec<u8> {
    let key = BlobKey::new(group(), Family::Native, &MATERIAL);
    let id = dkm_core::kdf::key_id(group(), Family::Native, &MATERIAL);
    let mut salt = [0u8; 32];
    getrandom::fill(&mut salt).unwrap();
    let header = Header::new(Suite::default(), group(), id, salt, 64 << 10).unwrap();
    dkm_core::blob::seal(&key, &header, context, plaintext).unwrap()
}
