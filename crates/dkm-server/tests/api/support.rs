//! A server with a folder of its own, and ways to ask it.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use dkm_audit::entry::Entry;
use dkm_audit::source::Source;
use dkm_audit::tile::{Tile, decode_bundle};
use dkm_server::broker::Broker;
use dkm_server::caller::Peer;
use dkm_server::config::{Certificates, Config, Limits, Unix};
use dkm_server::{Server, router, setup};
use serde_json::Value;
use tower::ServiceExt;

/// Unix accounts of the principals that [`Place::with_everybody`] makes.
pub(crate) const UIDS: &[(u32, &str)] = &[
    (2001, "service:reader"),
    (2002, "service:creator"),
    (2003, "service:owner"),
    (2004, "service:stranger"),
    (2005, "person:owner"),
    (2006, "person:auditor"),
    (2007, "person:nobody"),
    (2008, "person:admin"),
    (2009, "person:log-reader"),
];
/// Who administers the machine: an account that is no principal.
pub(crate) const ROOT: Peer = Peer::Uid(0);
pub(crate) const CREATOR: Peer = Peer::Uid(2002);
pub(crate) const READER: Peer = Peer::Uid(2001);
pub(crate) const STRANGER: Peer = Peer::Uid(2004);
pub(crate) const LOG_READER: Peer = Peer::Uid(2009);
pub(crate) const PERSON_OWNER: Peer = Peer::Uid(2005);

pub(crate) const GROUP: &str = "07070707-0707-0707-0707-070707070707";

pub(crate) struct Place {
    pub folder: tempfile::TempDir,
    pub config: Config,
    pub server: Arc<Server>,
}

pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}

pub(crate) fn config(folder: &std::path::Path) -> Config {
    std::fs::create_dir_all(folder.join("outside")).unwrap();
    Config {
        data: folder.join("data"),
        checkpoint: folder.join("outside/checkpoint"),
        tls: None,
        metrics: None,
        telemetry: None,
        directory: None,
        unix: Some(Unix { socket: folder.join("socket") }),
        root_keys: folder.join("root-keys"),
        limits: Limits::default(),
        certificates: Certificates::default(),
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        setup::init(&config).unwrap();
        Self::opened(folder, config)
    }

    pub(crate) fn opened(folder: tempfile::TempDir, config: Config) -> Self {
        let server = Arc::new(setup::open(&config).unwrap());
        server.set_broker(Broker::new(&server, &config.root_keys).unwrap());
        Self { folder, config, server }
    }

    /// With principals of every kind, and a group in which each has its role.
    pub(crate) async fn with_everybody() -> Self {
        let place = Self::new();
        for (uid, account) in UIDS {
            let kind = account.split(':').next().unwrap();
            let administrator = *account == "person:admin";
            let auditor = *account == "person:log-reader";
            let body = serde_json::json!({
                "kind": kind, "uids": [uid], "administrator": administrator, "auditor": auditor,
            });
            place.must(ROOT, Method::PUT, &format!("/v1/principals/{account}"), body).await;
        }
        let access = serde_json::json!({
            "readers": ["service:reader", "service:dkmd"], "creators": ["service:creator"],
            "owners": ["service:owner", "person:owner"], "auditors": ["person:auditor"],
        });
        place.must(CREATOR, Method::PUT, &format!("/v1/groups/{GROUP}"), access).await;
        place.must(CREATOR, Method::POST, &format!("/v1/groups/{GROUP}/announcement"), Value::Null).await;
        place
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.config.data.clone()
    }

    pub(crate) async fn ask(&self, who: Peer, method: Method, path: &str, body: Vec<u8>) -> Answer {
        let (status, kind, bytes) = self.bytes(who, method, path, body).await;
        let body = if kind.contains("json") { serde_json::from_slice(&bytes).unwrap() } else { Value::Null };
        Answer { status, body }
    }

    /// Status, media type and bytes of an answer.
    pub(crate) async fn bytes(
        &self,
        who: Peer,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> (StatusCode, String, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(who);
        let response = router(&self.server).oneshot(request).await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        (status, kind.unwrap_or_default(), bytes.to_vec())
    }

    pub(crate) async fn json(&self, who: Peer, method: Method, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.ask(who, method, path, body).await
    }

    pub(crate) async fn get(&self, who: Peer, path: &str) -> Answer {
        self.ask(who, Method::GET, path, Vec::new()).await
    }

    pub(crate) async fn must(&self, who: Peer, method: Method, path: &str, body: Value) -> Value {
        let answer = self.json(who, method, path, body).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// Adds a key's record, and returns its path with the stamp.
    pub(crate) async fn add_key(&self, slot: &str) -> String {
        let path = format!("/v1/groups/{GROUP}/rooms/keys");
        let answer = self.ask(CREATOR, Method::PUT, &format!("{path}/{slot}"), key_record(slot)).await;
        assert_eq!(answer.body["outcome"], "created", "{}", answer.body);
        let list = self.get(CREATOR, &path).await.body;
        let entries = list["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["slot"] == slot).unwrap();
        format!("{path}/{slot}?stamp={}", entry["stamp"].as_str().unwrap())
    }

    /// Every entry of the audit log.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let log = self.server.audit().log();
        let note = String::from_utf8(log.checkpoint().to_vec()).unwrap();
        let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        let mut entries = Vec::new();
        while (entries.len() as u64) < size {
            let tile = Tile::of(None, entries.len() as u64, size).unwrap();
            let bytes = log.source().read(&tile.path(), tile.len_max()).unwrap().unwrap();
            entries.extend(
                decode_bundle(&bytes).unwrap().into_iter().map(|entry| Entry::decode(entry).unwrap()),
            );
        }
        entries
    }
}

/// A key's record whose material is made of the slot's name.
pub(crate) fn key_record(slot: &str) -> Vec<u8> {
    use dkm_core::record::{Family, KeyRecord, Material, Origin, Record};
    let group = GROUP.parse().unwrap();
    let material = dkm_core::Digest::of(slot.as_bytes()).0;
    Record::Key(KeyRecord {
        id: dkm_core::kdf::key_id(group, Family::Native, &material),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1,
        activates_at_ms: 1,
        predecessor: None,
        attempt: 0,
        material: Material::Plain(zeroize::Zeroizing::new(material)),
        guid: None,
    })
    .encode(group)
}
