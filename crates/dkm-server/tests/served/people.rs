//! Alice, who is let in by Bob.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};
use dkm::blocking::{Client, NewGroup, Options};
use dkm::repository::GroupAccess;
use dkm::root_key::FileRootKeys;
use dkm_core::policy::{Policy, Wrap};
use dkm_core::record::{ApprovalLevel, ElevationRules, Person, RosterRecord};
use dkm_core::{Context, GroupId, RequestId};
use dkm_lockbox::{Decision, Event, Record, statement};
use dkm_remote::wire::elevation::{NewAnswer, NewRequest, OpenBlob, RequestView, ScopeView};
use dkm_remote::{ElevationError, Elevations};

use crate::daemon::Daemon;

const HOUR_MS: u64 = 3_600_000;

/// Both, and a group with their roster.
pub(crate) struct People {
    pub(crate) group: GroupId,
    alice: Elevations,
    bob: Elevations,
    key: PathBuf,
    /// What the server opens under a grant: [`SECRET`].
    blob: Vec<u8>,
}

/// What must not be found where nothing may leave.
pub(crate) const SECRET: &str = "the password of a mailbox";

/// What a request has come to, in the order in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Asked,
    Approved,
    Active,
    Revoked,
}

impl Stage {
    fn of(view: &RequestView) -> Self {
        match view.status.as_str() {
            "pending" => Self::Asked,
            "approved" => Self::Approved,
            "active" => Self::Active,
            "revoked" => Self::Revoked,
            other => panic!("{other}: {}", view.status_text),
        }
    }
}

fn id(view: &RequestView) -> RequestId {
    view.request.parse().unwrap()
}

impl People {
    /// `founder` is an account that has enrolled.
    pub(crate) fn new(daemon: &Daemon, founder: &str) -> Self {
        let key = daemon.path("bob.key");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "bob", "-f"]).arg(&key);
        assert!(make.status().unwrap().success());
        let line = std::fs::read_to_string(key.with_extension("key.pub")).unwrap();
        let line = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let [alice, bob] = ["person:alice", "person:bob"].map(|name| Elevations::of(daemon.enrolled(name)));
        let roots = Arc::new(FileRootKeys::new(daemon.path("root-keys")));
        let options = Options { background: false, ..Options::default() };
        let client = Client::new(Arc::new(daemon.open(&daemon.url(founder))), roots, options).unwrap();
        let new = NewGroup {
            name: "mail".to_owned(),
            description: None,
            policy: Policy { wrap: Wrap::None, ..Policy::for_directory() },
            access: GroupAccess {
                readers: vec![founder.to_owned(), "service:dkmd".to_owned()],
                creators: vec![founder.to_owned()],
                owners: vec![founder.to_owned()],
                ..GroupAccess::default()
            },
        };
        let group = client.create_group_with_roster(new, roster(&line)).unwrap();
        let blob = group.protect(&Context::new().with("a", "b").unwrap(), SECRET.as_bytes()).unwrap();
        Self { group: group.id(), alice, bob, key, blob }
    }

    /// Asks for access, has it approved, and begins to use it.
    pub(crate) fn grant(&self) -> Result<RequestId, ElevationError> {
        let asked = self.ask(1_000)?;
        self.bob.answer(id(&asked), &self.approval(&asked))?;
        self.alice.activate(id(&asked))?;
        Ok(id(&asked))
    }

    /// The body of a request that has the server open the blob.
    pub(crate) fn opening(&self) -> String {
        let open = OpenBlob {
            context: [("a".into(), "b".into())].into(),
            blob: BASE64_STANDARD.encode(&self.blob),
            known_size: None,
        };
        serde_json::to_string(&open).unwrap()
    }

    /// Asks for blobs to be opened.
    pub(crate) fn ask(&self, count_max: u64) -> Result<RequestView, ElevationError> {
        let scope = ScopeView {
            blobs: Vec::new(),
            context: [("a".into(), "b".into())].into(),
            count_max,
            bytes_max: count_max * SECRET.len() as u64,
        };
        self.alice.ask(
            self.group,
            &NewRequest {
                reason: "to see that nothing is lost".to_owned(),
                ticket: String::new(),
                scope: Some(scope),
                break_glass: false,
                duration_s: 600,
            },
        )
    }

    /// One request on its whole way; `told` hears of every step that the server has acknowledged. What another way has left
    /// open because an answer was lost is ended first.
    pub(crate) fn way(&self, told: &mut dyn FnMut(RequestId, Stage)) -> Result<(), ElevationError> {
        for view in self.alice.list(self.group)? {
            if Stage::of(&view) < Stage::Revoked {
                told(id(&view), Stage::of(&self.alice.revoke(id(&view))?));
            }
        }
        let asked = self.ask(1)?;
        let request = id(&asked);
        told(request, Stage::of(&asked));
        told(request, Stage::of(&self.bob.answer(request, &self.approval(&asked))?));
        told(request, Stage::of(&self.alice.activate(request)?));
        told(request, Stage::of(&self.alice.revoke(request)?));
        Ok(())
    }

    /// How far a request is.
    pub(crate) fn stage(&self, request: RequestId) -> Stage {
        Stage::of(&self.alice.show(request).unwrap())
    }

    fn approval(&self, view: &RequestView) -> NewAnswer {
        let first = BASE64_STANDARD.decode(&view.records[0]).unwrap();
        let Event::Requested { request, .. } = Record::decode(&first).unwrap().event else {
            panic!("no request")
        };
        let text = statement(&request, Decision::Approve, "manager", "bob");
        NewAnswer {
            approver: "bob".to_owned(),
            level: "manager".to_owned(),
            approve: true,
            signature: sign(&self.key, &text),
        }
    }
}

fn sign(key: &Path, message: &str) -> String {
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-Y", "sign", "-n", dkm_lockbox::NAMESPACE, "-f"]).arg(key);
    sign.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = sign.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), message.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn roster(key: &str) -> RosterRecord {
    let person = |id: &str, keys: Vec<String>| Person {
        id: id.to_owned(),
        keys,
        accounts: vec![format!("person:{id}")],
    };
    RosterRecord {
        version: 1,
        previous: vec![],
        created_at_ms: 1,
        persons: vec![person("alice", vec![]), person("bob", vec![key.to_owned()])],
        levels: vec![ApprovalLevel {
            name: "manager".to_owned(),
            approvers: vec!["bob".to_owned()],
            quorum: 1,
        }],
        change_delay_ms: HOUR_MS,
        signatures: vec![],
        elevation: Some(ElevationRules {
            duration_max_ms: HOUR_MS,
            untouched_ms: HOUR_MS,
            activation_window_ms: HOUR_MS,
            revokers: vec![],
            direct: None,
            break_glass: None,
        }),
    }
}
