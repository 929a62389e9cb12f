//! Secrets stay where they belong, and output is plain where nobody looks at it.

use std::path::Path;

use crate::support::World;

const SECRET: &str = "correct horse battery staple 4711";

pub(crate) fn holds(path: &Path, needle: &[u8]) -> bool {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().any(|entry| holds(&entry.unwrap().path(), needle));
    }
    std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}

#[test]
fn plaintext_is_in_no_log_journal_or_record() {
    let world = World::with_group();
    let logged = |command: &mut std::process::Command| {
        command.env("DKM_LOG", "trace");
    };
    let blob = world.dkm_with(["protect", "-c", "a=b"], SECRET.as_bytes(), logged).succeeded();
    world.write("blob", &blob.stdout);
    let opened = world.dkm_with(["unprotect", "-c", "a=b", "blob", "-o", "out"], b"", logged).succeeded();
    let wrong = world.dkm_with(["unprotect", "-c", "a=c", "blob"], b"", logged).exits(5);
    std::fs::remove_file(world.at("out")).unwrap();
    for run in [&blob, &opened, &wrong] {
        assert!(!run.stderr.contains(SECRET));
    }
    assert!(!holds(world.path(), SECRET.as_bytes()));
}

#[test]
fn nothing_secret_can_be_given_as_an_argument() {
    let world = World::empty();
    for words in [&["protect"][..], &["unprotect"], &["archive", "export"], &["archive", "restore"]] {
        let help = world.dkm(words.iter().chain(&["--help"])).succeeded().text();
        for option in ["--plaintext", "--secret", "--password", "--passphrase", "--text", "--data"] {
            assert!(!help.contains(option), "{words:?} has {option}");
        }
    }
    let given = world.dkm(["protect", "--text", SECRET]);
    given.exits(2);
}

#[test]
fn there_are_no_colours_where_there_is_no_terminal() {
    let world = World::with_group();
    for arguments in [
        &["key", "list"][..],
        &["key", "list", "--timeline"],
        &["doctor"],
        &["group", "show"],
        &["policy", "show"],
        &["--help"],
        &["protect", "missing"],
        &["frobnicate"],
        &["protect", "in", "-o", "out"],
    ] {
        let run = world.dkm(arguments);
        assert!(!run.text().contains('\x1b') && !run.stderr.contains('\x1b'), "{arguments:?}");
    }
}

/// What a command shows on a terminal; none where the program that makes one is not installed.
fn on_a_terminal(world: &World, line: &str, no_color: bool) -> Option<String> {
    if !Path::new("/usr/bin/script").exists() {
        eprintln!("SKIPPED: needs the program script");
        return None;
    }
    let mut shell = world.shell(&format!("script --quiet --return --command '{line}' /dev/null"));
    shell.env("TERM", "xterm").env("SHELL", "/bin/sh");
    if no_color {
        shell.env("NO_COLOR", "1");
    }
    Some(String::from_utf8_lossy(&shell.output().unwrap().stdout).into_owned())
}

#[test]
fn there_are_colours_on_a_terminal_unless_they_are_not_wanted() {
    let world = World::with_group();
    let program = env!("CARGO_BIN_EXE_dkm");
    let Some(coloured) = on_a_terminal(&world, &format!("{program} key list"), false) else { return };
    assert!(coloured.contains("\x1b[32mactive"), "{coloured:?}");
    let plain = on_a_terminal(&world, &format!("{program} key list"), true).unwrap();
    assert!(plain.contains("active") && !plain.contains("\x1b["), "{plain:?}");
}

#[test]
fn a_blob_goes_to_a_terminal_only_when_told_so() {
    let world = World::with_group();
    world.write("in", "x");
    let program = env!("CARGO_BIN_EXE_dkm");
    let Some(refused) = on_a_terminal(&world, &format!("{program} protect in"), true) else { return };
    assert!(refused.contains("not written to a terminal"), "{refused:?}");
    let told = on_a_terminal(&world, &format!("{program} protect in -o -"), true).unwrap();
    assert!(told.contains("KM"), "{told:?}");
}

#[test]
fn quiet_leaves_errors_only() {
    let world = World::with_group();
    world.write("in", "x");
    assert_eq!(world.dkm(["protect", "in", "-o", "out", "--quiet"]).succeeded().stderr, "");
    assert!(world.dkm(["protect", "in", "-o", "out", "--quiet"]).exits(2).stderr.starts_with("error"));
}
