//! The blocking client: two plain calls, and everything else that a group offers.

mod group;
mod upkeep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use group::Group;

use dkm_core::policy::Policy;
use dkm_core::record::{Record, RosterRecord};
use dkm_core::{GroupId, Principal, RepositoryId, Room, SlotName, Timestamp};

use crate::clock::{Clock, SystemClock};
use crate::engine::{Engine, Need, Parts};
use crate::journal::Journal;
use crate::off_thread::Threads;
use crate::repository::directory::DirectoryRepository;
use crate::repository::{GroupAccess, Listing, Replica, Repository, RepositoryError};
use crate::root_key::{FileRootKeys, RootKeyProvider};
use crate::secret::Vault;
use crate::{Error, Escrow, Location, Result};

/// How a client works. The default is that of a long-running service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sixteen random bytes that stay the same for this client: they decide when it makes a key that is due. None: new
    /// ones, which is right for a service; a command that is run often keeps its own.
    pub identity: Option<[u8; 16]>,
    /// Whether each group has a thread that refreshes it and makes keys that are due. Without one, calls do that
    /// when it is time.
    pub background: bool,
    /// Where releases and changes are recorded. None: they go to `tracing` only, under the target `dkm::audit`.
    pub journal: Option<Arc<dyn Journal>>,
    /// Where sealed copies of new keys go, if policy wants them archived before their use.
    pub escrow: Option<Arc<dyn Escrow>>,
    /// Folder of root keys, if not the one that the repository names.
    pub root_keys: Option<PathBuf>,
    /// The clock; tests give their own.
    #[doc(hidden)]
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: None,
            background: true,
            journal: None,
            escrow: None,
            root_keys: None,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

/// A client of one repository.
#[derive(Debug, Clone)]
pub struct Client {
    parts: Parts,
}

/// A group as [`Client::groups`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its id, which clients pin.
    pub id: GroupId,
    /// Its name, for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// When the repository took its record.
    pub created: Timestamp,
    /// Who made it, as the repository says.
    pub creator: Principal,
    /// The repository it was made for.
    pub repository: RepositoryId,
}

/// A group to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// 1 to 128 of `[a-z0-9._-]`.
    pub name: String,
    /// What it is for, up to 1 KiB.
    pub description: Option<String>,
    /// Its first policy.
    pub policy: Policy,
    /// Who has access.
    pub access: GroupAccess,
}

fn opened_by(location: &Location, name: &str) -> Error {
    Error::Invalid(format!("{location} is opened by crate {name}, which this program was built without"))
}

impl Client {
    /// Opens the repository at a location.
    ///
    /// # Errors
    /// There is no repository, or this account may not read it.
    pub fn open(location: &Location, options: Options) -> Result<Self> {
        let (path, root_keys) = match location {
            Location::Directory { path, root_keys } => (path, root_keys),
            Location::ActiveDirectory { .. } => return Err(opened_by(location, "dkm-ad")),
            Location::Remote { .. } => return Err(opened_by(location, "dkm-remote")),
        };
        let repository = DirectoryRepository::open(path)?;
        let folder = options.root_keys.clone().or_else(|| root_keys.clone());
        let folder = folder.unwrap_or_else(|| repository.root_keys().to_path_buf());
        let vault = Vault::new();
        let roots = FileRootKeys::with_vault(folder, vault.clone());
        Self::build(Arc::new(repository), Arc::new(roots), vault, options)
    }

    /// A client of a repository and a holder of root keys that the caller made.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(
        repository: Arc<dyn Repository>,
        roots: Arc<dyn RootKeyProvider>,
        options: Options,
    ) -> Result<Self> {
        Self::build(repository, roots, Vault::new(), options)
    }

    fn build(
        repository: Arc<dyn Repository>,
        roots: Arc<dyn RootKeyProvider>,
        vault: Arc<Vault>,
        options: Options,
    ) -> Result<Self> {
        let identity = match options.identity {
            Some(identity) => identity,
            None => random16()?,
        };
        let parts = Parts {
            repository,
            roots,
            clock: options.clock,
            journal: options.journal,
            escrow: options.escrow,
            vault,
            threads: Arc::default(),
            identity,
            background: options.background,
        };
        Ok(Self { parts })
    }

    /// The repository's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.parts.repository.url()
    }

    /// The policy that suits a new group in this repository.
    #[must_use]
    pub fn default_policy(&self) -> Policy {
        self.parts.repository.default_policy()
    }

    pub(crate) const fn threads(&self) -> &Arc<Threads> {
        &self.parts.threads
    }

    /// Where the root keys are.
    #[must_use]
    pub fn root_keys(&self) -> String {
        self.parts.roots.location()
    }

    /// The groups that this account may read, by name: what any replica shows, since each may lag behind.
    ///
    /// # Errors
    /// No replica answers.
    pub fn groups(&self) -> Result<Vec<GroupSummary>> {
        let mut groups: BTreeMap<GroupId, GroupSummary> = BTreeMap::new();
        self.on_replicas(|shown| {
            for group in shown {
                groups.entry(group.id).or_insert(group);
            }
            true
        })?;
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(groups)
    }

    /// Takes what each replica shows, one after the other, for as long as it is asked to go on.
    fn on_replicas(&self, mut goes_on: impl FnMut(Vec<GroupSummary>) -> bool) -> Result<()> {
        let mut answered = false;
        let mut fault = None;
        for number in 0..self.parts.repository.replicas() {
            let shown = self.parts.repository.connect(number).and_then(|mut replica| {
                let groups = groups_of(replica.as_mut())?;
                replica.release();
                Ok(groups)
            });
            match shown {
                Ok(groups) => {
                    answered = true;
                    if !goes_on(groups) {
                        break;
                    }
                }
                Err(error) => fault = Some(error),
            }
        }
        if answered {
            return Ok(());
        }
        Err(fault
            .map_or_else(|| Error::Internal("a repository without replicas".to_owned()), Error::Repository))
    }

    /// The group of this name or id, read.
    ///
    /// # Errors
    /// [`Error::NoGroup`], [`Error::AmbiguousGroup`]; denied, or no replica answers.
    pub fn group(&self, name_or_id: &str) -> Result<Group> {
        let id = if let Ok(id) = name_or_id.parse::<GroupId>() { id } else { self.find(name_or_id)? };
        self.group_by_id(id).map_err(|error| match error {
            Error::Repository(RepositoryError::NotFound { .. }) => self.no_group(name_or_id),
            other => other,
        })
    }

    fn no_group(&self, group: &str) -> Error {
        Error::NoGroup { group: group.to_owned(), repository: self.url() }
    }

    fn find(&self, name: &str) -> Result<GroupId> {
        // The first replica that knows the name decides: the others need not be waited for.
        let mut found: Vec<GroupId> = Vec::new();
        self.on_replicas(|groups| {
            found.extend(groups.into_iter().filter(|group| group.name == name).map(|group| group.id));
            found.is_empty()
        })?;
        match found.as_slice() {
            [] => Err(self.no_group(name)),
            [id] => Ok(*id),
            ids => Err(Error::AmbiguousGroup {
                name: name.to_owned(),
                count: ids.len(),
                ids: ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    fn group_by_id(&self, id: GroupId) -> Result<Group> {
        let engine = Arc::new(Engine::new(self.parts.clone(), id));
        engine.refresh(Need::Any)?;
        // A replica that holds no policy yet holds nothing that can be used.
        engine.policy()?;
        engine.drive();
        Ok(Group::of(engine))
    }

    /// Makes a group. Others see it only when its first key is usable.
    ///
    /// # Errors
    /// [`Error::GroupExists`], [`Error::Policy`], [`Error::Invalid`] for archive recipients that are none, [`Error::Refused`]
    /// if the policy's creators leave out this account; the repository denies or cannot express the access.
    pub fn create_group(&self, new: NewGroup) -> Result<Group> {
        self.create_group_of(new, None)
    }

    /// Makes a group with a roster: the people who let others in, and the levels at which they do. Its first version is
    /// pinned in the group's own record for ever; every later one needs the signatures that the one before asks for.
    ///
    /// # Errors
    /// As [`Client::create_group`]; [`Error::Invalid`] for a roster that can't be a first one.
    pub fn create_group_with_roster(&self, new: NewGroup, roster: RosterRecord) -> Result<Group> {
        self.create_group_of(new, Some(roster))
    }

    fn create_group_of(&self, new: NewGroup, roster: Option<RosterRecord>) -> Result<Group> {
        dkm_core::record::check_group_name(&new.name).map_err(Error::Invalid)?;
        new.policy.validate()?;
        if self.groups()?.iter().any(|group| group.name == new.name) {
            return Err(Error::GroupExists { name: new.name });
        }
        let id = GroupId(random_uuid()?);
        self.create_group_as(id, new, roster, |_| Ok(()))
    }

    /// Makes a group under a given id; `fill` adds what else it shall hold before it is announced.
    pub(crate) fn create_group_as(
        &self,
        id: GroupId,
        new: NewGroup,
        roster: Option<RosterRecord>,
        fill: impl FnOnce(&Engine) -> Result<()>,
    ) -> Result<Group> {
        let engine = Engine::new(self.parts.clone(), id);
        engine.create(new, roster, fill)?;
        Ok(Group::of(Arc::new(engine)))
    }
}

/// The announced groups that a replica shows to this account.
fn groups_of(replica: &mut dyn Replica) -> Result<Vec<GroupSummary>, RepositoryError> {
    let mut groups = Vec::new();
    for id in replica.groups()? {
        match summary(replica, id) {
            Ok(Some(group)) => groups.push(group),
            Ok(None) => {}
            // It is another's, or it is going away, or its owner keeps its name to himself: whoever may make groups
            // could otherwise keep everybody from finding theirs.
            Err(
                RepositoryError::Denied { .. }
                | RepositoryError::NotFound { .. }
                | RepositoryError::Unreadable { .. },
            ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(groups)
}

/// What a group's own record says.
fn summary(replica: &mut dyn Replica, id: GroupId) -> Result<Option<GroupSummary>, RepositoryError> {
    let slot = SlotName::for_chained("group", &[], 0);
    let (Listing::Whole(entries) | Listing::Since { entries, .. }) =
        replica.changes(id, Room::Control, None)?.listing;
    for entry in entries.into_iter().filter(|entry| entry.name == slot) {
        let stored = replica.get(id, Room::Control, &entry)?;
        if let Ok((found, Record::Group(group))) = Record::decode(&stored.bytes)
            && found == id
        {
            return Ok(Some(GroupSummary {
                id,
                name: group.name,
                description: group.description,
                created: stored.attested.created,
                creator: stored.attested.creator,
                repository: group.repository,
            }));
        }
    }
    Ok(None)
}

fn random16() -> Result<[u8; 16]> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Internal("the system gives no randomness".to_owned()))?;
    Ok(bytes)
}

/// A random UUID (RFC 9562 §5.4, version 4).
fn random_uuid() -> Result<[u8; 16]> {
    let mut bytes = random16()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes)
}
