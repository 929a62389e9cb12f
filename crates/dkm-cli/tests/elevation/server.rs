//! A real `dkmd`, until it is dropped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The `dkmd` program, beside `dkm`. Cargo builds only the programs of the package whose tests it runs, so it is asked for
/// this one, by the words that build all tests: where they are built already, nothing is to be done.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            // A test of the server's is what has cargo build the server's program, with the same features.
            build.args(["test", "--quiet", "--locked", "--workspace", "--test", "api", "--no-run"]);
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
            let output = build.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let dkmd = Path::new(env!("CARGO_BIN_EXE_dkm")).with_file_name("dkmd");
        assert!(dkmd.is_file(), "{} is not there: cargo build --workspace", dkmd.display());
        dkmd
    })
}

/// A running server.
pub(crate) struct Server {
    folder: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    /// Address and port that it listens at.
    pub(crate) address: String,
    /// The audit log's verifier key.
    pub(crate) log_key: String,
    /// Digest of the authority's certificate.
    pub(crate) authority: String,
}

impl Server {
    /// Makes one in a folder, and starts it with this environment. `more` stands at the end of its configuration.
    pub(crate) fn start(folder: &Path, more: &str, environment: &[(String, String)]) -> Self {
        std::fs::create_dir_all(folder.join("outside")).unwrap();
        let config = format!(
            "data = {:?}\ncheckpoint = {:?}\nroot_keys = {:?}\ntls = {{ listen = \"127.0.0.1:0\", names = [\"localhost\"] }}\n\
             unix = {{ socket = {:?} }}\n{more}",
            folder.join("data"),
            folder.join("outside/checkpoint"),
            folder.join("root-keys"),
            folder.join("socket"),
        );
        std::fs::write(folder.join("dkmd.toml"), config).unwrap();
        let made = command(folder, "init", environment).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = String::from_utf8(made.stdout).unwrap();
        let after = |mark: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(mark));
            line.unwrap_or_else(|| panic!("no {mark:?} in {text}")).to_owned()
        };
        let mut server = Self {
            folder: folder.to_path_buf(),
            environment: environment.to_vec(),
            child: None,
            address: String::new(),
            log_key: after("audit log: "),
            authority: after("certificate authority (clients pin it): "),
        };
        server.run();
        server
    }

    fn run(&mut self) {
        let log = self.folder.join("dkmd.log");
        let mut serve = command(&self.folder, "serve", &self.environment);
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = serve.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = std::fs::read_to_string(&log).unwrap();
        assert_eq!(line, "ready\n", "{told}");
        let address = told.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        self.address = address.to_owned();
        self.child = Some(child);
    }

    /// Folder of the audit log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("data/audit")
    }

    /// The socket's URL.
    pub(crate) fn socket(&self) -> String {
        format!("unix:{}", self.folder.join("socket").display())
    }

    /// The URL over TLS, with the credentials of somebody.
    pub(crate) fn url(&self, credentials: &Path) -> String {
        format!("{}?credentials={}", self.place(), credentials.display())
    }

    /// The URL over TLS alone.
    pub(crate) fn place(&self) -> String {
        let port = self.address.rsplit(':').next().unwrap();
        format!("https://localhost:{port}")
    }
}

impl Server {
    /// Kills it, with SIGKILL, while somebody asks it; it is waited for later.
    pub(crate) fn kill_by_id(&self) {
        let id = self.child.as_ref().unwrap().id();
        let killed = Command::new("kill").args(["-KILL", &id.to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Kills it, with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Adds to its configuration, and starts it anew.
    pub(crate) fn configure(&mut self, more: &str) {
        let path = self.folder.join("dkmd.toml");
        let text = std::fs::read_to_string(&path).unwrap() + more;
        std::fs::write(path, text).unwrap();
        self.restart();
    }

    /// Starts it anew, at another port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.run();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(folder: &Path, what: &str, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().envs(environment.iter().cloned()).env("PATH", "/usr/bin:/bin");
    command.arg(what).arg("--config").arg(folder.join("dkmd.toml"));
    command
}
