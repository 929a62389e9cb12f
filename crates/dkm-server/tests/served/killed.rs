//! A server that is killed again and again under load has done what it acknowledged, and has an entry for what it gave out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dkm::ErrorKind;
use dkm::repository::{Entry, GroupAccess, Put, Repository, RepositoryError};
use dkm_audit::Trust;
use dkm_audit::entry::Phase;
use dkm_audit::source::DirectorySource;
use dkm_audit::verify::verify_each;
use dkm_core::kdf::key_id;
use dkm_core::record::{Family, KeyRecord, Material, Origin, Record};
use dkm_core::{GroupId, KeyId, RequestId, Room};
use dkm_remote::RemoteRepository;
use zeroize::Zeroizing;

use crate::daemon::Daemon;
use crate::people::{People, Stage};

const KILLS: u32 = 200;
const WRITERS: usize = 2;
const READERS: usize = 3;
const ACCOUNT: &str = "service:writer";
const GROUP: GroupId = GroupId([0x5c; 16]);

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn new_key() -> (KeyId, Record) {
    let material: [u8; 32] = random();
    let id = key_id(GROUP, Family::Native, &material);
    let record = Record::Key(KeyRecord {
        id,
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1,
        activates_at_ms: 1,
        // Its slot is that of a successor: one for each key.
        predecessor: Some(KeyId(random())),
        attempt: 0,
        material: Material::Plain(Zeroizing::new(material)),
        guid: None,
    });
    (id, record)
}

/// What the server told its clients.
#[derive(Default)]
struct Told {
    /// Keys that it said are there.
    created: Mutex<Vec<(KeyId, Vec<u8>)>>,
    /// How often it gave out which key.
    released: Mutex<BTreeMap<KeyId, usize>>,
    /// How far it said that requests for access are.
    stages: Mutex<BTreeMap<RequestId, Stage>>,
    done: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that dies is unavailable, and nothing else: no client drops its keys for that.
fn must_be_unavailable(error: &RepositoryError) {
    assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error:?}");
    std::thread::sleep(Duration::from_millis(2));
}

fn write(repository: &RemoteRepository, told: &Told) {
    while !told.done.load(Ordering::Relaxed) {
        let (id, record) = new_key();
        let bytes = record.encode(GROUP);
        let put = repository.reconnect(0).and_then(|mut replica| {
            let put = replica.put(GROUP, Room::Keys, &record.slot(GROUP, 0), &bytes)?;
            replica.release();
            Ok(put)
        });
        match put {
            Ok(put) => {
                assert_eq!(put, Put::Created);
                locked(&told.created).push((id, bytes));
            }
            Err(error) => must_be_unavailable(&error),
        }
    }
}

fn read(repository: &RemoteRepository, told: &Told) {
    while !told.done.load(Ordering::Relaxed) {
        let read = repository.reconnect(0).and_then(|mut replica| {
            let mut entries = replica.list(GROUP, Room::Keys)?;
            // The newest: nobody reads hundreds of keys between two deaths.
            for entry in entries.split_off(entries.len().saturating_sub(4)) {
                let stored = replica.get(GROUP, Room::Keys, &entry)?;
                let Ok((_, Record::Key(key))) = Record::decode(&stored.bytes) else { panic!("no key") };
                *locked(&told.released).entry(key.id).or_default() += 1;
            }
            replica.release();
            Ok(())
        });
        if let Err(error) = read {
            must_be_unavailable(&error);
        }
    }
}

fn elevate(people: &People, told: &Told) {
    while !told.done.load(Ordering::Relaxed) {
        let way = people.way(&mut |request, stage| {
            locked(&told.stages).insert(request, stage);
        });
        if let Err(error) = way {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_and_nothing_left_without_its_entry() {
    let mut daemon = Daemon::start();
    let repository = daemon.enrolled(ACCOUNT);
    let url = daemon.url(ACCOUNT);
    let mut founder = repository.connect(0).unwrap();
    founder
        .create_group(GROUP, &GroupAccess { owners: vec![ACCOUNT.into()], ..GroupAccess::default() })
        .unwrap();
    founder.announce_group(GROUP).unwrap();
    drop(founder);
    let people = People::new(&daemon, ACCOUNT);

    let told = Told::default();
    let open = |_| RemoteRepository::open(url.parse().unwrap(), crate::daemon::LIMITS);
    let clients: Vec<_> = (0..WRITERS + READERS).map(open).collect();
    let checkpoint = daemon.path("outside/checkpoint");
    let mut checkpoints = Vec::new();
    std::thread::scope(|scope| {
        let (writers, readers) = clients.split_at(WRITERS);
        let mut threads: Vec<_> = writers.iter().map(|client| scope.spawn(|| write(client, &told))).collect();
        threads.extend(readers.iter().map(|client| scope.spawn(|| read(client, &told))));
        threads.push(scope.spawn(|| elevate(&people, &told)));
        for _ in 0..KILLS {
            std::thread::sleep(Duration::from_millis(u64::from(random::<1>()[0]) / 4));
            daemon.kill();
            checkpoints.push(std::fs::read(&checkpoint).unwrap());
            // It starts: what it finds goes together.
            daemon.serve();
            if threads.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        told.done.store(true, Ordering::Relaxed);
    });
    assert_eq!(checkpoints.len(), KILLS as usize);

    let mut replica = repository.connect(0).unwrap();
    let listed: BTreeMap<_, _> =
        replica.list(GROUP, Room::Keys).unwrap().into_iter().map(|e| (e.name.clone(), e)).collect();
    let created = locked(&told.created);
    assert!(created.len() >= KILLS as usize / 4, "too few to say anything: {}", created.len());
    for (id, bytes) in created.iter() {
        let slot = Record::decode(bytes).unwrap().1.slot(GROUP, 0);
        let entry: &Entry = listed.get(&slot).unwrap_or_else(|| panic!("{id} was acknowledged, and is gone"));
        assert_eq!(*replica.get(GROUP, Room::Keys, entry).unwrap().bytes, *bytes);
    }
    drop(replica);
    let stages = locked(&told.stages);
    assert!(
        stages.values().filter(|stage| **stage == Stage::Revoked).count() >= 10,
        "too few to say anything"
    );
    for (request, stage) in stages.iter() {
        let now = people.stage(*request);
        assert!(now >= *stage, "request {request} was {stage:?}, and is {now:?}");
    }
    daemon.kill();

    let (intents, added) = entries_of_keys(&daemon, checkpoints.last().unwrap());
    let released = locked(&told.released);
    assert!(released.len() >= KILLS as usize / 4, "too few to say anything: {}", released.len());
    for (id, times) in released.iter() {
        assert!(intents.get(id).copied().unwrap_or(0) >= *times, "{id} left {times} times");
    }
    for (id, _) in created.iter() {
        assert!(added.contains_key(id), "{id} was added without an entry");
    }
    // Each checkpoint that a death left behind is one of this log's past.
    for earlier in checkpoints.iter().step_by(KILLS as usize / 10) {
        entries_of_keys(&daemon, earlier);
    }
}

/// How often the log announces that a key leaves, and that one is added; verified from beginning to end.
fn entries_of_keys(daemon: &Daemon, earlier: &[u8]) -> (BTreeMap<KeyId, usize>, BTreeMap<KeyId, usize>) {
    let check = daemon.command("check").output().unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success(), "{said}{}", String::from_utf8_lossy(&check.stderr));
    let key = said.lines().find_map(|line| line.strip_prefix("audit log: ")).unwrap();
    let trust = Trust::log(key.parse().unwrap()).unwrap();
    let (mut left, mut added) = (BTreeMap::new(), BTreeMap::new());
    let source = DirectorySource::new(&daemon.data().join("audit"));
    let report = verify_each(&source, &trust, Some(earlier), |_, _, entry| {
        let counts = match entry.action.as_str() {
            "read-key" => &mut left,
            "add-key" => &mut added,
            _ => return,
        };
        if let (Phase::Intent, Some(key)) = (entry.phase, entry.key) {
            *counts.entry(key).or_default() += 1;
        }
    });
    report.unwrap_or_else(|faults| panic!("{faults}"));
    (left, added)
}
