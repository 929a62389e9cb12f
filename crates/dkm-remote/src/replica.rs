//! A connection to one server, as a replica.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::repository::{
    AccessLine, Changes, Entry, GroupAccess, Listing, Put, Replica, RepositoryError, Stored,
};
use dkm_core::member::Rights;
use dkm_core::record::{PublicPart, RECORD_LEN_MAX, public_part};
use dkm_core::{Attestation, GroupId, Principal, ReplicaId, RepositoryId, Room, SlotName, Timestamp};
use serde::de::DeserializeOwned;
use ureq::http::Method;
use zeroize::Zeroizing;

use crate::credentials::Validity;
use crate::http::{Answer, Body, Channel, Fault, escaped};
use crate::problem;
use crate::repository::{Shared, is_success, parsed};
use crate::wire;

/// Longest list that is taken, in bytes: a hundred thousand keys and as many control records take a third of it.
const LIST_LEN_MAX: usize = 64 * 1024 * 1024;
/// Longest stamp and longest mark that are taken, in characters.
const OPAQUE_LEN_MAX: usize = 1024;
/// What a connection said of the clock is good for so long.
const CLOCK_IS_GOOD: Duration = Duration::from_secs(1);

/// A replica: a server, over one connection that is kept.
#[derive(Debug)]
pub(crate) struct RemoteReplica {
    shared: Arc<Shared>,
    number: usize,
    location: String,
    line: Line,
}

/// A connection, and what was said on it of who answers.
#[derive(Debug)]
pub(crate) struct Line {
    channel: Channel,
    validity: Option<Validity>,
    repository: RepositoryId,
    id: ReplicaId,
    account: String,
    /// The time it told, and when that was here.
    clock: (Timestamp, Instant),
    /// How many connections the channel had made by then.
    connections: usize,
}

impl Line {
    /// Learns who answers.
    fn greet(
        shared: &Shared,
        number: usize,
        channel: Channel,
        validity: Option<Validity>,
    ) -> Result<Self, RepositoryError> {
        let location = shared.endpoint(number)?.to_string();
        let what = "the repository";
        let answer = channel
            .call(Method::GET, "/v1/repository", Body::None, wire::BODY_LEN_MAX)
            .map_err(|fault| shared.unreachable(number, what, &fault.why, validity))?;
        let at = Instant::now();
        if !is_success(&answer) {
            return Err(match problem::error(&location, what, &answer) {
                RepositoryError::NotFound { location, .. } => {
                    RepositoryError::NotARepository { location, why: "it serves none".to_owned() }
                }
                error => error,
            });
        }
        let view: wire::RepositoryView = parsed(&location, what, &answer)?;
        let odd = |error: dkm_core::id::ParseIdError| problem::odd(&location, what, error);
        let repository = view.repository.parse().map_err(odd)?;
        let id = view.replica.parse().map_err(odd)?;
        if let Some(validity) = validity {
            shared.renew(number, validity);
        }
        let (clock, connections) = ((Timestamp(view.clock_ms), at), channel.connections());
        Ok(Self { channel, validity, repository, id, account: view.account, clock, connections })
    }
}

impl RemoteReplica {
    /// Connects anew, and learns who answers.
    pub(crate) fn connect(shared: &Arc<Shared>, number: usize) -> Result<Self, RepositoryError> {
        let (channel, validity) = shared.channel(number)?;
        let line = Line::greet(shared, number, channel, validity)?;
        Self::over(shared, number, line)
    }

    /// Goes on with a connection that was kept.
    pub(crate) fn over(shared: &Arc<Shared>, number: usize, line: Line) -> Result<Self, RepositoryError> {
        let location = shared.endpoint(number)?.to_string();
        Ok(Self { shared: shared.clone(), number, location, line })
    }

    /// Sends a request over the connection, or over a new one if that has ended before anything came of it and nothing can
    /// have been changed by it. Whoever answers is the store that answered before.
    fn send(
        &mut self,
        what: &str,
        method: &Method,
        path: &str,
        body: Body<'_>,
        limit: usize,
    ) -> Result<Answer, RepositoryError> {
        let answer = match self.line.channel.call(method.clone(), path, body, limit) {
            Err(Fault { stale: true, .. }) if *method == Method::GET => {
                let (channel, validity) = self.shared.channel(self.number)?;
                self.greet_again(channel, validity)?;
                self.line.channel.call(Method::GET, path, body, limit)
            }
            answer => answer,
        };
        let answer = answer.map_err(|fault| self.unreachable(what, &fault))?;
        // A connection that was kept too long is made anew on the way.
        if self.line.channel.connections() != self.line.connections {
            self.greet_again(self.line.channel.clone(), self.line.validity)?;
        }
        Ok(answer)
    }

    fn greet_again(&mut self, channel: Channel, validity: Option<Validity>) -> Result<(), RepositoryError> {
        let new = Line::greet(&self.shared, self.number, channel, validity)?;
        if (new.repository, new.id) != (self.line.repository, self.line.id) {
            let why = format!("replica {} answers in the place of replica {}", new.id, self.line.id);
            return Err(RepositoryError::Unavailable { location: self.location.clone(), why });
        }
        self.line = new;
        Ok(())
    }

    fn unreachable(&self, what: &str, fault: &Fault) -> RepositoryError {
        self.shared.unreachable(self.number, what, &fault.why, self.line.validity)
    }

    /// What an answer about a group means that is no success.
    fn group_error(&self, group: GroupId, what: &str, answer: &Answer) -> RepositoryError {
        match problem::error(&self.location, what, answer) {
            // To an account that has read it in this store, that is a decision: it was not taken back by anything but that.
            RepositoryError::NotFound { location, what }
                if self.shared.was_seen(self.number, self.line.id, group) =>
            {
                RepositoryError::Denied { location, what }
            }
            error => error,
        }
    }

    /// Asks something about a group.
    fn ask<T: DeserializeOwned>(
        &mut self,
        group: GroupId,
        path: &str,
        limit: usize,
    ) -> Result<T, RepositoryError> {
        let what = format!("group {group}");
        let answer = self.send(&what, &Method::GET, path, Body::None, limit)?;
        if !is_success(&answer) {
            return Err(self.group_error(group, &what, &answer));
        }
        let answer = parsed(&self.location, &what, &answer)?;
        self.shared.has_seen(self.number, self.line.id, group);
        Ok(answer)
    }

    /// Changes something of a group, and takes what comes of it.
    fn change(
        &mut self,
        group: GroupId,
        what: &str,
        method: &Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<Answer, RepositoryError> {
        let answer = self.send(what, method, path, body, wire::BODY_LEN_MAX)?;
        if is_success(&answer) { Ok(answer) } else { Err(self.group_error(group, what, &answer)) }
    }

    fn odd(&self, what: &str, why: impl std::fmt::Display) -> RepositoryError {
        problem::odd(&self.location, what, why)
    }

    fn entries(&self, what: &str, view: Vec<wire::RoomEntry>) -> Result<Vec<Entry>, RepositoryError> {
        let entry = |entry: wire::RoomEntry| {
            let name = entry.slot.parse::<SlotName>().map_err(|error| self.odd(what, error))?;
            let is_hex = entry.stamp.bytes().all(|byte| byte.is_ascii_hexdigit());
            if entry.stamp.is_empty() || entry.stamp.len() > OPAQUE_LEN_MAX || !is_hex {
                return Err(self.odd(what, format!("the stamp of {name} is none")));
            }
            Ok(Entry { name, stamp: entry.stamp.into_bytes() })
        };
        view.into_iter().map(entry).collect()
    }

    /// Asks what a room holds.
    fn room(&mut self, group: GroupId, room: Room, since: Option<&str>) -> Result<Changes, RepositoryError> {
        let query = since.map_or_else(String::new, |mark| format!("?since={}", escaped(mark)));
        let view: wire::RoomView =
            self.ask(group, &format!("/v1/groups/{group}/rooms/{room}{query}"), LIST_LEN_MAX)?;
        let what = format!("{room} of group {group}");
        if view.mark.len() > OPAQUE_LEN_MAX {
            return Err(self.odd(&what, "its mark is too long"));
        }
        if !view.whole && since.is_none() {
            return Err(self.odd(&what, "it tells a part where all was asked for"));
        }
        let entries = self.entries(&what, view.entries)?;
        let listing = if view.whole {
            Listing::Whole(entries)
        } else {
            // Records never change: an entry takes the place of no other, so that the whole stamp names it.
            Listing::Since { entries, object_len: usize::MAX }
        };
        // A mark that says nothing is none.
        let mark = (!view.mark.is_empty()).then(|| view.mark.into_bytes());
        Ok(Changes { listing, mark })
    }

    fn slot_path(group: GroupId, room: Room, entry: &Entry) -> Option<String> {
        let stamp = std::str::from_utf8(&entry.stamp).ok().filter(|stamp| !stamp.is_empty())?;
        Some(format!("/v1/groups/{group}/rooms/{room}/{}?stamp={}", entry.name, escaped(stamp)))
    }

    fn gone(&self, entry: &Entry) -> RepositoryError {
        RepositoryError::NotFound { location: self.location.clone(), what: format!("record {}", entry.name) }
    }
}

impl Replica for RemoteReplica {
    fn repository(&self) -> RepositoryId {
        self.line.repository
    }

    fn id(&self) -> ReplicaId {
        self.line.id
    }

    fn clock(&mut self) -> Result<Option<Timestamp>, RepositoryError> {
        if self.line.clock.1.elapsed() >= CLOCK_IS_GOOD {
            self.greet_again(self.line.channel.clone(), self.line.validity)?;
        }
        let (said, at) = self.line.clock;
        Ok(Some(said.plus(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))))
    }

    fn groups(&mut self) -> Result<Vec<GroupId>, RepositoryError> {
        let what = "the groups";
        let answer = self.send(what, &Method::GET, "/v1/groups", Body::None, LIST_LEN_MAX)?;
        if !is_success(&answer) {
            return Err(problem::error(&self.location, what, &answer));
        }
        let view: wire::Groups = parsed(&self.location, what, &answer)?;
        view.groups.iter().map(|id| id.parse().map_err(|error| self.odd(what, error))).collect()
    }

    fn rights(&mut self, group: GroupId) -> Result<Rights, RepositoryError> {
        let path = format!("/v1/groups/{group}/rights");
        let view: wire::RightsView = self.ask(group, &path, wire::BODY_LEN_MAX)?;
        Ok(Rights { read: view.read, create: view.create, own: view.own })
    }

    fn author(&mut self, _group: GroupId, _room: Room) -> Result<Option<Principal>, RepositoryError> {
        Ok(Some(Principal(self.line.account.clone())))
    }

    fn list(&mut self, group: GroupId, room: Room) -> Result<Vec<Entry>, RepositoryError> {
        match self.room(group, room, None)?.listing {
            Listing::Whole(entries) | Listing::Since { entries, .. } => Ok(entries),
        }
    }

    fn release(self: Box<Self>) {
        let Self { shared, number, line, .. } = *self;
        shared.keep_idle(number, line);
    }

    fn changes(
        &mut self,
        group: GroupId,
        room: Room,
        since: Option<&[u8]>,
    ) -> Result<Changes, RepositoryError> {
        // What is no text is not a mark of this repository's.
        let since = since.and_then(|mark| std::str::from_utf8(mark).ok()).filter(|mark| !mark.is_empty());
        self.room(group, room, since)
    }

    fn get(&mut self, group: GroupId, room: Room, entry: &Entry) -> Result<Stored, RepositoryError> {
        let what = format!("record {}", entry.name);
        let Some(path) = Self::slot_path(group, room, entry) else { return Err(self.gone(entry)) };
        let answer = self.send(&what, &Method::GET, &path, Body::None, wire::BODY_LEN_MAX)?;
        if !is_success(&answer) {
            return Err(problem::record_error(&self.location, entry.name.as_str(), &answer));
        }
        let view: wire::StoredView = parsed(&self.location, &what, &answer)?;
        let unreadable = |why: &str| RepositoryError::Unreadable {
            location: self.location.clone(),
            name: entry.name.to_string(),
            why: why.to_owned(),
        };
        // Room for all of it, so that no part stays behind when it grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(view.record.len()));
        let decoded = STANDARD.decode_vec(view.record.as_bytes(), &mut bytes);
        // The text of that error names bytes of the record.
        decoded.map_err(|_| unreadable("it is no Base64"))?;
        if bytes.len() > RECORD_LEN_MAX {
            return Err(unreadable("it is too long"));
        }
        let attested = Attestation {
            creator: Principal(view.creator),
            created: Timestamp(view.created_ms),
            template_ok: true,
        };
        // The server works the public part out of the record whenever it shows one, so that the two always agree.
        let public = match (view.public_only, public_part(&bytes)) {
            (true, _) => PublicPart::Alone,
            (false, Some(_)) => PublicPart::Agrees,
            (false, None) => PublicPart::NotKept,
        };
        Ok(Stored { bytes, attested, public })
    }

    fn put(
        &mut self,
        group: GroupId,
        room: Room,
        name: &SlotName,
        bytes: &[u8],
    ) -> Result<Put, RepositoryError> {
        let what = format!("adding to {room} of group {group}");
        let path = format!("/v1/groups/{group}/rooms/{room}/{name}");
        let answer = self.change(group, &what, &Method::PUT, &path, Body::Bytes(bytes))?;
        let view: wire::PutView = parsed(&self.location, &what, &answer)?;
        Ok(match view.outcome {
            wire::PutOutcome::Created => Put::Created,
            wire::PutOutcome::Taken => Put::Taken,
            wire::PutOutcome::Tombstoned => Put::Tombstoned,
        })
    }

    fn shred(&mut self, group: GroupId, entry: &Entry) -> Result<(), RepositoryError> {
        let what = format!("record {}", entry.name);
        // What no list named is not there.
        let Some(path) = Self::slot_path(group, Room::Keys, entry) else { return Ok(()) };
        let answer = self.send(&what, &Method::DELETE, &path, Body::None, wire::BODY_LEN_MAX)?;
        if is_success(&answer) {
            return Ok(());
        }
        Err(problem::record_error(&self.location, entry.name.as_str(), &answer))
    }

    fn create_group(&mut self, group: GroupId, access: &GroupAccess) -> Result<(), RepositoryError> {
        let what = format!("making group {group}");
        if !access.elevators.is_empty() {
            return Err(RepositoryError::Invalid(
                "dkmd has no elevators: it lets people in itself, as its roster says".to_owned(),
            ));
        }
        let access = wire::Access {
            readers: access.readers.clone(),
            creators: access.creators.clone(),
            owners: access.owners.clone(),
            auditors: access.auditors.clone(),
        };
        let body =
            serde_json::to_vec(&access).map_err(|error| RepositoryError::Invalid(error.to_string()))?;
        self.change(group, &what, &Method::PUT, &format!("/v1/groups/{group}"), Body::Json(&body))?;
        Ok(())
    }

    fn announce_group(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        let what = format!("announcing group {group}");
        let path = format!("/v1/groups/{group}/announcement");
        self.change(group, &what, &Method::POST, &path, Body::None)?;
        Ok(())
    }

    fn describe_access(&mut self, group: GroupId) -> Result<Vec<AccessLine>, RepositoryError> {
        let path = format!("/v1/groups/{group}/access");
        let view: wire::AccessView = self.ask(group, &path, LIST_LEN_MAX)?;
        let line =
            |line: wire::AccessLine| AccessLine { who: line.who, may: line.may, alarming: line.alarming };
        Ok(view.access.into_iter().map(line).collect())
    }
}
