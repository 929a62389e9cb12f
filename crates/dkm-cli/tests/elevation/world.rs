//! A server, a group with a roster, and people who each have a home, a certificate and a key.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::server::Server;

/// Who there is. Alice asks, with two accounts; Bob or Alice is the manager, Carol is legal, Dave is on call; Eve is nobody.
/// Bob, Carol and Dave see the group's records, the others don't.
const PEOPLE: [&str; 6] = ["alice", "alice-2", "bob", "carol", "dave", "eve"];

/// A server and all that belongs to it.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) server: Server,
    /// The group's id.
    pub(crate) group: String,
    agent: Agent,
}

/// A command that was run.
pub(crate) struct Run {
    line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// An `ssh-agent`, until it is dropped.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("agent");
        let mut agent = Command::new("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = agent.spawn().unwrap();
        // It tells where it listens once it does.
        let mut told = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut told)
            .unwrap();
        assert!(told.contains("SSH_AUTH_SOCK"), "{told}");
        Self { child, socket }
    }

    /// Takes a key in, and its file away.
    fn take(&self, key: &Path) {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).status();
        assert!(added.unwrap().success());
        std::fs::remove_file(key).unwrap();
    }
}

impl World {
    /// With the group `mail` and its roster.
    pub(crate) fn new() -> Self {
        Self::with_delay("1h")
    }

    /// With a roster whose changes wait so long.
    pub(crate) fn with_delay(delay: &str) -> Self {
        let mut world = Self::of_people("", &[]);
        let roster =
            world.roster().replacen("change_delay = \"1h\"", &format!("change_delay = {delay:?}"), 1);
        std::fs::write(world.at("roster.toml"), roster).unwrap();
        let mut create =
            vec!["group", "create", "mail", "--readers", "service:mail", "--readers", "service:dkmd"];
        create.extend([
            "--auditors",
            "person:bob",
            "--auditors",
            "person:carol",
            "--auditors",
            "person:dave",
        ]);
        create.extend(["--policy", "wrap=none", "--roster", "../roster.toml", "--json"]);
        let made = world.of("service:mail", &create).succeeded().json();
        world.group = made["group"]["id"].as_str().unwrap().to_owned();
        world
    }

    /// A server with this at the end of its configuration, and people; no group.
    pub(crate) fn of_people(more: &str, environment: &[(String, String)]) -> Self {
        let folder = tempfile::Builder::new().prefix("dkm-elev-").tempdir().unwrap();
        let server = Server::start(&folder.path().join("server"), more, environment);
        let agent = Agent::start(folder.path());
        let world = Self { folder, server, group: String::new(), agent };
        for account in PEOPLE.iter().map(|name| format!("person:{name}")).chain(["service:mail".to_owned()]) {
            world.admin(&["principal", "add", &account]).succeeded();
            world.enrol(&account);
        }
        for name in PEOPLE {
            make_key(&world.key(name));
        }
        // Bob's private key is nowhere but in his agent.
        world.agent.take(&world.key("bob"));
        world
    }

    /// The group's roster, as a person would write it.
    pub(crate) fn roster(&self) -> String {
        let person = |id: &str, accounts: &str| {
            let key = std::fs::read_to_string(self.key(id).with_extension("pub")).unwrap();
            format!("[[people]]\nid = {id:?}\naccounts = [{accounts}]\nkeys = [{:?}]\n\n", key.trim())
        };
        [
            "change_delay = \"1h\"\n\n".to_owned(),
            person("alice", "\"person:alice\", \"person:alice-2\""),
            person("bob", "\"person:bob\""),
            person("carol", "\"person:carol\""),
            person("dave", "\"person:dave\""),
            "[[levels]]\nname = \"manager\"\napprovers = [\"alice\", \"bob\"]\n\n".to_owned(),
            "[[levels]]\nname = \"legal\"\napprovers = [\"carol\"]\n\n".to_owned(),
            "[elevation]\nlongest = \"1h\"\napprove_within = \"1d\"\nactivate_within = \"1h\"\nrevokers = [\"dave\"]\n\n"
                .to_owned(),
            "[[elevation.direct]]\nname = \"privacy\"\napprovers = [\"dave\"]\n\n".to_owned(),
            "[elevation.emergency]\nlongest = \"15m\"\nreview_within = \"1d\"\n".to_owned(),
            "[[elevation.emergency.levels]]\nname = \"on call\"\napprovers = [\"dave\"]\n".to_owned(),
        ]
        .concat()
    }

    /// A path in the world's folder.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The private key of a person.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.at(&format!("{name}.key"))
    }

    /// Lets an account in again that was disabled: its certificate was taken back.
    pub(crate) fn enable(&self, account: &str) {
        self.admin(&["principal", "add", account]).succeeded();
        std::fs::remove_dir_all(self.credentials(account)).unwrap();
        self.enrol(account);
    }

    fn enrol(&self, account: &str) {
        let token = self.at("token");
        self.admin(&["principal", "token", account, "-o", token.to_str().unwrap(), "--force"]).succeeded();
        let place = self.server.place();
        let mut enrol = vec!["enrol", place.as_str(), "--token-file", token.to_str().unwrap()];
        let credentials = self.credentials(account);
        enrol.extend(["--credentials", credentials.to_str().unwrap()]);
        enrol.extend(["--authority-digest", &self.server.authority]);
        self.of(account, &enrol).succeeded();
    }

    /// The URL with the credentials of the service.
    pub(crate) fn service_url(&self) -> String {
        self.server.url(&self.credentials("service:mail"))
    }

    pub(crate) fn credentials(&self, account: &str) -> PathBuf {
        self.home(account).join("credentials")
    }

    fn home(&self, account: &str) -> PathBuf {
        let home = self.at(&account.replace(':', "-"));
        std::fs::create_dir_all(&home).unwrap();
        home
    }

    /// The command, run by an account at its own home, over TLS.
    pub(crate) fn of<S: AsRef<str>>(&self, account: &str, arguments: &[S]) -> Run {
        let url = self.server.url(&self.credentials(account));
        self.run(account, &url, arguments)
    }

    /// The command, run by a person.
    pub(crate) fn person<S: AsRef<str>>(&self, name: &str, arguments: &[S]) -> Run {
        self.of(&format!("person:{name}"), arguments)
    }

    /// The command, run by whoever runs this test, over the socket.
    pub(crate) fn admin<S: AsRef<str>>(&self, arguments: &[S]) -> Run {
        self.run("admin", &self.server.socket(), arguments)
    }

    /// The command, run by a person at a terminal, who types this.
    pub(crate) fn at_terminal(&self, name: &str, arguments: &[&str], typed: &str) -> Run {
        let account = format!("person:{name}");
        let url = self.server.url(&self.credentials(&account));
        let words: Vec<String> =
            [env!("CARGO_BIN_EXE_dkm")].iter().chain(arguments).map(|word| format!("'{word}'")).collect();
        let mut command = self.command(&account, &url, "script");
        command.args(["-qec", &words.join(" "), "/dev/null"]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Run {
            line: format!("{account}: dkm {}", arguments.join(" ")),
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn command(&self, account: &str, url: &str, program: &str) -> Command {
        let home = self.home(account);
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", &home)
            .env("PATH", "/usr/bin:/bin")
            .env("DKM_REPOSITORY", url)
            .env("DKM_ROOT_KEYS", home.join("root-keys"))
            .env("SSH_AUTH_SOCK", &self.agent.socket)
            .current_dir(&home)
            .stdin(Stdio::null());
        if !self.group.is_empty() {
            command.env("DKM_GROUP", &self.group);
        }
        command
    }

    fn run<S: AsRef<str>>(&self, account: &str, url: &str, arguments: &[S]) -> Run {
        self.run_with(account, url, &[], arguments)
    }

    /// The command, run at an account's home with a repository and more environment.
    pub(crate) fn run_with<S: AsRef<str>>(
        &self,
        account: &str,
        url: &str,
        environment: &[(String, String)],
        arguments: &[S],
    ) -> Run {
        let mut command = self.command(account, url, env!("CARGO_BIN_EXE_dkm"));
        command.envs(environment.iter().cloned()).args(arguments.iter().map(AsRef::as_ref));
        let output = command.output().unwrap();
        let words: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        Run {
            line: format!("{account}: dkm {}", words.join(" ")),
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A blob that the service protects, in the world's folder.
    pub(crate) fn blob(&self, name: &str, account: &str, plaintext: &str) -> String {
        let path = self.at(name);
        std::fs::write(self.at("plaintext"), plaintext).unwrap();
        let pair = format!("account={account}");
        let protect =
            ["protect", "-c", &pair, "-c", "kind=token", "../plaintext", "-o", path.to_str().unwrap()];
        self.of("service:mail", &protect).succeeded();
        path.to_str().unwrap().to_owned()
    }

    /// Alice's request for blobs of account 17.
    pub(crate) fn request(&self, more: &[&str]) -> String {
        let mut words =
            vec!["elevate", "request", "--reason", "a customer can't read his mail", "-c", "account=17"];
        words.extend(["--ticket", "INC-4711", "--json"]);
        words.extend(more);
        if !more.contains(&"--duration") {
            words.extend(["--duration", "30m"]);
        }
        let made = self.person("alice", &words).succeeded().json();
        made["request"].as_str().unwrap().to_owned()
    }

    /// What a person would sign, and its digest.
    pub(crate) fn statement(&self, who: &str, decision: &str, request: &str, more: &[&str]) -> Run {
        let mut words = vec!["elevate", decision, request, "--dry-run", "--json"];
        words.extend(more);
        if !more.contains(&"--key") {
            words.extend(["--key", "agent"]);
        }
        self.person(who, &words)
    }

    /// A person's answer, as a script gives it: looked at first, then signed by its digest.
    pub(crate) fn answer(&self, who: &str, decision: &str, request: &str, more: &[&str]) -> Run {
        let seen = self.statement(who, decision, request, more);
        if seen.code != Some(0) {
            return seen;
        }
        let digest = seen.json()["digest"].as_str().unwrap().to_owned();
        let mut words = vec!["elevate", decision, request, "--yes", "--digest", &digest, "--json"];
        words.extend(more);
        let key = self.key(who);
        if !more.contains(&"--key") {
            words.extend(["--key", if key.exists() { key.to_str().unwrap() } else { "agent" }]);
        }
        self.person(who, &words)
    }

    /// A grant of Alice's, approved and active.
    pub(crate) fn granted(&self, more: &[&str]) -> String {
        let request = self.request(more);
        self.answer("bob", "approve", &request, &[]).succeeded();
        self.answer("carol", "approve", &request, &[]).succeeded();
        self.person("alice", &["elevate", "activate", &request]).succeeded();
        request
    }

    /// Alice opens a blob under a grant.
    pub(crate) fn open(&self, request: &str, blob: &str, account: &str) -> Run {
        self.open_as("alice", request, blob, account)
    }

    /// Somebody opens a blob under a grant.
    pub(crate) fn open_as(&self, who: &str, request: &str, blob: &str, account: &str) -> Run {
        let pair = format!("account={account}");
        let words = ["elevate", "run", request, "--", "unprotect", blob, "-c", &pair, "-c", "kind=token"];
        self.person(who, &words)
    }
}

fn make_key(path: &Path) {
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "somebody", "-f"]).arg(path);
    assert!(make.status().unwrap().success());
    // ssh-keygen puts .pub behind the whole name.
    let public = path.with_extension("key.pub");
    std::fs::rename(public, path.with_extension("pub")).unwrap();
}

impl Run {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.line, self.text(), self.stderr);
        self
    }

    /// It failed, and gave nothing away.
    #[track_caller]
    pub(crate) fn fails(self) -> Self {
        assert_ne!(self.code, Some(0), "{}\n{}", self.line, self.text());
        assert!(self.stdout.is_empty(), "{}\n{}", self.line, self.text());
        self
    }

    /// What it failed with says this.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "{}\n{}\nlacks {words:?}", self.line, self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stdout, which must be one line of JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        assert_eq!(text.lines().count(), 1, "{}\n{text}\n{}", self.line, self.stderr);
        serde_json::from_str(&text).unwrap()
    }

    /// The kind of the error, which must be the last line of JSON on stderr.
    #[track_caller]
    pub(crate) fn json_error(&self) -> String {
        let line = self.stderr.lines().last().unwrap();
        let value: Value = serde_json::from_str(line).unwrap();
        value["error"]["kind"].as_str().unwrap().to_owned()
    }
}
