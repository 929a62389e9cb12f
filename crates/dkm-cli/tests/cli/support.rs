//! A world of its own for each test: temporary home, environment without anything of the machine, and readable output
//! in which ids, times and folders are replaced.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A temporary home.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

/// What a run came to.
pub(crate) struct Run {
    line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl World {
    /// Nothing but an empty home.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("dkm-cli-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir }
    }

    /// A repository with the group "mail".
    pub(crate) fn with_group() -> Self {
        let world = Self::empty();
        world.dkm(["init"]).succeeded();
        world.dkm(["group", "create", "mail"]).succeeded();
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("home").join(name)
    }

    /// Where the default repository is.
    pub(crate) fn repository(&self) -> PathBuf {
        self.at("data/dkm/repository")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.at(name), content).unwrap();
    }

    /// The command in this world, its group being "mail".
    pub(crate) fn command(&self) -> Command {
        let home = self.dir.path().join("home");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkm"));
        command
            .env_clear()
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_DATA_HOME", home.join("data"))
            .env("XDG_STATE_HOME", home.join("state"))
            .env("DKM_GROUP", "mail")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&home)
            .stdin(Stdio::null());
        command
    }

    /// A shell script in this world.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear();
        for (name, value) in self.command().get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.current_dir(self.at("")).stdin(Stdio::null());
        command
    }

    pub(crate) fn dkm<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.dkm_with(arguments, b"", |_| {})
    }

    pub(crate) fn dkm_stdin<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        stdin: &[u8],
    ) -> Run {
        self.dkm_with(arguments, stdin, |_| {})
    }

    /// Runs the command after `adapt` has changed its environment.
    pub(crate) fn dkm_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        stdin: &[u8],
        adapt: impl FnOnce(&mut Command),
    ) -> Run {
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let mut command = self.command();
        command.args(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        adapt(&mut command);
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // The command may end before it has read everything.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let words: Vec<String> = arguments.iter().map(|a| quoted(&a.to_string_lossy())).collect();
        Run {
            line: format!("dkm {}", words.join(" ")),
            code: output.status.code(),
            stdout: output.stdout,
            stderr: without_memory_warnings(&String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Runs, and puts the whole run into one text with ids, times and folders replaced.
    pub(crate) fn session(&self, runs: &[Run]) -> String {
        let mut names = Names::default();
        let texts = runs.iter().map(|run| {
            let mut text = format!("$ {}\n", run.line);
            text.push_str(&String::from_utf8_lossy(&run.stdout));
            if !run.stderr.is_empty() {
                for line in run.stderr.lines() {
                    text.push_str(&format!("stderr: {line}\n"));
                }
            }
            text.push_str(&format!(
                "exit code {}\n",
                run.code.map_or_else(|| "none".to_owned(), |c| c.to_string())
            ));
            text
        });
        let folder = self.dir.path().to_str().unwrap();
        let all: Vec<String> = texts.map(|text| names.redact(&text.replace(folder, "[dir]"))).collect();
        all.join("\n")
    }

    /// The id of the key that protects.
    pub(crate) fn protecting_key(&self) -> String {
        let list = self.dkm(["key", "list", "--json"]).succeeded().json();
        list["protecting_key"].as_str().unwrap().to_owned()
    }
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

    /// Anything but success.
    #[track_caller]
    pub(crate) fn failed(&self) {
        assert!(self.code.is_some_and(|code| code > 0), "{}\n{}", self.line, self.text());
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stdout, which must be one line of JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let text = self.text();
        assert_eq!(text.lines().count(), 1, "{text}\n{}", self.stderr);
        serde_json::from_str(&text).unwrap()
    }

    /// The error on stderr, which must be JSON.
    #[track_caller]
    pub(crate) fn json_error(&self) -> serde_json::Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(line).unwrap()["error"].clone()
    }
}

/// Whether memory can be locked depends on the machine's limits. The test of these warnings looks at them itself.
fn without_memory_warnings(stderr: &str) -> String {
    let marks = ["warning: keys can't be ", "warning: core dumps can't", "\"kind\":\"memory\""];
    stderr.split_inclusive('\n').filter(|line| !marks.iter().any(|mark| line.contains(mark))).collect()
}

fn quoted(word: &str) -> String {
    if word.chars().any(char::is_whitespace) || word.is_empty() {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

/// Stable names for what differs in every run, in the order in which they come up.
#[derive(Default)]
struct Names {
    given: BTreeMap<String, String>,
}

impl Names {
    fn redact(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut token = String::new();
        for c in text.chars().chain(['\n']) {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.') {
                token.push(c);
            } else {
                out.push_str(&self.name(&token));
                token.clear();
                out.push(c);
            }
        }
        out.pop();
        let hidden =
            ["(in ", "uid:", "nothing to do for "].iter().fold(out, |text, mark| hide_after(&text, mark));
        hide_ago(&hidden)
    }

    fn name(&mut self, token: &str) -> String {
        let hex = |t: &str| t.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        let core = token.trim_end_matches(['.', ':']);
        let rest = &token[core.len()..];
        let uuid = core.len() == 36 && core.matches('-').count() == 4 && hex(&core.replace('-', ""));
        let named = if uuid {
            self.numbered("id", core)
        } else if core.len() == 64 && hex(core) {
            "[digest]".to_owned()
        } else if (core.len() == 32 || core.len() == 12) && hex(core) {
            // Short and whole ids of one key have one name.
            self.numbered("key", &core[..12])
        } else if (core.len() == 6 || core.len() == 8) && self.given.keys().any(|id| id.starts_with(core)) {
            "[first digits]".to_owned()
        } else if core.len() >= 20 && core.as_bytes()[10] == b'T' && core.ends_with('Z') {
            "[time]".to_owned()
        } else if core.starts_with("age1") && core.len() > 40 {
            "[age key]".to_owned()
        } else {
            core.to_owned()
        };
        format!("{named}{rest}")
    }

    fn numbered(&mut self, kind: &str, id: &str) -> String {
        let count = self.given.values().filter(|name| name.starts_with(&format!("[{kind} "))).count();
        self.given.entry(id.to_owned()).or_insert_with(|| format!("[{kind} {}]", count + 1)).clone()
    }
}

/// Replaces the word after a mark by dots.
fn hide_after(text: &str, mark: &str) -> String {
    let mut parts = text.split(mark);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([' ', ')', '\n', '"', ',', ';']).unwrap_or(part.len());
        out.push_str(&format!("{mark}..{}", &part[end..]));
    }
    out
}

/// Replaces how long ago something was.
fn hide_ago(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some(end) = out.find(" ago)") {
        let start = out[..end].rfind('(').unwrap_or(end);
        out.replace_range(start..end + 5, "(earlier)");
    }
    out
}
