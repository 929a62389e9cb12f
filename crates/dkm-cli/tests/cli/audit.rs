//! `dkm audit`: a log of this test's own, in order and not.

use std::path::PathBuf;

use dkm_audit::entry::{Actor, Phase, Reason};
use dkm_audit::merkle::{leaf_hash, verify_inclusion};
use dkm_audit::note::WitnessKey;
use dkm_audit::proof::{ConsistencyProof, InclusionProof};
use dkm_audit::store::FileAnchor;
use dkm_audit::{Checkpoint, Entry, Log, LogKey, Trust};
use dkm_core::{GroupId, Timestamp};

use crate::support::World;

pub(crate) const ORIGIN: &str = "audit.example.com/log";
/// 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600_000;

pub(crate) fn key(seed: u8) -> LogKey {
    LogKey::from_seed(ORIGIN.parse().unwrap(), &[seed; 32]).unwrap()
}

fn trust(seed: u8) -> Trust {
    Trust::log(key(seed).public().clone()).unwrap()
}

fn by() -> (Timestamp, Actor, Reason) {
    (Timestamp(START), "uid:0".parse().unwrap(), "once a year".parse().unwrap())
}

pub(crate) fn entry(n: u64, action: &str, phase: Phase) -> Entry {
    let who = if n.is_multiple_of(2) { "CORP\\alice" } else { "CORP\\bob" };
    let mut entry =
        Entry::new(Timestamp(START + n * 60_000), who.parse().unwrap(), action.parse().unwrap(), phase);
    entry.group = Some(GroupId([7; 16]));
    entry
}

/// A log, with the key's file beside it.
pub(crate) struct Audited {
    pub(crate) world: World,
}

impl Audited {
    pub(crate) fn new() -> (Self, Log) {
        let world = World::empty();
        let log =
            Log::create(&world.at("log"), key(1), Box::new(FileAnchor::new(&world.at("anchor")))).unwrap();
        world.write("log.keys", format!("# of the log\n{}\n", key(1).public()));
        (Self { world }, log)
    }

    /// A request that is granted and used, and one that is refused.
    fn small() -> (Self, Log) {
        let (this, log) = Self::new();
        let mut intent = entry(0, "unprotect", Phase::Intent);
        intent.grant = Some("0123-grant".parse().unwrap());
        intent.reason = Some("ticket 4711,\nas agreed".parse().unwrap());
        intent.size = Some(1234);
        log.append(&intent).unwrap();
        log.append(&entry(1, "unprotect", Phase::Denied)).unwrap();
        let mut done = entry(2, "unprotect", Phase::Success { intent: 0 });
        done.grant = intent.grant;
        log.append(&done).unwrap();
        (this, log)
    }

    fn open(&self, seed: u8) -> Log {
        Log::open(&self.world.at("log"), key(seed), Box::new(FileAnchor::new(&self.world.at("anchor"))))
            .unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.at("log").join(name)
    }
}

#[test]
fn a_log_in_order() {
    let (audited, log) = Audited::small();
    drop(log);
    let run = |words: &[&str]| {
        let (command, rest) = words.split_first().unwrap();
        audited.world.dkm(["audit", command, "log", "--keys", "log.keys"].iter().chain(rest))
    };
    let text = [
        run(&["verify"]),
        run(&["tail", "--verify"]),
        audited.world.dkm(["audit", "tail", "log", "-n", "1"]),
        run(&["search", "--who", "Alice"]),
        run(&["search", "--phase", "denied", "--what", "unprotect", "--after", "2026-01-01T00:00:30Z"]),
        run(&["search", "--request", "0123-grant", "--limit", "1"]),
        run(&["search", "--who", "mallory"]),
        run(&["prove", "1"]),
        run(&["prove", "1", "-o", "proof"]),
        run(&["export", "--json-lines"]),
        run(&["export", "--json-lines", "--from", "1", "-o", "lines"]),
    ];
    insta::assert_snapshot!("audit", audited.world.session(&text));
    let json = [
        run(&["verify", "--json"]),
        run(&["tail", "-n", "1", "--json"]),
        run(&["search", "--who", "bob", "--json"]),
        run(&["prove", "1", "--json"]),
        run(&["export", "--json-lines", "-o", "lines2", "--json"]),
    ];
    assert!(json.iter().all(|run| run.json().is_object()));
    insta::assert_snapshot!("audit_json", audited.world.session(&json));
    assert_eq!(std::fs::read_to_string(audited.world.at("lines")).unwrap().lines().count(), 2);
}

#[test]
fn failures_have_their_exit_codes_and_words() {
    let (audited, log) = Audited::small();
    drop(log);
    let world = &audited.world;
    let other = LogKey::from_seed("other.example.com/log".parse().unwrap(), &[9; 32]).unwrap();
    world.write("other.keys", other.public().to_string());
    world.write("both.keys", format!("{}\n{}\n", key(1).public(), other.public()));
    world.write("bad.keys", "\nnonsense\n");
    let text = [
        world.dkm(["audit", "verify", "log"]),
        world.dkm(["audit", "verify", "log", "--keys", "both.keys"]),
        world.dkm(["audit", "verify", "log", "--keys", "bad.keys"]),
        world.dkm(["audit", "verify", "log", "--keys", "log.keys", "--witnesses", "1"]),
        world.dkm(["audit", "verify", "nowhere", "--keys", "log.keys"]),
        world.dkm(["audit", "tail", "log", "--verify"]),
        world.dkm(["audit", "tail", "log", "--keys", "other.keys"]),
        world.dkm(["audit", "prove", "log", "3", "--keys", "log.keys"]),
        world.dkm(["audit", "search", "log", "--keys", "log.keys", "--after", "yesterday"]),
        world.dkm(["audit", "export", "log", "--keys", "log.keys", "--json-lines", "--from", "4", "--json"]),
    ];
    insta::assert_snapshot!("audit_failures", world.session(&text));
}

#[test]
fn what_was_changed_in_a_log_is_told_by_every_command() {
    let (audited, log) = Audited::small();
    drop(log);
    let bundle = audited.path("tile/entries/000.p/3");
    let good = std::fs::read(&bundle).unwrap();
    let mut bad = good;
    let at = bad.windows(4).position(|text| text == b"4711").unwrap();
    bad[at] = b'5';
    std::fs::write(&bundle, bad).unwrap();
    let world = &audited.world;
    let verified = world.dkm(["audit", "verify", "log", "--keys", "log.keys", "--json"]).exits(5);
    let json = verified.json();
    let faults = json["faults"].as_array().unwrap();
    assert!(faults.iter().any(|fault| fault.as_str().unwrap().starts_with("entry 0: ")), "{faults:?}");
    for words in [&["tail"][..], &["search"], &["prove", "0"], &["export", "--json-lines"]] {
        let (command, rest) = words.split_first().unwrap();
        let run = world.dkm(["audit", command, "log", "--keys", "log.keys"].iter().chain(rest)).exits(5);
        assert_eq!(run.text(), "", "{command} shows nothing that is not proved");
    }
    // Without a key the entries still have to fit the tree.
    world.dkm(["audit", "tail", "log"]).exits(5);
}

#[test]
fn a_log_that_is_remembered_may_only_grow() {
    let (audited, log) = Audited::small();
    let world = &audited.world;
    let verify = |file| world.dkm(["audit", "verify", "log", "--keys", "log.keys", "--remember", file]);
    assert!(verify("seen").succeeded().stderr.contains("is new"));
    drop(log);
    let copy = |from: &str, to: &str| {
        let from = world.at(from);
        assert!(
            std::process::Command::new("cp")
                .arg("-r")
                .arg(from)
                .arg(world.at(to))
                .status()
                .unwrap()
                .success()
        );
    };
    copy("log", "old");
    copy("anchor", "old-anchor");
    let log = audited.open(1);
    log.append(&entry(3, "protect", Phase::Recorded)).unwrap();
    drop(log);
    let told = verify("seen").succeeded();
    assert!(!told.stderr.contains("is new") && told.text().contains("extended"), "{}", told.text());
    let seen = std::fs::read(world.at("seen")).unwrap();
    assert_eq!(seen, std::fs::read(audited.path("checkpoint")).unwrap());

    // Somebody with the key brings back the old state, and then goes on otherwise.
    std::fs::remove_dir_all(world.at("log")).unwrap();
    copy("old", "log");
    let commands: [&[&str]; 5] =
        [&["verify"], &["tail"], &["search"], &["prove", "0"], &["export", "--json-lines"]];
    let all = |word: &str| {
        for words in commands {
            let (command, rest) = words.split_first().unwrap();
            let refused = world
                .dkm(["audit", command, "log", "--keys", "log.keys", "--remember", "seen"].iter().chain(rest))
                .exits(5);
            let told = refused.text() + &refused.stderr;
            assert!(told.contains(word), "{command}: {told}");
        }
    };
    all("rolled back");
    std::fs::copy(world.at("old-anchor"), world.at("anchor")).unwrap();
    let log = audited.open(1);
    for n in 10..14 {
        log.append(&entry(n, "protect", Phase::Recorded)).unwrap();
    }
    drop(log);
    all("forked");
    world.dkm(["audit", "verify", "log", "--keys", "log.keys", "--since", "seen"]).exits(5);
    world.dkm(["audit", "prove", "log", "--keys", "log.keys", "--from", "seen"]).exits(5);
    // What is remembered is not given up for a log that is refused, nor for a file that is damaged.
    assert_eq!(std::fs::read(world.at("seen")).unwrap(), seen);
    world.write("seen", "garbage");
    all("checkpoint");
    assert_eq!(std::fs::read(world.at("seen")).unwrap(), b"garbage");
}

#[test]
fn proofs_are_checked_without_the_log() {
    let (audited, log) = Audited::small();
    let world = &audited.world;
    let kept = log.checkpoint();
    world.write("earlier", &kept);
    log.append(&entry(3, "protect", Phase::Recorded)).unwrap();
    let newest = log.checkpoint();
    drop(log);
    let text = world.dkm(["audit", "prove", "log", "1", "--keys", "log.keys"]).succeeded().stdout;
    let proof = InclusionProof::parse(&text).unwrap();
    assert_eq!(proof.verify(&trust(1)).unwrap().checkpoint.size, 4);
    assert!(proof.verify(&trust(2)).is_err());
    let leaf = entry(1, "unprotect", Phase::Denied).encode().unwrap();
    let Checkpoint { size, root, .. } = trust(1).verify(&newest).unwrap().checkpoint;
    assert_eq!(proof.leaf.as_deref(), Some(&*leaf));
    verify_inclusion(&leaf_hash(&leaf), 1, size, &root, &proof.hashes).unwrap();
    let forged = InclusionProof { leaf: Some(b"{}".to_vec()), ..proof };
    assert!(forged.verify(&trust(1)).is_err());

    let text =
        world.dkm(["audit", "prove", "log", "--from", "earlier", "--keys", "log.keys"]).succeeded().stdout;
    let proof = ConsistencyProof::parse(&text).unwrap();
    let earlier = trust(1).verify(&kept).unwrap().checkpoint;
    assert_eq!(proof.old_size, earlier.size);
    let now = trust(1).verify(&proof.checkpoint).unwrap().checkpoint;
    now.verify_extends(&earlier, &proof.hashes).unwrap();
}

#[test]
fn a_change_of_key_is_followed_and_told() {
    let (audited, log) = Audited::small();
    log.rotate(key(2), by()).unwrap();
    log.append(&entry(4, "protect", Phase::Recorded)).unwrap();
    drop(log);
    let world = &audited.world;
    let told = world.dkm(["audit", "verify", "log", "--keys", "log.keys", "--json"]).succeeded().json();
    let present = key(2).public().to_string();
    assert_eq!((told["key"].as_str(), told["key_changes"].as_u64()), (Some(&*present), Some(1)));
    let refused = world.dkm(["audit", "tail", "log", "--keys", "log.keys"]).exits(5);
    assert!(refused.stderr.contains("dkm audit verify follows"), "{}", refused.stderr);
    assert_eq!(world.dkm(["audit", "tail", "log", "--key", &present]).succeeded().text().lines().count(), 5);
}

#[test]
fn witnesses_whose_keys_are_given_must_have_cosigned() {
    let (audited, log) = Audited::small();
    drop(log);
    let world = &audited.world;
    let witness = WitnessKey::generate("witness.example.com/w1".parse().unwrap()).unwrap();
    world.write("with-witness.keys", format!("{}\n{}\n", key(1).public(), witness.public()));
    let verify = |more: &[&str]| {
        world.dkm(["audit", "verify", "log", "--keys", "with-witness.keys"].iter().chain(more))
    };
    verify(&[]).exits(5);
    verify(&["--witnesses", "0"]).succeeded();
    let path = audited.path("checkpoint");
    let note = dkm_audit::note::Note::parse(&std::fs::read(&path).unwrap()).unwrap();
    let cosigned = witness.cosign(&note.text().parse().unwrap(), START / 1000);
    let signatures = note.signatures().iter().cloned().chain([cosigned]).collect();
    std::fs::write(path, dkm_audit::note::Note::new(note.text().to_owned(), signatures).unwrap().encode())
        .unwrap();
    assert!(verify(&[]).succeeded().text().contains("witness.example.com/w1 at 2026-01-01T00:00:00Z"));
    world.dkm(["audit", "tail", "log", "--keys", "with-witness.keys"]).succeeded();
}

#[test]
fn a_log_is_followed_across_tiles() {
    let (audited, log) = Audited::small();
    let world = &audited.world;
    let mut command = world.command();
    command.args([
        "audit",
        "tail",
        "log",
        "--keys",
        "log.keys",
        "-n",
        "2",
        "--json",
        "--follow",
        "--interval",
        "100ms",
    ]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut next = || {
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["index"].as_u64().unwrap()
    };
    assert_eq!((next(), next()), (1, 2));
    for n in 3..300 {
        log.submit(&entry(n, "protect", Phase::Recorded), |_| {}).unwrap();
    }
    for n in 3..300 {
        assert_eq!(next(), n);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let found = world
        .dkm(["audit", "search", "log", "--keys", "log.keys", "--what", "protect", "--limit", "3", "--json"])
        .succeeded();
    assert_eq!(found.json()["matched"], 297);
    assert!(found.stderr.contains("truncated"), "{}", found.stderr);
    let exported =
        world.dkm(["audit", "export", "log", "--keys", "log.keys", "--json-lines"]).succeeded().text();
    assert_eq!(exported.lines().count(), 300);
}

/// Serves the files of a folder over HTTP until the test ends; returns the URL.
fn served(folder: PathBuf) -> String {
    use std::io::{BufRead as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/log", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = request.split(' ').nth(1).unwrap().strip_prefix("/log/").unwrap().to_owned();
            let (status, body) = match std::fs::read(folder.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let len = body.len();
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    url
}

#[test]
fn a_log_is_read_from_a_url_as_from_its_folder() {
    let (audited, log) = Audited::small();
    log.rotate(key(2), by()).unwrap();
    drop(log);
    let world = &audited.world;
    let url = served(world.at("log"));
    let run = |log: &str, words: &[&str]| {
        let (command, rest) = words.split_first().unwrap();
        world.dkm(["audit", command, log, "--keys", "log.keys"].iter().chain(rest))
    };
    for words in
        [&["verify", "--json"][..], &["tail"], &["search"], &["prove", "1"], &["export", "--json-lines"]]
    {
        let there = run(&url, words).succeeded();
        assert_eq!(there.stdout, run("log", words).succeeded().stdout, "{words:?}");
    }
    assert!(run(&url, &["verify", "--remember", "seen"]).succeeded().stderr.contains("is new"));
    run(&url, &["verify", "--remember", "seen"]).succeeded();
    run(&url.replace("/log", "/log/nothing"), &["verify"]).exits(3);
    run("http://127.0.0.1:1/log", &["verify"]).exits(6);
    run("ftp://example.com/log", &["verify"]).exits(2);
    world.write("no.pem", "nothing");
    run("https://127.0.0.1:1/log", &["verify", "--ca", "no.pem"]).exits(2);
}
