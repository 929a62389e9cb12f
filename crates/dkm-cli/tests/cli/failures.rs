//! Bad input: what each command says, and the exit code of each kind of failure.

use crate::support::World;

#[test]
fn each_exit_code_has_its_case() {
    let world = World::with_group();
    let key = world.protecting_key();
    world.write("in", "x");
    world.dkm(["protect", "in", "-o", "blob"]).succeeded();
    // Code 1 is for faults of the program: its test is in src/main.rs. Code 4 needs another account: access.rs.
    for (code, kind, arguments) in [
        (2, "usage", &["protect", "in", "-c", "a"][..]),
        (3, "not-found", &["protect", "missing", "-o", "x"]),
        (3, "not-found", &["protect", "in", "-o", "x", "--group", "other"]),
        (3, "not-found", &["protect", "in", "-o", "x", "--repository", "dir:/nonexistent/repository"]),
        (5, "corrupt", &["unprotect", "blob", "-c", "other=context"]),
        (5, "corrupt", &["inspect", "in"]),
        (6, "unavailable", &["protect", "in", "-o", "/dev/full"]),
        (7, "refused", &["key", "destroy", &key, "--reason", "x"]),
    ] {
        let run = world.dkm(arguments.iter().copied().chain(["--json"])).exits(code);
        let error = run.json_error();
        assert_eq!(
            (error["kind"].as_str().unwrap(), &error["exit_code"]),
            (kind, &code.into()),
            "{}",
            run.stderr
        );
        assert!(!error["message"].as_str().unwrap().is_empty());
        let plain = world.dkm(arguments).exits(code);
        assert!(plain.stderr.starts_with("error: "), "{}", plain.stderr);
        assert_eq!(plain.stdout, b"");
    }
}

#[test]
fn what_is_said_about_bad_input() {
    let world = World::with_group();
    let key = world.protecting_key();
    world.write("in", "x");
    world.write("taken", "x");
    world.write("not-age", "x");
    world.dkm(["protect", "in", "-o", "blob"]).succeeded();
    let other = "f".repeat(32);
    let runs: Vec<_> = [
        &["init"][..],
        &["init", "--repository", "ad://example.org"],
        &["init", "--repository", "https://keys.example.org"],
        &["group", "list", "--repository", "http://keys.example.org"],
        &["group", "list", "--repository", "https://keys.example.org:x"],
        &["group", "list", "--repository", "https://127.0.0.1:1?credentials=missing"],
        &["group", "list", "--repository", "unix:/missing/socket"],
        &["whoami"],
        &["enrol", "https://keys.example.org", "--token-file", "missing", "--ca", "in"],
        &["enrol", "https://keys.example.org", "--token-file", "in"],
        &["enrol", "unix:/run/dkmd/socket", "--token-file", "in", "--ca", "in"],
        &["enrol", "https://keys.example.org", "--token-file", "in", "--authority-digest", "3f"],
        &["enrol", "https://keys.example.org", "--token-file", "in", "--ca", "in", "--credentials", "new"],
        &["principal", "add", "mail", "--repository", "unix:/missing/socket"],
        &["principal", "token", "service:mail", "--repository", "unix:/missing/socket"],
        &["principal", "token", "service:mail", "-o", "token", "--repository", "unix:/missing/socket"],
        &["group", "create", "mail"],
        &["group", "create", "Not A Name"],
        &["group", "create", "x", "--policy", "rotation_period=1h"],
        &["group", "create", "x", "--policy", "colour=red"],
        &["group", "create", "x", "--readers", "no-such-unix-group"],
        &["group", "show", "other"],
        &["policy", "set", "rotation_period"],
        &["policy", "set", "rotation_period=90"],
        &["policy", "set", "suite=rot13"],
        &["policy", "set", "archive_before_use=true"],
        &["policy", "set", "min_replicas=2"],
        &["policy", "set", "owners=uid:4000000000"],
        &["policy", "set", "creators=uid:4000000000", "--dry-run"],
        &["protect", "missing"],
        &["protect", "."],
        &["protect", "in", "-c", "a=1", "-c", "a=2"],
        &["protect", "in", "-o", "taken"],
        &["protect", "in", "-o", "missing/out"],
        &["unprotect", "in"],
        &["unprotect", "blob", "-c", "a=b"],
        &["unprotect", "blob", "--allow-compromised", ""],
        &["inspect", "in"],
        &["inspect", "missing"],
        &["reprotect"],
        &["reprotect", "missing"],
        &["reprotect", "--json-lines", "in", "--field", "password"],
        &["key", "show", "zz"],
        &["key", "show", "ffffff"],
        &["key", "show", &other],
        &["key", "suspend", &other, "--reason", "x"],
        &["key", "resume", &key, "--reason", "x"],
        &["key", "compromise", &key[..8], "--reason", "x"],
        &["key", "destroy", &key[..8], "--reason", "x"],
        &["key", "destroy", &key, "--reason", "x"],
        &["key", "destroy", &key, "--reason", "x", "--force"],
        &["key", "destroy", &key, "--reason", "x", "--force", "--confirm", &key[..8]],
        &["key", "destroy", &key, "--reason", "x", "--force", "--confirm", &key],
        &["key", "usage"],
        &["key", "usage", "missing"],
        &["archive", "export", "-o", "out.age"],
        &["archive", "export", "--recipient", "age1wrong", "-o", "out.age"],
        &["archive", "inspect", "not-age", "--identity", "missing"],
        &["archive", "inspect", "not-age", "--identity", "in"],
        &["archive", "restore", "not-age", "--identity", "in"],
        &["completions", "tcsh"],
        &["man", "--folder", "in/man"],
        &["quickstart", "--file", "missing"],
        &["quickstart", "--folder", "."],
        &["frobnicate"],
    ]
    .iter()
    .map(|arguments| world.dkm(*arguments))
    .collect();
    for run in &runs {
        run.failed();
    }
    insta::assert_snapshot!("bad_input", world.session(&runs));
}

#[test]
fn a_group_must_be_named() {
    let world = World::with_group();
    let unnamed = world
        .dkm_with(["key", "list"], b"", |command| {
            command.env_remove("DKM_GROUP");
        })
        .exits(2);
    assert!(unnamed.stderr.contains("there are: mail"), "{}", unnamed.stderr);
}

#[test]
fn a_command_line_that_is_not_understood_is_json_too_where_asked_for() {
    let error = World::empty().dkm(["--json", "key", "frobnicate"]).exits(2).json_error();
    assert_eq!(error["kind"], "usage");
    assert_eq!(error["exit_code"], 2);
    assert!(error["message"].as_str().unwrap().contains("frobnicate"));
}

#[test]
fn what_must_be_recorded_is_not_done_unrecorded() {
    let world = World::with_group();
    let key = world.protecting_key();
    world.write("file", "x");
    let run = world.dkm_with(["key", "suspend", &key, "--reason", "x"], b"", |command| {
        command.env("DKM_AUDIT_LOG", world.at("file/audit.jsonl"));
    });
    assert!(run.exits(6).stderr.contains("audit journal"));
    assert_eq!(world.protecting_key(), key);
    // What needs no record works without a journal.
    world
        .dkm_with(["protect", "file"], b"", |command| {
            command.env("DKM_AUDIT_LOG", world.at("file/audit.jsonl"));
        })
        .succeeded();
}
