//! A `dkmd` of its own for each test: the program itself, in a folder that goes with it.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dkm_remote::credentials::Credentials;
use dkm_remote::wire::{Kind, NewPrincipal};
use dkm_remote::{Directory, Limits, RemoteRepository, RemoteUrl, Trust, enrol};

/// Long enough for a loaded machine.
pub(crate) const LIMITS: Limits =
    Limits { connect: Duration::from_secs(60), request: Duration::from_secs(120) };

pub(crate) struct Daemon {
    pub(crate) folder: tempfile::TempDir,
    child: Option<Child>,
    pub(crate) address: SocketAddr,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one whose configuration has more at its end.
    pub(crate) fn start_with(more: &str) -> Self {
        Self::start_on(more, |_| ())
    }

    /// The same in a folder that something is done to first.
    pub(crate) fn start_on(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        // In memory if that can be had: each change waits for the disk several times, and no power is cut here.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        prepare(folder.path());
        let mut daemon = Self { folder, child: None, address: ([127, 0, 0, 1], 0).into() };
        daemon.configure(more);
        let made = daemon.command("init").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        daemon.serve();
        // From now on it is reached at this port, also after it was started again.
        daemon.configure(more);
        daemon
    }

    pub(crate) fn configure(&self, more: &str) {
        let root = self.path("").display().to_string();
        let text = format!(
            "data = \"{root}data\"\ncheckpoint = \"{root}outside/checkpoint\"\nroot_keys = \"{root}root-keys\"\n\
             tls = {{ listen = \"{}\", names = [\"localhost\"] }}\nunix = {{ socket = \"{root}socket\" }}\n{more}",
            self.address
        );
        fs::write(self.path("dkmd.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkmd"));
        command.arg(name).arg("--config").arg(self.path("dkmd.toml")).env_remove("DKM_LOG");
        command
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Panics
    /// It does not serve: with what it said.
    pub(crate) fn serve(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = self.command("serve");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let mut heard = String::new();
        if ready.trim() != "ready" {
            said.read_to_string(&mut heard).unwrap();
            panic!("dkmd does not serve: {heard}");
        }
        while !heard.contains("address=") {
            assert_ne!(said.read_line(&mut heard).unwrap(), 0, "no address: {heard}");
        }
        let address = heard.split("address=").nth(1).unwrap();
        self.address = address.split_whitespace().next().unwrap().parse().unwrap();
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        self.child = Some(child);
    }

    /// Whether `dkmd check` finds all in order, and what it says.
    pub(crate) fn check(&self) -> (bool, String) {
        let output = self.command("check").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// As a power cut does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The repository over the socket: as who administers the server.
    pub(crate) fn as_administrator(&self) -> RemoteRepository {
        self.open(&format!("unix:{}", self.path("socket").display()))
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::of(self.as_administrator())
    }

    pub(crate) fn open(&self, url: &str) -> RemoteRepository {
        RemoteRepository::open(url.parse().unwrap(), LIMITS)
    }

    pub(crate) fn server_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub(crate) fn credentials(&self, account: &str) -> PathBuf {
        self.path(&account.replace(':', "-"))
    }

    /// The URL of the server, as an account sees it that has enrolled.
    pub(crate) fn url(&self, account: &str) -> String {
        format!("{}?credentials={}", self.server_url(), self.credentials(account).display())
    }

    /// Makes an account, enrols it, and opens the repository as this account.
    pub(crate) fn enrolled(&self, account: &str) -> RemoteRepository {
        let directory = self.directory();
        let kind = if account.starts_with("service:") { Kind::Service } else { Kind::Person };
        let new = NewPrincipal { kind, uids: Vec::new(), administrator: false, auditor: false };
        directory.add_principal(account, &new).unwrap();
        let token = directory.token(account).unwrap().token;
        let endpoint = self.server_url().parse::<RemoteUrl>().unwrap().endpoints.remove(0);
        let authority = Trust::Ca(self.data().join("authority.pem"));
        let credentials = Credentials::in_folder(self.credentials(account));
        enrol(&endpoint, token, &credentials, &authority, false, LIMITS).unwrap();
        self.open(&self.url(account))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The file, if a program has it open, is changed under it.
pub(crate) fn database(data: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(data.join("dkmd.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection
}
