//! Re-protecting with a real group: rolled, compromised and lost keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "client/world.rs"]
mod world;

use std::path::Path;

use dkm::blocking::Group;
use dkm::core::blob::Header;
use dkm::core::member::UnprotectRefusal;
use dkm::journal::EventKind;
use dkm::reprotect::{self, Options, Summary};
use dkm::usage::{self, Source};
use dkm::{Error, KeyId};

use world::{World, context, protecting};

fn renew(group: &Group, folder: &Path) -> Summary {
    let options = Options { context: context(), ..Options::default() };
    reprotect::files(group, &[folder.to_path_buf()], &options, &mut |_| {}).unwrap()
}

fn key_of(path: &Path) -> KeyId {
    Header::parse(&std::fs::read(path).unwrap()).unwrap().key()
}

#[test]
fn blobs_of_a_rolled_key_move_to_the_new_one_and_usage_shows_it() {
    let world = World::new(2);
    let group = world.group();
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (dir.path().join("small"), dir.path().join("large"));
    let plaintext = vec![7; (5 << 20) + 3];
    std::fs::write(&small, group.protect(&context(), b"small").unwrap()).unwrap();
    std::fs::write(&large, group.protect(&context(), &plaintext).unwrap()).unwrap();
    let old = protecting(&group);
    world.work(&group, 100);
    let new = protecting(&group);
    assert_ne!(old, new);

    let used = || {
        let view = group.view().unwrap();
        let sources = [Source::Files(dir.path().to_path_buf())];
        let usage = usage::scan(&sources, group.id(), &view.ring, view.now, &mut |_| {}).unwrap();
        usage.keys.iter().map(|key| (key.key, key.blobs)).collect::<Vec<_>>()
    };
    assert_eq!(used(), [(old, 2)]);
    let summary = renew(&group, dir.path());
    assert_eq!((summary.renewed, summary.failed_total), (2, 0));
    assert_eq!(used(), [(new, 2)]);
    let fresh = world.fresh("uid:1");
    assert_eq!(&*fresh.unprotect(&context(), &std::fs::read(&small).unwrap()).unwrap(), b"small");
    assert!(*fresh.unprotect(&context(), &std::fs::read(&large).unwrap()).unwrap() == *plaintext);
}

#[test]
fn blobs_of_a_compromised_key_need_an_override_which_is_recorded() {
    let world = World::new(1);
    let group = world.group();
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (dir.path().join("small"), dir.path().join("large"));
    std::fs::write(&small, group.protect(&context(), b"small").unwrap()).unwrap();
    std::fs::write(&large, group.protect(&context(), &vec![7; 3 << 20]).unwrap()).unwrap();
    let old = protecting(&group);
    group.compromise(old, "seen elsewhere").unwrap();

    let summary = renew(&group, dir.path());
    assert_eq!((summary.renewed, summary.failed_total, summary.stopped), (0, 2, false));
    for failure in &summary.failed {
        assert!(matches!(failure.error, Error::Unprotect(UnprotectRefusal::Compromised { .. })));
    }
    assert_eq!((key_of(&small), key_of(&large)), (old, old));
    assert_eq!(world.ledger.count(EventKind::OverrideUsed), 0);

    let summary = renew(&group.overriding("checked by hand").unwrap(), dir.path());
    assert_eq!((summary.renewed, summary.failed_total), (2, 0));
    assert_eq!(world.ledger.count(EventKind::OverrideUsed), 2);
    let new = protecting(&group);
    assert_eq!((key_of(&small), key_of(&large)), (new, new));
}

#[test]
fn a_member_that_is_denied_stops_at_once() {
    let world = World::new(1);
    let group = world.group();
    let dir = tempfile::tempdir().unwrap();
    for n in 0..100 {
        std::fs::write(dir.path().join(n.to_string()), group.protect(&context(), b"x").unwrap()).unwrap();
    }
    world.work(&group, 100);
    world.repository.faults(0, |faults| faults.denied = true);
    assert!(group.refresh().is_err());
    let summary = renew(&group, dir.path());
    assert!(summary.stopped && !summary.is_complete());
    assert!(summary.failed_total < 100 && summary.renewed == 0);
}

#[test]
fn windows_blobs_become_the_groups_own_in_whatever_form_they_lie() {
    let world = World::new(1);
    let group = world.group();
    let key = dkm::windows::WindowsKey::new(dkm::KeyGuid([5; 16]), &[6; 32]).unwrap();
    let other = dkm::windows::WindowsKey::new(dkm::KeyGuid([8; 16]), &[9; 32]).unwrap();
    group.import_windows(vec![key.clone()], "test").unwrap();
    let seal = |key, plaintext: &[u8]| dkm::core::windows::seal(key, &[1; 32], &[2; 16], plaintext).unwrap();
    let large = vec![7; (3 << 20) + 5];
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("binary", &seal(&key, b"binary"));
    write("large", &seal(&key, &large));
    write("text", base64(&seal(&key, b"text")).as_bytes());
    write("large-text", base64(&seal(&key, &large)).as_bytes());
    write("own", &group.protect(&context(), b"own").unwrap());
    write("other", b"no blob at all");
    write("unknown", &seal(&other, b"unknown"));
    write(
        "accounts.jsonl",
        format!("{{\"id\":1,\"pfx\":\"{}\"}}\n", base64(&seal(&key, b"field"))).as_bytes(),
    );

    let options = |dry_run| Options { context: context(), windows: true, dry_run, ..Options::default() };
    let run = |dry_run| {
        reprotect::files(&group, &[dir.path().to_path_buf()], &options(dry_run), &mut |_| {}).unwrap()
    };
    let dry = run(true);
    assert_eq!((dry.renewed, dry.current, dry.skipped_total), (5, 1, 2), "{dry:?}");
    let summary = run(false);
    assert_eq!((summary.renewed, summary.current, summary.skipped_total, summary.failed_total), (4, 1, 2, 1));
    assert!(
        matches!(summary.failed[0].error, Error::NoWindowsKey { guid } if guid == other.guid),
        "{summary:?}"
    );
    let opened = |name: &str| {
        let blob = std::fs::read(dir.path().join(name)).unwrap();
        group.unprotect(&context(), &blob).unwrap()
    };
    assert_eq!(&*opened("binary"), b"binary");
    assert_eq!(&*opened("text"), b"text");
    assert!(*opened("large") == *large && *opened("large-text") == *large);
    let again = run(false);
    assert_eq!((again.renewed, again.current, again.failed_total), (0, 5, 1));

    let fields = reprotect::JsonOptions {
        fields: vec!["/pfx".parse().unwrap()],
        context: reprotect::ContextTemplate::new(context()),
        windows: true,
        ..reprotect::JsonOptions::default()
    };
    let store = dir.path().join("accounts.jsonl");
    for renewed in [1, 0] {
        let summary = reprotect::json_lines(&group, &store, &fields, &mut |_| {}).unwrap();
        assert_eq!((summary.renewed, summary.current), (renewed, 1 - renewed));
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
