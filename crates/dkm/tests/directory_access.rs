//! The kernel enforces access: real processes of real users and groups, through this library and past it.
//!
//! This process is root and makes the groups. A copy of it plays each account (`setpriv`), does what its arguments
//! name, and tells what became of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::repository::{Entry, GroupAccess, Put, Replica, Repository, RepositoryError};
use dkm_core::kdf::key_id;
use dkm_core::record::{Change, Family, KeyRecord, Material, Origin, Purpose, Record, StatusRecord};
use dkm_core::{GroupId, KeyId, Room, SlotName};

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

fn key(n: u8, group: GroupId) -> Record {
    Record::Key(KeyRecord {
        id: key_id(group, Family::Native, &[n; 32]),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1_000,
        activates_at_ms: 2_000,
        predecessor: Some(KeyId([n; 16])),
        attempt: 0,
        material: Material::Plain(zeroize::Zeroizing::new([n; 32])),
    })
}

fn key_slot(n: u8, group: GroupId) -> SlotName {
    key(n, group).slot(group, 0)
}

fn tombstone(n: u8, group: GroupId) -> Record {
    Record::Status(StatusRecord {
        key: key_id(group, Family::Native, &[n; 32]),
        change: Change::Destroyed,
        purpose: Purpose::Ordinary,
        reason: "test".into(),
        epoch: 0,
        answers: Vec::new(),
        when_ms: 1,
    })
}

fn name_of<T>(result: Result<T, RepositoryError>, ok: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => ok(value),
        Err(RepositoryError::Denied { .. }) => "denied".into(),
        Err(RepositoryError::NotFound { .. }) => "not found".into(),
        Err(RepositoryError::Unreadable { .. }) => "unreadable".into(),
        Err(other) => format!("{other:?}"),
    }
}

/// What an access past the library came to.
fn raw<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(error) => match error.raw_os_error() {
            Some(1 | 13) => "denied".into(),
            _ => error.to_string(),
        },
    }
}

/// One act of an account, by its words.
fn act(connection: &mut dyn Replica, group: GroupId, folder: &Path, words: &[&str]) -> String {
    let number = |text: &str| text.parse::<u8>().unwrap();
    let file = |n: &str| folder.join("keys").join(key_slot(number(n), group).as_str());
    let read = |connection: &mut dyn Replica, room, name: SlotName| {
        let stored = connection.get(group, room, &Entry { name, stamp: Vec::new() });
        name_of(
            stored,
            |stored| if stored.attested.template_ok { "read".into() } else { "read, loose".into() },
        )
    };
    match words {
        ["sees"] => connection.groups().unwrap().contains(&group).to_string(),
        ["rights"] => name_of(connection.rights(group), |r| {
            let letter = |has, letter| if has { letter } else { '-' };
            [letter(r.read, 'r'), letter(r.create, 'c'), letter(r.own, 'o')].iter().collect()
        }),
        ["describe"] => name_of(connection.describe_access(group), |_| "told".into()),
        ["list", room] => {
            let room = if *room == "keys" { Room::Keys } else { Room::Control };
            name_of(connection.list(group, room), |entries| format!("{} listed", entries.len()))
        }
        ["get", "control"] => read(connection, Room::Control, "first".parse().unwrap()),
        ["get", name] => {
            let name = name.parse().map_or_else(|_| name.parse().unwrap(), |n| key_slot(n, group));
            read(connection, Room::Keys, name)
        }
        ["put", "control", name] => {
            let put = connection.put(group, Room::Control, &name.parse().unwrap(), b"planted");
            name_of(put, |put| format!("{put:?}"))
        }
        ["put", n] => {
            let record = key(number(n), group);
            let put = connection.put(group, Room::Keys, &record.slot(group, 0), &record.encode(group));
            name_of(put, |put| format!("{put:?}"))
        }
        ["bury", n] => {
            let record = tombstone(number(n), group);
            let put = connection.put(group, Room::Control, &record.slot(group, 0), &record.encode(group));
            name_of(put, |put| format!("{put:?}"))
        }
        ["shred", n] => {
            let entry = Entry { name: key_slot(number(n), group), stamp: Vec::new() };
            name_of(connection.shred(group, &entry), |()| "erased".into())
        }
        ["announce"] => name_of(connection.announce_group(group), |()| "announced".into()),
        ["create", who @ ..] => {
            let names = |prefix: &str| {
                who.iter().filter_map(|w| w.strip_prefix(prefix)).map(str::to_owned).collect::<Vec<_>>()
            };
            let access =
                GroupAccess { readers: names("readers="), owners: names("owner="), ..GroupAccess::default() };
            name_of(connection.create_group(GroupId([0x77; 16]), &access), |()| "made".into())
        }
        // Past the library.
        ["raw", "enter"] => raw(fs::read_dir(folder)),
        ["raw", "enter", room] => raw(fs::read_dir(folder.join(room))),
        ["raw", "read", n] => raw(fs::read(file(n))),
        ["raw", "read-staged", n] => {
            let name = format!(".new-{group}");
            raw(fs::read(folder.with_file_name(name).join("keys").join(key_slot(number(n), group).as_str())))
        }
        ["raw", "overwrite", n] => raw(fs::OpenOptions::new().write(true).open(file(n))),
        ["raw", "chmod", n] => raw(fs::set_permissions(file(n), fs::Permissions::from_mode(0o666))),
        ["raw", "remove", n] => raw(fs::remove_file(file(n))),
        ["raw", "rename-over", n] => {
            let own = folder.join("keys").join("own");
            let result = fs::write(&own, b"planted").and_then(|()| fs::rename(&own, file(n)));
            let _ = fs::remove_file(&own);
            raw(result)
        }
        ["raw", "swap-group"] => raw(fs::rename(folder, folder.with_file_name("swapped"))),
        ["raw", "control"] => raw(fs::write(folder.join("control").join("planted"), b"x")),
        ["raw", "close", n] => {
            let file = folder.join("keys").join(format!("closed-{n}"));
            raw(fs::write(&file, b"x")
                .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o000))))
        }
        ["raw", "widen", n] => {
            let file = folder.join("keys").join(format!("wide-{n}"));
            raw(fs::write(&file, b"x")
                .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o444))))
        }
        words => panic!("unknown act {words:?}"),
    }
}

/// The child's part: all acts of one account in one group.
fn be_the_account() -> bool {
    let Ok(acts) = std::env::var("DKM_ACCESS_ACTS") else { return false };
    let path = PathBuf::from(std::env::var_os("DKM_ACCESS_REPOSITORY").unwrap());
    let group: GroupId = std::env::var("DKM_ACCESS_GROUP").unwrap().parse().unwrap();
    let folder = path.join("groups").join(group.to_string());
    let mut connection = DirectoryRepository::open(&path).unwrap().connect(0).unwrap();
    for words in acts.split(';') {
        let words: Vec<&str> = words.split_whitespace().collect();
        let outcome = act(connection.as_mut(), group, &folder, &words);
        println!("\nACT {outcome}");
    }
    true
}

/// The stage: a repository that everybody can reach, and a copy of this program that everybody can run.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let stage = Self { folder };
        fs::copy(std::env::current_exe().unwrap(), stage.program()).unwrap();
        fs::set_permissions(stage.program(), fs::Permissions::from_mode(0o755)).unwrap();
        DirectoryRepository::create(&stage.path(), &CreateOptions::default()).unwrap();
        // Others make groups here too.
        fs::set_permissions(stage.path().join("groups"), fs::Permissions::from_mode(0o1777)).unwrap();
        stage
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("actor")
    }

    fn connect(&self) -> Box<dyn Replica> {
        DirectoryRepository::open(&self.path()).unwrap().connect(0).unwrap()
    }

    /// Root makes a group with a first record in each room.
    fn make(&self, group: GroupId, readers: Option<u32>, creators: &str, owner: Account, announce: bool) {
        let access = GroupAccess {
            readers: readers.iter().map(u32::to_string).collect(),
            creators: vec![creators.into()],
            owners: vec![owner.0.to_string()],
        };
        let mut connection = self.connect();
        connection.create_group(group, &access).unwrap();
        connection.put(group, Room::Control, &"first".parse().unwrap(), b"by root").unwrap();
        let record = key(0, group);
        let put = connection.put(group, Room::Keys, &record.slot(group, 0), &record.encode(group)).unwrap();
        assert_eq!(put, Put::Created);
        if announce {
            connection.announce_group(group).unwrap();
        }
    }

    /// Lets an account act in a group, and compares what became of each act with what must.
    fn play(&self, who: &str, account: Account, group: GroupId, script: &[(&str, &str)]) {
        let acts: Vec<&str> = script.iter().map(|(act, _)| *act).collect();
        let Account(uid, gids) = account;
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={}", 60_000 + uid % 1_000));
        let listed: Vec<String> = gids.iter().map(u32::to_string).collect();
        if listed.is_empty() {
            command.arg("--clear-groups");
        } else {
            command.arg(format!("--groups={}", listed.join(",")));
        }
        command.arg(self.program()).args(["--exact", TEST, "--nocapture", "--test-threads=1"]);
        command.env("DKM_ACCESS_ACTS", acts.join(";")).env("DKM_ACCESS_GROUP", group.to_string());
        command.env("DKM_ACCESS_REPOSITORY", self.path()).current_dir("/");
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{who}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let outcomes: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("ACT ")).collect();
        let found: Vec<(&str, &str)> = acts.into_iter().zip(outcomes.iter().copied()).collect();
        assert_eq!(found, script, "{who} in group {group}");
    }
}

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
