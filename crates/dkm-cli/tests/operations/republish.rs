//! *Republish keys.*

use dkm_testbed::{Controller, Options, Scope};

use crate::service::Service;
use crate::world::{Runbook, World, until};

/// Deletes a key's objects on one controller, as somebody with too many rights does. What was deleted on the other may
/// go by replication between the search and the deletion.
fn delete(controller: &Controller, base: &str, key: &str) -> usize {
    let search = || controller.search(base, Scope::Sub, &format!("(l={key})"), &["l"]).unwrap();
    let found = search();
    for entry in &found {
        let deleted = controller.delete(&entry.dn);
        assert!(deleted.is_ok() || !search().contains(entry), "{deleted:?}");
    }
    found.len()
}

#[test]
fn keys_are_republished_from_another_replica_and_from_memory() {
    let Some(world) = World::start(&Options::two()) else { return };
    let (ops, mail) = (world.ops(), world.mail());
    let base = world.domain.base().to_owned();
    let [first, second] = world.domain.controllers() else { panic!("two controllers") };
    let book = Runbook::open("republish");
    let old = ops.protect("old", "of the first key");
    let new = ops.roll();
    ops.protect("new", "of the second key");
    let service = Service::start(&mail, &world.domain.url());
    std::thread::sleep(std::time::Duration::from_secs(6));
    let opens = |text: &str, name: &str| {
        for number in [0, 1] {
            let seat = mail.clone().with("DKM_REPOSITORY", &world.url_of(number));
            seat.opens(&ops.home.join(name), text);
        }
    };

    // Deleted on one, and what the other has does not come by itself.
    world.domain.link_down().unwrap();
    assert_eq!(delete(first, &base, &old), 1);
    book.follow("republish-look", &ops).says("would be put on replica 0");
    assert_eq!(ops.dkm(&["doctor"]).code, Some(5), "it is told to who watches");
    book.follow("republish", &ops).says("put back on replica 0");
    book.set("KEY", &new);
    assert_eq!(delete(first, &base, &new), 1);
    let named = book.follow("republish-named", &ops);
    named.says("put back on replica 0");
    named.says("takes over");
    opens("of the first key", "old.dkm");
    opens("of the second key", "new.dkm");
    world.domain.link_up().unwrap();
    world.domain.replicate().unwrap();
    opens("of the first key", "old.dkm");
    opens("of the second key", "new.dkm");
    until("all is well", || ops.dkm(&["doctor"]).code == Some(0));

    // Deleted everywhere, the copies too: only a process that has run since before has it.
    for controller in [first, second] {
        delete(controller, &base, &old);
        delete(controller, &base, &new);
    }
    world.domain.replicate().unwrap();
    let nowhere = ops.dkm(&["key", "republish", &new, "--reason", "x"]);
    assert_eq!(nowhere.code, Some(3), "{nowhere:?}");
    nowhere.says("docs/operations.md");
    book.set("CONTROL", service.pipe.to_str().unwrap());
    book.follow("republish-service", &ops);
    service.until_says(&format!("key {old}: PutBack"));
    service.until_says(&format!("key {new}: PutBack"));
    service.until_says("republished\n");
    book.close();
    world.domain.replicate().unwrap();
    opens("of the first key", "old.dkm");
    opens("of the second key", "new.dkm");
    let journal = std::fs::read_to_string(&service.journal).unwrap();
    assert!(journal.contains("the objects were deleted") && journal.contains("key-republished"), "{journal}");
    let keys = ops.keys();
    let origins: Vec<&str> =
        keys["keys"].as_array().unwrap().iter().map(|key| key["origin"].as_str().unwrap()).collect();
    assert_eq!(origins.iter().filter(|origin| **origin == "restored").count(), 2, "{keys}");
}

#[test]
fn who_was_removed_or_only_reads_republishes_nothing() {
    let Some(world) = World::start(&Options::default()) else { return };
    let (ops, base) = (world.ops(), world.domain.base().to_owned());
    let reader = world.domain.add_user("svc-reader").unwrap();
    world.domain.add_member(&world.readers, &reader.dn).unwrap();
    let old = ops.protect("old", "of the first key");
    ops.roll();
    let (leaving, reading) = (world.seat(&world.mail, "leaving"), world.seat(&reader, "reading"));
    let url = world.domain.url();
    let (leaving, reading) = (Service::start(&leaving, &url), Service::start(&reading, &url));
    // Refused on the rooms, which counts at once, with any ticket.
    let rooms = "(|(cn=keys)(cn=control))";
    for room in world.domain.search(&base, Scope::Sub, rooms, &["cn"]).unwrap() {
        let descriptor = world.domain.descriptor(&room.dn).unwrap();
        let refused = descriptor.replacen("D:PAI", &format!("D:PAI(D;;LCRPLORC;;;{})", world.mail.sid), 1);
        assert_ne!(refused, descriptor);
        world.domain.set_descriptor(&room.dn, &refused).unwrap();
    }
    delete(&world.domain, &base, &old);
    for service in [&leaving, &reading] {
        ops.sh(&format!("echo 'republish mine' > '{}'", service.pipe.display())).done();
        service.until_says("not republished");
    }
    assert!(leaving.said().contains("denied"), "{}", leaving.said());
    assert!(reading.said().contains("creator"), "{}", reading.said());
    assert!(world.domain.search(&base, Scope::Sub, &format!("(l={old})"), &["l"]).unwrap().is_empty());
}

#[test]
fn a_key_that_was_destroyed_since_does_not_come_back() {
    let Some(world) = World::start(&Options::default()) else { return };
    let ops = world.ops();
    let old = ops.protect("old", "of the first key");
    ops.roll();
    let backup = world.domain.backup(&world.domain).unwrap();
    let service = Service::start(&world.seat(&world.ops, "service"), &world.domain.url());
    let destroy = ["key", "destroy", &old, "--reason", "over", "--force", "--confirm", &old];
    ops.dkm(&destroy).done();
    // The service has to hear of it before the directory forgets it.
    ops.sh(&format!("echo 'republish nothing' > '{}'", service.pipe.display())).done();
    service.until_says("republished\n");
    world.domain.set_back(&world.domain, &backup).unwrap();
    ops.opens(&ops.home.join("old.dkm"), "of the first key");
    ops.sh(&format!("echo 'republish it was set back' > '{}'", service.pipe.display())).done();
    until("the service has done it", || service.said().matches("republished\n").count() == 2);
    let gone = ops.dkm(&["unprotect", "-c", "account=alice", "old.dkm"]);
    assert_eq!(gone.code, Some(7), "{gone:?}");
    let found = world.domain.search(world.domain.base(), Scope::Sub, &format!("(l={old})"), &["cn"]).unwrap();
    assert!(found.iter().all(|entry| entry.dn.contains(",CN=control,")), "{found:?}");
}
