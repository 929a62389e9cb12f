//! The directory repository against odd files and loose access control.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use dkm_core::record::{RECORD_LEN_MAX, Record};
use dkm_core::{GroupId, Room, SlotName};

use super::*;
use crate::repository::{AccessLine, Entry, GroupAccess, Put, Stored};

mod durable;

const GROUP: GroupId = GroupId([7; 16]);

struct Fixture {
    repository: DirectoryRepository,
    connection: Box<dyn Replica>,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// A repository with a shared, announced group.
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = folder.path().join("repository");
        let repository = DirectoryRepository::create(&path, &CreateOptions::default()).unwrap();
        let mut connection = repository.connect(0).unwrap();
        let readers = vec![rustix::process::getegid().as_raw().to_string()];
        connection.create_group(GROUP, &GroupAccess { readers, ..GroupAccess::default() }).unwrap();
        connection.announce_group(GROUP).unwrap();
        Self { repository, connection, folder }
    }

    fn group(&self) -> PathBuf {
        self.repository.path().join("groups").join(GROUP.to_string())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.group().join("keys").join(name)
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> Put {
        self.connection.put(GROUP, Room::Keys, &slot(name), bytes).unwrap()
    }

    fn get(&mut self, name: &str) -> Result<Stored, RepositoryError> {
        let entry = Entry { name: slot(name), stamp: Vec::new() };
        self.repository.connect(0).unwrap().get(GROUP, Room::Keys, &entry)
    }

    fn is_template(&mut self, name: &str) -> bool {
        self.get(name).unwrap().attested.template_ok
    }

    fn listed(&mut self) -> Vec<String> {
        let entries = self.connection.list(GROUP, Room::Keys).unwrap();
        entries.into_iter().map(|entry| entry.name.to_string()).collect()
    }

    fn alarms(&mut self) -> Vec<AccessLine> {
        let lines = self.connection.describe_access(GROUP).unwrap();
        lines.into_iter().filter(|line| line.alarming).collect()
    }
}

fn slot(text: &str) -> SlotName {
    text.parse().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_no_plain_file_is_reported_and_stops_nobody() {
    let mut fixture = Fixture::new();
    fixture.put("good", b"good");
    let secret = fixture.folder.path().join("secret");
    fs::write(&secret, b"elsewhere").unwrap();
    symlink(&secret, fixture.file("link")).unwrap();
    symlink("/nowhere", fixture.file("dangling")).unwrap();
    fs::create_dir(fixture.file("folder")).unwrap();
    let fifo = fixture.file("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o440),
        0,
    )
    .unwrap();
    for name in ["link", "dangling", "folder", "fifo"] {
        let error = fixture.get(name).unwrap_err();
        assert!(matches!(error, RepositoryError::Unreadable { .. }), "{name}: {error:?}");
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        // Nor are they written through, or erased.
        assert_eq!(fixture.put(name, b"new"), Put::Taken);
        let entry = Entry { name: slot(name), stamp: Vec::new() };
        let shred = fixture.connection.shred(GROUP, &entry);
        assert!(matches!(shred, Err(RepositoryError::NotTombstoned { .. })), "{name}: {shred:?}");
    }
    assert_eq!(fs::read(&secret).unwrap(), b"elsewhere");
    assert!(!Path::new("/nowhere").exists());
    assert_eq!(fixture.get("good").unwrap().bytes.as_slice(), b"good");
    let alarms = fixture.alarms();
    assert_eq!(alarms.iter().filter(|line| line.may.contains("is no record")).count(), 4, "{alarms:?}");
}

#[test]
fn a_file_that_is_too_large_is_not_read_to_its_end() {
    let mut fixture = Fixture::new();
    fs::write(fixture.file("huge"), vec![b'h'; RECORD_LEN_MAX * 3]).unwrap();
    let stored = fixture.get("huge").unwrap();
    // One byte more than a record has: whoever decodes it says that it is too large.
    assert_eq!(stored.bytes.len(), RECORD_LEN_MAX + 1);
    assert!(matches!(Record::decode(&stored.bytes), Err(dkm_core::record::RecordError::TooLarge { .. })));
}

#[test]
fn names_that_are_no_slots_are_not_listed() {
    let mut fixture = Fixture::new();
    fixture.put("good", b"good");
    for name in [".tmp-0011", ".hidden", "UPPER", "a.b", "notes.txt", &"x".repeat(65)] {
        fs::write(fixture.file(name), b"x").unwrap();
    }
    assert_eq!(fixture.listed(), ["good"]);
    let groups = fixture.repository.path().join("groups");
    for name in
        [".new-x", "notes", "07070707-0707-0707-0707-07070707070", "0A0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"]
    {
        fs::create_dir(groups.join(name)).unwrap();
    }
    // A file, and a way to a group under another's name.
    fs::write(groups.join(GroupId([8; 16]).to_string()), b"x").unwrap();
    symlink(fixture.group(), groups.join(GroupId([9; 16]).to_string())).unwrap();
    assert_eq!(fixture.connection.groups().unwrap(), [GROUP]);
    for other in [8, 9] {
        let rights = fixture.connection.rights(GroupId([other; 16]));
        assert!(matches!(rights, Err(RepositoryError::NotFound { .. })), "{rights:?}");
    }
}

#[test]
fn any_other_access_control_of_a_record_is_attested_and_described() {
    let mut fixture = Fixture::new();
    fixture.put("key", b"key");
    assert!(fixture.is_template("key"));
    let file = fixture.file("key");
    for mode in [0o444, 0o440 | 0o4000, 0o640, 0o400, 0o460, 0o550, 0o442] {
        set_mode(&file, mode);
        assert!(!fixture.is_template("key"), "{mode:o}");
        let alarms = fixture.alarms();
        assert_eq!(alarms.len(), 1, "{alarms:?}");
        assert!(alarms[0].may.contains(&format!("{mode:04o} instead of 0440")), "{alarms:?}");
    }
    set_mode(&file, 0o440);
    assert!(fixture.is_template("key"));
    fs::hard_link(&file, fixture.folder.path().join("elsewhere")).unwrap();
    assert!(!fixture.is_template("key"));
    assert!(fixture.alarms()[0].may.contains("another name"));
    fs::remove_file(fixture.folder.path().join("elsewhere")).unwrap();
    assert!(fixture.is_template("key"));
    assert!(fixture.alarms().is_empty());
}

#[test]
fn any_other_access_control_of_a_room_is_attested_and_described() {
    let mut fixture = Fixture::new();
    fixture.put("key", b"key");
    let keys = fixture.group().join("keys");
    for mode in [0o2770, 0o3777, 0o3775, 0o1770, 0o750, 0o3771] {
        set_mode(&keys, mode);
        assert!(!fixture.is_template("key"), "{mode:o}");
        assert!(fixture.alarms().iter().any(|line| line.may.contains(&format!("{mode:04o}"))), "{mode:o}");
    }
    set_mode(&keys, 0o3770);
    assert!(fixture.is_template("key"));
    for (folder, mode) in [("control", 0o2770), ("control", 0o2755), (".", 0o2755), (".", 0o2770)] {
        let path = fixture.group().join(folder);
        let before = fs::metadata(&path).unwrap().permissions().mode();
        set_mode(&path, mode);
        let alarms = fixture.alarms();
        assert!(alarms.iter().any(|line| line.may.contains(&format!("{mode:04o}"))), "{folder}: {alarms:?}");
        set_mode(&path, before);
        assert!(fixture.alarms().is_empty());
    }
    let groups = fixture.repository.path().join("groups");
    set_mode(&groups, 0o777);
    assert!(fixture.alarms()[0].may.contains("sticky"));
    set_mode(&groups, 0o1777);
    assert!(fixture.alarms().is_empty());
}

#[test]
fn access_control_lists_are_not_the_template() {
    let mut fixture = Fixture::new();
    fixture.put("key", b"key");
    // Version 2; owner r, user 65534 r, group r, mask r, others none.
    let entry = |tag: u16, perm: u16, id: u32| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let acl = [
        2u32.to_le_bytes().to_vec(),
        entry(1, 4, none),
        entry(2, 4, 65_534),
        entry(4, 4, none),
        entry(0x10, 4, none),
        entry(0x20, 0, none),
    ]
    .concat();
    let flags = rustix::fs::XattrFlags::empty();
    let set = rustix::fs::setxattr(fixture.file("key"), "system.posix_acl_access", &acl, flags);
    if set == Err(Errno::OPNOTSUPP) {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "SKIPPED: this file system has no access control lists");
        return;
    }
    set.unwrap();
    // The mode shows the mask, so it looks like the template's.
    assert_eq!(fs::metadata(fixture.file("key")).unwrap().permissions().mode() & 0o7777, 0o440);
    assert!(!fixture.is_template("key"));

    let keys = fixture.group().join("keys");
    fixture.put("second", b"key");
    assert!(fixture.is_template("second"));
    rustix::fs::setxattr(&keys, "system.posix_acl_default", &acl, flags).unwrap();
    assert!(!fixture.is_template("second"));
    assert!(fixture.alarms().iter().any(|line| line.may.contains("access control list")));
}

#[test]
fn private_groups_are_their_owners_alone() {
    let mut fixture = Fixture::new();
    let group = GroupId([8; 16]);
    fixture.connection.create_group(group, &GroupAccess::default()).unwrap();
    fixture.connection.put(group, Room::Keys, &slot("key"), b"key").unwrap();
    fixture.connection.announce_group(group).unwrap();
    let folder = fixture.repository.path().join("groups").join(group.to_string());
    for (path, mode) in [("", 0o700), ("keys", 0o700), ("control", 0o700), ("keys/key", 0o400)] {
        let found = fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{path}");
    }
    let lines = fixture.connection.describe_access(group).unwrap();
    assert!(lines.iter().all(|line| !line.alarming && !line.who.starts_with("gid:")), "{lines:?}");
}

#[test]
fn what_a_group_cannot_have_is_refused_with_words() {
    let mut fixture = Fixture::new();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let access = |readers: &[&str], creators: &[&str], owners: &[&str]| GroupAccess {
        readers: names(readers),
        creators: names(creators),
        owners: names(owners),
        ..GroupAccess::default()
    };
    for (access, words) in [
        (access(&["1", "2"], &[], &[]), "one Unix group"),
        (access(&["no-such-group"], &[], &[]), "no Unix group"),
        (access(&[], &["alice"], &[]), "\"members\" or \"owner\""),
        (access(&[], &[], &["0", "1"]), "one owner"),
        (access(&[], &[], &["no-such-user"]), "no user"),
    ] {
        let error = fixture.connection.create_group(GroupId([8; 16]), &access).unwrap_err();
        assert!(matches!(error, RepositoryError::Invalid(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(fs::read_dir(fixture.repository.path().join("groups")).unwrap().count(), 1);
}

#[test]
fn a_repository_is_made_once_and_never_over_something_else() {
    let fixture = Fixture::new();
    let options = CreateOptions::default();
    let again = DirectoryRepository::create(fixture.repository.path(), &options).unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    let other = fixture.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let opened = DirectoryRepository::open(&other).unwrap_err();
    assert!(matches!(opened, RepositoryError::NotARepository { .. }), "{opened:?}");
    fs::write(other.join("letter.txt"), b"x").unwrap();
    let refused = DirectoryRepository::create(&other, &options).unwrap_err();
    assert!(refused.to_string().contains("letter.txt"), "{refused}");
    for (path, words) in [("missing", "no such folder"), ("other/letter.txt", "not a folder")] {
        let error = DirectoryRepository::open(&fixture.folder.path().join(path)).unwrap_err();
        assert!(matches!(error, RepositoryError::NotARepository { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    fs::write(other.join("repository"), b"dkm repository 2\n").unwrap();
    assert!(DirectoryRepository::open(&other).unwrap_err().to_string().contains("version"));
}

#[test]
fn a_copy_is_the_same_replica() {
    let fixture = Fixture::new();
    let copy = fixture.folder.path().join("copy");
    let status =
        std::process::Command::new("cp").arg("-a").arg(fixture.repository.path()).arg(&copy).status();
    assert!(status.unwrap().success());
    let copied = DirectoryRepository::open(&copy).unwrap();
    let connection = copied.connect(0).unwrap();
    assert_eq!(connection.id(), fixture.connection.id());
    assert_eq!(connection.repository(), fixture.connection.repository());
    assert_eq!(
        copied.root_keys(),
        fixture.folder.path().canonicalize().unwrap().join("repository.root-keys")
    );
}

#[test]
fn a_record_cannot_be_dated_ahead_of_the_kernels_clock() {
    let mut fixture = Fixture::new();
    fixture.put("dated", b"dated");
    let file = fs::File::open(fixture.file("dated")).unwrap();
    let now = std::time::SystemTime::now();
    file.set_modified(now + std::time::Duration::from_secs(365 * 86_400)).unwrap();
    let latest = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() + 60_000;
    let created = fixture.get("dated").unwrap().attested.created;
    assert!(u128::from(created.0) < latest, "{created} is later than {latest}");
    // Back in time: that is what its owner says, and a copy of a repository relies on it.
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(fixture.get("dated").unwrap().attested.created.0, 1_000);
}
