//! Direct access by commands: a person's own `dkm` reads the group's keys, until the grant ends.

use crate::world::{Run, World};

/// Alice unprotects with the grant's credentials, by her own command.
fn unprotect(world: &World, blob: &str) -> Run {
    let url = world.server.url(&world.at("grant"));
    let pairs = ["-c", "account=17", "-c", "kind=token"];
    world.person("alice", &[&["--repository", &url, "unprotect", blob][..], &pairs].concat())
}

#[test]
fn keys_are_read_until_the_grant_is_ended_and_then_count_as_exposed() {
    let world = World::new();
    let blob = world.blob("token.dkm", "17", "the refresh token");
    let words =
        ["elevate", "request", "--direct", "--reason", "the broker is down", "--duration", "30m", "--json"];
    let request = world.person("alice", &words).succeeded().json()["request"].as_str().unwrap().to_owned();
    let folder = world.at("grant");
    let folder = folder.to_str().unwrap();
    let credentials = ["elevate", "credentials", &request, "--credentials", folder, "--json"];
    for who in ["bob", "carol"] {
        world.answer(who, "approve", &request, &[]).succeeded();
    }
    // The level that direct access has beyond the others.
    world.person("alice", &["elevate", "activate", &request]).exits(7);
    world.person("alice", &credentials).exits(7);
    world.answer("dave", "approve", &request, &[]).succeeded();
    world.person("alice", &["elevate", "activate", &request]).succeeded();
    world.person("bob", &credentials).exits(4).says("another's grant");
    let got = world.person("alice", &credentials).succeeded().json();
    assert_eq!(got["account"], "person:alice");

    assert_eq!(unprotect(&world, &blob).succeeded().text(), "the refresh token");
    let keys = world.of("service:mail", &["key", "list", "--json"]).succeeded().json();
    assert_eq!(keys["keys"][0]["exposed"], true, "{keys}");
    // What she holds makes nothing, and her own credentials still read nothing.
    let url = world.server.url(&world.at("grant"));
    world.person("alice", &["--repository", &url, "key", "roll"]).exits(4);
    world.person("alice", &["unprotect", &blob, "-c", "account=17", "-c", "kind=token"]).exits(4);
    let own = world.server.url(&world.at("person-alice/credentials"));
    let over_own = ["--repository", &own, "elevate", "credentials", &request, "--credentials", "credentials"];
    world.person("alice", &over_own).exits(2).says("another folder");

    world.person("dave", &["elevate", "revoke", &request]).succeeded();
    unprotect(&world, &blob).exits(4);
    world.person("alice", &credentials).exits(7).says("revoked");
    let found = world
        .admin(&[
            "audit",
            "search",
            world.server.log().to_str().unwrap(),
            "--key",
            &world.server.log_key,
            "--grant",
            &request,
        ])
        .succeeded()
        .text();
    for action in
        ["manage-lifecycle", "issue-credentials", "read-key", "elevation-revoke", "certificate-refused"]
    {
        assert!(found.contains(action), "{action} is not in {found}");
    }
}
