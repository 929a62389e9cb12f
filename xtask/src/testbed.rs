//! `cargo xtask testbed ad`: a Samba domain in the background, to try things with by hand.
//!
//! The domain belongs to a process of ours that only waits: when it ends, however it ends, the domain ends with it and
//! leaves nothing. That it holds a lock says that it runs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use dkm_testbed::{Account, Domain, Options};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal};

use crate::{setup, shell};

/// Between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(50);
/// A first start provisions and joins: ten seconds, on a busy machine a minute.
const START: Duration = Duration::from_secs(300);
/// Ending kills; what takes time is to remove files.
const STOP: Duration = Duration::from_secs(30);

/// Arguments of `cargo xtask testbed`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    testbed: Testbed,
}

#[derive(Debug, clap::Subcommand)]
enum Testbed {
    /// A Samba Active Directory domain on loopback addresses. Needs root
    Ad {
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Start it in the background and print how to use it
    Up {
        /// Two domain controllers that replicate
        #[arg(long)]
        two: bool,
    },
    /// End it and remove everything
    Down,
    /// Print how to use it, if it runs
    Status,
    /// Be the process that the domain belongs to
    #[command(hide = true)]
    Hold {
        #[arg(long)]
        two: bool,
    },
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Testbed::Ad { action } = &arguments.testbed;
    match action {
        Action::Up { two } => up(*two),
        Action::Down => down(),
        Action::Status => status(),
        Action::Hold { two } => hold(*two),
    }
}

fn folder() -> PathBuf {
    shell::own_folder().join("testbed")
}

/// How to use the domain. There when it is ready.
fn guide() -> PathBuf {
    folder().join("guide.txt")
}

/// The lock, if nobody holds it.
fn lock() -> Result<Option<File>> {
    fs::create_dir_all(folder()).with_context(|| format!("can't create {}", folder().display()))?;
    // Not emptied: it says who holds it.
    let path = folder().join("holder");
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't lock {}", path.display())),
    }
}

fn up(two: bool) -> Result<()> {
    setup::need(setup::DOMAIN)?;
    let Some(free) = lock()? else {
        bail!("it runs already: see cargo xtask testbed ad status");
    };
    let _ = fs::remove_file(guide());
    drop(free);
    let log = folder().join("log.txt");
    let output = File::create(&log).with_context(|| format!("can't create {}", log.display()))?;
    let mut hold = shell::command(std::env::current_exe()?);
    hold.args(["testbed", "ad", "hold"]).args(two.then_some("--two"));
    hold.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
    println!("starting the domain; its first start takes longer");
    let mut holder = hold.spawn().context("can't start in the background")?;
    let start = Instant::now();
    while !guide().exists() {
        if let Some(status) = holder.try_wait()? {
            bail!("the domain did not start ({status}): {}", fs::read_to_string(&log)?.trim());
        }
        if start.elapsed() > START {
            holder.kill()?;
            bail!("the domain did not start within {} s", START.as_secs());
        }
        thread::sleep(LOOK);
    }
    status()
}

fn status() -> Result<()> {
    if lock()?.is_some() {
        bail!("it does not run: start it with cargo xtask testbed ad up");
    }
    if !guide().exists() {
        bail!("it is starting");
    }
    print!("{}", fs::read_to_string(guide())?);
    Ok(())
}

fn down() -> Result<()> {
    if lock()?.is_some() {
        println!("it does not run");
        return remove();
    }
    let (holder, domain) = holder()?;
    rustix::process::kill_process(holder, Signal::TERM).context("can't end it")?;
    let start = Instant::now();
    // The lock goes first, the files last.
    while lock()?.is_none() || domain.as_ref().is_some_and(|domain| domain.exists()) {
        if start.elapsed() > STOP {
            bail!("the domain did not end within {} s", STOP.as_secs());
        }
        thread::sleep(LOOK);
    }
    println!("it has ended and left nothing");
    remove()
}

fn remove() -> Result<()> {
    fs::remove_dir_all(folder()).with_context(|| format!("can't remove {}", folder().display()))
}

/// Who holds the domain, and the domain's folder if there is one yet.
fn holder() -> Result<(Pid, Option<PathBuf>)> {
    let text = fs::read_to_string(folder().join("holder"))?;
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
    Ok((pid.context("nobody says that he holds it")?, lines.next().map(PathBuf::from)))
}

fn hold(two: bool) -> Result<()> {
    // Held until we end. The domain's own processes don't inherit it.
    let Some(_lock) = lock()? else {
        bail!("it runs already");
    };
    let holder = folder().join("holder");
    let pid = std::process::id();
    fs::write(&holder, format!("{pid}\n"))?;
    let options = if two { Options::two() } else { Options::default() };
    let domain = Domain::start(&options)?;
    fs::write(&holder, format!("{pid}\n{}\n", domain.folder().display()))?;
    let members = domain.add_group("dkm-services")?;
    let service = domain.add_user("svc-mail")?;
    let outsider = domain.add_user("svc-other")?;
    domain.add_member(&members, &service.dn)?;
    domain.replicate()?;
    let text =
        describe(&domain, &[(&service, "a member of dkm-services"), (&outsider, "a member of nothing")]);
    let unfinished = folder().join("guide.new");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, guide())?;
    loop {
        thread::park();
    }
}

/// How to use the domain, for a person at a shell.
fn describe(domain: &Domain, accounts: &[(&Account, &str)]) -> String {
    let admin = (domain.admin(), "may do everything");
    let addresses: Vec<String> = domain.addresses().iter().map(ToString::to_string).collect();
    let mut text = format!("A Samba Active Directory domain, {}:\n", domain.name());
    for controller in domain.controllers() {
        let (fqdn, ip) = (controller.fqdn(), controller.address());
        let _ = writeln!(text, "  {fqdn:<14} {ip:<14} LDAP 389, LDAPS 636, Kerberos 88");
    }
    let _ = writeln!(text, "  repository     ad://{}?dc={}", domain.name(), addresses.join(","));
    let _ = writeln!(text, "  authority      {}", domain.authority().display());
    let _ = writeln!(text, "  changes made   {}", domain.audit_log().display());
    text += "\nAccounts, each with a keytab:\n";
    for (account, what) in accounts.iter().chain([&admin]) {
        let _ = writeln!(text, "  {:<24} {what}\n    {}", account.principal, account.keytab.display());
    }
    text += "\nIn a shell that is to use it:\n";
    for (name, value) in domain.env() {
        let _ = writeln!(text, "  export {name}={value}");
    }
    let cache = domain.folder().join("clients/shell.ccache");
    let _ = writeln!(text, "  export KRB5CCNAME={}", cache.display());
    if let Some((account, _)) = accounts.first() {
        let _ = writeln!(text, "  kinit -kt {} {}", keytab(account), account.principal);
    }
    let (url, base) = (domain.ldap_url(), domain.base());
    let _ = writeln!(text, "  ldapsearch -Q -LLL -Y GSSAPI -H {url} -b {base} '(cn=dkm-services)' member");
    text
}

fn keytab(account: &Account) -> std::path::Display<'_> {
    Path::display(&account.keytab)
}
