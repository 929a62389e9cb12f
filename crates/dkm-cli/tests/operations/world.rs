//! A real domain with a group in it, and the seats from which people follow a runbook.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use dkm_testbed::{Account, Domain, Options};
use serde_json::Value;

use crate::page::{RUNBOOKS, block};

/// Short enough for a test, long enough for a busy machine: a rolled key protects after half a minute.
pub(crate) const QUICK: [&str; 5] = [
    "replication_bound=2s",
    "refresh_interval=1s",
    "io_deadline=2500ms",
    "clock_skew=3s",
    "activation_delay=16s",
];

/// A domain, and in it the group `mail`: `svc-ops` owns it and adds keys, `svc-mail` reads and adds keys.
pub(crate) struct World {
    pub(crate) domain: Domain,
    pub(crate) ops: Account,
    pub(crate) mail: Account,
    pub(crate) readers: dkm_testbed::Group,
    folder: tempfile::TempDir,
}

/// Where somebody sits: an account, on a host with a home folder and root keys of its own.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) home: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// None where no domain can be run.
    pub(crate) fn start(options: &Options) -> Option<Self> {
        let domain = Domain::start_or_skip(options).unwrap()?;
        let (ops, mail) = (domain.add_user("svc-ops").unwrap(), domain.add_user("svc-mail").unwrap());
        let readers = domain.add_group("DKM Mail Readers").unwrap();
        for account in [&ops, &mail] {
            domain.add_member(&readers, &account.dn).unwrap();
        }
        let admin = domain.admin().clone();
        domain.keytab(&admin).unwrap();
        domain.replicate().unwrap();
        let world = Self { domain, ops, mail, readers, folder: tempfile::tempdir().unwrap() };
        world.seat(&admin, "admin").dkm(&["ad", "init", "--makers", "svc-ops"]).done();
        world.domain.replicate().unwrap();
        let mut create = vec!["group", "create", "mail", "--readers-group", "DKM Mail Readers"];
        create.extend(["--creators", "svc-ops", "--creators", "svc-mail", "--owners", "svc-ops"]);
        create.extend(QUICK.iter().flat_map(|field| ["--policy", field]));
        let ops = world.ops();
        ops.dkm(&create).done();
        world.domain.replicate().unwrap();
        ops.dkm(&["key", "list"]).done();
        Some(world)
    }

    /// Where an account sits on a host of this name. It gets a ticket for each command: memberships are in tickets.
    pub(crate) fn seat(&self, account: &Account, host: &str) -> Seat {
        let home = self.folder.path().join(host);
        std::fs::create_dir_all(&home).unwrap();
        let dkm = Path::new(env!("CARGO_BIN_EXE_dkm")).parent().unwrap();
        let mut environment = self.domain.env_with_keytab(account);
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        environment.extend([
            own("KRB5CCNAME", "MEMORY:own"),
            own("HOME", home.to_str().unwrap()),
            own("PATH", &format!("{}:/usr/bin:/bin", dkm.display())),
            own("DKM_REPOSITORY", &self.domain.url()),
            own("DKM_GROUP", "mail"),
            own("DKM_ROOT_KEYS", home.join("root-keys").to_str().unwrap()),
        ]);
        Seat { home, environment }
    }

    pub(crate) fn ops(&self) -> Seat {
        self.seat(&self.ops, "ops")
    }

    pub(crate) fn mail(&self) -> Seat {
        self.seat(&self.mail, "mail")
    }

    /// The URL with one domain controller only.
    pub(crate) fn url_of(&self, number: usize) -> String {
        let controller = &self.domain.controllers()[number];
        format!("ad://{}?dc={}@{}", self.domain.name(), controller.fqdn(), controller.address())
    }
}

impl Seat {
    /// The same seat with another value in its environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn run(&self, mut command: Command) -> Run {
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(&self.home);
        let output: Output = command.stdin(std::process::Stdio::null()).output().unwrap();
        Run {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(&self.home);
        command
    }

    pub(crate) fn dkm(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkm"));
        command.args(arguments);
        self.run(command)
    }

    pub(crate) fn sh(&self, script: &str) -> Run {
        let mut command = Command::new("/bin/sh");
        command.args(["-euc", script]);
        self.run(command)
    }

    /// A file with a text, protected; the key that did it.
    pub(crate) fn protect(&self, name: &str, text: &str) -> String {
        std::fs::write(self.home.join(format!("{name}.txt")), text).unwrap();
        let arguments = [
            "protect",
            "-c",
            "account=alice",
            &format!("{name}.txt"),
            "-o",
            &format!("{name}.dkm"),
            "--json",
        ];
        self.dkm(&arguments).done().json()["key"].as_str().unwrap().to_owned()
    }

    /// Whether a file that another seat protected opens here.
    pub(crate) fn opens(&self, blob: &Path, text: &str) {
        let run = self.dkm(&["unprotect", "-c", "account=alice", blob.to_str().unwrap()]).done();
        assert_eq!(run.out, text);
    }

    pub(crate) fn keys(&self) -> Value {
        self.dkm(&["key", "list", "--json"]).done().json()
    }

    /// The id of the key that protects, if one does.
    pub(crate) fn protecting(&self) -> Option<String> {
        self.keys()["protecting_key"].as_str().map(str::to_owned)
    }

    /// Rolls, and waits until the new key protects.
    pub(crate) fn roll(&self) -> String {
        let made = self.dkm(&["key", "roll", "--reason", "test", "--json"]).done().json();
        let key = made["key"]["key"].as_str().unwrap().to_owned();
        self.until_protects(&key);
        key
    }

    pub(crate) fn until_protects(&self, key: &str) {
        until(&format!("{key} protects"), || self.protecting().as_deref() == Some(key));
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "no {text:?} in\n{}\n{}",
            self.out,
            self.err
        );
    }
}

/// Looks until it is so, for at most two minutes.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within two minutes");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A runbook that is followed, block by block. What a block assigns is known to the next ones.
pub(crate) struct Runbook {
    name: &'static str,
    expected: &'static [&'static str],
    followed: RefCell<Vec<String>>,
    variables: RefCell<BTreeMap<String, String>>,
}

impl Runbook {
    pub(crate) fn open(name: &'static str) -> Self {
        let (_, expected) =
            RUNBOOKS.iter().find(|(known, _)| *known == name).expect("a runbook of the table");
        Self { name, expected, followed: RefCell::default(), variables: RefCell::default() }
    }

    /// What an operator is told to set by hand.
    pub(crate) fn set(&self, variable: &str, value: &str) {
        self.variables.borrow_mut().insert(variable.to_owned(), value.to_owned());
    }

    pub(crate) fn get(&self, variable: &str) -> String {
        self.variables.borrow()[variable].clone()
    }

    /// Runs the commands of a block just as they stand on the page.
    #[track_caller]
    pub(crate) fn follow(&self, name: &str, seat: &Seat) -> Run {
        let text = block(name).text;
        let mut script = String::new();
        for (variable, value) in self.variables.borrow().iter() {
            script.push_str(&format!("{variable}='{value}'\n"));
        }
        script.push_str(&text);
        let assigned: Vec<&str> = text.lines().filter_map(assigned).collect();
        let kept = seat.home.join("variables");
        for variable in &assigned {
            script.push_str(&format!("\nprintf '%s\\n' \"{variable}=${variable}\" >> '{}'", kept.display()));
        }
        let run = seat.sh(&script).done();
        self.followed.borrow_mut().push(name.to_owned());
        for line in std::fs::read_to_string(&kept).unwrap_or_default().lines() {
            let (variable, value) = line.split_once('=').unwrap();
            self.set(variable, value);
        }
        let _ = std::fs::remove_file(&kept);
        run
    }

    /// Nothing of the runbook was left out.
    #[track_caller]
    pub(crate) fn close(self) {
        assert_eq!(self.followed.into_inner(), self.expected, "{}", self.name);
    }
}

/// The variable that a line assigns.
fn assigned(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')).then_some(name)
}
