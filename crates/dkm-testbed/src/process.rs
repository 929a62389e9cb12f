//! Running other programs: short ones to their end, servers until their owner ends.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

/// System administration's folders are not on everybody's search path.
const FOLDERS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(20);
/// A loaded machine is slow, a hanging server is a bug: this tells them apart.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How long an orderly stop may take before it becomes a kill.
const STOP: Duration = Duration::from_secs(5);

/// A program of the system, whose messages are English.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", FOLDERS).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Whether the system has this program.
pub(crate) fn has(program: &str) -> bool {
    FOLDERS.split(':').any(|folder| Path::new(folder).join(program).is_file())
}

/// Runs to the end and returns the standard output; a failure tells what the program wrote.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("can't start {program}"))?;
    if !output.status.success() {
        let wrote = [output.stdout, output.stderr].concat();
        bail!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&wrote).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks until the answer is `Ok(Some)`, or an error, or it is too late.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > DEADLINE {
            bail!("{what} did not happen within {} s", DEADLINE.as_secs());
        }
        thread::sleep(LOOK);
    }
}

/// A shell that outlives us by as long as it takes to clean up: it waits for the end of its standard input, which
/// the kernel closes however we end.
fn keeper(script: &str, name: &str) -> Command {
    let mut keeper = command("sh");
    // In a group of its own a Ctrl-C, which ends the tests, does not end it before it has done its work.
    keeper.args(["-c", script, name]).stdin(Stdio::piped()).process_group(0);
    keeper
}

/// Removes a domain's traces when dropped, and when the process ends.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// For this folder and these commands.
    pub(crate) fn new(folder: &Path, undo: &[String]) -> Result<Self> {
        let mut keeper = keeper(include_str!("guard.sh"), "dkm-testbed-guard");
        keeper.arg(folder).args(undo).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(keeper.spawn().context("can't start sh")?))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A running server with all its processes. Dropping kills them.
#[derive(Debug)]
pub(crate) struct Server {
    supervisor: Child,
    first: Pid,
}

impl Server {
    /// Starts one. What it writes to its standard streams goes to `output`.
    pub(crate) fn start(
        arguments: &[&OsStr],
        krb5_conf: &Path,
        pid_file: &Path,
        output: &Path,
    ) -> Result<Self> {
        let _ = fs::remove_file(pid_file);
        let log = fs::OpenOptions::new().create(true).append(true).open(output)?;
        let mut keeper = keeper(include_str!("supervisor.sh"), "dkm-testbed-supervisor");
        keeper
            .arg(pid_file)
            .args(arguments)
            .env("KRB5_CONFIG", krb5_conf)
            .stderr(log.try_clone()?)
            .stdout(log);
        let mut supervisor = keeper.spawn().context("can't start sh")?;
        let first = wait_for("the server's start", || {
            let Ok(text) = fs::read_to_string(pid_file) else {
                if let Some(status) = supervisor.try_wait()? {
                    bail!("the server did not start: {status}");
                }
                return Ok(None);
            };
            Ok(Some(text.trim().parse().ok().and_then(Pid::from_raw).context("no process id")?))
        })?;
        Ok(Self { supervisor, first })
    }

    /// Whether it still runs.
    pub(crate) fn runs(&self) -> bool {
        rustix::process::test_kill_process(self.first).is_ok()
    }

    /// Asks it to end, and kills it if it doesn't.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some(mut input) = self.supervisor.stdin.take() {
            // Kept open until it has ended: the end of the input would mean that we died.
            input.write_all(b"stop\n").context("the server's supervisor is gone")?;
            let start = Instant::now();
            while start.elapsed() < STOP {
                if self.supervisor.try_wait()?.is_some() {
                    return Ok(());
                }
                thread::sleep(LOOK);
            }
            self.signal(Signal::KILL)?;
            self.supervisor.wait()?;
        }
        Ok(())
    }

    /// Sends a signal to every process of the server: to stop it, or to let it go on.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let namespace = |pid: &Path| fs::read_link(pid.join("ns/pid")).ok();
        let own = PathBuf::from(format!("/proc/{}", self.first.as_raw_nonzero()));
        let wanted = namespace(&own).context("the server has ended")?;
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid
                && namespace(&entry.path()).as_ref() == Some(&wanted)
            {
                // It may have ended since.
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without a word the supervisor kills.
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}
