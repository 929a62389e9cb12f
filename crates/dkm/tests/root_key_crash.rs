//! kill -9 at every step of making and rotating root keys: a group never loses one, and never has two that wrap.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dkm::GroupId;
use dkm::repository::GroupAccess;
use dkm::root_key::{FileRootKeys, RootKeyError, RootKeyProvider};

const SCENARIO: &str = "DKM_TEST_SCENARIO";
const FOLDER: &str = "DKM_TEST_FOLDER";
const GROUP: GroupId = GroupId([7; 16]);

fn keys(folder: &Path) -> FileRootKeys {
    FileRootKeys::new(folder.to_path_buf())
}

/// Lets a child make or rotate a root key and be killed at its k-th step; whether it came to its end.
fn run(scenario: &str, folder: &Path, step: u64) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_one_root_key_that_wraps"])
        .env(SCENARIO, scenario)
        .env(FOLDER, folder)
        .env("DKM_FAULT_STEP", step.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.signal() == Some(9), "{scenario} at step {step}: {status}");
    status.success()
}

#[test]
fn a_killed_process_leaves_one_root_key_that_wraps() {
    if let Some(scenario) = std::env::var_os(SCENARIO) {
        let keys = keys(&PathBuf::from(std::env::var_os(FOLDER).unwrap()));
        if scenario == "create" {
            keys.create(GROUP, &GroupAccess::default()).unwrap();
        } else {
            keys.rotate(GROUP).unwrap();
        }
        return;
    }
    let mut points = 0;
    for step in 1u64.. {
        let dir = tempfile::tempdir().unwrap();
        let finished = run("create", dir.path(), step);
        // Whatever wraps now wraps for ever, whoever comes later to finish the creation.
        let before = keys(dir.path()).wrap(GROUP, b"", &[1; 32]);
        assert!(!finished || before.is_ok());
        let id = keys(dir.path()).create(GROUP, &GroupAccess::default()).unwrap();
        assert_eq!(keys(dir.path()).current(GROUP).unwrap(), id);
        match before {
            Ok(wrapped) => {
                assert_eq!(wrapped.root, id);
                assert_eq!(*keys(dir.path()).unwrap(GROUP, b"", &wrapped).unwrap(), [1; 32]);
            }
            Err(error) => assert!(matches!(error, RootKeyError::NotFound { .. }), "step {step}: {error}"),
        }
        if finished {
            break;
        }
        points += 1;
    }
    for step in 1u64.. {
        let dir = tempfile::tempdir().unwrap();
        let first = keys(dir.path()).create(GROUP, &GroupAccess::default()).unwrap();
        let old = keys(dir.path()).wrap(GROUP, b"", &[1; 32]).unwrap();
        let finished = run("rotate", dir.path(), step);
        let now = keys(dir.path()).current(GROUP).unwrap();
        assert!(!finished || now != first);
        let new = keys(dir.path()).wrap(GROUP, b"", &[2; 32]).unwrap();
        assert_eq!((old.root, new.root), (first, now));
        let later = keys(dir.path()).rotate(GROUP).unwrap();
        assert_eq!(keys(dir.path()).current(GROUP).unwrap(), later);
        for (wrapped, material) in [(old, [1; 32]), (new, [2; 32])] {
            assert_eq!(*keys(dir.path()).unwrap(GROUP, b"", &wrapped).unwrap(), material);
        }
        if finished {
            break;
        }
        points += 1;
    }
    assert!(points >= 12, "only {points} points at which the process was killed");
}
