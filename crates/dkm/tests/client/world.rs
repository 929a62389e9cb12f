//! What the tests stand on. Not every test program needs all of it.

#![allow(dead_code)]

use std::sync::{Arc, Mutex};

use dkm::blocking::{Client, Group, NewGroup, Options};
use dkm::clock::ManualClock;
use dkm::journal::{Event, EventKind, Journal};
use dkm::repository::GroupAccess;
use dkm::repository::memory::MemoryRepository;
use dkm::root_key::FileRootKeys;
use dkm::{Context, Escrow, Policy, Timestamp};

/// When the tests begin, in milliseconds.
pub(crate) const T0: u64 = 1_800_000_000_000;
/// A day in milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;

/// Remembers events; refuses them when told to.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) events: Mutex<Vec<(EventKind, Option<String>)>>,
    pub(crate) broken: Mutex<bool>,
}

impl Journal for Ledger {
    fn record(&self, event: &Event) -> dkm::Result<()> {
        if *self.broken.lock().unwrap() {
            let source = std::io::Error::other("the journal is broken");
            return Err(dkm::Error::Journal { path: "journal".into(), source });
        }
        self.events.lock().unwrap().push((event.what, event.reason.clone()));
        Ok(())
    }
}

impl Ledger {
    pub(crate) fn count(&self, what: EventKind) -> usize {
        self.events.lock().unwrap().iter().filter(|(kind, _)| *kind == what).count()
    }
}

/// A repository, its root keys, a clock and a journal.
pub(crate) struct World {
    pub(crate) repository: MemoryRepository,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) escrow: Option<Arc<dyn Escrow>>,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(replicas: usize) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp(T0)));
        let time = clock.clone();
        let repository =
            MemoryRepository::new(replicas).with_time(move || dkm::clock::Clock::now(time.as_ref()));
        Self { repository, clock, ledger: Arc::default(), escrow: None, folder: tempfile::tempdir().unwrap() }
    }

    /// A client with nothing in memory, seen by the repository as this account.
    pub(crate) fn client_as(&self, account: &str) -> Client {
        let roots = Arc::new(FileRootKeys::new(self.folder.path().join("root-keys")));
        let options = Options {
            // Everybody's turn comes at the same time, unless a test wants luck.
            identity: Some([7; 16]),
            background: false,
            journal: Some(self.ledger.clone()),
            escrow: self.escrow.clone(),
            clock: self.clock.clone(),
            ..Options::default()
        };
        Client::new(Arc::new(self.repository.seen_by(account)), roots, options).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        self.client_as("uid:0")
    }

    /// A group that `uid:1` and `uid:2` are members of, owned by `uid:0`.
    pub(crate) fn group_with(&self, policy: Policy) -> Group {
        let access = GroupAccess {
            readers: ["uid:0", "uid:1", "uid:2"].map(str::to_owned).to_vec(),
            creators: ["uid:0", "uid:1", "uid:2"].map(str::to_owned).to_vec(),
            owners: vec!["uid:0".to_owned()],
            ..GroupAccess::default()
        };
        let new =
            NewGroup { name: "tokens".into(), description: None, policy, access: GroupAccess::default() };
        let group = self.client().create_group(new).unwrap();
        // Only the repository decides on access; root keys in files know Unix groups, which there are none of here.
        self.repository.set_access(group.id(), &access);
        group.refresh().unwrap();
        group
    }

    pub(crate) fn group(&self) -> Group {
        self.group_with(Policy::for_directory())
    }

    /// The group as another process of this account finds it.
    pub(crate) fn fresh(&self, account: &str) -> Group {
        self.client_as(account).group("tokens").unwrap()
    }

    /// What time it is.
    pub(crate) fn now_ms(&self) -> u64 {
        dkm::clock::Clock::now(self.clock.as_ref()).0
    }

    /// All root keys are gone.
    pub(crate) fn lose_root_keys(&self) {
        std::fs::remove_dir_all(self.folder.path().join("root-keys")).unwrap();
    }

    /// Lets time pass, in which the group works every hour.
    pub(crate) fn work(&self, group: &Group, days: u64) {
        for _ in 0..days * 24 {
            self.clock.advance(DAY_MS / 24);
            let blob = group.protect(&context(), b"work").unwrap();
            group.unprotect(&context(), &blob).unwrap();
        }
    }
}

pub(crate) fn context() -> Context {
    Context::new().with("account", "alice@example.org").unwrap()
}

/// The id of the key that protects now.
pub(crate) fn protecting(group: &Group) -> dkm::KeyId {
    group.view().unwrap().protecting.unwrap()
}
