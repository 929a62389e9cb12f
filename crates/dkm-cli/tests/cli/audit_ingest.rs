//! `dkm audit ingest`: lines that a real Samba wrote, and events of Windows written by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Run, World};

fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dkm-audit/testdata/ingest");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A log of its own, and files to take in.
fn world() -> World {
    let world = World::empty();
    for (name, here) in [
        ("samba-changes.json", "changes.json"),
        ("samba-logons.json", "logons.json"),
        ("windows-events.xml", "events.xml"),
        ("windows-powershell.json", "events.json"),
        ("windows-winlogbeat.json", "beat.json"),
    ] {
        world.write(here, fixture(name));
    }
    ingest(&world, &["--create", "ad.example.com/log"]).succeeded();
    let key = std::fs::read_to_string(world.at("log.key")).unwrap();
    let public = dkm_audit::LogKey::from_text(&key).unwrap().public().to_string();
    world.write("log.keys", public);
    world
}

fn ingest(world: &World, more: &[&str]) -> Run {
    let fixed = ["audit", "ingest", "log", "--signing-key", "log.key", "--anchor", "anchor"];
    world.dkm(fixed.iter().chain(more))
}

fn entries(world: &World, conditions: &[&str]) -> Vec<serde_json::Value> {
    let fixed = ["audit", "search", "log", "--keys", "log.keys", "--json", "--limit", "100000"];
    let found = world.dkm(fixed.iter().chain(conditions)).succeeded().json();
    found["entries"].as_array().unwrap().clone()
}

#[test]
fn records_are_taken_in_once_and_linked_to_grants() {
    let world = world();
    world.write("accounts", "0123-grant S-1-5-21-1004336348-1177238915-682003330-3105 dkm-tmp-4f1c9a\n");
    let all = ["changes.json", "logons.json", "events.xml", "--accounts", "accounts"];
    let text = [
        ingest(&world, &all),
        ingest(&world, &all),
        ingest(&world, &["events.json", "beat.json", "--json"]),
        world.dkm(["audit", "verify", "log", "--keys", "log.keys", "--json"]),
        world.dkm([
            "audit",
            "search",
            "log",
            "--keys",
            "log.keys",
            "--grant",
            "0123-grant",
            "--what",
            "ingested-logon",
        ]),
    ];
    let told: Vec<Option<i32>> = text.iter().map(|run| run.code).collect();
    assert_eq!(told, [Some(0); 5]);
    assert!(text[0].text().contains("added to the log   16"), "{}", text[0].text());
    assert!(text[0].text().contains("linked to a grant  3"), "{}", text[0].text());
    assert!(text[1].text().contains("in it already      16"), "{}", text[1].text());
    // The same events in other forms.
    assert_eq!((text[2].json()["added"].as_u64(), text[2].json()["known"].as_u64()), (Some(0), Some(8)));
    assert!(text[4].text().contains("1 of 16 entries found"), "{}", text[4].text());
    // No value of an attribute, and no secret key, is anywhere.
    let log = std::fs::read(world.at("log/tile/entries/000.p/16")).unwrap();
    let log = String::from_utf8_lossy(&log);
    let key = std::fs::read_to_string(world.at("log.key")).unwrap();
    assert!(log.contains("thumbnailPhoto") && !log.contains("SECRET") && !log.contains(key.trim()));
    assert!(text.iter().all(|run| !(run.text() + &run.stderr).contains("PRIVATE")));
}

#[test]
fn what_cannot_be_read_is_told_by_line_and_recorded() {
    let world = world();
    let good = fixture("samba-logons.json");
    world.write("bad.json", format!("{good}nonsense\n{{\"x\":1}}\n\n{good}{}\n", "y".repeat(1 << 21)));
    let told = ingest(&world, &["bad.json", "--json"]).exits(5);
    let json = told.json();
    assert_eq!(
        (json["added"].as_u64(), json["known"].as_u64(), json["unreadable"].as_u64()),
        (Some(5), Some(2), Some(3))
    );
    let problems: Vec<&str> =
        json["problems"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    assert_eq!(
        problems,
        [
            "bad.json, line 3: no event, neither in JSON nor in XML",
            "bad.json, line 4: no event, neither in JSON nor in XML",
            "bad.json, line 8: longer than 1048576 bytes",
        ]
    );
    assert_eq!(entries(&world, &["--what", "ingested-unreadable"]).len(), 3);
    // Told again, but recorded once.
    assert_eq!(ingest(&world, &["bad.json", "--json"]).exits(5).json()["added"], 0);
    world.write("sixteen.json", b"\xff\xfe{\0}\0\n\0");
    assert!(ingest(&world, &["sixteen.json"]).exits(5).text().contains("save the file as UTF-8"));
    world.dkm(["audit", "verify", "log", "--keys", "log.keys"]).succeeded();
}

#[test]
fn a_log_that_cannot_be_written_is_refused_in_words() {
    let world = world();
    world.write(
        "other.key",
        &*dkm_audit::LogKey::generate("ad.example.com/log".parse().unwrap()).unwrap().to_text(),
    );
    world.write("bad.key", "PRIVATE+KEY+nonsense");
    let run = |log: &str, key: &str, anchor: &str| {
        world.dkm(["audit", "ingest", log, "changes.json", "--signing-key", key, "--anchor", anchor])
    };
    run("nowhere", "log.key", "anchor").exits(3);
    run("log", "log.key", "no-anchor").exits(7);
    run("log", "other.key", "anchor").exits(5);
    let bad = run("log", "bad.key", "anchor").exits(2);
    assert!(!bad.stderr.contains("nonsense"), "{}", bad.stderr);
    run("log", "no.key", "anchor").exits(3);
    // A key that is there is not written over, nor a log made twice.
    let key = std::fs::read(world.at("log.key")).unwrap();
    ingest(&world, &["--create", "ad.example.com/log"]).failed();
    assert_eq!(std::fs::read(world.at("log.key")).unwrap(), key);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(world.at("log.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    ingest(&world, &["no-such-file.json"]).exits(3);
    let key = dkm_audit::LogKey::from_text(std::str::from_utf8(&key).unwrap()).unwrap();
    let anchor = dkm_audit::store::FileAnchor::new(&world.at("anchor"));
    let open = dkm_audit::Log::open(&world.at("log"), key, Box::new(anchor)).unwrap();
    assert!(run("log", "log.key", "anchor").exits(7).stderr.contains("in use"));
    drop(open);
    run("log", "log.key", "anchor").succeeded();
}

#[test]
fn a_run_that_is_killed_is_gone_on_with() {
    let world = world();
    let line = fixture("samba-logons.json").lines().next().unwrap().to_owned();
    let many: String =
        (0..5000).map(|n| line.replace("eeb86d11314c8217", &format!("{n:016x}")) + "\n").collect();
    world.write("many.json", many);
    for wait_ms in [5, 20, 60, 150, 300] {
        let mut command = world.command();
        command.args([
            "audit",
            "ingest",
            "log",
            "many.json",
            "--signing-key",
            "log.key",
            "--anchor",
            "anchor",
        ]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ingest(&world, &["many.json"]).succeeded();
    let mut ids = BTreeMap::new();
    for entry in entries(&world, &[]) {
        *ids.entry(entry["entry"]["detail"].as_str().unwrap().split(';').next().unwrap().to_owned())
            .or_insert(0) += 1;
    }
    assert_eq!(ids.len(), 5000);
    assert!(ids.values().all(|times| *times == 1));
    world.dkm(["audit", "verify", "log", "--keys", "log.keys"]).succeeded();
}
