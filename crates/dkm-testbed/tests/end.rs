//! The end of the process that a domain belongs to.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dkm_testbed::{Domain, Options};

/// In the environment of the process that is to be killed.
const VICTIM: &str = "DKM_TESTBED_VICTIM";

/// The processes that name the domain's folder, or have a file in it open.
fn processes(folder: &Path) -> Vec<String> {
    let wanted = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // A process may end while it is looked at.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let mut files = files.filter_map(|file| fs::read_link(file.path()).ok());
        if String::from_utf8_lossy(&line).contains(wanted) || files.any(|file| file.starts_with(folder)) {
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

fn namespaces() -> Vec<String> {
    let list = Command::new("ip").args(["netns", "list"]).output().unwrap();
    String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_killed_process_leaves_no_server_no_file_and_no_network() {
    if env::var_os(VICTIM).is_some() {
        let domain = Domain::start(&Options::two()).unwrap();
        // Stopped processes are the hardest to end.
        domain.freeze().unwrap();
        let namespace = format!("dkm-testbed-{}-", domain.address().octets()[2]);
        println!("VICTIM {} {namespace}", domain.folder().display());
        loop {
            thread::park();
        }
    }
    // Another domain, which must not be touched.
    let Some(other) = Domain::start_or_skip(&Options::default()).unwrap() else { return };
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_no_server_no_file_and_no_network", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line =
        lines.find_map(|line| line.unwrap().split_once("VICTIM ").map(|(_, rest)| rest.to_owned())).unwrap();
    let (folder, namespace) = line.split_once(' ').unwrap();
    let folder = PathBuf::from(folder);
    assert!(folder.is_dir());
    assert!(processes(&folder).iter().any(|line| line.contains("winbindd")), "{:?}", processes(&folder));
    assert_eq!(namespaces().iter().filter(|name| name.starts_with(namespace)).count(), 2);

    victim.kill().unwrap();
    victim.wait().unwrap();
    let left = || {
        let namespaces = namespaces().into_iter().filter(|name| name.starts_with(namespace));
        (processes(&folder), namespaces.collect::<Vec<_>>(), folder.exists())
    };
    let start = Instant::now();
    let nothing = (vec![], vec![], false);
    while left() != nothing && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(left(), nothing);
    assert!(other.runs());
    other.ccache(other.admin(), None).unwrap();
}
