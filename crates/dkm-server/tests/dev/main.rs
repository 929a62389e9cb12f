//! `dkmd --dev`, as somebody who tries it out finds it: the real command, and the commands that it prints.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod telemetry;
mod unit;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The command that clients use: built with this test, or else now.
fn dkm() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_dkmd")).with_file_name("dkm");
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--workspace", "--bin", "dkm"])
            .status();
        assert!(built.unwrap().success());
    }
    path
}

struct Dev {
    server: Child,
    home: tempfile::TempDir,
    said: String,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Dev {
    fn command(home: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkmd"));
        command.arg("--dev").env("HOME", home).env_remove("XDG_STATE_HOME").stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    }

    fn start(home: tempfile::TempDir) -> Self {
        let mut server = Self::command(home.path()).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap());
        let mut said = String::new();
        while !said.ends_with("\nready\n") {
            if lines.read_line(&mut said).unwrap() == 0 {
                let mut why = String::new();
                server.stderr.take().unwrap().read_to_string(&mut why).unwrap();
                panic!("it is not ready: {said}{why}");
            }
        }
        Self { server, home, said }
    }

    /// The commands that it shows, but for those of `dkm elevate`.
    fn commands(&self) -> Vec<String> {
        let shown = self.said.lines().filter(|line| line.starts_with("  dkm "));
        let (elevate, others): (Vec<&str>, Vec<&str>) = shown.partition(|line| line.contains(" elevate "));
        assert_eq!(elevate.len(), 5, "{}", self.said);
        others.into_iter().map(|line| line.trim().to_owned()).collect()
    }

    fn run(&self, line: &str) -> Output {
        let folder = dkm().parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).env_clear().env("PATH", path).env("HOME", self.home.path());
        shell.current_dir(self.home.path()).output().unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(".local/state/dkmd-dev")
    }

    /// Where it speaks TLS.
    fn url(&self) -> String {
        let address = self.said.split("https://").nth(1).unwrap().split('?').next().unwrap();
        format!("https://{address}")
    }

    fn stop(mut self) -> tempfile::TempDir {
        let pid = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.server.wait().unwrap().success());
        std::mem::replace(&mut self.home, tempfile::tempdir().unwrap())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_it_shows_works_as_it_stands() {
    let dev = Dev::start(tempfile::tempdir().unwrap());
    assert!(dev.said.contains("Keep nothing in it that\nmatters"), "{}", dev.said);
    let commands = dev.commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in &commands {
        let done = dev.run(command);
        assert!(done.status.success(), "{command}: {}", text(&done.stderr));
        let said = text(&done.stdout);
        let expected = match command {
            command if command.contains(" unprotect ") => "nobody reads without a reason",
            command if command.contains(" audit verify ") => "The log is in order.",
            command if command.contains("--what read-key") => "read-key",
            command if command.ends_with(" whoami") && command.contains("alice") => "person:alice",
            command if command.contains(" principal list") => "person:carol",
            _ => continue,
        };
        assert!(said.contains(expected), "{command}: {said}");
    }
    let of = |what: &str| commands.iter().find(|command| command.contains(what)).unwrap();

    // A person is no member, and no auditor unless he is made one.
    let alice =
        |command: &str, own: &str| command.replace(&format!("credentials/{own}"), "credentials/alice");
    let done = dev.run(&alice(of(" unprotect "), "demo"));
    assert!(!done.status.success() && done.stdout.is_empty(), "{}", text(&done.stdout));
    let done = dev.run(&alice(of(" audit verify "), "dora"));
    assert_eq!(done.status.code(), Some(4), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("--auditor"), "{}", text(&done.stderr));
    // An entry is proved by its number alone, from the server.
    let prove = of(" audit verify ").replace(" audit verify ", " audit prove 0 ");
    let done = dev.run(&prove);
    assert!(done.status.success() && text(&done.stdout).starts_with("c2sp.org/tlog-proof"), "{done:?}");

    // The keys of all are for this account alone; and so it goes on where it was.
    let folder = dev.folder();
    for name in ["keys/bob", "credentials/carol/identity.pem", "data/authority.key"] {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(folder.join(name)).unwrap().mode() & 0o077, 0, "{name}");
    }
    let said = dev.said.clone();
    let home = dev.stop();
    let again = Dev::start(home);
    assert_eq!(again.said, said);
    let done = again.run(of(" unprotect "));
    assert!(done.status.success(), "{}", text(&done.stderr));
    // There is one server for one folder.
    let second = Dev::command(again.home.path()).output().unwrap();
    assert!(!second.status.success());
}

#[test]
fn without_ssh_keygen_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let refused = Dev::command(home.path()).env("PATH", "/nonexistent").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("openssh-client"), "{}", text(&refused.stderr));
    assert!(!home.path().join(".local").exists());
}
