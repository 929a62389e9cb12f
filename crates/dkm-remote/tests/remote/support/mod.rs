//! A world for tests: an authority, servers on this machine, and accounts with credentials.

pub(crate) mod api;
pub(crate) mod authority;
pub(crate) mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dkm::repository::memory::MemoryRepository;
use dkm_remote::{Limits, RemoteRepository};

pub(crate) use self::authority::Authority;
pub(crate) use self::server::{Answer, Request, Server};

/// Long enough for a loaded machine.
pub(crate) const LIMITS: Limits =
    Limits { connect: Duration::from_secs(60), request: Duration::from_secs(120) };
/// For servers that never answer.
pub(crate) const SHORT: Limits =
    Limits { connect: Duration::from_millis(300), request: Duration::from_millis(600) };

/// One authority, one server over TLS for each replica of a repository in memory, and folders of credentials.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Arc<Authority>,
    pub(crate) repository: MemoryRepository,
    pub(crate) servers: Vec<Server>,
}

impl World {
    pub(crate) fn new(replicas: usize) -> Self {
        let authority = Arc::new(Authority::new());
        let repository = MemoryRepository::new(replicas);
        let servers = (0..replicas)
            .map(|number| {
                let api = api::Api::new(repository.clone(), number, authority.clone());
                Server::tls(&authority, move |request| api.answer(request))
            })
            .collect();
        Self { folder: tempfile::tempdir().unwrap(), authority, repository, servers }
    }

    /// Credentials of an account, in a folder.
    pub(crate) fn credentials(&self, account: &str) -> std::path::PathBuf {
        let folder = self.folder.path().join(account.replace(':', "-"));
        if !folder.exists() {
            self.authority.write_credentials(&folder, account);
        }
        folder
    }

    /// The URL of its servers, as an account sees them.
    pub(crate) fn url(&self, account: &str) -> String {
        let mut url = format!("{}?credentials={}", self.servers[0].url, self.credentials(account).display());
        for server in self.servers.iter().skip(1) {
            url.push_str(&format!("&replica={}", server.url));
        }
        url
    }

    /// The repository, as an account sees it.
    pub(crate) fn open(&self, account: &str) -> RemoteRepository {
        RemoteRepository::open(self.url(account).parse().unwrap(), LIMITS)
    }
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
