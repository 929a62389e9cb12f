//! Rosters in a repository without a server: made with the group, and changed by signatures alone.

use std::process::Command;

use crate::support::World;

/// A key of `ssh-keygen`, and its public line.
fn key(world: &World, name: &str) -> String {
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(world.at(name));
    assert!(make.status().unwrap().success());
    std::fs::read_to_string(world.at(&format!("{name}.pub"))).unwrap().trim().to_owned()
}

fn roster(alice: &str, bob: &str, approvers: &str) -> String {
    format!(
        "change_delay = \"1h\"\n[[people]]\nid = \"alice\"\nkeys = [{alice:?}]\n[[people]]\nid = \"bob\"\nkeys = [{bob:?}]\n\
         [[levels]]\nname = \"team\"\napprovers = [{approvers}]\n"
    )
}

#[test]
fn a_roster_is_made_with_the_group_and_changed_by_who_signs() {
    let world = World::empty();
    world.dkm(["init"]).succeeded();
    let (alice, bob) = (key(&world, "alice"), key(&world, "bob"));
    world.write("roster.toml", roster(&alice, &bob, "\"alice\""));
    let made = world.dkm(["group", "create", "mail", "--roster", "roster.toml", "--json"]).succeeded().json();
    let shown = world.dkm(["roster", "show", "mail", "--json"]).succeeded().json();
    assert_eq!(made["roster"], shown["genesis"]);
    assert_eq!(shown["in_force"][0], shown["genesis"]);

    world.write("next.toml", roster(&alice, &bob, "\"alice\", \"bob\""));
    world.dkm(["roster", "propose", "mail", "next.toml", "-o", "p"]).succeeded();
    world.dkm(["roster", "propose", "mail", "roster.toml", "-o", "same"]).exits(2);
    world.dkm(["roster", "apply", "p"]).exits(7);
    let digest = world.dkm(["roster", "sign", "p", "--as", "bob", "--key", "bob", "--dry-run", "--json"]);
    let digest = digest.succeeded().json()["digest"].as_str().unwrap().to_owned();
    let sign = |who: &str| {
        let words = ["roster", "sign", "p", "--as", who, "--key", who, "--yes", "--digest", &digest];
        world.dkm(words).succeeded();
    };
    // Bob is somebody, but approves at no level yet.
    sign("bob");
    world.dkm(["roster", "apply", "p"]).exits(7);
    sign("alice");
    let applied = world.dkm(["roster", "apply", "p", "--json"]).succeeded().json();
    assert_eq!(applied["version"], 2);
    let shown = world.dkm(["roster", "show", "mail", "--json"]).succeeded().json();
    assert_eq!((&shown["versions"][1]["waits"], &shown["in_force"][0]), (&true.into(), &shown["genesis"]));
}

#[test]
fn a_group_without_a_roster_has_none_and_gets_none() {
    let world = World::with_group();
    let alice = key(&world, "alice");
    world.write("roster.toml", roster(&alice, "", "\"alice\"").replace("keys = [\"\"]", "keys = []"));
    world.dkm(["roster", "check", "roster.toml"]).succeeded();
    world.dkm(["roster", "show"]).exits(3);
    world.dkm(["roster", "propose", "mail", "roster.toml", "-o", "p"]).exits(7);
    world.dkm(["elevate", "list"]).exits(2);
}
