//! The child's part: one account, its acts, and what became of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dkm::repository::directory::DirectoryRepository;
use dkm::repository::{Entry, GroupAccess, Replica, Repository, RepositoryError};
use dkm_core::kdf::key_id;
use dkm_core::record::{Change, Family, KeyRecord, Material, Origin, Purpose, Record, StatusRecord};
use dkm_core::{GroupId, KeyId, Room, SlotName};

pub(crate) fn key(n: u8, group: GroupId) -> Record {
    Record::Key(KeyRecord {
        id: key_id(group, Family::Native, &[n; 32]),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: 1_000,
        activates_at_ms: 2_000,
        predecessor: Some(KeyId([n; 16])),
        attempt: 0,
        material: Material::Plain(zeroize::Zeroizing::new([n; 32])),
        guid: None,
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
pub(crate) fn be_the_account() -> bool {
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
