//! `dkm ad doctor` in real domains: what it exits with, what it tells, and that the repair it advises is one.

#![cfg(feature = "active-directory")]
#![forbid(unsafe_code)]
// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use dkm_testbed::{Account, Domain, Options, Scope};
use serde_json::Value;

/// The command as an account, with a ticket of its own for each run: memberships are in tickets.
fn command(domain: &Domain, home: &Path, account: &Account, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(domain.env_with_keytab(account)).env("KRB5CCNAME", "MEMORY:own");
    command.env("HOME", home).env("DKM_REPOSITORY", domain.url()).current_dir(home);
    command
}

fn dkm(domain: &Domain, home: &Path, account: &Account, arguments: &[&str]) -> Output {
    command(domain, home, account, env!("CARGO_BIN_EXE_dkm")).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Checks of one area and verdict.
fn checks<'r>(report: &'r Value, area: &str, verdict: &str) -> Vec<&'r Value> {
    let all = report["checks"].as_array().unwrap();
    all.iter().filter(|check| check["area"] == area && check["verdict"] == verdict).collect()
}

/// A group that `svc-maker` makes and owns.
fn set_up(domain: &Domain, home: &Path) -> Account {
    let maker = domain.add_user("svc-maker").unwrap();
    let admin = domain.admin().clone();
    domain.keytab(&admin).unwrap();
    domain.replicate().unwrap();
    let made = dkm(domain, home, &admin, &["ad", "init", "--makers", "svc-maker"]);
    assert!(made.status.success(), "{made:?}");
    domain.replicate().unwrap();
    let create = ["group", "create", "mail", "--creators", "svc-maker", "--owners", "svc-maker"];
    let made = dkm(domain, home, &maker, &create);
    assert!(made.status.success(), "{made:?}");
    domain.replicate().unwrap();
    let opened = dkm(domain, home, &maker, &["group", "show", "mail"]);
    assert!(opened.status.success(), "{opened:?}");
    maker
}

#[test]
fn a_bound_below_what_is_measured_is_refused_and_the_advice_repairs_it() {
    let Some(domain) = Domain::start_or_skip(&Options::two()).unwrap() else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let maker = set_up(&domain, home);
    let look = ["ad", "doctor", "-g", "mail", "--json"];
    let sound = dkm(&domain, home, &maker, &look);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    let report = json(&sound);
    assert_eq!(report["conclusion"], "nothing-wrong", "{report}");
    assert!(report["convergence"]["slowest_ms"].as_u64().is_some_and(|slowest| slowest > 0), "{report}");
    assert_eq!(report["convergence"]["ways"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(checks(&report, "policy", "good").len(), 2, "{report}");

    let shorter = dkm(&domain, home, &maker, &["policy", "set", "-g", "mail", "replication_bound=1ms"]);
    assert!(shorter.status.success(), "{shorter:?}");
    let refused = dkm(&domain, home, &maker, &look);
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    let report = json(&refused);
    let wrong = checks(&report, "policy", "wrong");
    assert!(wrong[0]["what"].as_str().unwrap().starts_with("replication_bound is 1ms, below"), "{report}");
    // Followed literally, on any later measurement that is no slower than the advice allows for.
    let advice = wrong[0]["advice"].as_str().unwrap();
    let arguments: Vec<&str> = advice.strip_prefix("dkm ").unwrap().split(' ').collect();
    let repaired = dkm(&domain, home, &maker, &arguments);
    assert!(repaired.status.success(), "{advice}: {repaired:?}");
    let shown = json(&dkm(&domain, home, &maker, &["policy", "show", "-g", "mail", "--json"]));
    let bound = shown["policy"]["replication_bound_ms"].as_u64().unwrap_or_default();
    assert!(bound >= 1_000, "{shown}");

    // Nothing stays behind, on either, once replication has carried the deletions.
    domain.replicate().unwrap();
    for controller in domain.controllers() {
        let left = controller.search(domain.base(), Scope::Sub, "(displayName=dkm probe)", &["cn"]).unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn each_account_is_told_what_it_may_see() {
    let Some(domain) = Domain::start_or_skip(&Options::default()).unwrap() else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let maker = set_up(&domain, home);
    let person = domain.add_user("alice").unwrap();
    let told = dkm(&domain, home, &maker, &["ad", "doctor", "-g", "mail"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let text = String::from_utf8(told.stdout).unwrap();
    for words in [
        "DOMAIN CONTROLLERS\n  good         dc1.dkm.test: site Default-First-Site-Name, Samba 4.",
        "nothing to measure",
        "an open connection: up to ",
        "thumbnailPhoto, which holds keys, is in no global catalogue",
        "as they were made, descriptors included: 1 of 1 key objects",
        "nothing is wrong in what could be looked at\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let told = dkm(&domain, home, &person, &["ad", "doctor", "--no-probe", "--json"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let report = json(&told);
    assert!(report["lock_out"]["tgt_left_ms"].as_u64().is_some_and(|left| left > 0), "{report}");
    assert!(!checks(&report, "schema", "good").is_empty(), "{report}");
    // Who may not see a group does not learn by this that there is one.
    let outside = dkm(&domain, home, &person, &["ad", "doctor", "-g", "mail"]);
    let nowhere = dkm(&domain, home, &person, &["ad", "doctor", "-g", "none"]);
    assert_eq!((outside.status.code(), nowhere.status.code()), (Some(3), Some(3)), "{outside:?}");
    assert!(outside.stdout.is_empty(), "{outside:?}");
    // Without a ticket nothing is looked at.
    let nobody = command(&domain, home, &person, env!("CARGO_BIN_EXE_dkm"))
        .env_remove("KRB5_CLIENT_KTNAME")
        .args(["ad", "doctor"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(6), "{nobody:?}");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("kinit"), "{nobody:?}");
}

#[test]
fn what_can_not_be_is_refused_before_anything_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkm"));
        command.env_clear().env("HOME", home.path()).args(arguments).output().unwrap()
    };
    let directory = run(&["ad", "doctor", "--repository", "dir:/nowhere"]);
    assert_eq!(directory.status.code(), Some(2), "{directory:?}");
    assert!(String::from_utf8_lossy(&directory.stderr).contains("dkm doctor"), "{directory:?}");
    for timeout in ["0", "25h", "soon"] {
        let odd = run(&["ad", "doctor", "--probe-timeout", timeout]);
        assert_eq!(odd.status.code(), Some(2), "{timeout}: {odd:?}");
    }
    let both = run(&["ad", "doctor", "--no-probe", "--probe-timeout", "5m"]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}
