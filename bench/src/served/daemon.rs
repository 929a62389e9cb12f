//! A real `dkmd`: the program, as a process, in a folder that goes with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use dkm::blocking::{Client, Options};
use dkm::root_key::FileRootKeys;
use dkm_remote::credentials::Credentials;
use dkm_remote::wire::{Kind, NewPrincipal};
use dkm_remote::{Directory, Limits, RemoteRepository, RemoteUrl, Trust, enrol};
use tempfile::TempDir;

use super::connection::Target;

const LIMITS: Limits = Limits { connect: Duration::from_secs(60), request: Duration::from_secs(120) };

/// Where the audit log and its last checkpoint lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// Where the database does.
    Beside,
    /// In memory.
    InMemory,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    program: PathBuf,
    folder: TempDir,
    /// Where the log is, if that is elsewhere.
    memory: Option<TempDir>,
    child: Option<Child>,
    address: SocketAddr,
    metrics: SocketAddr,
}

/// A folder in memory.
pub(crate) fn in_memory() -> Result<TempDir> {
    tempfile::tempdir_in("/dev/shm").context("there is no file system in memory at /dev/shm")
}

/// The type of the file system that a path lies on.
pub(crate) fn file_system(path: &Path) -> Result<String> {
    let mut find = Command::new("findmnt");
    let found = find.args(["--noheadings", "--output", "FSTYPE", "--target"]).arg(path).output()?;
    Ok(String::from_utf8(found.stdout)?.trim().to_owned())
}

impl Daemon {
    /// Makes one below a folder and starts it.
    pub(crate) fn start(program: &Path, parent: &Path, log: Log) -> Result<Self> {
        let folder = tempfile::tempdir_in(parent)?;
        let memory = if log == Log::InMemory { Some(in_memory()?) } else { None };
        let nowhere = ([127, 0, 0, 1], 0).into();
        let mut daemon = Self {
            program: program.to_owned(),
            folder,
            memory,
            child: None,
            address: nowhere,
            metrics: nowhere,
        };
        fs::create_dir(daemon.path("outside"))?;
        let root = daemon.path("").display().to_string();
        let outside = daemon.memory.as_ref().map_or_else(|| daemon.path("outside"), |m| m.path().into());
        let text = format!(
            "data = \"{root}data\"\ncheckpoint = \"{}/checkpoint\"\nroot_keys = \"{root}root-keys\"\n\
             tls = {{ listen = \"127.0.0.1:0\", names = [\"localhost\"] }}\nunix = {{ socket = \"{root}socket\" }}\n\
             metrics = {{ listen = \"127.0.0.1:0\" }}\nlimits = {{ requests_per_second = 1000000 }}\n",
            outside.display()
        );
        fs::write(daemon.path("dkmd.toml"), text)?;
        let made = daemon.command("init").output()?;
        ensure!(made.status.success(), "dkmd init: {}", String::from_utf8_lossy(&made.stderr));
        if let Some(memory) = &daemon.memory {
            let (beside, there) = (daemon.path("data/audit"), memory.path().join("audit"));
            let mut copy = Command::new("cp");
            ensure!(copy.arg("-a").arg(&beside).arg(&there).status()?.success(), "the log was not copied");
            fs::remove_dir_all(&beside)?;
            std::os::unix::fs::symlink(there, beside)?;
        }
        daemon.serve()?;
        Ok(daemon)
    }

    /// A copy of what a server has that was stopped, below another folder.
    pub(crate) fn copy_to(&self, parent: &Path) -> Result<Self> {
        ensure!(self.child.is_none() && self.memory.is_none(), "only a stopped server can be copied");
        let folder = tempfile::tempdir_in(parent)?;
        let mut copy = Command::new("cp");
        let copied = copy.arg("-a").arg(self.path(".")).arg(folder.path()).status()?;
        ensure!(copied.success(), "the server's folder was not copied");
        let (old, new) = (self.path("").display().to_string(), folder.path().join("").display().to_string());
        let text = fs::read_to_string(self.path("dkmd.toml"))?.replace(&old, &new);
        fs::write(folder.path().join("dkmd.toml"), text)?;
        let (program, address, metrics) = (self.program.clone(), self.address, self.metrics);
        Ok(Self { program, folder, memory: None, child: None, address, metrics })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("--config").arg(self.path("dkmd.toml")).env_remove("DKM_LOG");
        command
    }

    /// Starts it, and waits until it serves: how long that took.
    pub(crate) fn serve(&mut self) -> Result<Duration> {
        let since = Instant::now();
        let mut command = self.command("serve");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let said = child.stderr.take().context("no standard error")?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut ready)?;
        let took = since.elapsed();
        self.child = Some(child);
        let mut said = BufReader::new(said);
        let mut heard = String::new();
        if ready.trim() != "ready" {
            said.read_to_string(&mut heard)?;
            bail!("dkmd does not serve: {heard}");
        }
        while heard.matches("address=").count() < 2 {
            ensure!(said.read_line(&mut heard)? > 0, "dkmd does not say where it serves: {heard}");
        }
        let mut addresses = heard.split("address=").skip(1).filter_map(|rest| rest.split_whitespace().next());
        self.address = addresses.next().context("no address")?.parse()?;
        self.metrics = addresses.next().context("no address of the figures")?.parse()?;
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(took)
    }

    /// Ends it in good order.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            let mut kill = Command::new("kill");
            kill.arg("-TERM").arg(child.id().to_string()).status()?;
            child.wait()?;
        }
        Ok(())
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::of(open(&format!("unix:{}", self.path("socket").display())))
    }

    fn server_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn credentials(&self, account: &str) -> PathBuf {
        self.path(&account.replace(':', "-"))
    }

    /// Makes an account, and enrols it.
    pub(crate) fn enrol(&self, account: &str) -> Result<()> {
        let directory = self.directory();
        let kind = if account.starts_with("service:") { Kind::Service } else { Kind::Person };
        let new = NewPrincipal { kind, uids: Vec::new(), administrator: false, auditor: false };
        directory.add_principal(account, &new)?;
        let token = directory.token(account)?.token;
        let endpoint = self.server_url().parse::<RemoteUrl>()?.endpoints.remove(0);
        let authority = Trust::Ca(self.path("data/authority.pem"));
        let credentials = Credentials::in_folder(self.credentials(account));
        enrol(&endpoint, token, &credentials, &authority, false, LIMITS)?;
        Ok(())
    }

    /// The repository, as an account sees it that has enrolled.
    pub(crate) fn repository(&self, account: &str) -> RemoteRepository {
        open(&format!("{}?credentials={}", self.server_url(), self.credentials(account).display()))
    }

    /// The library's client, as an account that has enrolled.
    pub(crate) fn client(&self, account: &str) -> Result<Client> {
        let roots = Arc::new(FileRootKeys::new(self.path("root-keys")));
        let options = Options { background: false, ..Options::default() };
        Ok(Client::new(Arc::new(self.repository(account)), roots, options)?)
    }

    /// The server, as an account reaches it that has enrolled.
    pub(crate) fn target(&self, account: &str) -> Result<Target> {
        Target::new(self.address, &self.credentials(account))
    }

    /// What it counts, by name, labels and all.
    pub(crate) fn figures(&self) -> Result<BTreeMap<String, f64>> {
        let mut stream = TcpStream::connect(self.metrics)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let lines = answer.lines().filter(|line| !line.starts_with('#'));
        let figure = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(lines.filter_map(figure).collect())
    }

    /// Its resident memory, in KiB.
    pub(crate) fn memory_kib(&self) -> Result<f64> {
        let child = self.child.as_ref().context("it does not run")?;
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().next().context("no figure")?.parse()?)
    }
}

fn open(url: &str) -> RemoteRepository {
    RemoteRepository::open(url.parse().expect("a URL made here is one"), LIMITS)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
