//! Debian's `age` opens our archives, and what it gives is an archive.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use dkm::archive::{self, Identities};
use dkm::core::archive::Archive;

use crate::world::World;

/// Whether a program is there. `cargo xtask test` installs both.
fn is_there(program: &str) -> bool {
    let there =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        eprintln!("SKIPPED: {program} is not installed, so its reading of our archives is not tested");
    }
    there
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A key pair of each kind: the identity file and the recipient.
fn key_pairs(dir: &Path) -> Vec<(std::path::PathBuf, String)> {
    let native = dir.join("native");
    run(Command::new("age-keygen").arg("-o").arg(&native));
    let recipient = String::from_utf8(run(Command::new("age-keygen").arg("-y").arg(&native))).unwrap();
    let mut pairs = vec![(native, recipient.trim().to_owned())];
    for kind in ["ed25519", "rsa"] {
        let path = dir.join(kind);
        run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(&path));
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        pairs.push((path, public.trim().to_owned()));
    }
    pairs
}

#[test]
fn age_opens_what_we_seal_and_we_open_what_age_seals() {
    if !is_there("age") || !is_there("ssh-keygen") {
        return;
    }
    let world = World::new(1);
    let group = world.group();
    world.work(&group, 100);
    let dir = tempfile::tempdir().unwrap();
    let pairs = key_pairs(dir.path());
    let recipients: Vec<String> = pairs.iter().map(|(_, recipient)| recipient.clone()).collect();
    let path = dir.path().join("archive.age");
    let mut file = std::fs::File::create(&path).unwrap();
    let summary = archive::export(&group, &recipients, &mut file).unwrap();
    let kinds = archive::inspect(std::fs::File::open(&path).unwrap()).unwrap().recipients;
    assert_eq!(kinds, ["X25519", "ssh-ed25519", "ssh-rsa"]);

    for (identity, recipient) in &pairs {
        let plain = run(Command::new("age").arg("-d").arg("-i").arg(identity).arg(&path));
        let archive = Archive::decode(&plain).unwrap();
        assert_eq!((archive.group, archive.entries.len()), (group.id(), summary.records));

        let mut sealing = Command::new("age")
            .args(["-r", recipient])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        sealing.stdin.take().unwrap().write_all(&plain).unwrap();
        let sealed = sealing.wait_with_output().unwrap().stdout;
        let identities = Identities::from_file(identity).unwrap();
        assert_eq!(archive::open(sealed.as_slice(), &identities).unwrap(), archive);
    }
}

#[test]
fn an_ssh_key_with_a_passphrase_is_refused_with_a_way_out() {
    if !is_there("ssh-keygen") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "a passphrase", "-f"]).arg(&path));
    let error = Identities::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("ssh-keygen -p"), "{error}");
}
