//! kill -9 at every step of re-protecting: no blob is lost, none is half-written, and a second run finishes the work.
//!
//! A child re-protects prepared blobs and is killed at its k-th step, for k from 1 until it comes to its end. After each
//! kill this process opens every blob, lets the work be finished, and opens every blob again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::blocking::{Client, Group, NewGroup, Options};
use dkm::core::blob::Header;
use dkm::repository::GroupAccess;
use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::reprotect::{self, ContextTemplate, JsonOptions, Summary};
use dkm::{Context, Location, Policy, Suite};

const SCENARIO: &str = "DKM_TEST_SCENARIO";
const FOLDER: &str = "DKM_TEST_FOLDER";

/// What a child does in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// Small files in several folders, one after the other.
    Small,
    /// The same, by several threads at once.
    Threads,
    /// Files that are streamed.
    Large,
    /// A file of JSON lines, in several batches.
    Lines,
}

const SCENARIOS: [(&str, Scenario); 4] = [
    ("small", Scenario::Small),
    ("threads", Scenario::Threads),
    ("large", Scenario::Large),
    ("lines", Scenario::Lines),
];

fn context() -> Context {
    Context::new().with("app", "crash").unwrap()
}

fn group(world: &Path) -> Group {
    let options = Options { background: false, ..Options::default() };
    Client::open(&Location::directory(world.join("repository")), options).unwrap().group("tokens").unwrap()
}

/// A repository with a group whose policy has moved on to another suite, and blobs of the one before.
fn prepare(world: &Path) -> Group {
    DirectoryRepository::create(&world.join("repository"), &CreateOptions::default()).unwrap();
    let options = Options { background: false, ..Options::default() };
    let client = Client::open(&Location::directory(world.join("repository")), options).unwrap();
    let new = NewGroup {
        name: "tokens".into(),
        description: None,
        policy: Policy::for_directory(),
        access: GroupAccess::default(),
    };
    let group = client.create_group(new).unwrap();
    // Times of files are finer than the clock: the first key may be active only some milliseconds from now.
    while group.view().unwrap().protecting.is_err() {
        std::thread::yield_now();
    }
    for (name, scenario) in SCENARIOS {
        let folder = world.join("old").join(name);
        for (path, plaintext) in plaintexts(scenario) {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if scenario == Scenario::Lines {
                fs::write(&path, lines(&group, &plaintext)).unwrap();
            } else {
                fs::write(&path, group.protect(&context(), &plaintext).unwrap()).unwrap();
            }
        }
    }
    let suite = u32::from(Suite::ChaCha20Poly1305.number());
    group.set_policy(Policy { suite, ..Policy::for_directory() }).unwrap();
    group
}

/// The files of a scenario and what they protect; for JSON lines, all secrets one after the other.
fn plaintexts(scenario: Scenario) -> BTreeMap<PathBuf, Vec<u8>> {
    match scenario {
        Scenario::Small | Scenario::Threads => {
            (0..16u8).map(|n| (format!("{}/{n}", n % 3).into(), vec![n; 50 + usize::from(n)])).collect()
        }
        Scenario::Large => {
            (0..2u8).map(|n| (format!("big-{n}").into(), vec![n; (2 << 20) + usize::from(n)])).collect()
        }
        Scenario::Lines => BTreeMap::from([("store.jsonl".into(), (0..200u8).collect())]),
    }
}

/// A line for each secret, which is one byte, padded so that they make several batches.
fn lines(group: &Group, secrets: &[u8]) -> String {
    let padding = "p".repeat(16 << 10);
    let line = |secret: &u8| {
        let blob = STANDARD.encode(group.protect(&context(), &[*secret]).unwrap());
        format!("{{\"secret\":\"{blob}\",\"padding\":\"{padding}\"}}\n")
    };
    secrets.iter().map(line).collect()
}

fn work(group: &Group, scenario: Scenario, folder: &Path) -> Summary {
    match scenario {
        Scenario::Lines => {
            let options = JsonOptions {
                fields: vec!["secret".parse().unwrap()],
                context: ContextTemplate::new(context()),
                threads: Some(1),
                ..JsonOptions::default()
            };
            reprotect::json_lines(group, &folder.join("store.jsonl"), &options, &mut |_| {}).unwrap()
        }
        _ => {
            let threads = if scenario == Scenario::Threads { 4 } else { 1 };
            let options =
                reprotect::Options { context: context(), threads: Some(threads), ..Default::default() };
            reprotect::files(group, &[folder.to_path_buf()], &options, &mut |_| {}).unwrap()
        }
    }
}

/// All files below a folder, by their paths in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                found.push(path.strip_prefix(folder).unwrap().into())
            }
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
}

/// Opens every blob; asserts that each is there, whole and right, and counts those of the new suite.
fn check(group: &Group, scenario: Scenario, folder: &Path, finished: bool) -> usize {
    let expected = plaintexts(scenario);
    for path in files(folder) {
        let ours = path.file_name().unwrap().to_str().unwrap().starts_with(".dkm-new-");
        assert!(expected.contains_key(&path) || (ours && !finished), "{} is left behind", path.display());
    }
    let mut renewed = 0;
    let mut opened = |blob: &[u8]| {
        renewed += usize::from(Header::parse(blob).unwrap().suite() == Suite::ChaCha20Poly1305);
        group.unprotect(&context(), blob).unwrap().to_vec()
    };
    for (path, plaintext) in expected {
        let content = fs::read(folder.join(&path)).unwrap();
        let found = if scenario == Scenario::Lines {
            let text = String::from_utf8(content).unwrap();
            text.lines()
                .flat_map(|line| opened(&STANDARD.decode(line[11..].split('"').next().unwrap()).unwrap()))
                .collect()
        } else {
            opened(&content)
        };
        assert!(found == plaintext, "{} protects something else", path.display());
    }
    renewed
}

#[test]
fn no_blob_is_lost_wherever_the_process_is_killed() {
    if let Some(scenario) = std::env::var_os(SCENARIO) {
        let scenario = SCENARIOS.into_iter().find(|(name, _)| *name == scenario).unwrap().1;
        let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
        let summary = work(&group(folder.parent().unwrap()), scenario, &folder);
        assert!(summary.is_complete());
        return;
    }
    // In memory where that is possible: a killed process, unlike a power cut, leaves no trace on a disk that it would
    // not leave there.
    let world = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let group = prepare(world.path());
    let mut points = 0;
    for (name, scenario) in SCENARIOS {
        let blobs = check(&group, scenario, &world.path().join("old").join(name), true);
        assert_eq!(blobs, 0, "all are of the old suite");
        let mut counts = Vec::new();
        for step in 1u64.. {
            let folder = world.path().join("now");
            copy(&world.path().join("old").join(name), &folder);
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "no_blob_is_lost_wherever_the_process_is_killed"])
                .env(SCENARIO, name)
                .env(FOLDER, &folder)
                .env("DKM_FAULT_STEP", step.to_string())
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success() || status.signal() == Some(9), "{name} at step {step}: {status}");
            counts.push(check(&group, scenario, &folder, status.success()));
            let summary = work(&group, scenario, &folder);
            assert!(summary.is_complete(), "{name} at step {step}: {:?}", summary.failed);
            assert_eq!(summary.warnings_total, 0);
            let renewed = check(&group, scenario, &folder, true);
            assert_eq!(renewed as u64, summary.renewed + summary.current, "{name} at step {step}");
            fs::remove_dir_all(&folder).unwrap();
            if status.success() {
                break;
            }
            points += 1;
        }
        // The kills came at all stages of the work, from nothing done to everything done.
        let all = *counts.last().unwrap();
        assert_eq!(counts.first(), Some(&0));
        assert!(all > 0 && counts.iter().filter(|count| **count == all).count() >= 2, "{name}: {counts:?}");
        if scenario == Scenario::Small {
            assert!((0..=all).all(|done| counts.contains(&done)), "{counts:?}");
        }
    }
    assert!(points >= 200, "only {points} points at which the process was killed");
    println!("killed at {points} steps");
}
