//! *Restore from a backup*: keys from an archive, a lost group, a directory that was set back.

use dkm_testbed::{Options, Scope};

use crate::service::Service;
use crate::world::{Runbook, Seat, World};

/// The objects of the keys in the domain, by their DN, on the first controller.
pub(crate) fn key_objects(world: &World) -> Vec<String> {
    let found = world.domain.search(world.domain.base(), Scope::Sub, "(&(objectClass=contact)(l=*))", &["l"]);
    found.unwrap().into_iter().map(|entry| entry.dn).filter(|dn| dn.contains(",CN=keys,")).collect()
}

fn with_archive_key(seat: &Seat) {
    seat.sh("ssh-keygen -q -t ed25519 -N '' -f archive-key").done();
}

#[test]
fn keys_come_back_from_an_archive() {
    let Some(world) = World::start(&Options::default()) else { return };
    let ops = world.ops();
    with_archive_key(&ops);
    let book = Runbook::open("archive");
    let first = ops.protect("old", "in the archive");
    ops.roll();
    book.follow("archive-keep", &ops);
    let lost = key_objects(&world);
    assert_eq!(lost.len(), 2);
    let of_first = format!("(l={first})");
    let found = world.domain.search(world.domain.base(), Scope::Sub, &of_first, &["l"]).unwrap();
    world.domain.delete(&found[0].dn).unwrap();
    assert_eq!(ops.dkm(&["unprotect", "-c", "account=alice", "old.dkm"]).code, Some(3));

    book.follow("archive-look", &ops).says(&first[..12]);
    book.follow("archive-keys", &ops).says("Restored 1 key");
    book.follow("archive-done", &ops).says("in the archive");
    book.close();
    let keys = ops.keys();
    let waiting = keys["keys"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    ops.until_protects(&waiting);
}

#[test]
fn a_lost_group_comes_back_from_an_archive() {
    let Some(world) = World::start(&Options::default()) else { return };
    let (ops, mail) = (world.ops(), world.mail());
    with_archive_key(&ops);
    let book = Runbook::open("lost group");
    ops.protect("old", "in the archive");
    ops.sh(&crate::page::block("archive-keep").text).done();
    let known = ops.dkm(&["group", "show", "mail", "--json"]).done().json()["group"]["id"].clone();
    let service = Service::start(&mail, &world.domain.url());
    let key = key_objects(&world).remove(0);
    let container = key.splitn(3, ',').nth(2).unwrap();
    world.domain.delete_tree(container).unwrap();
    assert_eq!(ops.dkm(&["key", "list"]).code, Some(3));
    // Who knew the group was denied, and has nothing to put back.
    ops.sh(&format!("echo 'republish it is gone' > '{}'", service.pipe.display())).done();
    service.until_says("not republished");
    // It would be the first to see the new rooms without a key.
    drop(service);

    book.follow("archive-group", &ops).says("in the archive");
    book.close();
    assert_eq!(ops.dkm(&["group", "show", "mail", "--json"]).done().json()["group"]["id"], known);
    assert!(ops.protecting().is_some());
    mail.opens(&ops.home.join("old.dkm"), "in the archive");
}

#[test]
fn a_directory_that_was_set_back_gets_its_keys_again() {
    let Some(world) = World::start(&Options::default()) else { return };
    let (ops, mail) = (world.ops(), world.mail());
    let book = Runbook::open("set back");
    ops.protect("old", "older than the backup");
    let backup = world.domain.backup(&world.domain).unwrap();
    let lost = ops.roll();
    assert_eq!(ops.protect("new", "younger than the backup"), lost);
    let service = Service::start(&world.seat(&world.ops, "service"), &world.domain.url());
    world.domain.set_back(&world.domain, &backup).unwrap();
    let without = mail.dkm(&["unprotect", "-c", "account=alice", "../ops/new.dkm"]);
    assert_eq!(without.code, Some(3), "{without:?}");

    book.set("CONTROL", service.pipe.to_str().unwrap());
    book.follow("set-back-service", &ops);
    service.until_says(&format!("key {lost}: PutBack"));
    service.until_says("takes over");
    for block in ["set-back-look", "set-back-put"] {
        book.follow(block, &ops).says("No key is lacking");
    }
    let done = book.follow("set-back-done", &ops);
    done.says("0 errors");
    book.close();
    for seat in [&ops, &mail] {
        seat.opens(&ops.home.join("old.dkm"), "older than the backup");
        seat.opens(&ops.home.join("new.dkm"), "younger than the backup");
    }
    let newest = ops.keys()["keys"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    ops.until_protects(&newest);
}

#[test]
fn one_of_two_domain_controllers_is_set_back() {
    let Some(world) = World::start(&Options::two()) else { return };
    let (ops, mail) = (world.ops(), world.mail());
    ops.protect("old", "older than the backup");
    let first = &world.domain.controllers()[0];
    let backup = world.domain.backup(first).unwrap();
    let lost = ops.roll();
    assert_eq!(ops.protect("new", "younger than the backup"), lost);
    world.domain.replicate().unwrap();
    world.domain.link_down().unwrap();
    world.domain.set_back(first, &backup).unwrap();
    let at = |number: usize| mail.clone().with("DKM_REPOSITORY", &world.url_of(number));
    let without = at(0).dkm(&["unprotect", "-c", "account=alice", "../ops/new.dkm"]);
    assert_eq!(without.code, Some(3), "{without:?}");

    ops.sh(&crate::page::block("set-back-look").text).done().says("would be put on replica 0");
    ops.sh(&crate::page::block("set-back-put").text).done().says("put back on replica 0");
    for number in [0, 1] {
        at(number).opens(&ops.home.join("old.dkm"), "older than the backup");
        at(number).opens(&ops.home.join("new.dkm"), "younger than the backup");
    }
    // Whatever replication makes of a controller that counts anew, nothing is lost when they meet.
    world.domain.link_up().unwrap();
    world.domain.replicate().unwrap();
    for number in [0, 1] {
        at(number).opens(&ops.home.join("old.dkm"), "older than the backup");
        at(number).opens(&ops.home.join("new.dkm"), "younger than the backup");
    }
}
