//! One author must not keep a group from being archived and put back, nor users from finding their groups.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use dkm::archive::{self, RestoreOptions};
use dkm::blocking::{Client, Group, NewGroup, Options};
use dkm::core::archive::RestoreSkip;
use dkm::core::{Room, SlotName};
use dkm::repository::GroupAccess;
use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::{Location, Policy};

use crate::sealed::holder;
use crate::world::{World, context, protecting};

fn options() -> Options {
    Options { background: false, ..Options::default() }
}

fn client(folder: &tempfile::TempDir) -> Client {
    let path = folder.path().join("repository");
    DirectoryRepository::create(&path, &CreateOptions::default()).unwrap();
    Client::open(&Location::directory(path), options()).unwrap()
}

fn group(client: &Client, name: &str) -> Group {
    let access = GroupAccess::default();
    let new = NewGroup { name: name.into(), description: None, policy: Policy::for_directory(), access };
    client.create_group(new).unwrap()
}

fn room(folder: &tempfile::TempDir, group: &Group, room: Room) -> PathBuf {
    folder.path().join("repository/groups").join(group.id().to_string()).join(room.as_str())
}

#[test]
fn a_record_that_is_not_served_does_not_keep_the_others_out_of_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(&folder);
    let group = group(&client, "tokens");
    let blob = group.protect(&context(), b"secret").unwrap();
    symlink("/nowhere", room(&folder, &group, Room::Keys).join("squatter")).unwrap();
    let holder = holder();
    let mut sealed = Vec::new();
    let summary = archive::export(&group, &[holder.recipient], &mut sealed).unwrap();
    assert_eq!((summary.keys, summary.malformed.len(), summary.unread.len()), (1, 1, 0));
    let archive = archive::open(sealed.as_slice(), &holder.identities).unwrap();
    // Nor out of the group again.
    let key = protecting(&group);
    let slot = SlotName::for_key(None, 0);
    std::fs::remove_file(room(&folder, &group, Room::Keys).join(slot.as_str())).unwrap();
    let cold = Client::open(&Location::directory(folder.path().join("repository")), options()).unwrap();
    let cold = cold.group("tokens").unwrap();
    let options = RestoreOptions { reason: "the file is gone".into(), ..RestoreOptions::default() };
    let summary = archive::restore(&cold, &archive, &options).unwrap();
    assert_eq!((summary.keys, summary.skipped.as_slice()), (1, [].as_slice()));
    assert_eq!(&*cold.unprotect(&context(), &blob).unwrap(), b"secret");
    assert_ne!(protecting(&cold), key);
}

#[test]
fn a_group_that_hides_its_name_does_not_hide_others() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(&folder);
    group(&client, "tokens");
    let hidden = group(&client, "hidden");
    let record = room(&folder, &hidden, Room::Control).join(SlotName::for_chained("group", &[], 0).as_str());
    std::fs::remove_file(&record).unwrap();
    symlink("/nowhere", &record).unwrap();
    let names: Vec<_> = client.groups().unwrap().into_iter().map(|group| group.name).collect();
    assert_eq!(names, ["tokens"]);
    assert!(client.group("tokens").is_ok());
}

#[test]
fn a_key_whose_place_is_taken_by_rubbish_is_not_said_to_be_there() {
    let world = World::new(1);
    let group = world.group();
    let key = protecting(&group);
    let holder = holder();
    let mut sealed = Vec::new();
    archive::export(&group, &[holder.recipient], &mut sealed).unwrap();
    let archive = archive::open(sealed.as_slice(), &holder.identities).unwrap();
    world.repository.remove(0, group.id(), Room::Keys, &SlotName::for_key(None, 0));
    let name = SlotName::for_restored_key(key);
    world.repository.seen_by("uid:1").plant(0, group.id(), Room::Keys, &name, b"\xff", None);
    let options = RestoreOptions { reason: "test".into(), ..RestoreOptions::default() };
    let summary = archive::restore(&world.fresh("uid:0"), &archive, &options).unwrap();
    assert_eq!((summary.keys, summary.skipped), (0, vec![RestoreSkip::SlotTaken { key, name }]));
}
