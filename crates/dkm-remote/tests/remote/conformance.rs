//! The repository does what any repository must, over both ways to a server.

use std::path::PathBuf;
use std::sync::Arc;

use dkm::repository::conformance::{CASES, Fixture, run};
use dkm::repository::memory::MemoryRepository;
use dkm::repository::{Changes, GroupAccess, Listing, Replica, Repository, RepositoryError};
use dkm_core::{GroupId, Room, SlotName};
use dkm_remote::RemoteRepository;

use crate::support::api::Api;
use crate::support::{Authority, LIMITS, Server, World};

const FOUNDER: &str = "service:founder";
const READER: &str = "service:reader";
const OUTSIDER: &str = "service:outsider";
const GROUP: GroupId = GroupId([7; 16]);

fn reader_access() -> GroupAccess {
    GroupAccess {
        readers: vec![READER.into()],
        creators: vec![FOUNDER.into()],
        owners: vec![FOUNDER.into()],
        ..GroupAccess::default()
    }
}

/// A repository in memory, and how accounts see it through servers.
struct Behind<F: Fn(&str) -> RemoteRepository> {
    memory: MemoryRepository,
    open: F,
}

impl<F: Fn(&str) -> RemoteRepository> Fixture for Behind<F> {
    fn repository(&self) -> Arc<dyn Repository> {
        Arc::new((self.open)(FOUNDER))
    }

    fn bring_back(&mut self, replica: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        self.memory.seen_by(FOUNDER).plant(replica, group, Room::Keys, name, bytes, None);
        true
    }

    fn change(&mut self, replica: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        self.memory.remove(replica, group, Room::Keys, name);
        self.memory.seen_by(FOUNDER).plant(replica, group, Room::Keys, name, bytes, None);
        true
    }

    fn twin(&mut self, replica: usize, group: GroupId, room: Room, name: &SlotName, bytes: &[u8]) -> bool {
        self.memory.seen_by(FOUNDER).plant(replica, group, room, name, bytes, None);
        true
    }

    fn outsider(&mut self) -> Option<Arc<dyn Repository>> {
        Some(Arc::new((self.open)(OUTSIDER)))
    }

    fn reader(&mut self) -> Option<(GroupAccess, Arc<dyn Repository>)> {
        Some((reader_access(), Arc::new((self.open)(READER))))
    }
}

fn conforms(fixture: &mut dyn Fixture, skipped: usize) {
    let report = run(fixture);
    assert!(report.failed.is_empty() && report.skipped.len() == skipped, "{report}");
    assert_eq!(report.held.len(), CASES.len() - skipped);
}

#[test]
fn over_tls_with_two_servers() {
    let world = World::new(2);
    conforms(&mut Behind { memory: world.repository.clone(), open: |account: &str| world.open(account) }, 0);
}

#[test]
fn over_unix_sockets() {
    let (memory, folder) = (MemoryRepository::new(1), tempfile::tempdir().unwrap());
    let authority = Arc::new(Authority::new());
    for account in [FOUNDER, READER, OUTSIDER] {
        let api = Api::new(memory.clone(), 0, authority.clone());
        Server::unix(&folder.path().join(account), account, move |request| api.answer(request));
    }
    let path = |account: &str| -> PathBuf { folder.path().join(account) };
    let open = |account: &str| {
        RemoteRepository::open(format!("unix:{}", path(account).display()).parse().unwrap(), LIMITS)
    };
    // Records spread between replicas, and there is one.
    conforms(&mut Behind { memory, open }, 1);
}

/// A group that everybody named in [`reader_access`] reads.
fn with_group(repository: &dyn Repository) -> Box<dyn Replica> {
    let mut connection = repository.connect(0).unwrap();
    connection.create_group(GROUP, &reader_access()).unwrap();
    connection.announce_group(GROUP).unwrap();
    connection
}

#[test]
fn one_connection_carries_all_requests_and_is_used_again() {
    let world = World::new(1);
    let repository = world.open(FOUNDER);
    let mut connection = with_group(&repository);
    for _ in 0..10 {
        connection.rights(GROUP).unwrap();
    }
    assert_eq!(world.servers[0].connections(), 1);
    connection.release();
    repository.reconnect(0).unwrap().rights(GROUP).unwrap();
    assert_eq!(world.servers[0].connections(), 1);
    // A fresh connection is one.
    repository.connect(0).unwrap();
    assert_eq!(world.servers[0].connections(), 2);
}

#[test]
fn changes_are_told_by_marks() {
    let world = World::new(1);
    let mut connection = with_group(&world.open(FOUNDER));
    let slot = |n: u8| format!("slot-{n}").parse::<SlotName>().unwrap();
    connection.put(GROUP, Room::Control, &slot(1), b"one").unwrap();
    let Changes { listing, mark } = connection.changes(GROUP, Room::Control, None).unwrap();
    assert!(matches!(listing, Listing::Whole(entries) if entries.len() == 1));
    let again = connection.changes(GROUP, Room::Control, mark.as_deref()).unwrap();
    assert_eq!(again.mark, mark);
    assert!(matches!(again.listing, Listing::Since { entries, .. } if entries.is_empty()));
    connection.put(GROUP, Room::Control, &slot(2), b"two").unwrap();
    let more = connection.changes(GROUP, Room::Control, mark.as_deref()).unwrap();
    assert_ne!(more.mark, mark);
    // A mark of another kind of repository says nothing here.
    let whole = connection.changes(GROUP, Room::Control, Some(&[0xff, 0xfe])).unwrap();
    assert!(matches!(whole.listing, Listing::Whole(entries) if entries.len() == 2));
}

#[test]
fn a_group_that_was_read_and_is_not_seen_any_more_is_denied() {
    let world = World::new(1);
    with_group(&world.open(FOUNDER));
    let (reader, other) = (world.open(READER), world.open(READER));
    reader.connect(0).unwrap().rights(GROUP).unwrap();
    world.repository.lose(0);
    let error = reader.connect(0).unwrap().rights(GROUP).unwrap_err();
    assert!(matches!(error, RepositoryError::Denied { .. }), "{error}");
    // Who never read it can't tell.
    let error = other.connect(0).unwrap().rights(GROUP).unwrap_err();
    assert!(matches!(error, RepositoryError::NotFound { .. }), "{error}");
}
