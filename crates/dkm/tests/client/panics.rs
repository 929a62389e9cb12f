//! A repository whose code panics does not end a client.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dkm::Policy;
use dkm::blocking::{Client, NewGroup, Options};
use dkm::repository::memory::MemoryRepository;
use dkm::repository::{GroupAccess, Replica, Repository, RepositoryError};
use dkm::root_key::FileRootKeys;

use crate::world::context;

/// Tells of each connection; panics at the next one when told to.
#[derive(Debug)]
struct Fragile {
    inner: MemoryRepository,
    breaks: Mutex<bool>,
    told: Mutex<Sender<bool>>,
}

impl Repository for Fragile {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn replicas(&self) -> usize {
        self.inner.replicas()
    }

    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        let breaks = std::mem::take(&mut *self.breaks.lock().unwrap());
        let _ = self.told.lock().unwrap().send(breaks);
        assert!(!breaks, "as a broken repository would");
        self.inner.connect(replica)
    }
}

#[test]
fn the_refreshing_thread_outlives_a_repository_that_panics() {
    let (told, seen) = channel();
    let repository = Arc::new(Fragile {
        inner: MemoryRepository::new(1),
        breaks: Mutex::new(false),
        told: Mutex::new(told),
    });
    let folder = tempfile::tempdir().unwrap();
    let roots = Arc::new(FileRootKeys::new(folder.path().join("root-keys")));
    let client = Client::new(repository.clone(), roots, Options::default()).unwrap();
    let policy = Policy { refresh_interval_ms: 100, ..Policy::for_directory() };
    let access = GroupAccess::default();
    let group =
        client.create_group(NewGroup { name: "tokens".into(), description: None, policy, access }).unwrap();
    *repository.breaks.lock().unwrap() = true;
    let next = || seen.recv_timeout(Duration::from_secs(60)).expect("the thread has ended");
    while !next() {}
    assert!(!next(), "it reads again");
    assert!(group.protect(&context(), b"x").is_ok());
}
