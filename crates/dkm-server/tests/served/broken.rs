//! Files that go while the server serves: the store or the log moved away, deleted, put back as another, tampered with; and a
//! disk that takes no more of them. It refuses, says so, and goes on by itself where what comes back is what was there.

use std::fs;
use std::path::Path;

use crate::daemon::Daemon;
use crate::full::{Asked, Disk};

fn moved(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

#[test]
fn a_data_folder_that_is_moved_away_and_back() {
    let daemon = Daemon::start();
    let asked = Asked::new(&daemon);
    let (data, away) = (daemon.data(), daemon.path("away"));
    for _ in 0..2 {
        moved(&data, &away);
        asked.is_refused(&daemon, "database");
        moved(&away, &data);
        asked.is_done(&daemon);
    }
}

#[test]
fn a_database_that_is_moved_away_or_replaced_by_a_copy_is_not_used() {
    let mut daemon = Daemon::start();
    let asked = Asked::new(&daemon);
    let (file, away) = (daemon.data().join("dkmd.db"), daemon.path("away"));
    moved(&file, &away);
    asked.is_refused(&daemon, "database");
    // What stands in its place now is an older one, for all that is known.
    fs::copy(&away, &file).unwrap();
    asked.is_refused(&daemon, "database");
    moved(&away, &file);
    asked.is_done(&daemon);
    daemon.kill();
    let (good, said) = daemon.check();
    assert!(good, "{said}");
}

#[test]
fn a_disk_that_takes_no_more_files() {
    let mut disk = None;
    let options = "size=64m,nr_inodes=400";
    let mut daemon = Daemon::start_on("", |folder| disk = Disk::mount(&folder.join("data"), options));
    let Some(disk) = disk else { return };
    let asked = Asked::new(&daemon);
    for _ in 0..2 {
        asked.is_done(&daemon);
        let files = disk.fill_with_files();
        asked.is_refused(&daemon, "audit");
        fs::remove_dir_all(files).unwrap();
    }
    asked.is_done(&daemon);
    daemon.kill();
    let (good, said) = daemon.check();
    assert!(good, "{said}");
}

#[test]
fn a_log_that_is_tampered_with_or_deleted_while_it_runs() {
    let mut daemon = Daemon::start();
    let asked = Asked::new(&daemon);
    let log = daemon.data().join("audit");
    let older = fs::read(log.join("checkpoint")).unwrap();
    asked.is_done(&daemon);
    for bad in [older.as_slice(), b"", b"garbage\n"] {
        let last = fs::read(log.join("checkpoint")).unwrap();
        assert_ne!(last, older);
        fs::write(log.join("checkpoint"), bad).unwrap();
        asked.is_refused(&daemon, "audit");
        fs::write(log.join("checkpoint"), &last).unwrap();
        asked.is_done(&daemon);
    }
    // An entry that was announced is made to say something else.
    let bundles = log.join("tile/entries/000.p");
    let newest = fs::read_dir(&bundles).unwrap().map(|item| item.unwrap().path());
    let number =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap();
    let newest = newest.max_by_key(number).unwrap();
    let bytes = fs::read(&newest).unwrap();
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&newest, &other).unwrap();
    asked.is_refused(&daemon, "audit");
    fs::write(&newest, &bytes).unwrap();
    asked.is_done(&daemon);
    // All of it is gone. A copy that is put back is not the log that it holds open: that takes a start, which looks at all of it.
    let copy = daemon.path("copy");
    let mut cp = std::process::Command::new("cp");
    assert!(cp.arg("-a").arg(&log).arg(&copy).status().unwrap().success());
    fs::remove_dir_all(&log).unwrap();
    asked.is_refused(&daemon, "audit");
    moved(&copy, &log);
    asked.is_refused(&daemon, "audit");
    daemon.kill();
    let (good, said) = daemon.check();
    assert!(good, "{said}");
    daemon.serve();
    asked.is_done(&daemon);
}
