//! `dkm group audit` in a real domain: what it exits with, a signed list of services, and watching.

#![cfg(feature = "active-directory")]
#![forbid(unsafe_code)]
// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use dkm_testbed::{Account, Domain, Group, Options, Scope};
use serde_json::Value;

/// The command as an account, with a ticket of its own for each run: memberships are in tickets.
fn command(domain: &Domain, home: &Path, account: &Account) -> Command {
    let url = format!("ad://{}?dc={}@{}", domain.name(), domain.fqdn(), domain.addresses()[0]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkm"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(domain.env_with_keytab(account)).env("KRB5CCNAME", "MEMORY:own");
    command.env("HOME", home).env("DKM_REPOSITORY", url).current_dir(home);
    command
}

fn dkm(domain: &Domain, home: &Path, account: &Account, arguments: &[&str]) -> Output {
    command(domain, home, account).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// A list of services, and who signed it.
fn signed(home: &Path, text: &str) {
    let run = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).current_dir(home).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    std::fs::write(home.join("services"), text).unwrap();
    run(&["-q", "-t", "ed25519", "-N", "", "-C", "ciso", "-f", "key"]);
    let public = std::fs::read_to_string(home.join("key.pub")).unwrap();
    std::fs::write(home.join("signers"), format!("ciso@example.com {public}")).unwrap();
    run(&["-q", "-Y", "sign", "-n", "dkm-services", "-f", "key", "services"]);
}

const SIGNED: [&str; 10] = [
    "group",
    "audit",
    "mail",
    "--services",
    "services",
    "--allowed-signers",
    "signers",
    "--signer",
    "ciso@example.com",
    "--json",
];

/// A command that still runs; it is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_audit_says_by_its_exit_code_what_it_found() {
    let Some(domain) = Domain::start_or_skip(&Options::default()).unwrap() else { return };
    let (maker, service) = (domain.add_user("svc-maker").unwrap(), domain.add_user("svc-app").unwrap());
    let person = domain.add_user("alice").unwrap();
    let (auditor, keeper) = (domain.add_user("auditor").unwrap(), domain.add_user("keeper").unwrap());
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let admin = domain.admin().clone();
    domain.keytab(&admin).unwrap();
    let made = dkm(&domain, home, &admin, &["ad", "init", "--makers", "svc-maker", "--auditors", "auditor"]);
    assert!(made.status.success(), "{made:?}");
    let create = [
        "group",
        "create",
        "mail",
        "--members",
        "svc-app",
        "--members",
        "svc-maker",
        "--creators",
        "svc-maker",
        "--owners",
        "svc-maker",
        "--owners",
        "keeper",
        "--auditors",
        "auditor",
    ];
    let made = dkm(&domain, home, &maker, &create);
    assert!(made.status.success(), "{made:?}");
    // The first key is made by the first creator that opens the group.
    let opened = dkm(&domain, home, &maker, &["group", "show", "mail"]);
    assert!(opened.status.success(), "{opened:?}");
    // An owner may write the readers group's members, so whoever signs answers for him, too.
    let list = format!("# mail\n{} makes groups\n{} reads\n{} owns\n", maker.sid, service.sid, keeper.sid);
    signed(home, &list);

    let clean = dkm(&domain, home, &maker, &SIGNED);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    let report = json(&clean);
    assert_eq!(
        (&report["verdict"], &report["services_signed_by"]),
        (&"no-path".into(), &"ciso@example.com".into())
    );
    let told = dkm(&domain, home, &maker, &SIGNED[..9]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.ends_with("no path of kinds A–K found\n"), "{text}");
    assert!(text.contains("NOT SEARCHED BY ANY AUDIT"), "{text}");

    // An administrator and an auditor read no key, and see who may read it. A plain member does not list the container.
    for who in [&admin, &auditor] {
        let complete = dkm(&domain, home, who, &SIGNED);
        assert_eq!(complete.status.code(), Some(0), "{complete:?}");
        assert_eq!(json(&complete)["verdict"], "no-path");
    }
    let incomplete = dkm(&domain, home, &service, &SIGNED);
    assert_eq!(incomplete.status.code(), Some(4), "{incomplete:?}");
    assert_eq!(json(&incomplete)["verdict"], "incomplete");
    without_reading(&domain, home, &keeper, &auditor);

    let unlisted = dkm(&domain, home, &maker, &["group", "audit", "mail"]);
    assert_eq!(unlisted.status.code(), Some(7), "{unlisted:?}");
    assert!(String::from_utf8_lossy(&unlisted.stderr).contains("without a list of services"), "{unlisted:?}");
    let unsigned = dkm(&domain, home, &maker, &["group", "audit", "mail", "--services", "services"]);
    assert_eq!(unsigned.status.code(), Some(2), "{unsigned:?}");
    let unsigned = ["group", "audit", "mail", "--services", "services", "--unsigned-services"];
    let unsigned = dkm(&domain, home, &maker, &unsigned);
    assert_eq!(unsigned.status.code(), Some(0), "{unsigned:?}");
    assert!(String::from_utf8_lossy(&unsigned.stderr).contains("not signed"), "{unsigned:?}");

    let readers = readers(&domain, &report);
    watched(&domain, home, &maker, &person, &readers);
    let found = dkm(&domain, home, &maker, &SIGNED);
    assert_eq!(found.status.code(), Some(7), "{found:?}");
    let report = json(&found);
    let is_his = |finding: &&Value| finding["who"]["sid"] == person.sid.as_str() && finding["kind"] == "A";
    let finding = report["findings"].as_array().unwrap().iter().find(is_his).expect("a path of kind A");
    assert_eq!((&finding["class"], &finding["effect"]), (&"unexpected".into(), &"reads".into()));

    std::fs::write(home.join("services"), format!("{} alice is a service\n", person.sid)).unwrap();
    let forged = dkm(&domain, home, &maker, &SIGNED);
    assert_eq!(forged.status.code(), Some(7), "{forged:?}");
    assert!(
        forged.stdout.is_empty() && String::from_utf8_lossy(&forged.stderr).contains("signed"),
        "{forged:?}"
    );
}

/// What somebody who owns a group and is no member experiences with each command, and an auditor.
fn without_reading(domain: &Domain, home: &Path, keeper: &Account, auditor: &Account) {
    let run = |who: &Account, arguments: &[&str], code: i32| {
        let output = dkm(domain, home, who, &[arguments, &["-g", "mail", "--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        output
    };
    let listed = json(&run(keeper, &["key", "list"], 0));
    let key = &listed["keys"][0];
    assert_eq!((&key["state"], &key["protecting"]), (&"active".into(), &true.into()), "{listed}");
    assert_eq!(
        (&key["withheld"], &key["verified"], &key["distrust"]),
        (&true.into(), &false.into(), &Value::Null)
    );
    let id = key["id"].as_str().unwrap();
    assert_eq!(
        json(&run(keeper, &["key", "show", id], 0))["fault"],
        "this account may not read its material"
    );
    let shown = json(&run(keeper, &["group", "show"], 0));
    assert_eq!((&shown["rights"]["read"], &shown["rights"]["own"]), (&false.into(), &true.into()), "{shown}");
    assert_eq!(shown["protecting_key"], key["id"]);
    let healthy = json(&run(keeper, &["doctor"], 0));
    assert_eq!(healthy["healthy"], true, "{healthy}");
    assert!(healthy.to_string().contains("this account may not read it"), "{healthy}");
    std::fs::write(home.join("plain"), "x").unwrap();
    for refused in [
        &["protect", "plain", "-o", "blob"][..],
        &["key", "roll", "--reason", "x"],
        &["archive", "export", "--recipient", RECIPIENT, "-o", "mail.age"],
    ] {
        let refused = run(keeper, refused, 4);
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(error.contains("needs the right to"), "{refused:?}");
    }
    let compromise = run(keeper, &["key", "compromise", id, "--reason", "x"], 7);
    assert!(String::from_utf8_lossy(&compromise.stderr).contains("--at-once"), "{compromise:?}");
    assert_eq!(json(&run(keeper, &["key", "suspend", id, "--reason", "a drill"], 0))["state"], "suspended");
    assert_eq!(json(&run(keeper, &["key", "resume", id, "--reason", "over"], 0))["state"], "active");
    run(keeper, &["policy", "set", "rotation_period=80d"], 0);
    assert_eq!(json(&run(auditor, &["key", "list"], 0))["keys"][0]["id"], id);
    run(auditor, &["key", "suspend", id, "--reason", "x"], 4);
    run(auditor, &["doctor"], 0);
}

/// Somebody's, for an archive that is not made.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// The readers group that a report names.
fn readers(domain: &Domain, report: &Value) -> Group {
    let dn = report["readers_dn"].as_str().unwrap();
    let found = domain.search(dn, Scope::Base, "(objectClass=group)", &["sAMAccountName"]).unwrap();
    let sid = report["readers"]["sid"].as_str().unwrap().to_owned();
    Group { sam: found[0].text("sAMAccountName").unwrap(), dn: dn.to_owned(), sid }
}

/// Watches while a person is put into the readers group.
fn watched(domain: &Domain, home: &Path, account: &Account, person: &Account, readers: &Group) {
    let mut watch = command(domain, home, account);
    watch.args(SIGNED).args(["--watch", "100ms"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = Running(watch.spawn().unwrap());
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().expect("it goes on").unwrap()).unwrap();
    assert_eq!(next()["report"]["verdict"], "no-path");
    domain.add_member(readers, &person.dn).unwrap();
    let appeared = loop {
        let change = next();
        if change["failure"] == true {
            break change;
        }
    };
    assert_eq!(appeared["change"]["appeared"]["who"]["sid"], person.sid.as_str(), "{appeared}");
    drop(watch);
    // A watch that ends by itself exits as an audit does.
    let ends = ["--watch", "100ms", "--rounds", "2"];
    let ended = dkm(domain, home, account, &[&SIGNED[..], &ends[..]].concat());
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
}

#[test]
fn what_is_searched_is_told_without_a_repository() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkm"));
        command.env_clear().env("HOME", home.path()).args(arguments).output().unwrap()
    };
    let kinds = run(&["group", "audit", "--kinds"]);
    let text = String::from_utf8(kinds.stdout).unwrap();
    assert!(text.contains("  K  ") && text.contains("Not searched:") && text.contains("snapshots"), "{text}");
    let directory = run(&["group", "audit", "mail", "--repository", "dir:/nowhere"]);
    assert_eq!(directory.status.code(), Some(2), "{directory:?}");
    let hasty = run(&["group", "audit", "mail", "--watch", "1ms"]);
    assert_eq!(hasty.status.code(), Some(2), "{hasty:?}");
}
