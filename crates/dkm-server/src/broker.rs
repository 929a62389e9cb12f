//! Opens blobs for those who were granted it: the only place where the server itself uses keys, and only those of groups
//! that name it ([`ACCOUNT`]) among their readers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dkm::blocking::{Client, Group, Options};
use dkm::repository::{AccessLine, Entry, GroupAccess, Put, Replica, Repository, RepositoryError, Stored};
use dkm::root_key::FileRootKeys;
use dkm::{ErrorKind, Plaintext};
use dkm_core::member::Rights;
use dkm_core::record::{PublicPart, Record, public_part};
use dkm_core::{
    Attestation, Context, GroupId, Principal, ReplicaId, RepositoryId, Room, SlotName, Timestamp,
};

use crate::account::Account;
use crate::problem::Problem;
use crate::server::{Server, now};
use crate::store::{Store, records};

/// The server's own account: a group whose blobs it shall open for people has it among its readers.
pub const ACCOUNT: &str = "service:dkmd";

/// The server as a member of groups.
#[derive(Debug)]
pub struct Broker {
    client: Client,
    groups: Mutex<BTreeMap<GroupId, Group>>,
}

impl Broker {
    /// A member that reads the server's own repository.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(server: &Arc<Server>, root_keys: &Path) -> Result<Self, Problem> {
        let own = Own { server: Arc::downgrade(server), store: Arc::clone(server.store()) };
        let roots = Arc::new(FileRootKeys::new(root_keys.to_owned()));
        let options = Options { background: false, ..Options::default() };
        let client = Client::new(Arc::new(own), roots, options)
            .map_err(|error| Problem::unavailable(error.to_string()))?;
        Ok(Self { client, groups: Mutex::default() })
    }

    /// Opens a blob. Waits for the database.
    ///
    /// # Errors
    /// The server is no member of the group; the blob is none of the group's, is damaged, or has another context.
    pub fn unprotect(&self, group: GroupId, context: &Context, blob: &[u8]) -> Result<Plaintext, Problem> {
        let known = self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(&group).cloned();
        let told = |error: dkm::Error| {
            let text = error.to_string();
            match error.kind() {
                ErrorKind::Denied => Problem::denied(format!(
                    "{ACCOUNT} opens nothing of group {group}: {text}"
                ))
                .advice(format!(
                    "name {ACCOUNT} among the group's readers, if blobs of it shall be opened here"
                )),
                ErrorKind::NotFound => Problem::not_found(text),
                ErrorKind::Usage | ErrorKind::Corrupt | ErrorKind::Refused => Problem::invalid(text),
                _ => Problem::unavailable(text),
            }
        };
        let handle = match known {
            Some(handle) => handle,
            None => {
                let handle = self.client.group(&group.to_string()).map_err(told)?;
                let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
                groups.entry(group).or_insert(handle).clone()
            }
        };
        // Whether the server is still a member is asked each time: keys in its memory are no right.
        handle.refresh().map_err(told)?;
        handle.unprotect(context, blob).map_err(told)
    }
}

/// The server's own repository, read by the server itself without a network.
struct Own {
    server: Weak<Server>,
    store: Arc<Store>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Own")
    }
}

const URL: &str = "this server";

fn denied(what: impl Into<String>) -> RepositoryError {
    RepositoryError::Denied { location: URL.to_owned(), what: what.into() }
}

fn unavailable(why: impl std::fmt::Display) -> RepositoryError {
    RepositoryError::Unavailable { location: URL.to_owned(), why: why.to_string() }
}

impl Own {
    fn catalog(&self) -> Result<Arc<crate::catalog::Catalog>, RepositoryError> {
        let server = self.server.upgrade().ok_or_else(|| unavailable("it ends"))?;
        server.catalog().map_err(unavailable)
    }
}

impl Repository for Own {
    fn url(&self) -> String {
        URL.to_owned()
    }

    fn replicas(&self) -> usize {
        1
    }

    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        if replica != 0 {
            return Err(unavailable("there is no such replica"));
        }
        let own = Self { server: Weak::clone(&self.server), store: Arc::clone(&self.store) };
        let account = ACCOUNT.parse().map_err(unavailable)?;
        Ok(Box::new(OwnReplica { own, account }))
    }
}

#[derive(Debug)]
struct OwnReplica {
    own: Own,
    account: Account,
}

impl OwnReplica {
    fn read(&self, group: GroupId) -> Result<crate::catalog::Rights, RepositoryError> {
        let catalog = self.own.catalog()?;
        if !catalog.principals.get(&self.account).is_some_and(|principal| principal.enabled) {
            return Err(denied(format!("group {group}")));
        }
        let groups = catalog.groups_of(&self.account);
        match catalog.rights(group, &self.account, &groups) {
            Some(rights) if rights.read => Ok(rights),
            Some(_) => Err(denied(format!("group {group}"))),
            None => {
                Err(RepositoryError::NotFound { location: URL.to_owned(), what: format!("group {group}") })
            }
        }
    }
}

impl Replica for OwnReplica {
    fn repository(&self) -> RepositoryId {
        self.own.store.identity().repository
    }

    fn id(&self) -> ReplicaId {
        self.own.store.identity().replica
    }

    fn clock(&mut self) -> Result<Option<Timestamp>, RepositoryError> {
        Ok(Some(now()))
    }

    fn groups(&mut self) -> Result<Vec<GroupId>, RepositoryError> {
        let catalog = self.own.catalog()?;
        let announced = catalog.groups.iter().filter(|(_, access)| access.announced).map(|(group, _)| *group);
        Ok(announced.filter(|group| self.read(*group).is_ok()).collect())
    }

    fn rights(&mut self, group: GroupId) -> Result<Rights, RepositoryError> {
        self.read(group)?;
        // It opens what there is, and makes nothing.
        Ok(Rights { read: true, create: false, own: false })
    }

    fn list(&mut self, group: GroupId, room: Room) -> Result<Vec<Entry>, RepositoryError> {
        self.read(group)?;
        let listed = self.own.store.read(|c| records::list(c, group, room, 0)).map_err(unavailable)?;
        let entry = |listed: records::Listed| {
            let name = listed.slot.parse().map_err(unavailable)?;
            Ok(Entry { name, stamp: listed.stamp.to_vec() })
        };
        listed.into_iter().map(entry).collect()
    }

    fn get(&mut self, group: GroupId, room: Room, entry: &Entry) -> Result<Stored, RepositoryError> {
        self.read(group)?;
        let gone =
            || RepositoryError::NotFound { location: URL.to_owned(), what: format!("record {}", entry.name) };
        let read = self.own.store.read(|c| records::get(c, group, room, &entry.name, &entry.stamp));
        let record = read.map_err(unavailable)?.ok_or_else(gone)?;
        let is_key = room == Room::Keys && public_part(&record.bytes).is_some();
        Ok(Stored {
            attested: Attestation {
                creator: Principal(record.creator),
                created: Timestamp(record.created_ms),
                template_ok: true,
            },
            // The server cuts it out of the record itself.
            public: if is_key { PublicPart::Agrees } else { PublicPart::NotKept },
            bytes: record.bytes,
        })
    }

    fn put(
        &mut self,
        group: GroupId,
        room: Room,
        _: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError> {
        let what = Record::decode(bytes).map_or("a record", |(_, record)| record.kind_name());
        Err(denied(format!("adding {what} to {room} of group {group}")))
    }

    fn shred(&mut self, group: GroupId, entry: &Entry) -> Result<(), RepositoryError> {
        Err(denied(format!("erasing {} of group {group}", entry.name)))
    }

    fn create_group(&mut self, group: GroupId, _: &GroupAccess) -> Result<(), RepositoryError> {
        Err(denied(format!("making group {group}")))
    }

    fn announce_group(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        Err(denied(format!("announcing group {group}")))
    }

    fn describe_access(&mut self, group: GroupId) -> Result<Vec<AccessLine>, RepositoryError> {
        self.read(group)?;
        Ok(Vec::new())
    }
}
