//! The kernel enforces access: real processes of real users and groups, through this library and past it.
//!
//! This process is root and makes the groups. A copy of it plays each account (`setpriv`), does what its arguments
//! name, and tells what became of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod actor;
mod stage;

use std::fs;
use std::io::Write;
use std::process::Command;

use dkm_core::GroupId;

use self::actor::be_the_account;
use self::stage::Stage;

const TEST: &str = "the_kernel_separates_accounts";

/// Read by the Unix group [`MAIL`], owned by [`OWNER`].
const SHARED: GroupId = GroupId([0x11; 16]);
/// The same, but not announced.
const STAGED: GroupId = GroupId([0x12; 16]);
/// The same, but only its owner adds keys.
const CURATED: GroupId = GroupId([0x13; 16]);
/// Owned by [`OWNER`], read by nobody else.
const PRIVATE: GroupId = GroupId([0x14; 16]);
/// Read by [`MAIL`], owned by somebody who is not in it.
const MANAGED: GroupId = GroupId([0x15; 16]);
/// Read by the Unix group [`OTHER`].
const FOREIGN: GroupId = GroupId([0x16; 16]);

const MAIL: u32 = 62_001;
const OTHER: u32 = 62_002;

/// An account that acts: its user and its groups.
#[derive(Debug, Clone, Copy)]
struct Account(u32, &'static [u32]);

const OWNER: Account = Account(61_000, &[MAIL]);
const MEMBER: Account = Account(61_001, &[MAIL]);
const SECOND_MEMBER: Account = Account(61_002, &[MAIL]);
const OTHERS_MEMBER: Account = Account(61_003, &[OTHER]);
const NOBODY: Account = Account(61_004, &[]);
const MANAGER: Account = Account(61_005, &[]);
/// [`MEMBER`] after it was taken out of the group: its next process.
const REMOVED_MEMBER: Account = Account(61_001, &[]);

/// Whether accounts can be played here.
fn can_play() -> bool {
    let root = rustix::process::geteuid().is_root();
    let works = root
        && Command::new("setpriv")
            .args(["--reuid=61000", "--regid=61000", "--clear-groups", "true"])
            .status()
            .is_ok_and(|status| status.success());
    if !works {
        // Past the test harness, which swallows what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: access is tested only as root, and with setpriv (util-linux)"
        );
    }
    works
}

const LOCKED_OUT: &[(&str, &str)] = &[
    ("sees", "false"),
    ("rights", "denied"),
    ("describe", "denied"),
    ("list keys", "denied"),
    ("list control", "denied"),
    ("get 0", "denied"),
    ("get control", "denied"),
    ("put 7", "denied"),
    ("put control planted", "denied"),
    ("shred 0", "denied"),
    ("raw enter", "denied"),
    ("raw enter keys", "denied"),
    ("raw enter control", "denied"),
    ("raw read 0", "denied"),
    ("raw overwrite 0", "denied"),
    ("raw remove 0", "denied"),
    ("raw rename-over 0", "denied"),
    ("raw control", "denied"),
    ("raw swap-group", "denied"),
];

#[test]
fn the_kernel_separates_accounts() {
    if be_the_account() || !can_play() {
        return;
    }
    let stage = Stage::new();
    stage.make(SHARED, Some(MAIL), "members", OWNER, true);
    stage.make(STAGED, Some(MAIL), "members", OWNER, false);
    stage.make(CURATED, Some(MAIL), "owner", OWNER, true);
    stage.make(PRIVATE, None, "members", OWNER, true);
    stage.make(MANAGED, Some(MAIL), "members", MANAGER, true);
    stage.make(FOREIGN, Some(OTHER), "members", OWNER, true);

    members_read_and_add(&stage);
    others_are_locked_out(&stage);
    creators_cannot_touch_each_others_keys(&stage);
    only_owners_add_to_control(&stage);
    unannounced_groups_are_invisible(&stage);
    owners_need_not_read(&stage);
    users_make_groups_of_their_own(&stage);
    a_malicious_creator_locks_nobody_out(&stage);
}

fn members_read_and_add(stage: &Stage) {
    stage.play(
        "a member",
        MEMBER,
        SHARED,
        &[
            ("sees", "true"),
            ("rights", "rc-"),
            ("describe", "told"),
            ("list keys", "1 listed"),
            ("list control", "1 listed"),
            ("get 0", "read"),
            ("get control", "read"),
            ("put 1", "Created"),
            ("get 1", "read"),
            ("raw read 0", "done"),
        ],
    );
    stage.play("another member", SECOND_MEMBER, SHARED, &[("get 1", "read"), ("put 2", "Created")]);
}

fn others_are_locked_out(stage: &Stage) {
    stage.play("no member", NOBODY, SHARED, LOCKED_OUT);
    stage.play("another group's member", OTHERS_MEMBER, SHARED, LOCKED_OUT);
    stage.play("another group's member, at home", OTHERS_MEMBER, FOREIGN, &[("get 0", "read")]);
    stage.play("a member, elsewhere", MEMBER, FOREIGN, LOCKED_OUT);
    stage.play("a member", MEMBER, SHARED, &[("get 0", "read"), ("get 1", "read")]);
    stage.play("a removed member", REMOVED_MEMBER, SHARED, LOCKED_OUT);
    // Not even the key that it made itself.
    stage.play("a removed member", REMOVED_MEMBER, SHARED, &[("get 1", "denied"), ("raw read 1", "denied")]);
    stage.play("anybody but its owner", MEMBER, PRIVATE, LOCKED_OUT);
    stage.play("its owner", OWNER, PRIVATE, &[("rights", "rco"), ("get 0", "read"), ("put 1", "Created")]);
}

fn creators_cannot_touch_each_others_keys(stage: &Stage) {
    stage.play(
        "another member",
        SECOND_MEMBER,
        SHARED,
        &[
            ("put 1", "Taken"),
            ("raw overwrite 1", "denied"),
            ("raw chmod 1", "denied"),
            ("raw remove 1", "denied"),
            ("raw rename-over 1", "denied"),
            ("get 1", "read"),
        ],
    );
    // A tombstone does not give a member the right to erase what another has made. Who made it may, and the owner.
    stage.play("the owner", OWNER, SHARED, &[("bury 1", "Created"), ("bury 2", "Created")]);
    stage.play(
        "another member",
        SECOND_MEMBER,
        SHARED,
        &[("shred 1", "denied"), ("shred 2", "erased"), ("put 1", "Tombstoned"), ("put 2", "Tombstoned")],
    );
    stage.play("the owner", OWNER, SHARED, &[("shred 1", "erased"), ("get 1", "not found")]);
}

fn only_owners_add_to_control(stage: &Stage) {
    for (who, account) in [("a member", MEMBER), ("another member", SECOND_MEMBER)] {
        stage.play(
            who,
            account,
            SHARED,
            &[("put control planted", "denied"), ("bury 0", "denied"), ("raw control", "denied")],
        );
    }
    stage.play("the owner", OWNER, SHARED, &[("rights", "rco"), ("put control by-owner", "Created")]);
    stage.play(
        "a member where the owner alone adds",
        MEMBER,
        CURATED,
        &[("rights", "r--"), ("get 0", "read"), ("put 1", "denied"), ("raw rename-over 0", "denied")],
    );
    stage.play("the owner", OWNER, CURATED, &[("rights", "rco"), ("put 1", "Created")]);
}

fn unannounced_groups_are_invisible(stage: &Stage) {
    for (who, account) in [("a member", MEMBER), ("its later owner", OWNER), ("no member", NOBODY)] {
        stage.play(
            who,
            account,
            STAGED,
            &[
                ("sees", "false"),
                ("rights", "not found"),
                ("list keys", "not found"),
                ("get 0", "not found"),
                ("put 1", "not found"),
                ("announce", "not found"),
                ("raw read-staged 0", "denied"),
            ],
        );
    }
    stage.connect().announce_group(STAGED).unwrap();
    stage.play("a member", MEMBER, STAGED, &[("sees", "true"), ("rights", "rc-"), ("get 0", "read")]);
    stage.play("no member", NOBODY, STAGED, LOCKED_OUT);
}

fn owners_need_not_read(stage: &Stage) {
    stage.play(
        "an owner who is no reader",
        MANAGER,
        MANAGED,
        &[
            ("sees", "true"),
            ("rights", "--o"),
            ("list control", "1 listed"),
            // Root wrote it on the owner's behalf.
            ("get control", "read"),
            ("put control by-owner", "Created"),
            ("get 0", "unreadable"),
            ("raw read 0", "denied"),
            ("shred 0", "denied"),
        ],
    );
    stage.play("a member", MEMBER, MANAGED, &[("list control", "2 listed"), ("get 0", "read")]);
}

fn users_make_groups_of_their_own(stage: &Stage) {
    let group = GroupId([0x77; 16]);
    let left = || fs::read_dir(stage.path().join("groups")).unwrap().count();
    let before = left();
    stage.play(
        "a user",
        MEMBER,
        group,
        &[
            ("create owner=61002", "denied"),
            ("create readers=62002", "denied"),
            ("sees", "false"),
            ("rights", "not found"),
        ],
    );
    assert_eq!(left(), before, "a refused group was left behind");
    stage.play(
        "a user",
        MEMBER,
        group,
        &[
            ("create readers=62001", "made"),
            ("put 1", "Created"),
            ("announce", "announced"),
            ("rights", "rco"),
        ],
    );
    stage.play("another member", SECOND_MEMBER, group, &[("rights", "rc-"), ("get 1", "read")]);
    stage.play("no member", NOBODY, group, LOCKED_OUT);
}

fn a_malicious_creator_locks_nobody_out(stage: &Stage) {
    stage.play("a creator", MEMBER, SHARED, &[("raw close 1", "done"), ("raw widen 1", "done")]);
    // An explicit denial makes clients drop their keys, so one closed file must not look like one.
    stage.play(
        "another member",
        SECOND_MEMBER,
        SHARED,
        &[
            ("get closed-1", "unreadable"),
            ("get wide-1", "read, loose"),
            ("get 0", "read"),
            ("rights", "rc-"),
        ],
    );
    let lines = stage.connect().describe_access(SHARED).unwrap();
    let alarms: Vec<_> = lines.iter().filter(|line| line.alarming).map(|line| line.may.as_str()).collect();
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    assert!(alarms.iter().any(|may| may.contains("wide-1") && may.contains("0444")), "{alarms:?}");
}
