//! A connection to one domain controller, as a replica.

mod create;
mod owners;
pub(crate) mod records;
pub(crate) mod rooms;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use dkm::repository::{
    AccessLine, Changes, Entry, GroupAccess, Listing, Put, Replica, RepositoryError, Stored,
};
use dkm_core::member::Rights;
use dkm_core::record::RECORD_LEN_MAX;
use dkm_core::{Digest, GroupId, KeyId, Principal, ReplicaId, RepositoryId, Room, SlotName, Timestamp};

pub(crate) use self::create::{RECOVERY, encoded};
use self::records::{
    BYTES, Batch, CONTENT, Descriptors, KEY, Listed, PUBLIC, about, is_exposure, public_text, unreadable,
};
use self::rooms::{CONTACT, Rooms, is_in_exposures};
use crate::ldap::{
    ALREADY_EXISTS, Connection, Found, LdapError, NO_SUCH_OBJECT, Scope, Search, all_of, equal,
};
use crate::name;
use crate::repository::{Greeting, Shared, root};
use crate::security::Sid;

/// Half of the second to which the directory rounds its clock down.
const HALF_A_SECOND_MS: u64 = 500;
/// Bytes of an `objectGUID`, with which a stamp begins.
const GUID_LEN: usize = 16;
/// Bytes of a mark that say whose view of which store it is of.
const VIEW_LEN: usize = 16 + 32;
/// The name of the object in `control` that announces a group.
pub(crate) const ANNOUNCED: &str = "announced";

/// A replica: a domain controller, seen through one signed-in connection.
#[derive(Debug)]
pub(crate) struct AdReplica {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
    pub(crate) connection: Connection,
    pub(crate) greeting: Greeting,
    /// Whether the connection was used before: it may have been closed, and what was said on it is old.
    used_before: bool,
    rooms: HashMap<GroupId, Rooms>,
    /// The group whose rooms were read a moment ago, together with all else.
    prepared: Option<GroupId>,
    batches: HashMap<(GroupId, Room), Batch>,
    owners: owners::Owners,
}

impl AdReplica {
    pub(crate) fn new(
        shared: Arc<Shared>,
        number: usize,
        connection: Connection,
        greeting: Greeting,
    ) -> Self {
        Self {
            shared,
            number,
            connection,
            greeting,
            used_before: false,
            rooms: HashMap::new(),
            prepared: None,
            batches: HashMap::new(),
            owners: owners::Owners::default(),
        }
    }

    /// Marks the connection as one that was used before.
    pub(crate) fn used_before(mut self) -> Self {
        self.used_before = true;
        self
    }

    /// Reads, in one round trip, what the domain controller says of itself and where a group's rooms are.
    fn read_rooms_and_greeting(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        let search = rooms::search(&self.shared, group);
        let (greeting, found) = self.shared.greet(self.number, &mut self.connection, Some(search))?;
        self.greeting = greeting;
        self.used_before = false;
        // Only what is not seen is a decision; a domain controller that is busy has not decided anything.
        let found = match found {
            Some(Err(error)) if error.code() != Some(NO_SUCH_OBJECT) => {
                return Err(self.error(&format!("group {group}"))(error));
            }
            Some(Ok(found)) => found,
            _ => return Err(self.shared.unseen(self.number, self.greeting.replica, group)),
        };
        let rooms = Rooms::of(&self.shared, self.number, &self.greeting, group, &found)?;
        self.rooms.insert(group, rooms);
        self.prepared = Some(group);
        Ok(())
    }

    /// The mark of a reading that began with what this connection was told to begin with.
    fn mark(&self, rooms: &Rooms) -> Option<Vec<u8>> {
        let usn = self.greeting.usn;
        (usn > 0).then(|| [&self.mark_of_view()[..], &rooms.roles, &usn.to_be_bytes()].concat())
    }

    /// What was given away by then: if the mark is of this very store, as seen by whom it is seen now, and the roles are
    /// those of then. Other roles make something else of every descriptor.
    fn usn_of(&self, mark: &[u8], rooms: &Rooms) -> Option<u64> {
        let usn = mark.strip_prefix(&self.mark_of_view())?.strip_prefix(&rooms.roles)?;
        usn.try_into().ok().map(u64::from_be_bytes)
    }

    /// Which store this is, and who looks at it: a ticket with other groups may show what was hidden, and nothing was
    /// written then.
    fn mark_of_view(&self) -> [u8; VIEW_LEN] {
        let token: Vec<u8> = self.greeting.token.iter().flat_map(Sid::to_bytes).collect();
        let mut mark = [0; VIEW_LEN];
        let (store, view) = mark.split_at_mut(16);
        store.copy_from_slice(&self.greeting.replica.0);
        view.copy_from_slice(Digest::of(&token).as_bytes());
        mark
    }

    pub(crate) fn error(&self, what: &str) -> impl Fn(LdapError) -> RepositoryError + use<> {
        let (shared, number, what) = (self.shared.clone(), self.number, what.to_owned());
        move |error| shared.error(number, &what, &error)
    }

    /// Where a group's rooms are, read once on this connection.
    fn rooms(&mut self, group: GroupId) -> Result<Rooms, RepositoryError> {
        if let Some(rooms) = self.rooms.get(&group) {
            return Ok(rooms.clone());
        }
        self.rooms_now(group)
    }

    pub(crate) fn rooms_now(&mut self, group: GroupId) -> Result<Rooms, RepositoryError> {
        let rooms = Rooms::read(&self.shared, self.number, &mut self.connection, &self.greeting, group)?;
        self.rooms.insert(group, rooms.clone());
        Ok(rooms)
    }

    /// What a search in a room finds. A room that is not seen any more is a decision of the domain controller.
    pub(crate) fn search_room(
        &mut self,
        group: GroupId,
        search: &Search,
    ) -> Result<Vec<Found>, RepositoryError> {
        self.connection.search(search).map_err(|error| {
            self.rooms.remove(&group);
            match error.code() {
                Some(NO_SUCH_OBJECT) => self.shared.unseen(self.number, self.greeting.replica, group),
                _ => self.shared.error(self.number, &format!("group {group}"), &error),
            }
        })
    }

    /// Whether a key has a tombstone here now.
    fn is_buried(&mut self, group: GroupId, key: KeyId) -> Result<bool, RepositoryError> {
        let rooms = self.rooms(group)?;
        let mut search = rooms.search(Room::Control);
        search.filter = all_of(vec![equal("objectClass", CONTACT), equal(KEY, key.to_string())]);
        search.attributes.push(BYTES);
        let found = self.search_room(group, &search)?;
        Ok(found
            .iter()
            // An elevator buries nothing.
            .filter(|found| rooms.is_among_owners(&found.dn))
            .filter_map(|found| found.bytes(BYTES))
            .any(|bytes| about(group, bytes) == Some((key, true))))
    }

    /// Every object of a room that looks like a record, by its update sequence number.
    fn listed(found: &[Found], rooms: &Rooms) -> Vec<Listed> {
        let mut listed: Vec<_> = found.iter().filter_map(|found| Listed::of(found, rooms)).collect();
        listed.sort_by_key(|listed| listed.usn);
        listed
    }

    /// One record by the id of its object, as it is now.
    fn read_one(
        &mut self,
        group: GroupId,
        room: Room,
        entry: &Entry,
    ) -> Result<Option<Result<Stored, String>>, RepositoryError> {
        let rooms = self.rooms(group)?;
        let Some(guid) = entry.stamp.first_chunk::<16>() else { return Ok(None) };
        let mut search = rooms.search(room);
        search.filter = all_of(vec![equal("objectClass", CONTACT), equal("objectGUID", guid)]);
        search.attributes.extend(CONTENT);
        let found = self.search_room(group, &search)?;
        let is_meant =
            |found: &&Found| Listed::of(found, &rooms).is_some_and(|listed| listed.entry == *entry);
        let found = found.iter().find(is_meant);
        let Some(found) = found else { return Ok(None) };
        let taken = self.taken(room, std::slice::from_ref(found), &rooms)?;
        Ok(Some(Descriptors::new(room, &rooms, &taken).stored(found)))
    }

    fn gone(&self, entry: &Entry) -> RepositoryError {
        RepositoryError::NotFound {
            location: self.shared.place(self.number),
            what: format!("record {}", entry.name),
        }
    }

    fn add_record(
        &mut self,
        rooms: &Rooms,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError> {
        let what = format!("adding to {room} of group {group}");
        let location = self.shared.place(self.number);
        // A record is never made without a descriptor of its own: the default would show it to everybody.
        let trustees = rooms.trustees.as_ref().ok_or_else(|| RepositoryError::Unavailable {
            location,
            why: format!("who has access to group {group} is not written down as this program knows it"),
        })?;
        let account = self.greeting.account;
        let public = public_text(bytes).filter(|_| room == Room::Keys);
        let descriptor = records::template(trustees, account, public.is_some())
            .descriptor
            .to_bytes()
            .map_err(|error| RepositoryError::Invalid(format!("the record's descriptor: {error}")))?;
        let mut attributes = vec![
            ("objectClass", vec![CONTACT.as_bytes().to_vec()]),
            ("displayName", vec![name.as_str().as_bytes().to_vec()]),
            (BYTES, vec![bytes.to_vec()]),
            ("nTSecurityDescriptor", vec![descriptor]),
            ("showInAdvancedViewOnly", vec![b"TRUE".to_vec()]),
        ];
        if let Some(public) = public {
            attributes.push((PUBLIC, vec![public.into_bytes()]));
        }
        if let Some((key, _)) = about(group, bytes) {
            attributes.push((KEY, vec![key.to_string().into_bytes()]));
        }
        // Whoever is no owner may write there, if anywhere.
        let place = match &rooms.exposures {
            Some(exposures) if room == Room::Control && !rooms.rights.own && is_exposure(bytes) => exposures,
            _ => rooms.at(room),
        };
        let dn = format!("CN={},{}", name::escaped(name.as_str()), place.dn);
        match self.connection.add(&dn, attributes) {
            Ok(()) => Ok(Put::Created),
            Err(error) if error.code() == Some(ALREADY_EXISTS) => Ok(Put::Taken),
            Err(error) => Err(self.error(&what)(error)),
        }
    }

    /// Deletes a record's object.
    fn delete(&mut self, entry: &Entry) -> Result<(), RepositoryError> {
        let Some(guid) = entry.stamp.first_chunk::<16>() else { return Ok(()) };
        match self.connection.delete(&name::by_guid(guid)) {
            Err(error) if error.code() != Some(NO_SUCH_OBJECT) => {
                Err(self.error(&format!("erasing record {}", entry.name))(error))
            }
            _ => Ok(()),
        }
    }
}

impl Replica for AdReplica {
    fn repository(&self) -> RepositoryId {
        self.greeting.repository
    }

    fn id(&self) -> ReplicaId {
        self.greeting.replica
    }

    fn clock(&mut self) -> Result<Option<Timestamp>, RepositoryError> {
        // What it said when the connection was opened is as good while it is fresh.
        let (said, at) = self.greeting.clock;
        let since = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        if since < 1_000 {
            return Ok(Some(said.plus(HALF_A_SECOND_MS + since)));
        }
        let found = self.connection.find(&root()).map_err(self.error("the clock"))?;
        let now = found.as_ref().and_then(|root| root.text("currentTime")).and_then(name::timestamp);
        let now = now.ok_or_else(|| self.shared.odd(self.number, "it does not tell the time"))?;
        self.greeting.clock = (now, Instant::now());
        Ok(Some(now.plus(HALF_A_SECOND_MS)))
    }

    fn groups(&mut self) -> Result<Vec<GroupId>, RepositoryError> {
        let search = Search {
            base: self.shared.url.container_dn(),
            scope: Scope::Subtree,
            filter: all_of(vec![equal("objectClass", CONTACT), equal("cn", ANNOUNCED)]),
            attributes: vec!["displayName"],
            paged: true,
        };
        let found = self.connection.search(&search).map_err(self.error("the groups"))?;
        let mut groups: Vec<GroupId> = found
            .iter()
            .filter(|found| !is_in_exposures(&found.dn))
            .filter_map(|found| found.text("displayName")?.strip_prefix(ANNOUNCED)?.trim().parse().ok())
            .collect();
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    fn release(self: Box<Self>) {
        let Self { shared, number, connection, greeting, .. } = *self;
        shared.keep_idle(number, connection, greeting);
    }

    fn prepare(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        if !self.used_before {
            self.rooms_now(group)?;
            self.prepared = Some(group);
            return Ok(());
        }
        match self.read_rooms_and_greeting(group) {
            // The domain controller has ended it, as it does when a ticket ends or nothing was asked for long.
            Err(RepositoryError::Unavailable { .. }) => {
                *self = self.shared.connect(self.number)?;
                self.prepare(group)
            }
            done => done,
        }
    }

    fn changes(
        &mut self,
        group: GroupId,
        room: Room,
        since: Option<&[u8]>,
    ) -> Result<Changes, RepositoryError> {
        let rooms = self.rooms(group)?;
        let mark = self.mark(&rooms);
        let known = since.and_then(|mark| self.usn_of(mark, &rooms)).filter(|usn| *usn <= self.greeting.usn);
        // Nothing at all was written to this domain controller since: there is nothing to ask for.
        if known == Some(self.greeting.usn) {
            let listing = Listing::Since { entries: Vec::new(), object_len: GUID_LEN };
            return Ok(Changes { listing, mark });
        }
        // Who begins knows nothing: all contents come along.
        let found = self.search_room(group, &rooms.contents(room, known.map_or(0, |usn| usn + 1)))?;
        let listed = Self::listed(&found, &rooms);
        let taken = self.taken(room, &found, &rooms)?;
        let batch = self.batches.entry((group, room)).or_default();
        batch.list(&listed);
        batch.fill(0, &found, Descriptors::new(room, &rooms, &taken));
        let entries = listed.into_iter().map(|listed| listed.entry).collect();
        let listing = match known {
            Some(_) => Listing::Since { entries, object_len: GUID_LEN },
            None => Listing::Whole(entries),
        };
        Ok(Changes { listing, mark })
    }

    fn rights(&mut self, group: GroupId) -> Result<Rights, RepositoryError> {
        if self.prepared.take() == Some(group) {
            return Ok(self.rooms(group)?.rights);
        }
        Ok(self.rooms_now(group)?.rights)
    }

    fn author(&mut self, _group: GroupId, _room: Room) -> Result<Option<Principal>, RepositoryError> {
        Ok(Some(Principal(self.greeting.account.to_string())))
    }

    fn list(&mut self, group: GroupId, room: Room) -> Result<Vec<Entry>, RepositoryError> {
        let rooms = self.rooms(group)?;
        let found = self.search_room(group, &rooms.search(room))?;
        let listed = Self::listed(&found, &rooms);
        self.batches.entry((group, room)).or_default().list(&listed);
        Ok(listed.into_iter().map(|listed| listed.entry).collect())
    }

    fn get(&mut self, group: GroupId, room: Room, entry: &Entry) -> Result<Stored, RepositoryError> {
        let rooms = self.rooms(group)?;
        let batch = self.batches.entry((group, room)).or_default();
        if let Some(since) = batch.wants(entry) {
            let search = rooms.contents(room, since);
            let found = self.search_room(group, &search)?;
            let taken = self.taken(room, &found, &rooms)?;
            let batch = self.batches.entry((group, room)).or_default();
            batch.fill(since, &found, Descriptors::new(room, &rooms, &taken));
        }
        let batch = self.batches.entry((group, room)).or_default();
        let known = batch.knows(entry);
        let read = match batch.take(entry) {
            Some(read) => Some(read),
            // Listed, and changed or deleted since.
            None if known => None,
            None => self.read_one(group, room, entry)?,
        };
        match read {
            Some(Ok(stored)) => Ok(stored),
            Some(Err(why)) => Err(unreadable(self.shared.place(self.number), entry, why)),
            None => Err(self.gone(entry)),
        }
    }

    fn put(
        &mut self,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError> {
        if bytes.is_empty() || bytes.len() > RECORD_LEN_MAX {
            let len = bytes.len();
            return Err(RepositoryError::Invalid(format!(
                "a record has 1 to {RECORD_LEN_MAX} bytes, not {len}"
            )));
        }
        if name.as_str() == ANNOUNCED {
            return Err(RepositoryError::Invalid(format!("no record is named {ANNOUNCED}")));
        }
        let key = about(group, bytes).filter(|_| room == Room::Keys).map(|(key, _)| key);
        if let Some(key) = key
            && self.is_buried(group, key)?
        {
            return Ok(Put::Tombstoned);
        }
        let rooms = self.rooms(group)?;
        let put = match self.add_record(&rooms, group, room, name, bytes) {
            // The room may have been moved since this connection looked.
            Err(RepositoryError::NotFound { .. }) => {
                let rooms = self.rooms_now(group)?;
                self.add_record(&rooms, group, room, name, bytes)?
            }
            put => put?,
        };
        // A tombstone may have come since the look above: whoever wrote it either sees this record when it erases, or
        // its tombstone is seen here.
        if put == Put::Created
            && let Some(key) = key
            && self.is_buried(group, key)?
        {
            let found = self.search_room(group, &rooms.search(room))?;
            for listed in Self::listed(&found, &rooms).iter().filter(|listed| listed.entry.name == *name) {
                self.delete(&listed.entry)?;
            }
            return Ok(Put::Tombstoned);
        }
        Ok(put)
    }

    fn shred(&mut self, group: GroupId, entry: &Entry) -> Result<(), RepositoryError> {
        let stored = match self.read_one(group, Room::Keys, entry)? {
            None => return Ok(()),
            Some(Ok(stored)) => stored,
            Some(Err(why)) => return Err(unreadable(self.shared.place(self.number), entry, why)),
        };
        let condemned = match records::key_of(group, &stored) {
            Some(key) => self.is_buried(group, key)?,
            None => false,
        };
        if !condemned {
            return Err(RepositoryError::NotTombstoned {
                location: self.shared.place(self.number),
                name: entry.name.to_string(),
            });
        }
        self.delete(entry)
    }

    fn create_group(&mut self, group: GroupId, access: &GroupAccess) -> Result<(), RepositoryError> {
        self.make_group(group, access)
    }

    fn announce_group(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        self.announce(group)
    }

    fn describe_access(&mut self, group: GroupId) -> Result<Vec<AccessLine>, RepositoryError> {
        let prepared = self.prepared.take() == Some(group);
        let rooms = if prepared { self.rooms(group)? } else { self.rooms_now(group)? };
        let Some(trustees) = &rooms.trustees else {
            return Ok(vec![AccessLine {
                who: format!("group {group}"),
                may: "nobody can tell: who has access is not written down as this program knows it"
                    .to_owned(),
                alarming: true,
            }]);
        };
        let line =
            |sid: &Sid, may: &str| AccessLine { who: sid.to_string(), may: may.to_owned(), alarming: false };
        let mut lines = vec![
            line(&trustees.readers, "members of this group read keys"),
            line(&trustees.recovery, "members of this group may rewrite access; it should be empty"),
        ];
        lines.extend(trustees.former.iter().map(|sid| AccessLine {
            who: sid.to_string(),
            may: "members of this group may still read keys: dkm group replace-readers was not finished, run it again"
                .to_owned(),
            alarming: true,
        }));
        lines.extend(trustees.creators.iter().map(|sid| line(sid, "adds keys")));
        lines.extend(
            trustees
                .owners
                .iter()
                .map(|sid| line(sid, "adds control records, erases destroyed keys, reads no key by that")),
        );
        lines.extend(
            trustees
                .administrators
                .iter()
                .map(|sid| line(sid, "sees rooms and control records, reads no key")),
        );
        lines.extend(
            trustees.auditors.iter().map(|sid| line(sid, "sees everything but key material, writes nothing")),
        );
        lines.extend(trustees.elevators.iter().map(|sid| {
            line(
                sid,
                "lets people in for a time: writes the members of the group of temporary accounts and shuts accounts out \
                 of the room of keys, reads no key by itself",
            )
        }));
        lines.extend(
            trustees
                .elevated
                .iter()
                .map(|sid| line(sid, "members of this group, temporary accounts, read keys for a time")),
        );
        lines.extend(rooms.deviations.iter().map(|(room, deviation)| AccessLine {
            who: format!("room {room}"),
            may: deviation.to_string(),
            alarming: deviation.widens(),
        }));
        self.name_principals(&mut lines);
        Ok(lines)
    }
}
