//! kill -9 at every step, and at any moment under load: nothing acknowledged is lost, nothing half-written is served.
//!
//! A child writes to a log and is killed at its k-th step, for k from 1 until it comes to its end. It tells of each
//! acknowledgement on its standard output. Then this process opens the log, compares, and goes on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use dkm_audit::merkle::leaf_hash;
use dkm_audit::store::{FileAnchor, Receipt};
use dkm_audit::tree::Tree;
use dkm_audit::verify::verify;
use dkm_audit::{Entry, Log};

use super::common::{Place, batch, by, copy, entry, key, trust};

const SCENARIO: &str = "DKM_TEST_SCENARIO";
const FOLDER: &str = "DKM_TEST_FOLDER";
const MARK: &str = "acknowledged";

fn acknowledge(receipt: &Receipt) {
    // One write, so that lines of several writers do not mix.
    let line = format!("\n{MARK} {} {}\n", receipt.index, receipt.leaf);
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn open(folder: &Path, seed: u8) -> Log {
    Log::open(&folder.join("log"), key(seed), Box::new(FileAnchor::new(&folder.join("anchor")))).unwrap()
}

fn child(scenario: &str, folder: &Path) {
    match scenario {
        "create" => {
            let anchor = Box::new(FileAnchor::new(&folder.join("anchor")));
            Log::create(&folder.join("log"), key(1), anchor).unwrap();
        }
        "append" => {
            let log = open(folder, 1);
            acknowledge(&log.append(&entry(1)).unwrap());
            let (done, finished) = channel();
            for n in 2..6 {
                let done = done.clone();
                log.submit(&entry(n), move |receipt| done.send(receipt).unwrap()).unwrap();
            }
            drop(done);
            finished.iter().for_each(|receipt| acknowledge(&receipt.unwrap()));
        }
        "rotate" => {
            let log = open(folder, 1);
            acknowledge(&log.rotate(key(2), by()).unwrap());
            acknowledge(&log.append(&entry(1)).unwrap());
        }
        "load" => {
            let log = open(folder, 1);
            std::thread::scope(|scope| {
                for writer in 0..8u64 {
                    let log = log.clone();
                    scope.spawn(move || {
                        (0..1_000_000)
                            .for_each(|n| acknowledge(&log.append(&entry(writer * 1_000_000 + n)).unwrap()))
                    });
                }
            });
        }
        other => panic!("{other}"),
    }
}

fn spawn(scenario: &str, folder: &Path, step: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::a_process_that_is_killed_at_any_step_loses_nothing_acknowledged",
            "--nocapture",
        ])
        .env(SCENARIO, scenario)
        .env(FOLDER, folder)
        .env("DKM_FAULT_STEP", step.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// An acknowledgement in a line of a child; a line that was cut off is none.
fn parse(line: &str) -> Option<(u64, String)> {
    let mut words = line.split(' ');
    let acknowledged = words.next()? == MARK;
    let (index, leaf) = (words.next()?.parse().ok()?, words.next()?);
    (acknowledged && leaf.len() == 64).then(|| (index, leaf.to_owned()))
}

/// Opens the log with whichever key is in use, compares it with what was acknowledged, and goes on.
fn check(place: &Place, acknowledged: &BTreeMap<u64, String>, at_least: u64) {
    let anchor = fs::read(place.anchor_path()).unwrap();
    // As it lies there, before anybody has tidied up: a reader finds it in order too.
    verify(&place.source(), &trust(1), Some(&anchor)).unwrap();
    let log = place.open(1).or_else(|_| place.open(2)).unwrap();
    let checkpoint = log.checkpoint();
    let verified = trust(1).verify(&checkpoint).or_else(|_| trust(2).verify(&checkpoint)).unwrap().checkpoint;
    assert!(verified.size >= at_least);
    let source = place.source();
    let tree = Tree::new(&source, &verified);
    for (index, leaf) in acknowledged {
        let (bytes, _) = tree.prove(*index).unwrap();
        assert_eq!(leaf_hash(&bytes).to_string(), *leaf);
        Entry::decode(&bytes).unwrap();
    }
    assert_eq!(log.append(&entry(99)).unwrap().index, verified.size);
    batch(&log, (0..3).map(entry));
    drop(log);
    let report = verify(&place.source(), &trust(1), Some(&anchor)).unwrap();
    assert_eq!((report.checkpoint.size, report.leftovers), (verified.size + 5, 0));
    for folder in [place.log(), place.folder().to_path_buf()] {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".tmp")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn finish(mut child: Child, scenario: &str, step: u64) -> (bool, BTreeMap<u64, String>) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = lines.filter_map(|line| parse(&line)).collect();
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal() == Some(9), "{scenario} at step {step}: {status}");
    (status.success(), acknowledged)
}

#[test]
fn a_process_that_is_killed_at_any_step_loses_nothing_acknowledged() {
    if let Some(scenario) = std::env::var_os(SCENARIO) {
        return child(scenario.to_str().unwrap(), &PathBuf::from(std::env::var_os(FOLDER).unwrap()));
    }
    let mut points = 0;
    for step in 1.. {
        let place = Place::new();
        let (finished, _) = finish(spawn("create", place.folder(), step), "create", step);
        match place.open(1) {
            Ok(log) => drop(log),
            Err(error) => {
                assert!(!finished, "{error}");
                drop(place.create());
            }
        }
        check(&place, &BTreeMap::new(), 0);
        if finished {
            break;
        }
        points += 1;
    }
    // One that comes to the end of a tile on the way, and one that does not.
    let prepared = [("append", 253), ("append", 2), ("rotate", 255), ("rotate", 1)];
    for (scenario, size) in prepared {
        let original = Place::new();
        let log = original.create();
        if size > 1 {
            batch(&log, (2..size).map(entry));
        }
        log.append(&entry(0)).unwrap();
        drop(log);
        for step in 1.. {
            let place = Place::new();
            copy(original.folder(), place.folder());
            let (finished, acknowledged) = finish(spawn(scenario, place.folder(), step), scenario, step);
            assert!(!finished || acknowledged.len() == if scenario == "append" { 5 } else { 2 });
            check(&place, &acknowledged, size);
            if finished {
                break;
            }
            points += 1;
        }
    }
    assert!(points > 200, "only {points} points at which the process was killed");
}

#[test]
fn a_process_that_is_killed_under_load_loses_nothing_acknowledged() {
    let place = Place::new();
    drop(place.create());
    let mut all = BTreeMap::new();
    for round in 0..12usize {
        let mut child = spawn("load", place.folder(), 0);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let wanted = 1 + round * 37;
        all.extend(lines.by_ref().filter_map(|line| parse(&line)).take(wanted));
        child.kill().unwrap();
        // What was told before the kill counts too.
        all.extend(lines.filter_map(|line| parse(&line)));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        check(&place, &all, u64::try_from(all.len()).unwrap());
    }
    assert!(all.len() > 2_000, "{}", all.len());
}
