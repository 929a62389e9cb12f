//! Groups, rights and identities.

use std::collections::BTreeSet;

use dkm_core::Room;

use super::samples::{Sample, random_group, refused, slot};
use super::{Fixture, Verdict, Violation, must};
use crate::repository::{Entry, RepositoryError};

pub(super) fn ids_stay_the_same(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let repository = fixture.repository();
    let replicas = repository.replicas();
    must(replicas > 0, || "it has no replica".to_owned())?;
    must(!repository.url().is_empty(), || "its URL is empty".to_owned())?;
    let mut repositories = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for replica in 0..replicas {
        let (first, again) = (repository.connect(replica)?, repository.connect(replica)?);
        must((first.id(), first.repository()) == (again.id(), again.repository()), || {
            format!("replica {replica} has other ids on every connection")
        })?;
        repositories.insert(first.repository());
        ids.insert(first.id());
    }
    must(repositories.len() == 1, || {
        "its replicas say that they belong to different repositories".to_owned()
    })?;
    must(ids.len() == replicas, || "two of its replicas have the same id".to_owned())?;
    must(repository.connect(replicas).is_err(), || {
        "it connects to a replica that it does not have".to_owned()
    })?;
    Ok(Verdict::Held)
}

pub(super) fn unknown_groups_are_refused(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut connection = fixture.repository().connect(0)?;
    let (group, name) = (random_group()?, slot("x")?);
    refused("asking for the rights in an unknown group", connection.rights(group))?;
    refused("describing an unknown group", connection.describe_access(group))?;
    refused("announcing an unknown group", connection.announce_group(group))?;
    for room in Room::ALL {
        refused("listing an unknown group", connection.list(group, room))?;
        refused("putting into an unknown group", connection.put(group, room, &name, b"x"))?;
        let entry = Entry { name: name.clone(), stamp: Vec::new() };
        refused("reading from an unknown group", connection.get(group, room, &entry))?;
    }
    let listed = connection.groups()?.contains(&group);
    must(!listed, || "an unknown group is listed".to_owned())?;
    Ok(Verdict::Held)
}

pub(super) fn groups_are_hidden_until_announced(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::staged(fixture)?;
    let (group, name) = (sample.group, slot("first")?);
    for room in Room::ALL {
        sample.put(room, &name, b"before")?;
    }
    let listed = sample.fresh()?.groups()?.contains(&group) || sample.connection.groups()?.contains(&group);
    must(!listed, || "a group is listed before it is announced".to_owned())?;
    if let Some(outsider) = fixture.outsider() {
        refused("an outsider's look at a group that is not announced", outsider.connect(0)?.rights(group))?;
    }
    sample.connection.announce_group(group)?;
    for mut connection in [sample.fresh()?, sample.repository.connect(0)?] {
        must(connection.groups()?.contains(&group), || "an announced group is not listed".to_owned())?;
    }
    for room in Room::ALL {
        sample.holds(room, &name, b"before")?;
    }
    Ok(Verdict::Held)
}

pub(super) fn groups_are_made_once(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    let name = slot("first")?;
    sample.put(Room::Keys, &name, b"kept")?;
    let again = sample.connection.create_group(sample.group, &fixture.access());
    must(matches!(again, Err(RepositoryError::Invalid(_))), || {
        format!("making a group that is there ended with {again:?}")
    })?;
    sample.holds(Room::Keys, &name, b"kept")?;
    let ids = sample.connection.groups()?;
    let times = ids.iter().filter(|id| **id == sample.group).count();
    must(times == 1, || format!("a group is listed {times} times"))?;
    Ok(Verdict::Held)
}

pub(super) fn groups_and_rooms_are_apart(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let (mut one, mut other) = (Sample::announced(fixture)?, Sample::announced(fixture)?);
    let name = slot("same")?;
    one.put(Room::Keys, &name, b"one, keys")?;
    one.put(Room::Control, &name, b"one, control")?;
    other.put(Room::Keys, &name, b"other, keys")?;
    one.holds(Room::Keys, &name, b"one, keys")?;
    one.holds(Room::Control, &name, b"one, control")?;
    other.holds(Room::Keys, &name, b"other, keys")?;
    let entries = other.entries(Room::Control, &name)?;
    must(entries.is_empty(), || "a record is listed in a room that it was not put into".to_owned())?;
    Ok(Verdict::Held)
}

pub(super) fn founders_have_all_rights(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    for mut sample in [Sample::staged(fixture)?, Sample::announced(fixture)?] {
        let rights = sample.connection.rights(sample.group)?;
        must(rights.read && rights.create && rights.own, || {
            format!("who made a group has the rights {rights:?}")
        })?;
    }
    Ok(Verdict::Held)
}

pub(super) fn outsiders_are_refused(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let Some(outsider) = fixture.outsider() else {
        return Ok(Verdict::Skipped("the fixture has no account that is no member"));
    };
    let mut sample = Sample::announced(fixture)?;
    let (group, name) = (sample.group, slot("secret")?);
    let mut connection = outsider.connect(0)?;
    must(!connection.groups()?.contains(&group), || "an outsider sees the group".to_owned())?;
    refused("an outsider's rights", connection.rights(group))?;
    refused("an outsider's description", connection.describe_access(group))?;
    for room in Room::ALL {
        sample.put(room, &name, b"secret")?;
        let entry = sample.entry(room, &name)?;
        refused("an outsider's list", connection.list(group, room))?;
        refused("an outsider's read", connection.get(group, room, &entry))?;
        refused("an outsider's put", connection.put(group, room, &slot("planted")?, b"x"))?;
        sample.holds(room, &name, b"secret")?;
    }
    Ok(Verdict::Held)
}

pub(super) fn readers_only_read(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let Some((access, reader)) = fixture.reader() else {
        return Ok(Verdict::Skipped("the fixture has no account that only reads"));
    };
    let repository = fixture.repository();
    let mut connection = repository.connect(0)?;
    let group = random_group()?;
    connection.create_group(group, &access)?;
    let mut sample = Sample { repository, connection, group };
    let name = slot("first")?;
    for room in Room::ALL {
        sample.put(room, &name, b"readable")?;
    }
    let hidden = reader.connect(0)?.groups()?.contains(&group);
    must(!hidden, || "a reader sees a group that is not announced".to_owned())?;
    sample.connection.announce_group(group)?;
    let mut connection = reader.connect(0)?;
    must(connection.groups()?.contains(&group), || "a reader does not see its group".to_owned())?;
    let rights = connection.rights(group)?;
    must(rights.read && !rights.create && !rights.own, || format!("a reader has the rights {rights:?}"))?;
    for room in Room::ALL {
        let listed = connection.list(group, room)?;
        let Some(entry) = listed.iter().find(|entry| entry.name == name) else {
            return Err(Violation(format!("a reader's list of {room} lacks a record")));
        };
        let read = connection.get(group, room, entry)?;
        must(read.bytes.as_slice() == b"readable", || "a reader reads something else".to_owned())?;
        let put = connection.put(group, room, &slot("planted")?, b"x");
        must(matches!(put, Err(RepositoryError::Denied { .. })), || {
            format!("a reader's put into {room} ended with {put:?}")
        })?;
    }
    Ok(Verdict::Held)
}

pub(super) fn access_is_described(fixture: &mut dyn Fixture) -> Result<Verdict, Violation> {
    let mut sample = Sample::announced(fixture)?;
    sample.put(Room::Keys, &slot("first")?, b"x")?;
    let lines = sample.connection.describe_access(sample.group)?;
    must(!lines.is_empty(), || "nobody is said to have access".to_owned())?;
    let alarming = lines.iter().find(|line| line.alarming);
    must(alarming.is_none(), || format!("a new group's access is alarming: {alarming:?}"))?;
    Ok(Verdict::Held)
}
