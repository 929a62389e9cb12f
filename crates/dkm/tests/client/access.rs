//! Denied, out of reach, and back again.

use std::io::Read as _;

use dkm::core::member::{ProtectRefusal, UnprotectRefusal};
use dkm::repository::{GroupAccess, RepositoryError};
use dkm::{Error, ErrorKind};

use crate::world::{DAY_MS, World, context};

#[test]
fn what_is_protected_opens_in_the_same_context_only() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    assert_eq!(&*world.fresh("uid:2").unprotect(&context(), &blob).unwrap(), b"secret");
    let other = dkm::Context::new().with("account", "mallory@example.org").unwrap();
    let error = group.unprotect(&other, &blob).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.advice().is_some());
}

#[test]
fn a_member_that_is_removed_is_locked_out_at_its_next_refresh_and_drops_its_keys() {
    let world = World::new(2);
    let group = world.group();
    let member = world.fresh("uid:1");
    let blob = member.protect(&context(), b"secret").unwrap();
    let others = GroupAccess {
        readers: vec!["uid:0".to_owned(), "uid:2".to_owned()],
        creators: vec!["uid:0".to_owned()],
        owners: vec!["uid:0".to_owned()],
        ..GroupAccess::default()
    };
    world.repository.set_access(group.id(), &others);
    assert!(matches!(member.refresh(), Err(Error::Repository(RepositoryError::Denied { .. }))));
    assert!(matches!(member.protect(&context(), b"x"), Err(Error::Protect(ProtectRefusal::Denied))));
    assert!(matches!(member.unprotect(&context(), &blob), Err(Error::Unprotect(UnprotectRefusal::Denied))));
    assert_eq!(member.unprotect(&context(), &blob).unwrap_err().kind(), ErrorKind::Denied);
    // Even when the repository is out of reach: denied is not forgotten for want of an answer.
    world.repository.faults(0, |f| f.unreachable = true);
    world.repository.faults(1, |f| f.unreachable = true);
    world.clock.advance(10_000);
    assert!(member.protect(&context(), b"x").is_err());
    // The others go on.
    world.repository.heal();
    assert_eq!(&*world.fresh("uid:2").unprotect(&context(), &blob).unwrap(), b"secret");
}

/// Reads zeros, and does something on the way.
struct Interrupted<F> {
    left: std::io::Cursor<Vec<u8>>,
    at: u64,
    act: Option<F>,
}

impl<F: FnOnce()> std::io::Read for Interrupted<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left.position() >= self.at
            && let Some(act) = self.act.take()
        {
            act();
        }
        std::io::Read::read(&mut self.left, buffer)
    }
}

#[test]
fn streams_and_ranges_in_progress_end_when_the_member_is_removed() {
    const LEN: usize = 16 << 20;
    let world = World::new(1);
    let group = world.group();
    let member = world.fresh("uid:1");
    let mut blob = Vec::new();
    member.protect_stream(&context(), std::io::repeat(0).take(LEN as u64), &mut blob).unwrap();
    let only = |who: &[&str]| GroupAccess {
        readers: who.iter().map(|name| (*name).to_owned()).collect(),
        creators: vec!["uid:0".to_owned()],
        owners: vec!["uid:0".to_owned()],
        ..GroupAccess::default()
    };
    let interrupted = |bytes: &[u8]| Interrupted {
        left: std::io::Cursor::new(bytes.to_vec()),
        at: 1 << 20,
        act: Some(|| {
            world.repository.set_access(group.id(), &only(&["uid:0"]));
            assert!(member.refresh().is_err(), "as the thread that refreshes learns it");
        }),
    };
    let let_in = || {
        world.repository.set_access(group.id(), &only(&["uid:0", "uid:1"]));
        member.refresh().unwrap();
    };
    let mut ranges = member.open_seekable(&context(), std::io::Cursor::new(&blob)).unwrap();
    let mut out = vec![0; 100];
    assert_eq!(ranges.read_at(5, &mut out).unwrap(), 100);

    let mut opened = Vec::new();
    let error = member.unprotect_stream(&context(), interrupted(&blob), &mut opened).unwrap_err();
    assert!(matches!(error, Error::Unprotect(UnprotectRefusal::Denied)), "{error}");
    assert!(opened.len() < LEN);
    assert_eq!(ranges.read_at(5, &mut out).unwrap_err().kind(), ErrorKind::Denied);
    let_in();
    let mut sealed = Vec::new();
    let error = member.protect_stream(&context(), interrupted(&vec![0; LEN]), &mut sealed).unwrap_err();
    assert!(matches!(error, Error::Protect(ProtectRefusal::Denied)), "{error}");
    assert!(sealed.len() < LEN);
    let_in();
    assert!(member.unprotect_stream(&context(), blob.as_slice(), std::io::sink()).is_ok());
    // A range longer than what is asked for at once comes whole.
    let mut whole = vec![1; LEN + 1];
    let mut ranges = member.open_seekable(&context(), std::io::Cursor::new(&blob)).unwrap();
    assert_eq!(ranges.read_at(0, &mut whole).unwrap(), LEN);
    assert!(whole[..LEN].iter().all(|byte| *byte == 0));
}

#[test]
fn one_replica_that_denies_is_enough() {
    let world = World::new(3);
    let group = world.group();
    world.repository.faults(2, |f| f.denied = true);
    assert_eq!(group.refresh().unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(group.protect(&context(), b"x").unwrap_err().kind(), ErrorKind::Denied);
    world.repository.heal();
    group.refresh().unwrap();
    assert!(group.protect(&context(), b"x").is_ok(), "let in again");
}

#[test]
fn out_of_reach_works_until_the_end_of_the_grace_and_again_when_it_is_back() {
    let world = World::new(2);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    let grace_ms = group.policy().unwrap().offline_grace_ms;
    for replica in 0..2 {
        world.repository.faults(replica, |f| f.unreachable = true);
    }
    world.clock.advance(grace_ms);
    assert!(group.protect(&context(), b"x").is_ok());
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
    world.clock.advance(1);
    assert!(matches!(
        group.protect(&context(), b"x"),
        Err(Error::Protect(ProtectRefusal::OutOfReach { .. }))
    ));
    assert!(matches!(
        group.unprotect(&context(), &blob),
        Err(Error::Unprotect(UnprotectRefusal::OutOfReach { .. }))
    ));
    world.repository.heal();
    world.clock.advance(DAY_MS);
    assert!(group.protect(&context(), b"x").is_ok());
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"secret");
}

#[test]
fn groups_are_found_by_name_and_id_and_strangers_see_none() {
    let world = World::new(1);
    let group = world.group();
    let client = world.client_as("uid:1");
    assert_eq!(client.group(&group.id().to_string()).unwrap().id(), group.id());
    assert_eq!(client.groups().unwrap().len(), 1);
    let stranger = world.client_as("uid:99");
    assert!(stranger.groups().unwrap().is_empty());
    assert!(matches!(stranger.group("tokens"), Err(Error::NoGroup { .. })));
    assert!(stranger.group(&group.id().to_string()).is_err());
    assert!(matches!(client.group("nothing"), Err(Error::NoGroup { .. })));
}

#[test]
fn the_same_name_twice_is_refused_and_where_it_happens_it_is_ambiguous() {
    let world = World::new(1);
    let group = world.group();
    let new = || dkm::blocking::NewGroup {
        name: "tokens".into(),
        description: None,
        policy: dkm::Policy::for_directory(),
        access: GroupAccess::default(),
    };
    assert!(matches!(world.client().create_group(new()), Err(Error::GroupExists { .. })));
    // Two owners who could not know of each other: the check of one comes before the other's announcement.
    world.client().create_group(dkm::blocking::NewGroup { name: "other".into(), ..new() }).unwrap();
    let twin = world.client().group("other").unwrap();
    rename(&world, twin.id());
    let error = world.client().group("tokens").unwrap_err();
    assert!(
        matches!(&error, Error::AmbiguousGroup { count: 2, ids, .. } if ids.contains(&group.id().to_string()))
    );
}

/// Puts a group record with the name of the tests' group in the place of a group's own.
fn rename(world: &World, id: dkm::GroupId) {
    use dkm::core::record::Record;
    for (room, name, bytes) in world.repository.held(0, id) {
        if let Ok((_, Record::Group(mut group))) = Record::decode(&bytes) {
            group.name = "tokens".into();
            world.repository.remove(0, id, room, &name);
            world.repository.plant(0, id, room, &name, &Record::Group(group).encode(id), None);
        }
    }
}
