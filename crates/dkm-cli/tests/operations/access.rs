//! *Remove a member, or suspect a compromise* and *Monitor*.

use dkm_testbed::Options;

use crate::world::{Runbook, World};

#[test]
fn a_member_leaves_and_a_key_is_known_to_others() {
    let Some(world) = World::start(&Options::default()) else { return };
    let ops = world.ops();
    let book = Runbook::open("removal");
    let known = ops.protect("old", "readable by who has left");
    let waiting =
        ops.dkm(&["key", "roll", "--json"]).done().json()["key"]["key"].as_str().unwrap().to_owned();
    world.domain.remove_member(&world.readers, &world.mail.dn).unwrap();
    assert_eq!(world.mail().dkm(&["key", "list"]).code, Some(3), "with a fresh ticket");

    book.follow("removal-roll", &ops).says(&waiting);
    book.set("KEY", &known);
    book.follow("removal-compromise", &ops).says("protects already");
    let seen = book.follow("removal-see", &ops);
    seen.says("compromised");
    book.close();
    let now = ops.protecting().unwrap();
    assert!(now != known && now != waiting);
    ops.opens(&ops.home.join("old.dkm"), "readable by who has left");
    let used = ops.dkm(&["key", "usage", "old.dkm", "--json"]).done().json();
    assert_eq!(used["keys"][0]["key"], now.as_str());
}

#[test]
fn a_group_is_monitored() {
    let Some(world) = World::start(&Options::default()) else { return };
    let ops = world.ops();
    let run = |script: &str| ops.sh(script).done();
    let services = format!("{} svc-ops\n{} svc-mail\n", world.ops.sid, world.mail.sid);
    std::fs::write(ops.home.join("services"), services).unwrap();
    run("ssh-keygen -q -t ed25519 -N '' -C ciso -f key");
    run("printf 'ciso@example.com %s\\n' \"$(cat key.pub)\" > signers");
    run("ssh-keygen -q -Y sign -n dkm-services -f key services");
    let book = Runbook::open("monitor");
    let quiet = book.follow("monitor-doctor", &ops);
    assert_eq!(quiet.out, "");
    let quiet = book.follow("monitor-audit", &ops);
    assert_eq!(quiet.out, "", "{quiet:?}");
    book.close();
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(ops.home.join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("doctor.json")["healthy"], true);
    assert_eq!(read("audit.json")["verdict"], "no-path");

    // A person comes in, and the domain controller goes: both are told by the exit code.
    let person = world.domain.add_user("alice").unwrap();
    world.domain.add_member(&world.readers, &person.dn).unwrap();
    let text = |name: &str| crate::page::block(name).text;
    run(&text("monitor-audit")).says("dkm group audit ended with 7");
    world.domain.stop().unwrap();
    run(&text("monitor-doctor")).says("dkm doctor ended with 6");
    world.domain.restart().unwrap();
}
