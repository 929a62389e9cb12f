//! Plaintext is released only after it is authenticated, and files appear whole or not at all.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::support::World;

/// Of several chunks of 64 KiB, none like another.
fn large(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i.wrapping_mul(i / 251 + 7) % 256).unwrap()).collect()
}

fn names(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.at("")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn streams_of_any_length_come_back() {
    let world = World::with_group();
    for len in [0, 1, 65_535, 65_536, 65_537, 3 << 20] {
        let plaintext = large(len);
        let blob = world.dkm_stdin(["protect", "-c", "a=b"], &plaintext).succeeded();
        assert_eq!(blob.stderr, "");
        for whole in [&["unprotect", "-c", "a=b"][..], &["unprotect", "-c", "a=b", "--whole", "-"]] {
            let opened = world.dkm_stdin(whole, &blob.stdout).succeeded();
            assert!(opened.stdout == plaintext, "{len} bytes");
        }
    }
}

#[test]
fn a_stream_that_is_cut_off_fails_and_says_what_to_discard() {
    let world = World::with_group();
    let plaintext = large(3 << 20);
    let mut blob = world.dkm_stdin(["protect"], &plaintext).succeeded().stdout;
    blob.truncate(blob.len() - 100);
    let cut = world.dkm_stdin(["unprotect"], &blob).exits(5);
    assert!(plaintext.starts_with(&cut.stdout) && cut.stdout.len() < plaintext.len());
    assert!(cut.stdout.is_empty() || cut.stderr.contains("discard the"), "{}", cut.stderr);
    assert!(cut.stderr.starts_with("error: ") && cut.stderr.contains("\n  help: "), "{}", cut.stderr);
}

#[test]
fn whole_releases_nothing_of_a_damaged_blob() {
    let world = World::with_group();
    // The longer one does not stay in memory.
    for len in [200_000, 17 << 20] {
        let mut blob = world.dkm_stdin(["protect"], &large(len)).succeeded().stdout;
        let last = blob.len() - 1;
        blob[last] ^= 1;
        let damaged = world.dkm_stdin(["unprotect", "--whole"], &blob).exits(5);
        assert_eq!(damaged.stdout.len(), 0, "{len} bytes");
        blob[last] ^= 1;
        let good = world.dkm_stdin(["unprotect", "--whole"], &blob).succeeded();
        assert!(good.stdout == large(len), "{len} bytes");
    }
}

#[test]
fn a_file_appears_whole_or_not_at_all_and_is_private() {
    let world = World::with_group();
    world.write("in", large(200_000));
    world.dkm(["protect", "in", "-o", "blob"]).succeeded();
    let before = names(&world);
    let blob = std::fs::read(world.at("blob")).unwrap();
    world.write("damaged", &blob[..blob.len() - 1]);
    world.dkm(["unprotect", "damaged", "-o", "out"]).exits(5);
    std::fs::remove_file(world.at("damaged")).unwrap();
    assert_eq!(names(&world), before);
    world.dkm(["unprotect", "blob", "-o", "out"]).succeeded();
    let mode = std::fs::metadata(world.at("out")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let world = World::with_group();
    world.write("in", "new");
    world.write("out", "old");
    let kept = world.dkm(["protect", "in", "-o", "out"]).exits(2);
    assert!(kept.stderr.contains("--force"), "{}", kept.stderr);
    assert_eq!(std::fs::read(world.at("out")).unwrap(), b"old");
    world.dkm(["protect", "in", "-o", "out", "--force"]).succeeded();
    assert_eq!(world.dkm(["unprotect", "out"]).succeeded().text(), "new");
    // A file may take its own blob's place.
    world.dkm(["protect", "in", "-o", "in", "--force"]).succeeded();
    assert_eq!(world.dkm(["unprotect", "in"]).succeeded().text(), "new");
}

#[test]
fn a_killed_run_leaves_no_file() {
    let world = World::with_group();
    let before = names(&world);
    let mut child = world.command().args(["protect", "-o", "out"]).stdin(Stdio::piped()).spawn().unwrap();
    // More than a pipe holds: when it is written, the command has opened its output and reads.
    child.stdin.as_mut().unwrap().write_all(&large(4 << 20)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let visible: Vec<String> = names(&world).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, before);
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_complain() {
    let world = World::with_group();
    let blob = world.dkm_stdin(["protect"], &large(3 << 20)).succeeded().stdout;
    world.write("blob", blob);
    let mut child = world
        .command()
        .args(["unprotect", "blob"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    // Not everything was delivered, and nothing needs to be said about it.
    assert_eq!((output.status.code(), output.stderr), (Some(6), Vec::new()));

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = world.command().args(["key", "list"]).stdout(writer).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
