//! The repository: where a group's records lie, and who may read and add them.
//!
//! A repository is a grow-only set of immutable records on one or more replicas. Access control is its affair alone:
//! what this library checks is hygiene. Whoever writes a repository runs [`conformance`] against it.

pub mod conformance;
pub mod directory;
mod error;
#[doc(hidden)]
pub mod memory;

use std::fmt;

pub use error::RepositoryError;

use dkm_core::member::Rights;
use dkm_core::policy::Policy;
use dkm_core::record::{KeyRecord, PublicPart, Record, RecordError};
use dkm_core::{Attestation, GroupId, Principal, ReplicaId, RepositoryId, Room, SlotName, Timestamp};

/// A repository with its replicas.
///
/// Implementations MUST bound every call in time by themselves, and MUST NOT cache: a connection reads what the
/// replica holds now.
pub trait Repository: fmt::Debug + Send + Sync {
    /// The URL that names the repository, without secrets.
    fn url(&self) -> String;

    /// The policy that suits a new group here, unless somebody wants another.
    fn default_policy(&self) -> Policy {
        Policy::for_directory()
    }

    /// Whether the readers and owners in [`GroupAccess`] are groups and users of this machine: then a root key's file is
    /// given to them. Otherwise it belongs to whoever makes it, alone.
    fn names_local_accounts(&self) -> bool {
        false
    }

    /// How many replicas are known, at least 1. They are numbered from 0.
    fn replicas(&self) -> usize;

    /// Opens a fresh connection to a replica.
    ///
    /// # Errors
    /// [`RepositoryError::Unavailable`] if it does not answer, [`RepositoryError::Denied`] if it turns this account
    /// away, [`RepositoryError::NotARepository`] if there is none.
    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError>;

    /// A connection for a reading that need not see the newest membership: one that was used before will do.
    ///
    /// # Errors
    /// As [`Repository::connect`].
    fn reconnect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        self.connect(replica)
    }
}

/// A connection to one replica.
///
/// A group that the account may not read MUST look like one that is not there ([`RepositoryError::NotFound`]) or be
/// refused with [`RepositoryError::Denied`]; an implementation uses `Denied` only where the replica is authenticated
/// and has decided, because a client that is told *denied* drops its keys at once.
pub trait Replica: fmt::Debug + Send {
    /// The repository that the replica belongs to, the same on all its replicas.
    fn repository(&self) -> RepositoryId;

    /// The store's own instance id: never a host name, different on every replica.
    fn id(&self) -> ReplicaId;

    /// The replica's clock; none where it has no clock of its own.
    ///
    /// # Errors
    /// The replica does not answer.
    fn clock(&mut self) -> Result<Option<Timestamp>, RepositoryError>;

    /// Ids of the announced groups that this account may read.
    ///
    /// # Errors
    /// The replica does not answer.
    fn groups(&mut self) -> Result<Vec<GroupId>, RepositoryError>;

    /// What this account may do with a group.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] or [`RepositoryError::NotFound`] without the right to read it.
    fn rights(&mut self, group: GroupId) -> Result<Rights, RepositoryError>;

    /// Whom the repository will name as the author of what this account adds to a room; none if it does not tell. It
    /// spares a client from writing what policy lets count for nothing.
    ///
    /// # Errors
    /// As [`Replica::rights`].
    fn author(&mut self, _group: GroupId, _room: Room) -> Result<Option<Principal>, RepositoryError> {
        Ok(None)
    }

    /// Every record of a room: names and stamps. Two records in one slot (conflict twins) are two entries.
    ///
    /// A list MUST hold every record whose put was acknowledged before the list began and that was not shredded. What it
    /// holds MUST be durable, even if the put has not been acknowledged yet: clients use what they have read.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] or [`RepositoryError::NotFound`] without the right to read the group.
    fn list(&mut self, group: GroupId, room: Room) -> Result<Vec<Entry>, RepositoryError>;

    /// Gives the connection back after a reading that went well. By default it ends.
    fn release(self: Box<Self>) {}

    /// Tells that a group will be read now, so that what it takes can be asked together. By default nothing is.
    ///
    /// # Errors
    /// As [`Replica::rights`].
    fn prepare(&mut self, _group: GroupId) -> Result<(), RepositoryError> {
        Ok(())
    }

    /// What a room holds, as far as it differs from an earlier reading that ended with the mark `since`. By default, and
    /// where the mark says nothing to this replica any more, it is the whole list.
    ///
    /// # Errors
    /// As [`Replica::list`].
    fn changes(
        &mut self,
        group: GroupId,
        room: Room,
        _since: Option<&[u8]>,
    ) -> Result<Changes, RepositoryError> {
        Ok(Changes { listing: Listing::Whole(self.list(group, room)?), mark: None })
    }

    /// A record's bytes and what the repository attests of it. Of a key whose material this account may not read, they may
    /// be the record's public part ([`PublicPart::Alone`]).
    ///
    /// # Errors
    /// [`RepositoryError::NotFound`] if it is gone since it was listed; [`RepositoryError::Unreadable`] if this one record
    /// cannot be served. It MUST NOT be [`RepositoryError::Denied`] where the room may be read: one author could
    /// otherwise make every reader drop its keys.
    fn get(&mut self, group: GroupId, room: Room, entry: &Entry) -> Result<Stored, RepositoryError>;

    /// Adds a record to a free slot. Create-only: a slot that is taken keeps what it holds.
    ///
    /// The answer [`Put::Created`] MUST come only after the record is durable, whole or not at all. A key record whose
    /// key has a tombstone on this replica MUST be refused with [`Put::Tombstoned`].
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] without the right to add to the room, [`RepositoryError::NoSpace`],
    /// [`RepositoryError::ReadOnly`], [`RepositoryError::Unavailable`]; whether the record was written is then unknown
    /// until it is listed.
    fn put(
        &mut self,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError>;

    /// Erases a key record of a key that has a tombstone on this replica. A record that is gone already is success.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] without the right to, [`RepositoryError::NotTombstoned`] for any other record.
    fn shred(&mut self, group: GroupId, entry: &Entry) -> Result<(), RepositoryError>;

    /// Makes the rooms of a new group with their access control. The group is not announced yet.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`], [`RepositoryError::Invalid`] for an access control that the repository cannot
    /// express.
    fn create_group(&mut self, group: GroupId, access: &GroupAccess) -> Result<(), RepositoryError>;

    /// Announces a group whose first key is usable: from now on [`Replica::groups`] names it.
    ///
    /// # Errors
    /// [`RepositoryError::NotFound`] if the group was not made.
    fn announce_group(&mut self, group: GroupId) -> Result<(), RepositoryError>;

    /// Who has access to a group, in the repository's own words, for people.
    ///
    /// # Errors
    /// As [`Replica::rights`].
    fn describe_access(&mut self, group: GroupId) -> Result<Vec<AccessLine>, RepositoryError>;
}

/// A record as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Its slot.
    pub name: SlotName,
    /// Opaque; an equal stamp in the same slot and replica means equal bytes and attestation.
    pub stamp: Vec<u8>,
}

/// What a room holds, or how that differs from an earlier reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// Every record.
    Whole(Vec<Entry>),
    /// Every record that was added or changed since, and perhaps others. Records that were removed are not told: readers
    /// take a whole list from time to time.
    Since {
        /// The records.
        entries: Vec<Entry>,
        /// So many bytes at the beginning of a stamp name the object: an entry takes the place of the one that it had.
        object_len: usize,
    },
}

/// An answer to [`Replica::changes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// What there is.
    pub listing: Listing,
    /// Opaque; what to ask with next time. The same again means that nothing was written, and nothing erased. None where
    /// the replica can't tell what changed.
    pub mark: Option<Vec<u8>>,
}

/// A record as it is stored. `Debug` shows its length only: it may hold key material.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record's bytes.
    pub bytes: zeroize::Zeroizing<Vec<u8>>,
    /// What the repository says of its origin.
    pub attested: Attestation,
    /// What of a key's record is shown to those who may not read its material. With [`PublicPart::Alone`], the bytes are
    /// that part and not the record.
    pub public: PublicPart,
}

impl Stored {
    /// The record and the id of the group it belongs to; a key without material where that is withheld.
    ///
    /// # Errors
    /// The bytes are no record that this program knows.
    pub fn record(&self) -> Result<(GroupId, Record), RecordError> {
        match self.public {
            PublicPart::Alone => {
                KeyRecord::decode_public(&self.bytes).map(|(group, key)| (group, Record::Key(key)))
            }
            _ => Record::decode(&self.bytes),
        }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({} bytes, {:?})", self.bytes.len(), self.attested)
    }
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The record is durable.
    Created,
    /// The slot holds another record already; adopt it.
    Taken,
    /// The key has been destroyed: its material does not come back.
    Tombstoned,
}

/// A reader that is named like this is itself the readers group, made before by somebody who may make groups. Only
/// Active Directory has readers groups.
pub const READERS_GROUP: &str = "readers-group:";

/// Who shall have access to a new group, in names that the repository understands. Empty lists mean its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupAccess {
    /// Who reads keys. Directory repository: at most one Unix group.
    pub readers: Vec<String>,
    /// Who adds keys; creators are members too. Directory repository: `members` (default) or `owner`.
    pub creators: Vec<String>,
    /// Who adds control records. Directory repository: at most one user, whom only root may name.
    pub owners: Vec<String>,
    /// Who sees everything but key material, to audit the group. Only Active Directory has auditors.
    pub auditors: Vec<String>,
    /// Who lets people in for a time, by temporary accounts. Only Active Directory has elevators.
    pub elevators: Vec<String>,
}

/// One line on access to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLine {
    /// The principal, by id and name.
    pub who: String,
    /// What it may do.
    pub may: String,
    /// Whether this is wider than the repository's template.
    pub alarming: bool,
}
