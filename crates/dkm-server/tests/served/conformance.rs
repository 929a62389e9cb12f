//! What any repository must do, asked of a running server over TLS.

use std::sync::Arc;

use dkm::repository::conformance::{CASES, Fixture, run};
use dkm::repository::{GroupAccess, Repository};
use dkm_core::{Digest, GroupId, SlotName};
use dkm_remote::RemoteRepository;

use crate::daemon::{Daemon, database};

const FOUNDER: &str = "service:founder";
const READER: &str = "service:reader";

struct Served {
    daemon: Daemon,
    founder: RemoteRepository,
    reader: RemoteRepository,
    outsider: RemoteRepository,
}

impl Served {
    fn new() -> Self {
        let daemon = Daemon::start();
        let [founder, reader, outsider] =
            [FOUNDER, READER, "service:outsider"].map(|account| daemon.enrolled(account));
        Self { daemon, founder, reader, outsider }
    }

    /// Puts a key's record into a slot past the server, as somebody does who has its disk.
    fn plant(&self, group: GroupId, name: &SlotName, bytes: &[u8]) {
        let connection = database(&self.daemon.data());
        let place = (group.0, name.as_str());
        connection
            .execute("DELETE FROM records WHERE key_group = ?1 AND room = 'keys' AND slot = ?2", place)
            .unwrap();
        connection
            .execute(
                "INSERT INTO records (key_group, room, slot, record, stamp, creator, created_ms)
                 VALUES (?1, 'keys', ?2, ?3, ?4, ?5, 1)",
                (group.0, name.as_str(), bytes, &Digest::of(bytes).0[..16], FOUNDER),
            )
            .unwrap();
    }
}

impl Fixture for Served {
    fn repository(&self) -> Arc<dyn Repository> {
        Arc::new(self.founder.clone())
    }

    fn access(&self) -> GroupAccess {
        GroupAccess { readers: vec![FOUNDER.into()], ..with_readers(Vec::new()) }
    }

    fn bring_back(&mut self, _: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        self.plant(group, name, bytes);
        true
    }

    fn change(&mut self, _: usize, group: GroupId, name: &SlotName, bytes: &[u8]) -> bool {
        self.plant(group, name, bytes);
        true
    }

    fn outsider(&mut self) -> Option<Arc<dyn Repository>> {
        Some(Arc::new(self.outsider.clone()))
    }

    fn reader(&mut self) -> Option<(GroupAccess, Arc<dyn Repository>)> {
        Some((with_readers(vec![READER.into(), FOUNDER.into()]), Arc::new(self.reader.clone())))
    }
}

fn with_readers(readers: Vec<String>) -> GroupAccess {
    GroupAccess {
        readers,
        creators: vec![FOUNDER.into()],
        owners: vec![FOUNDER.into()],
        ..GroupAccess::default()
    }
}

#[test]
fn a_running_server_is_a_repository() {
    let report = run(&mut Served::new());
    // There is one replica, and its database takes no second record into a slot.
    assert!(report.failed.is_empty() && report.skipped.len() == 2, "{report}");
    assert_eq!(report.held.len(), CASES.len() - 2);
}
