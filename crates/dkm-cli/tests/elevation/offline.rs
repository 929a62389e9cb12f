//! Emergencies while `dkmd` does not answer: requests and approvals in files, by commands.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::world::{Run, World};

/// A world in which Bob has exported what is in force, and the server is down.
struct Down {
    world: World,
    roster: PathBuf,
    /// Of the exported file.
    digest: String,
}

impl Down {
    fn new() -> Self {
        let mut world = World::new();
        let roster = world.at("mail.roster");
        let export = ["lockbox", "offline", "export", "-o", roster.to_str().unwrap(), "--json"];
        let made = world.person("bob", &export).succeeded().json();
        let digest = made["digest"].as_str().unwrap().to_owned();
        // Whoever is no person of the roster gets nothing.
        world.person("eve", &["lockbox", "offline", "export", "-o", "eve.roster"]).exits(4);
        world.server.kill();
        Self { world, roster, digest }
    }

    fn offline(&self, who: &str, words: &[&str]) -> Run {
        let roster = self.roster.to_str().unwrap();
        let ground = ["--roster", roster, "--roster-digest", &self.digest, "--json"];
        self.world.person(who, &[&["lockbox", "offline"], words, &ground].concat())
    }

    /// Alice's request, in a file.
    fn request(&self, name: &str, more: &[&str]) -> PathBuf {
        let path = self.world.at(name);
        self.ask("alice", &path, more).succeeded();
        path
    }

    fn ask(&self, key: &str, path: &std::path::Path, more: &[&str]) -> Run {
        let key = self.world.key(key);
        let words = ["request", "--reason", "dkmd is down", "-c", "account=17", "--duration", "5m"];
        let signed = ["--as", "alice", "--key", key.to_str().unwrap(), "-o", path.to_str().unwrap()];
        self.offline("alice", &[&words[..], &signed, more].concat())
    }

    /// Somebody's answer, or use: looked at first, then signed by its digest.
    fn sign(&self, who: &str, words: &[&str], file: &std::path::Path) -> Run {
        let key = self.world.key(who);
        let key = if key.exists() { key.to_str().unwrap() } else { "agent" };
        let words = [words, &[file.to_str().unwrap(), "--as", who, "--key", key]].concat();
        let seen = self.offline(who, &[&words[..], &["--dry-run"]].concat());
        if seen.code != Some(0) {
            return seen;
        }
        let seen = seen.json();
        let mut more = vec!["--yes", "--digest", seen["digest"].as_str().unwrap()];
        if let Some(from) = seen["from"].as_str() {
            more.extend(["--from", from]);
        }
        self.offline(who, &[&words[..], &more].concat())
    }

    fn approve(&self, who: &str, file: &std::path::Path) -> Run {
        self.sign(who, &["approve"], file)
    }

    fn verify(&self, file: &std::path::Path) -> Run {
        self.offline("carol", &["verify", file.to_str().unwrap()])
    }

    fn submit(&self, who: &str, file: &std::path::Path) -> Run {
        self.world.person(who, &["lockbox", "offline", "submit", file.to_str().unwrap(), "--json"])
    }

    fn logged(&self, request: &str) -> String {
        let log = self.world.server.log();
        let search = [
            "audit",
            "search",
            log.to_str().unwrap(),
            "--key",
            &self.world.server.log_key,
            "--grant",
            request,
        ];
        self.world.admin(&search).succeeded().text()
    }
}

fn id(file: &std::path::Path) -> String {
    let value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let text = value["request"].as_str().unwrap();
    text.lines().find_map(|line| line.strip_prefix("request: ")).unwrap().to_owned()
}

/// Changes a file as somebody would who wants more than he was given.
fn change(file: &std::path::Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut value);
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let changed = file.with_extension(format!("changed-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&changed, value.to_string()).unwrap();
    changed
}

fn replaced(file: &std::path::Path, from: &str, to: &str) -> PathBuf {
    change(file, |value| {
        let text = value["request"].as_str().unwrap();
        assert!(text.contains(from), "{text}");
        value["request"] = text.replace(from, to).into();
    })
}

#[test]
fn an_emergency_goes_its_way_by_files_and_is_reviewed_when_the_server_is_back() {
    let mut down = Down::new();
    let file = down.request("incident.request", &["--ticket", "INC-1"]);
    let id = id(&file);
    let missing = down.verify(&file).exits(7).says("lacks 1 of dave").json();
    assert_eq!(
        (missing["complete"].as_bool(), missing["missing"][0]["level"].as_str()),
        (Some(false), Some("on call"))
    );
    down.sign("carol", &["use", "--what", "opened it"], &file).exits(7).says("approvals are missing");
    down.approve("dave", &file).succeeded();
    let evidence = down.world.at("evidence");
    let verify = ["verify", file.to_str().unwrap(), "--evidence", evidence.to_str().unwrap()];
    let seen = down.offline("carol", &verify).succeeded().json();
    assert_eq!(seen["complete"], true, "{seen}");
    let commands: Vec<&str> =
        seen["commands"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(commands.len(), 2, "the request's and the approval's");
    for command in &commands {
        let ssh = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().unwrap();
        assert!(ssh.status.success(), "{command}: {}", String::from_utf8_lossy(&ssh.stderr));
    }
    let statement = evidence.join("1-approve.statement");
    let text = std::fs::read_to_string(&statement).unwrap();
    std::fs::write(&statement, text.replace("duration: 300 s", "duration: 301 s")).unwrap();
    let ssh = Command::new("sh").args(["-c", commands[1]]).stdin(Stdio::null()).output().unwrap();
    assert!(!ssh.status.success());

    down.sign("carol", &["use", "--what", "archive restored, mail of 17 opened"], &file).succeeded();
    // Once.
    down.sign("bob", &["use", "--what", "again"], &file).exits(7).says("acted by it already");
    down.verify(&file).exits(7).says("acted by it already");
    down.world.server.restart();
    let told = down.submit("alice", &file).succeeded().json();
    assert_eq!(told["status"], "used-offline", "{told}");
    assert_eq!(
        (told["by_file"].as_bool(), told["used_offline"][0]["by"].as_str()),
        (Some(true), Some("carol"))
    );
    let seen = down.world.person("bob", &["elevate", "show", &id, "--json"]).succeeded().json();
    assert_eq!(
        (seen["approved_offline"].as_bool(), seen["status_verified"].as_bool()),
        (Some(true), Some(true)),
        "{seen}"
    );
    // Bringing it again changes nothing, and nothing more is given by it.
    let again = down.submit("dave", &file).succeeded().json();
    assert_eq!(again["history"], told["history"]);
    down.world
        .person("alice", &["elevate", "activate", &id])
        .exits(7)
        .says("used while the server did not answer");
    let log = down.logged(&id);
    assert!(log.contains("elevation-submit") && log.contains("archive restored, mail of 17 opened"), "{log}");
    // It waits for its review, which is not the requester's.
    down.world.person("alice", &["elevate", "review", &id]).exits(4);
    down.world.person("dave", &["elevate", "review", &id]).succeeded();
    down.world.person("dave", &["elevate", "review", &id]).exits(4).says("none is due");
    // What was stored is as the log says.
    down.world.server.restart();
    let seen = down.world.person("bob", &["elevate", "show", &id, "--json"]).succeeded().json();
    assert_eq!(seen["status"], "used-offline", "{seen}");
}

#[test]
fn what_nobody_has_acted_by_goes_on_at_the_server() {
    let mut down = Down::new();
    let file = down.request("incident.request", &[]);
    let id = id(&file);
    down.approve("dave", &file).succeeded();
    down.world.server.restart();
    let blob = down.world.blob("17.dkm", "17", "his");
    let told = down.submit("bob", &file).succeeded().json();
    assert_eq!(
        (told["status"].as_str(), told["emergency"].as_bool()),
        (Some("approved"), Some(true)),
        "{told}"
    );
    let again = down.submit("alice", &file).succeeded().json();
    assert_eq!(again["history"], told["history"]);
    down.world.person("alice", &["elevate", "activate", &id]).succeeded();
    assert_eq!(down.world.open(&id, &blob, "17").succeeded().text(), "his");
    // Whoever had acted by a copy of it while the server was down can't keep that for himself.
    let copy = down.world.at("copy.request");
    std::fs::copy(&file, &copy).unwrap();
    down.sign("carol", &["use", "--what", "opened it from the archive"], &copy).succeeded();
    down.submit("carol", &copy).succeeded();
    down.world.open(&id, &blob, "17").exits(7);
    assert!(down.logged(&id).contains("opened it from the archive"));
}

#[test]
fn a_changed_file_is_found_out_by_everybody() {
    let mut down = Down::new();
    let file = down.request("incident.request", &[]);
    down.approve("dave", &file).succeeded();
    let other_group = "07070707-0707-0707-0707-070707070707";
    let changes = [
        ("duration: 300 s", "duration: 301 s"),
        ("dkmd is down", "dkmd is up"),
        ("\"17\"", "\"18\""),
        ("break-glass: yes", "break-glass: no"),
        ("requester: \"alice\"", "requester: \"carol\""),
        ("requester-account: \"person:alice\"", "requester-account: \"person:alice-2\""),
    ];
    let changed = changes.map(|(from, to)| replaced(&file, from, to));
    for path in &changed {
        for run in
            [down.verify(path), down.approve("dave", path), down.sign("carol", &["use", "--what", "x"], path)]
        {
            assert!(matches!(run.code, Some(4 | 5)), "{:?}: {}", run.code, run.stderr);
        }
    }
    // Of another group, server or policy.
    let line = |name: &str| {
        let value: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        value["request"].as_str().unwrap().lines().find(|line| line.starts_with(name)).unwrap().to_owned()
    };
    let elsewhere = replaced(&file, &line("instance: "), &format!("instance: {other_group}"));
    down.verify(&elsewhere).exits(7).says("made to another server");
    let of_group = replaced(&file, &line("group: "), &format!("group: {other_group}"));
    down.verify(&of_group).exits(5).says("it is of group");
    // An approval that says more than its signature.
    for change_answer in [("approver", "bob"), ("level", "manager")] {
        let (field, value) = change_answer;
        let forged = change(&file, |content| content["answers"][0][field] = value.into());
        let seen = down.verify(&forged).exits(7).json();
        assert_eq!(seen["refused"].as_array().unwrap().len(), 1, "{seen}");
    }
    down.world.server.restart();
    for path in changed.iter().chain([&elsewhere]) {
        let run = down.submit("alice", path);
        assert!(matches!(run.code, Some(2 | 4 | 5 | 7)), "{:?}: {}", run.code, run.stderr);
    }
    // Nothing has come of it: the true one is taken.
    down.submit("alice", &file).succeeded();
}

#[test]
fn nobody_counts_twice_and_the_requester_never() {
    let down = Down::new();
    let file = down.request("incident.request", &[]);
    down.approve("alice", &file).exits(2).says("no approver of the level");
    down.sign("alice", &["approve", "--level", "on call"], &file).exits(4).says("decide");
    down.approve("bob", &file).exits(2).says("no approver of the level");
    down.sign("bob", &["approve", "--level", "on call"], &file).exits(7);
    down.approve("dave", &file).succeeded();
    down.approve("dave", &file).exits(7).says("the request is approved");
    // In another's name, with one's own key.
    let key = down.world.key("carol");
    let forge = ["approve", file.to_str().unwrap(), "--as", "dave", "--key", key.to_str().unwrap()];
    let seen = down.offline("carol", &[&forge[..], &["--dry-run"]].concat());
    assert_ne!(seen.code, Some(0));
    let second = down.request("second.request", &[]);
    let forge = ["approve", second.to_str().unwrap(), "--as", "dave", "--key", key.to_str().unwrap()];
    let seen = down.offline("carol", &[&forge[..], &["--dry-run"]].concat()).succeeded().json();
    let digest = seen["digest"].as_str().unwrap().to_owned();
    down.offline("carol", &[&forge[..], &["--yes", "--digest", &digest]].concat())
        .exits(7)
        .says("none that you have");
    // Nobody asks in another's name either, and what was approved of one is nothing of another.
    let by_carol =
        down.ask("carol", &down.world.at("third.request"), &[]).exits(7).says("none that you have");
    assert!(by_carol.text().is_empty() && !down.world.at("third.request").exists());
    let moved = change(&second, |content| {
        let of_first: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        content["answers"] = of_first["answers"].clone();
    });
    down.verify(&moved).exits(7).says("approvals are missing");
    let merged = down.offline("carol", &["verify", file.to_str().unwrap(), second.to_str().unwrap()]);
    merged.exits(2).says("not copies of one request");
    // A denial beats what was approved, also in a copy of the file.
    let copy = down.world.at("copy.request");
    std::fs::copy(&file, &copy).unwrap();
    down.sign("dave", &["deny", "--level", "on call"], &copy).succeeded();
    let both = ["verify", file.to_str().unwrap(), copy.to_str().unwrap()];
    assert_eq!(down.offline("carol", &both).exits(7).json()["status"], "denied");
}

#[test]
fn nothing_is_believed_that_is_not_pinned() {
    let down = Down::new();
    let file = down.request("incident.request", &[]);
    down.approve("dave", &file).succeeded();
    let roster = down.roster.to_str().unwrap();
    let verify = |who: &str, more: &[&str]| {
        down.world.person(who, &[&["lockbox", "offline", "verify", file.to_str().unwrap()], more].concat())
    };
    // Bob has exported it. Carol has not, and nobody vouches for it.
    verify("bob", &["--roster", roster]).succeeded();
    verify("carol", &["--roster", roster]).exits(7).says("nothing vouches for");
    verify("carol", &["--roster", roster, "--roster-digest", &"0".repeat(64)])
        .exits(5)
        .says("not what was exported");
    verify("carol", &[]).exits(6).says("dkm lockbox offline export");
    // One in which Carol is on call.
    let text = std::fs::read_to_string(down.roster.as_path()).unwrap();
    let changed = down.world.at("changed.roster");
    std::fs::write(&changed, text.replace("\"exported\": \"2", "\"exported\": \"3")).unwrap();
    verify("bob", &["--roster", changed.to_str().unwrap()]).exits(5);
    // Of another group with people of the same names: its first roster is another, whoever gives its digest.
    let other = Down::new();
    let others = other.roster.to_str().unwrap();
    verify("bob", &["--roster", others, "--roster-digest", &other.digest]).exits(5).says("it is of group");
    let theirs = other.request("incident.request", &[]);
    other.approve("dave", &theirs).succeeded();
    assert_eq!(down.verify(&theirs).exits(5).json_error(), "corrupt");
    let same = std::fs::read_to_string(&other.roster).unwrap().replace(&other.world.group, &down.world.group);
    std::fs::write(&changed, &same).unwrap();
    let digest = dkm_core::Digest::of(same.as_bytes()).to_string();
    let run = verify("bob", &["--roster", changed.to_str().unwrap(), "--roster-digest", &digest]);
    assert!(matches!(run.code, Some(3 | 5)), "{:?} {}", run.code, run.stderr);
}

#[test]
fn after_its_time_and_under_another_roster_nothing_is_given() {
    let mut down = Down::new();
    down.world.server.restart();
    let roster = down.world.roster().replacen("activate_within = \"1h\"", "activate_within = \"2s\"", 1);
    let roster = roster.replacen("approve_within = \"1d\"", "approve_within = \"2s\"", 1);
    std::fs::write(down.world.at("roster.toml"), roster).unwrap();
    let create = [
        "group",
        "create",
        "short",
        "--readers",
        "service:mail",
        "--auditors",
        "person:bob",
        "--policy",
        "wrap=none",
        "--roster",
        "../roster.toml",
        "--json",
    ];
    let made = down.world.of("service:mail", &create).succeeded().json();
    let first = std::mem::replace(&mut down.world.group, made["group"]["id"].as_str().unwrap().to_owned());
    let export = ["lockbox", "offline", "export", "-o", down.roster.to_str().unwrap(), "--force", "--json"];
    down.digest = down.world.person("bob", &export).succeeded().json()["digest"].as_str().unwrap().to_owned();
    let file = down.request("short.request", &[]);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    down.verify(&file).exits(7).says("expired");
    down.approve("dave", &file).exits(7).says("expired");
    down.sign("carol", &["use", "--what", "too late"], &file).exits(7).says("expired");
    down.submit("alice", &file).exits(7).says("expired");
    down.world.group = first;
}

#[test]
fn a_group_in_a_folder_is_its_own_ground_and_has_no_server() {
    let mut world = World::of_people("", &[]);
    std::fs::write(world.at("roster.toml"), world.roster()).unwrap();
    let url = format!("dir:{}", world.at("repository").display());
    let run = |world: &World, who: &str, words: &[&str]| {
        world.run_with(&format!("person:{who}"), &url, &[], &[words, &["--json"]].concat())
    };
    run(&world, "bob", &["init"]).succeeded();
    let create = ["group", "create", "mail", "--policy", "wrap=none", "--roster", "../roster.toml"];
    let made = run(&world, "bob", &create).succeeded().json();
    world.group = made["group"]["id"].as_str().unwrap().to_owned();
    let file = world.at("incident.request");
    let path = file.to_str().unwrap();
    let key = |who: &str| world.key(who).display().to_string();
    let ask = ["lockbox", "offline", "request", "--reason", "nobody else is there", "-c", "account=17"];
    let how = ["--duration", "5m", "--as", "alice", "--key", &key("alice"), "-o", path];
    run(&world, "alice", &[&ask[..], &how].concat()).succeeded();
    let approve = ["lockbox", "offline", "approve", path, "--as", "dave", "--key", &key("dave")];
    let seen = run(&world, "dave", &[&approve[..], &["--dry-run"]].concat()).succeeded().json();
    let digest = seen["digest"].as_str().unwrap().to_owned();
    run(&world, "dave", &[&approve[..], &["--yes", "--digest", &digest]].concat()).succeeded();
    let verify = ["lockbox", "offline", "verify", path];
    let seen = run(&world, "carol", &verify).succeeded().json();
    assert_eq!((seen["complete"].as_bool(), seen["checked_by"].as_str()), (Some(true), Some(url.as_str())));
    // Another repository says nothing of it.
    let second = format!("dir:{}", world.at("second").display());
    world.run_with("person:bob", &second, &[], &["init"]).succeeded();
    world.run_with("person:bob", &second, &[], &create).succeeded();
    world.run_with("person:carol", &second, &[], &verify).exits(4).says("there is no group");
    // There is nowhere to bring it to.
    run(&world, "alice", &["lockbox", "offline", "submit", path]).exits(2).says("no repository behind dkmd");
}
