use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

use super::*;

fn options() -> Options {
    Options { context: context(), ..Options::default() }
}

fn run(ring: &Ring, folder: &Path, options: &Options) -> Summary {
    files_with(ring, &[folder.to_path_buf()], options, &mut |_| {})
}

/// Item names without their folder, sorted, with what is said of them.
fn told(remarks: &[Remark], folder: &Path) -> Vec<String> {
    let mut told: Vec<_> = remarks
        .iter()
        .map(|r| format!("{}: {}", Path::new(&r.item).strip_prefix(folder).unwrap().display(), r.why))
        .collect();
    told.sort();
    told
}

fn failures(summary: &Summary, folder: &Path) -> Vec<String> {
    let mut failures: Vec<_> = summary
        .failed
        .iter()
        .map(|f| format!("{}: {}", Path::new(&f.item).strip_prefix(folder).unwrap().display(), f.error))
        .collect();
    failures.sort();
    failures
}

#[test]
fn outdated_blobs_are_renewed_and_all_else_is_left() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("deep/er")).unwrap();
    let names = ["a", "b", "deep/c", "deep/er/d"];
    for name in names {
        fs::write(at(name), ring.old_blob(name.as_bytes())).unwrap();
    }
    let current = ring.blob(&ring.new, &context(), b"current");
    fs::write(at("current"), &current).unwrap();
    fs::write(at("text"), "text").unwrap();
    fs::write(at("empty"), "").unwrap();
    let mut theirs = ring.old_blob(b"theirs");
    theirs[8..24].fill(9);
    fs::write(at("theirs"), &theirs).unwrap();
    symlink("a", at("link")).unwrap();

    let mut last = Progress::default();
    let summary = files_with(&ring, &[dir.path().to_path_buf()], &options(), &mut |now| last = *now);
    assert_eq!((summary.renewed, summary.current, summary.failed_total), (4, 1, 0));
    assert_eq!((last.items, last.items_total), (9, Some(9)));
    assert_eq!(Some(last.bytes), last.bytes_total);
    assert!(summary.is_complete());
    assert_eq!(
        told(&summary.skipped, dir.path()),
        [
            "empty: it is not a blob",
            "link: it is a symbolic link, which is not followed",
            "text: it is not a blob",
            "theirs: it belongs to group 09090909-0909-0909-0909-090909090909",
        ]
    );
    for name in names {
        assert_eq!(ring.renewed(&at(name)), name.as_bytes());
    }
    assert_eq!(fs::read(at("current")).unwrap(), current);
    assert_eq!(fs::read(at("theirs")).unwrap(), theirs);

    let again = run(&ring, dir.path(), &options());
    assert_eq!((again.renewed, again.current), (0, 5));
}

#[test]
fn bad_items_stay_and_do_not_stop_the_work() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let big = vec![5; 3 << 20];
    let other = Context::new();
    let mut cut = ring.old_blob(&big);
    cut.truncate(cut.len() - 1);
    let mut chunk = ring.old_blob(&big);
    chunk[2_000_000] ^= 1;
    let mut newer = ring.old_blob(b"x");
    newer[4] = 2;
    let bad = [
        ("compromised", ring.blob(&ring.compromised, &context(), b"forged?")),
        ("compromised-big", ring.blob(&ring.compromised, &context(), &big)),
        ("context", ring.blob(&ring.old, &other, b"x")),
        ("context-big", ring.blob(&ring.old, &other, &big)),
        ("cut", ring.old_blob(b"xyz")[..120].to_vec()),
        ("cut-big", cut),
        ("damaged-big", chunk),
        ("newer", newer),
    ];
    for (name, bytes) in &bad {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    for name in ["0-good", "z-good"] {
        fs::write(dir.path().join(name), ring.old_blob(name.as_bytes())).unwrap();
    }
    let summary = run(&ring, dir.path(), &options());
    assert_eq!((summary.renewed, summary.failed_total, summary.stopped), (2, 8, false));
    assert!(!summary.is_complete());
    let compromised = UnprotectRefusal::Compromised { key: ring.compromised.id() };
    assert_eq!(
        failures(&summary, dir.path()),
        [
            format!("compromised-big: {compromised}"),
            format!("compromised: {compromised}"),
            "context-big: the context is not the one given at protect, or the blob's header is damaged"
                .into(),
            "context: the context is not the one given at protect, or the blob's header is damaged".into(),
            "cut-big: chunk 47 is damaged, missing or not in its place".into(),
            "cut: the blob is cut off, or has a length that no blob has".into(),
            "damaged-big: chunk 30 is damaged, missing or not in its place".into(),
            "newer: blob version 2 is not known to this program".into(),
        ]
    );
    for (name, bytes) in &bad {
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), *bytes, "{name}");
    }
    assert_eq!(names(dir.path()).len(), bad.len() + 2, "nothing is left behind");
}

#[test]
fn large_blobs_are_streamed_to_the_same_plaintext() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big");
    for extra in [0, 1, 65_535] {
        let plaintext: Vec<u8> = (0..(2u32 << 20) + extra).map(|i| i.to_le_bytes()[1]).collect();
        fs::write(&path, ring.old_blob(&plaintext)).unwrap();
        let mut told = Vec::new();
        let summary =
            files_with(&ring, std::slice::from_ref(&path), &options(), &mut |now| told.push(now.bytes));
        assert_eq!((summary.renewed, summary.failed_total), (1, 0));
        assert!(ring.renewed(&path) == plaintext);
        assert!(told.len() > 10 && told.is_sorted(), "progress within the file");
    }
}

#[test]
fn owner_mode_and_attributes_are_kept() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blob");
    fs::write(&path, ring.old_blob(b"x")).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&path, Some(4711), Some(4712)).unwrap();
    }
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let name = "user.dkm-test";
    let labelled = rustix::fs::setxattr(&path, name, b"label", rustix::fs::XattrFlags::empty()).is_ok();
    let before = fs::metadata(&path).unwrap();

    let summary = run(&ring, dir.path(), &options());
    assert_eq!((summary.renewed, summary.warnings_total), (1, 0));
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
    assert_ne!(after.ino(), before.ino());
    if labelled {
        let mut value = [0u8; 16];
        let len = rustix::fs::getxattr(&path, name, value.as_mut_slice()).unwrap();
        assert_eq!(&value[..len], b"label");
    }
}

#[test]
fn hard_links_are_warned_of() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    fs::write(dir.path().join("blob"), ring.old_blob(b"x")).unwrap();
    fs::hard_link(dir.path().join("blob"), outside.path().join("other")).unwrap();
    let summary = run(&ring, dir.path(), &options());
    assert_eq!(summary.renewed, 1);
    assert_eq!(
        told(&summary.warnings, dir.path()),
        ["blob: 1 more names (hard links) of this file keep the old content"]
    );
    assert_eq!(ring.opened(&ring.old, &fs::read(outside.path().join("other")).unwrap()), b"x");
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let old = ring.old_blob(b"x");
    fs::write(dir.path().join("a"), &old).unwrap();
    fs::write(dir.path().join("b"), ring.blob(&ring.new, &context(), b"y")).unwrap();
    let leftover = dir.path().join(".dkm-new-0123456789abcdef");
    fs::write(&leftover, &old).unwrap();
    let summary = run(&ring, dir.path(), &Options { dry_run: true, ..options() });
    assert_eq!((summary.renewed, summary.current, summary.skipped_total), (1, 1, 0));
    assert!(summary.dry_run && !summary.is_complete());
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), old);
    assert!(leftover.exists());
}

#[test]
fn a_file_that_changes_meanwhile_is_left_alone() {
    for len in [10, 2 << 20] {
        let mut ring = Ring::new();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        fs::write(&path, ring.old_blob(&vec![1; len])).unwrap();
        let newer = Arc::new(ring.old_blob(b"what somebody else wrote"));
        let (at, content) = (path.clone(), newer.clone());
        ring.hook = Some(Box::new(move |_| {
            let beside = at.with_extension("tmp");
            fs::write(&beside, content.as_slice()).unwrap();
            fs::rename(&beside, &at).unwrap();
        }));
        let summary = run(&ring, dir.path(), &options());
        assert_eq!((summary.renewed, summary.failed_total), (0, 1));
        assert!(summary.failed[0].error.to_string().contains("changed while it was read"));
        assert_eq!(fs::read(&path).unwrap(), *newer);
        assert_eq!(names(dir.path()), ["blob"]);
    }
}

#[test]
fn a_file_that_vanishes_meanwhile_does_not_come_back() {
    let mut ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blob");
    fs::write(&path, ring.old_blob(b"x")).unwrap();
    ring.hook = Some(Box::new(move |_| fs::remove_file(&path).unwrap()));
    let summary = run(&ring, dir.path(), &options());
    assert_eq!((summary.renewed, summary.failed_total), (0, 1));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn leftovers_of_killed_runs_are_removed_and_those_in_use_are_not() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let idle = dir.path().join(".dkm-new-0123456789abcdef");
    let used = dir.path().join(".dkm-new-fedcba9876543210");
    let other = dir.path().join(".dkm-new-of-somebody-else");
    for path in [&idle, &used, &other] {
        fs::write(path, "part of a blob").unwrap();
    }
    let user = File::open(&used).unwrap();
    user.lock().unwrap();
    let summary = run(&ring, dir.path(), &options());
    assert_eq!((summary.skipped_total, summary.failed_total), (1, 0), "the other one is no file of ours");
    assert!(!idle.exists() && used.exists() && other.exists());
}

#[test]
fn a_failure_that_would_meet_all_stops_the_work() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    for i in 0..1000 {
        fs::write(dir.path().join(i.to_string()), ring.old_blob(b"x")).unwrap();
    }
    *ring.fault.lock().unwrap() = Some(|| UnprotectRefusal::Denied.into());
    let summary = run(&ring, dir.path(), &Options { threads: Some(1), ..options() });
    assert!(summary.stopped && !summary.is_complete());
    assert_eq!(summary.renewed, 0);
    *ring.fault.lock().unwrap() = None;
    let summary = run(&ring, dir.path(), &options());
    assert_eq!(summary.renewed, 1000);
}

#[test]
fn many_threads_renew_each_file_once() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    for i in 0..300u32 {
        fs::write(dir.path().join(i.to_string()), ring.old_blob(&i.to_be_bytes())).unwrap();
    }
    let folder = [dir.path().to_path_buf()];
    let run = || files_with(&ring, &folder, &Options { threads: Some(8), ..options() }, &mut |_| {});
    let summary = run();
    assert_eq!((summary.renewed, summary.current, summary.failed_total), (300, 0, 0));
    let summary = run();
    assert_eq!((summary.renewed, summary.current, summary.failed_total), (0, 300, 0));
    for i in 0..300u32 {
        assert_eq!(ring.renewed(&dir.path().join(i.to_string())), i.to_be_bytes());
    }
}
