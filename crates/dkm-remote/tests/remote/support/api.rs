//! The API of `dkmd` over a repository in memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::repository::memory::MemoryRepository;
use dkm::repository::{Entry, GroupAccess, Put, Replica, Repository as _, RepositoryError};
use dkm_core::record::PublicPart;
use dkm_core::{Digest, GroupId, Room, SlotName};
use dkm_remote::wire;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Answer, Authority, Request};

/// How long certificates are given out for, in seconds.
pub(crate) const LIFE: i64 = 90 * 86_400;

pub(crate) struct Api {
    repository: MemoryRepository,
    number: usize,
    authority: Arc<Authority>,
    /// Tokens that can be used, with whom they are for.
    tokens: Mutex<BTreeSet<(String, String)>>,
}

fn json(status: u16, value: &impl Serialize) -> Answer {
    Answer::Json(status, serde_json::to_string(value).unwrap())
}

pub(crate) fn problem(status: u16, code: wire::Code, detail: &str) -> Answer {
    json(status, &wire::Problem { code, detail: detail.to_owned(), advice: None })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).filter_map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

fn room(text: &str) -> Room {
    Room::ALL.into_iter().find(|room| room.as_str() == text).unwrap()
}

fn failed(error: &RepositoryError) -> Answer {
    use wire::Code;
    let (status, code) = match error {
        RepositoryError::Denied { .. } => (403, Code::Denied),
        RepositoryError::NotFound { .. } => (404, Code::NotFound),
        RepositoryError::NotTombstoned { .. } => (409, Code::NotTombstoned),
        RepositoryError::Invalid(_) => (400, Code::Invalid),
        RepositoryError::NoSpace { .. } => (507, Code::NoSpace),
        RepositoryError::Unreadable { .. } => (500, Code::Unreadable),
        _ => (503, Code::Unavailable),
    };
    problem(status, code, &error.to_string())
}

impl Api {
    pub(crate) fn new(repository: MemoryRepository, number: usize, authority: Arc<Authority>) -> Self {
        Self { repository, number, authority, tokens: Mutex::default() }
    }

    /// Takes a token for an enrolment.
    pub(crate) fn with_token(self, token: &str, account: &str) -> Self {
        self.tokens.lock().unwrap().insert((token.to_owned(), account.to_owned()));
        self
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        if (request.method.as_str(), request.path.as_str()) == ("POST", "/v1/enrolment") {
            return self.enrol(request);
        }
        let Some(account) = &request.account else {
            return problem(401, wire::Code::Unauthenticated, "no certificate was shown");
        };
        if request.path == "/v1/renewal" {
            let asked: wire::Renewal = serde_json::from_slice(&request.body).unwrap();
            return self.certificate(account, &asked.request);
        }
        match self.repository.seen_by(account).connect(self.number) {
            Ok(mut replica) => {
                self.of_replica(request, account, replica.as_mut()).unwrap_or_else(|error| failed(&error))
            }
            Err(error) => failed(&error),
        }
    }

    fn enrol(&self, request: &Request) -> Answer {
        let asked: wire::Enrolment = serde_json::from_slice(&request.body).unwrap();
        let mut tokens = self.tokens.lock().unwrap();
        let found = tokens.iter().find(|(token, _)| *token == *asked.token).cloned();
        let Some(found) = found else {
            return problem(401, wire::Code::Unauthenticated, "the token is unknown, was used, or has ended");
        };
        tokens.remove(&found);
        self.certificate(&found.1, &asked.request)
    }

    fn certificate(&self, account: &str, request: &str) -> Answer {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let now = u64::try_from(now).unwrap();
        json(
            200,
            &wire::Certificate {
                account: account.to_owned(),
                certificate: self.authority.certify_request(account, request, LIFE),
                authority: self.authority.certificate.pem(),
                not_before_ms: now,
                not_after_ms: now + LIFE.unsigned_abs() * 1000,
            },
        )
    }

    fn of_replica(
        &self,
        request: &Request,
        account: &str,
        replica: &mut dyn Replica,
    ) -> Result<Answer, RepositoryError> {
        let segments: Vec<&str> = request.path.split('/').skip(2).collect();
        let query = |name: &str| {
            request.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
        };
        let group = |text: &str| text.parse::<GroupId>().unwrap();
        let entry = |slot: &str| Entry {
            name: slot.parse().unwrap(),
            stamp: unhex(query("stamp").unwrap_or_default()),
        };
        let no_content = || Answer::Json(204, String::new());
        Ok(match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["repository"]) => json(
                200,
                &wire::RepositoryView {
                    repository: replica.repository().to_string(),
                    replica: replica.id().to_string(),
                    clock_ms: replica.clock()?.unwrap().0,
                    account: account.to_owned(),
                },
            ),
            ("GET", ["groups"]) => json(
                200,
                &wire::Groups { groups: replica.groups()?.iter().map(ToString::to_string).collect() },
            ),
            ("PUT", ["groups", id]) => {
                let wire::Access { readers, creators, owners, auditors } =
                    serde_json::from_slice(&request.body).unwrap();
                replica.create_group(
                    group(id),
                    &GroupAccess { readers, creators, owners, auditors, ..GroupAccess::default() },
                )?;
                json(201, &())
            }
            ("POST", ["groups", id, "announcement"]) => {
                replica.announce_group(group(id))?;
                no_content()
            }
            ("GET", ["groups", id, "rights"]) => {
                let rights = replica.rights(group(id))?;
                json(200, &wire::RightsView { read: rights.read, create: rights.create, own: rights.own })
            }
            ("GET", ["groups", id, "access"]) => {
                let lines = replica.describe_access(group(id))?.into_iter();
                let access = lines.map(|line| wire::AccessLine {
                    who: line.who,
                    may: line.may,
                    alarming: line.alarming,
                });
                json(200, &wire::AccessView { access: access.collect() })
            }
            ("GET", ["groups", id, "rooms", name]) => {
                listed(replica.list(group(id), room(name))?, query("since"))
            }
            ("GET", ["groups", id, "rooms", name, slot]) => {
                let stored = replica.get(group(id), room(name), &entry(slot))?;
                json(
                    200,
                    &wire::StoredView {
                        record: Zeroizing::new(STANDARD.encode(&*stored.bytes)),
                        public_only: stored.public == PublicPart::Alone,
                        creator: stored.attested.creator.0,
                        created_ms: stored.attested.created.0,
                    },
                )
            }
            ("PUT", ["groups", id, "rooms", name, slot]) => {
                let slot: SlotName = slot.parse().unwrap();
                let outcome = match replica.put(group(id), room(name), &slot, &request.body)? {
                    Put::Created => wire::PutOutcome::Created,
                    Put::Taken => wire::PutOutcome::Taken,
                    Put::Tombstoned => wire::PutOutcome::Tombstoned,
                };
                json(200, &wire::PutView { outcome })
            }
            ("DELETE", ["groups", id, "rooms", "keys", slot]) => {
                replica.shred(group(id), &entry(slot))?;
                no_content()
            }
            _ => problem(404, wire::Code::NotFound, "there is no such path"),
        })
    }
}

/// A list, with a mark that says what it holds; nothing where that is known.
fn listed(entries: Vec<Entry>, since: Option<&str>) -> Answer {
    let mut digest = Vec::new();
    for entry in &entries {
        digest.extend_from_slice(entry.name.as_str().as_bytes());
        digest.extend_from_slice(&entry.stamp);
    }
    let mark = Digest::of(&digest).to_string();
    let known = since == Some(mark.as_str());
    let shown = if known { Vec::new() } else { entries };
    let entry = |entry: Entry| wire::RoomEntry { slot: entry.name.to_string(), stamp: hex(&entry.stamp) };
    json(200, &wire::RoomView { whole: !known, entries: shown.into_iter().map(entry).collect(), mark })
}
