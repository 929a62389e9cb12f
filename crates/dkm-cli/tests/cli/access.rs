//! What an account without access is told. As root the runs change to another account; otherwise the account that runs
//! the tests takes its own access away.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::World;

/// An account that is in no group of ours.
const NOBODY: u32 = 65534;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The command as the other account, in a place where it can be run from.
fn as_nobody(world: &World, command: &mut Command) {
    if !is_root() {
        return;
    }
    let program = world.path().join("dkm");
    if !program.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_dkm"), &program).unwrap();
    }
    chmod(world.path(), 0o755);
    chmod(&program, 0o755);
    let mut other = Command::new(&program);
    other.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            other.env(name, value);
        }
    }
    other.args(command.get_args()).current_dir(world.at("")).uid(NOBODY).gid(NOBODY);
    other
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    *command = other;
}

#[test]
fn a_file_that_may_not_be_read_is_access_denied() {
    let world = World::with_group();
    world.write("in", "x");
    chmod(&world.at("in"), 0o000);
    let run = world.dkm_with(["protect", "in", "--json"], b"", |command| as_nobody(&world, command)).exits(4);
    assert_eq!(run.json_error()["kind"], "denied");
    let run = world.dkm_with(["inspect", "in"], b"", |command| as_nobody(&world, command)).exits(4);
    assert!(run.stderr.contains("help: check the permissions"), "{}", run.stderr);
}

#[test]
fn who_may_make_nothing_is_not_sent_to_the_owner_of_a_group() {
    let world = World::with_group();
    if is_root() {
        chmod(&world.repository().join("groups"), 0o755);
    } else {
        chmod(&world.repository().join("groups"), 0o555);
    }
    let below = world.repository().join("groups/inside");
    let inside = format!("dir:{}", below.display());
    for (arguments, help) in [
        (&["init", "--repository", &inside][..], "help: name a place that you may write to"),
        (&["group", "create", "other"], "help: ask who keeps the repository"),
    ] {
        let run = world.dkm_with(arguments, b"", |command| as_nobody(&world, command)).exits(4);
        assert!(run.stderr.contains(help), "{}", run.stderr);
    }
    chmod(&world.repository().join("groups"), 0o755);
}

#[test]
fn an_account_without_privileges_has_all_of_it_too() {
    // A hardened process of an ordinary account sees less of itself in /proc: files must appear all the same.
    let world = World::empty();
    if is_root() {
        std::os::unix::fs::chown(world.at(""), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let run = |arguments: &[&str], stdin: &[u8]| {
        world.dkm_with(arguments, stdin, |command| as_nobody(&world, command)).succeeded()
    };
    run(&["init"], b"");
    run(&["group", "create", "mail"], b"");
    run(&["protect", "-o", "blob"], b"x");
    run(&["protect", "-o", "blob", "--force"], b"y");
    run(&["unprotect", "blob", "-o", "out"], b"");
    assert_eq!(run(&["unprotect", "blob", "--whole"], b"").text(), "y");
    let hidden = std::fs::read_dir(world.at(""))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn memory_that_is_not_locked_is_warned_of_once_and_beside_the_result() {
    let world = World::empty();
    if is_root() {
        std::os::unix::fs::chown(world.at(""), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = world.command();
        command.args(arguments);
        as_nobody(&world, &mut command);
        // Accounts without privileges may lock as much as their limit says: nothing.
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", "ulimit -l 0; exec \"$0\" \"$@\""]).arg(command.get_program()).args(arguments);
        limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.current_dir(world.at(""));
        if is_root() {
            limited.uid(NOBODY).gid(NOBODY);
        }
        let output = limited.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    run(&["init"]);
    run(&["group", "create", "mail"]);
    let (result, beside) = run(&["key", "list"]);
    assert_eq!(beside.matches("warning: keys can't be locked").count(), 1, "{beside}");
    assert!(!result.contains("warning"), "{result}");
    let (_, beside) = run(&["key", "list", "--json"]);
    let warning: serde_json::Value = serde_json::from_str(beside.trim()).unwrap();
    assert_eq!(warning["warning"]["kind"], "memory");
    assert_eq!(run(&["key", "list", "--quiet"]).1, "");
    assert!(run(&["doctor"]).0.contains("warning  memory"));
}

#[test]
fn a_group_that_root_makes_for_another_owner_is_the_owners() {
    if !is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let world = World::empty();
    let other = format!("dir:{}", world.path().join("repository").display());
    for arguments in [&["init"][..], &["group", "create", "mail", "--owner", "65534"]] {
        world.dkm(arguments.iter().copied().chain(["--repository", &other])).succeeded();
    }
    let run = |arguments: &[&str], stdin: &[u8]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--repository", &other]).collect();
        world.dkm_with(arguments, stdin, |command| as_nobody(&world, command)).succeeded()
    };
    let blob = run(&["protect"], b"x").stdout;
    assert_eq!(run(&["unprotect"], &blob).text(), "x");
    assert_eq!(run(&["doctor"], b"").stderr, "");
}

#[test]
fn a_group_that_may_not_be_read_is_not_opened() {
    if !is_root() {
        // Changing to another account is root's privilege; who runs the tests owns the group.
        eprintln!("SKIPPED: needs root");
        return;
    }
    let world = World::with_group();
    let blob = world.dkm_stdin(["protect"], b"x").succeeded().stdout;
    let run = world.dkm_with(["unprotect", "--json"], &blob, |command| as_nobody(&world, command));
    assert!(matches!(run.code, Some(3 | 4)), "{:?} {}", run.code, run.stderr);
    assert_eq!(run.stdout, b"");
}
