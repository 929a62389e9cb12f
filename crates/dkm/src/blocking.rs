//! The blocking client: two plain calls, and everything else that a group offers.

use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use dkm_core::blob::SeekingReader;
use dkm_core::policy::Policy;
use dkm_core::record::Record;
use dkm_core::{Context, GroupId, KeyId, Plaintext, Principal, RepositoryId, Room, SlotName, Timestamp};

use crate::background::Background;
use crate::clock::{Clock, SystemClock};
use crate::engine::{Destruction, Engine, Need, NewKey, Override, Parts, Reprotected, Streamed};
use crate::journal::{EventKind, Journal};
use crate::repository::directory::DirectoryRepository;
use crate::repository::{GroupAccess, Replica, Repository, RepositoryError};
use crate::root_key::{FileRootKeys, RootKeyProvider};
use crate::secret::Vault;
use crate::view::View;
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

impl Client {
    /// Opens the repository at a location.
    ///
    /// # Errors
    /// There is no repository, or this account may not read it.
    pub fn open(location: &Location, options: Options) -> Result<Self> {
        let Location::Directory { path, root_keys } = location;
        let repository = DirectoryRepository::open(path)?;
        let folder = options.root_keys.clone().or_else(|| root_keys.clone());
        let folder = folder.unwrap_or_else(|| repository.root_keys().to_path_buf());
        Self::new(Arc::new(repository), Arc::new(FileRootKeys::new(folder)), options)
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
            vault: Vault::new(),
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

    /// Where the root keys are.
    #[must_use]
    pub fn root_keys(&self) -> String {
        self.parts.roots.location()
    }

    /// The groups that this account may read, by name.
    ///
    /// # Errors
    /// No replica answers.
    pub fn groups(&self) -> Result<Vec<GroupSummary>> {
        self.on_any_replica(|replica| {
            let mut groups = Vec::new();
            for id in replica.groups()? {
                match summary(replica, id) {
                    Ok(Some(group)) => groups.push(group),
                    Ok(None) => {}
                    // It is another's, or it is going away.
                    Err(RepositoryError::Denied { .. } | RepositoryError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            groups.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
            Ok(groups)
        })
    }

    fn on_any_replica<T>(
        &self,
        mut work: impl FnMut(&mut dyn Replica) -> Result<T, RepositoryError>,
    ) -> Result<T> {
        let mut fault = None;
        for number in 0..self.parts.repository.replicas() {
            match self.parts.repository.connect(number).and_then(|mut replica| work(replica.as_mut())) {
                Ok(done) => return Ok(done),
                Err(error) => fault = Some(error),
            }
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
        let found: Vec<GroupId> =
            self.groups()?.into_iter().filter(|group| group.name == name).map(|group| group.id).collect();
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
    /// [`Error::GroupExists`], [`Error::Policy`]; the repository denies or cannot express the access.
    pub fn create_group(&self, new: NewGroup) -> Result<Group> {
        dkm_core::record::check_group_name(&new.name).map_err(Error::Invalid)?;
        new.policy.validate()?;
        if self.groups()?.iter().any(|group| group.name == new.name) {
            return Err(Error::GroupExists { name: new.name });
        }
        let id = GroupId(random_uuid()?);
        self.create_group_as(id, new, |_| Ok(()))
    }

    /// Makes a group under a given id; `fill` adds what else it shall hold before it is announced.
    pub(crate) fn create_group_as(
        &self,
        id: GroupId,
        new: NewGroup,
        fill: impl FnOnce(&Engine) -> Result<()>,
    ) -> Result<Group> {
        let engine = Engine::new(self.parts.clone(), id);
        engine.create(new, fill)?;
        Ok(Group::of(Arc::new(engine)))
    }
}

/// What a group's own record says.
fn summary(replica: &mut dyn Replica, id: GroupId) -> Result<Option<GroupSummary>, RepositoryError> {
    let slot = SlotName::for_chained("group", &[], 0);
    for entry in replica.list(id, Room::Control)?.into_iter().filter(|entry| entry.name == slot) {
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

/// A group in this process. Clones share keys and refreshes.
#[derive(Debug, Clone)]
pub struct Group {
    shared: Arc<Shared>,
    overriding: Option<Override>,
}

#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    /// Ends with the last handle.
    _background: Option<Background>,
}

impl Group {
    pub(crate) fn of(engine: Arc<Engine>) -> Self {
        let background = engine.parts.background.then(|| Background::start(&engine)).flatten();
        Self { shared: Arc::new(Shared { engine, _background: background }), overriding: None }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// The group's id.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.engine().group
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.engine().name()
    }

    /// Protects a plaintext. `context` must be given again, exactly, to open the blob; it is not stored in it.
    ///
    /// With the key in memory this makes no system call but for randomness, and takes no lock.
    ///
    /// # Errors
    /// [`Error::Protect`] says why there is no key to protect with.
    pub fn protect(&self, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.engine().protect(context, plaintext)
    }

    /// Opens a blob. Nothing is returned unless every byte is authentic.
    ///
    /// # Errors
    /// [`Error::Unprotect`] if its key may not be used, [`Error::Blob`] if it is damaged or the context is another.
    pub fn unprotect(&self, context: &Context, blob: &[u8]) -> Result<Plaintext> {
        self.engine().unprotect(context, blob, self.overriding.as_ref())
    }

    /// As [`Group::protect`], into memory that is there: `out` is overwritten, and grows only if it must. On an error
    /// `out` is empty.
    ///
    /// # Errors
    /// As [`Group::protect`].
    pub fn protect_into(&self, context: &Context, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        self.engine().protect_into(context, plaintext, out)
    }

    /// As [`Group::unprotect`], into memory that is there: what `out` held is erased, and it grows only if it must.
    /// On an error `out` is empty.
    ///
    /// # Errors
    /// As [`Group::unprotect`].
    pub fn unprotect_into(&self, context: &Context, blob: &[u8], out: &mut Plaintext) -> Result<()> {
        self.engine().unprotect_into(context, blob, out, self.overriding.as_ref())
    }

    /// Protects everything that `reader` gives, chunks in parallel, in bounded memory.
    ///
    /// # Errors
    /// As [`Group::protect`]; [`Error::Blob`] with what reader or writer said. What was written by then is no blob.
    pub fn protect_stream(
        &self,
        context: &Context,
        reader: impl Read + Send,
        writer: impl Write,
    ) -> Result<Streamed> {
        self.engine().protect_stream(context, reader, writer)
    }

    /// Opens a blob from a reader, chunks in parallel, in bounded memory.
    ///
    /// Each chunk is written as soon as it is authentic: that the blob was cut off is noticed only at its end. **After
    /// an error, what was written must be let go of.** Where that is impossible, use [`Group::unprotect`] or a
    /// file, and release it at the end.
    ///
    /// # Errors
    /// As [`Group::unprotect`].
    pub fn unprotect_stream(
        &self,
        context: &Context,
        reader: impl Read + Send,
        writer: impl Write,
    ) -> Result<Streamed> {
        self.engine().unprotect_stream(context, reader, writer, self.overriding.as_ref())
    }

    /// Opens a blob for reading ranges of it. Its last chunk is authenticated first.
    ///
    /// # Errors
    /// As [`Group::unprotect`].
    pub fn open_seekable<R: Read + Seek>(&self, context: &Context, reader: R) -> Result<SeekingReader<R>> {
        self.engine().open_seekable(context, reader, self.overriding.as_ref())
    }

    /// Protects a blob's content anew, if it has not the key and suite that protect now.
    ///
    /// # Errors
    /// As [`Group::unprotect`] and [`Group::protect`]. A blob of a compromised key may be forged: it is refused unless
    /// the handle overrides.
    pub fn reprotect(&self, context: &Context, blob: &[u8]) -> Result<Reprotected> {
        self.engine().reprotect(context, blob, self.overriding.as_ref())
    }

    /// A handle that opens blobs of compromised keys too. Each such use is recorded with `reason` before it happens.
    ///
    /// # Errors
    /// An empty reason, or one of more than 4 KiB.
    pub fn overriding(&self, reason: &str) -> Result<Self> {
        if reason.trim().is_empty() || reason.len() > 4096 {
            return Err(Error::Invalid(
                "an override needs a reason of 1 to 4096 bytes, which is recorded".to_owned(),
            ));
        }
        Ok(Self { shared: self.shared.clone(), overriding: Some(Override { reason: reason.to_owned() }) })
    }

    /// Reads all replicas now, and makes a key if one is due.
    ///
    /// # Errors
    /// No replica answers, or this account was denied.
    pub fn refresh(&self) -> Result<()> {
        self.engine().refresh(Need::Fresh)?;
        self.engine().drive();
        Ok(())
    }

    /// Everything there is to tell about the group.
    ///
    /// # Errors
    /// The group was not read, or this account was denied.
    pub fn view(&self) -> Result<View> {
        let mut view = self.engine().view()?;
        view.access = self
            .engine()
            .on_any_replica(|replica| Ok(replica.describe_access(self.id())?))
            .unwrap_or_default();
        Ok(view)
    }

    /// The policy in force.
    ///
    /// # Errors
    /// As [`Group::view`].
    pub fn policy(&self) -> Result<Policy> {
        self.engine().policy()
    }

    /// Puts a policy in force, as an owner; returns its version.
    ///
    /// # Errors
    /// [`Error::Policy`], [`Error::NoRight`], [`Error::Refused`] if another owner was faster.
    pub fn set_policy(&self, policy: Policy) -> Result<u32> {
        self.engine().set_policy(policy)
    }

    /// Makes a successor now; it protects after the activation delay. A key that waits already is returned instead.
    ///
    /// # Errors
    /// [`Error::NoRight`]; the repository fails.
    pub fn roll(&self, reason: &str) -> Result<NewKey> {
        self.engine().roll(reason)
    }

    /// Stops a key from protecting until it is resumed; it still opens blobs.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::NoRight`], [`Error::Refused`].
    pub fn suspend(&self, key: KeyId, reason: &str) -> Result<()> {
        self.engine().suspend(key, reason)
    }

    /// Cancels a key's suspensions, and a destruction that has not happened yet.
    ///
    /// # Errors
    /// As [`Group::suspend`].
    pub fn resume(&self, key: KeyId, reason: &str) -> Result<()> {
        self.engine().resume(key, reason)
    }

    /// Says that others may know a key: its blobs may be forged, and open only by a handle that overrides. If the key
    /// protects, its replacement is made usable first, and protects at once.
    ///
    /// # Errors
    /// As [`Group::suspend`].
    pub fn compromise(&self, key: KeyId, reason: &str) -> Result<Option<NewKey>> {
        self.engine().compromise(key, reason)
    }

    /// Begins the destruction of an archived key, or goes on with it as far as its waiting times allow.
    ///
    /// # Errors
    /// As [`Group::suspend`]; [`Error::Refused`] says how long to wait.
    pub fn destroy(&self, key: KeyId, reason: &str) -> Result<Destruction> {
        self.engine().destroy(key, reason)
    }

    /// Destroys a key at once. `typed` is the whole key id, typed by a person.
    ///
    /// # Errors
    /// As [`Group::suspend`]; the id was not typed, or the key protects now.
    pub fn destroy_now(&self, key: KeyId, typed: &str, reason: &str) -> Result<Destruction> {
        self.engine().destroy_now(key, typed, reason)
    }

    /// Where this group's repository is.
    #[must_use]
    pub fn url(&self) -> String {
        self.engine().parts.repository.url()
    }
}

/// Makes the first records of a group.
impl Engine {
    fn create(&self, new: NewGroup, fill: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        use dkm_core::policy::Wrap;
        use dkm_core::record::{GroupRecord, PolicyRecord};

        self.record(EventKind::GroupCreated, None, None, |event| event.detail = Some(new.name.clone()))?;
        if new.policy.wrap == Wrap::RootKey {
            self.parts.roots.create(self.group, &new.access)?;
        }
        let repository = self.on_any_replica(|replica| {
            replica.create_group(self.group, &new.access)?;
            Ok(replica.repository())
        })?;
        let created_at_ms = self.parts.clock.now().0;
        let group = Record::Group(GroupRecord {
            name: new.name,
            created_at_ms,
            repository,
            roster_genesis: None,
            description: new.description,
        });
        let policy = Record::Policy(PolicyRecord {
            version: 1,
            previous: Vec::new(),
            created_at_ms,
            policy: new.policy,
        });
        for record in [group, policy] {
            self.put(&record, &record.slot(self.group, 0))?;
        }
        self.refresh(Need::Fresh)?;
        let made = self.make_key(None, 0, self.parts.clock.now(), "first")?;
        self.refresh(Need::Fresh)?;
        if let crate::engine::Made::Created(key) = made {
            self.await_usable(key.key, "making the group")?;
        }
        fill(self)?;
        self.on_any_replica(|replica| Ok(replica.announce_group(self.group)?))
    }
}
