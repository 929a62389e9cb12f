//! The whole way, and how it ends.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::World;

/// Entries of the audit log about a request: who, what, in which phase.
fn entries(world: &World, request: &str) -> Vec<(String, String, String, u64)> {
    let log = world.server.log();
    let words = [
        "audit",
        "search",
        log.to_str().unwrap(),
        "--key",
        &world.server.log_key,
        "--grant",
        request,
        "--json",
    ];
    let found = world.admin(&words).succeeded();
    let text = found.text();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = all.first().and_then(|one| one["entries"].as_array().cloned()).unwrap_or(all);
    let field = |entry: &Value, name: &str| entry["entry"][name].as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|entry| {
            let index = entry["index"].as_u64().unwrap();
            (field(entry, "actor"), field(entry, "action"), field(entry, "phase"), index)
        })
        .collect()
}

#[test]
fn asked_approved_used_and_over_with_an_entry_for_each_step() {
    let world = World::new();
    let blob = world.blob("token.dkm", "17", "the refresh token");
    let request = world.request(&["--count", "100", "--duration", "20s"]);
    world.open(&request, &blob, "17").exits(7).says("pending");

    // Bob's key is in his agent.
    let seen = world.statement("bob", "approve", &request, &[]).succeeded().json();
    assert!(seen["checks"].as_str().unwrap().contains("Checked in the records of group \"mail\""), "{seen}");
    assert!(
        seen["statement"].as_str().unwrap().contains("reason: \"a customer can't read his mail\"\n"),
        "{seen}"
    );
    let one = world.answer("bob", "approve", &request, &[]).succeeded().json();
    assert_eq!(one["status"], "pending");
    world.person("alice", &["elevate", "activate", &request]).exits(7).says("pending");
    let both = world.answer("carol", "approve", &request, &[]).succeeded().json();
    assert_eq!((&both["status"], &both["status_verified"]), (&Value::from("approved"), &Value::from(true)));
    let active = world.person("alice", &["elevate", "activate", &request, "--json"]).succeeded().json();
    assert_eq!(active["status"], "active");

    let opened = world.open(&request, &blob, "17").succeeded();
    assert_eq!(opened.text(), "the refresh token");
    let to_file =
        ["elevate", "run", &request, "--json", "--log-key", &world.server.log_key, "--", "unprotect"];
    let to_file = [&to_file[..], &[&blob, "-o", "token", "-c", "kind=token", "-c", "account=17"]].concat();
    let receipt = world.person("alice", &to_file).succeeded().json();
    let file = world.at("person-alice/token");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "the refresh token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // It ends while it is used.
    let start = Instant::now();
    let refused = loop {
        let run = world.open(&request, &blob, "17");
        if run.code != Some(0) {
            break run;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "the grant does not end");
        std::thread::sleep(Duration::from_millis(200));
    };
    let refused = refused.exits(7).says("its time is over");
    assert_eq!(refused.text(), "");
    world.person("alice", &["elevate", "activate", &request]).exits(7);

    // Each step stands in the log, before its outcome, and can be proved.
    let entries = entries(&world, &request);
    let steps: Vec<(&str, &str)> = entries
        .iter()
        .filter(|(_, action, phase, _)| phase == "intent" && action != "unprotect")
        .map(|(who, action, ..)| (who.as_str(), action.as_str()))
        .collect();
    let expected = [
        ("person:alice", "elevation-request"),
        ("person:bob", "elevation-answer"),
        ("person:carol", "elevation-answer"),
        ("person:alice", "elevation-activate"),
    ];
    assert_eq!(steps[..4], expected);
    let leaf = receipt["audit"]["leaf"].as_u64().unwrap();
    let used = entries.iter().find(|(.., index)| *index == leaf).unwrap();
    assert_eq!((used.1.as_str(), used.2.as_str()), ("unprotect", "intent"));
    let log = world.server.log();
    let log = log.to_str().unwrap();
    for (_, _, _, index) in &entries[..3] {
        let index = index.to_string();
        world
            .admin(&["audit", "prove", log, &index, "--key", &world.server.log_key, "-o", &index])
            .succeeded();
    }
    world.admin(&["audit", "verify", log, "--key", &world.server.log_key]).succeeded();
}

#[test]
fn legal_says_no() {
    let world = World::new();
    let request = world.request(&[]);
    world.answer("bob", "approve", &request, &[]).succeeded();
    let denied = world.answer("carol", "deny", &request, &[]).succeeded().json();
    assert_eq!(denied["status"], "denied");
    world.answer("carol", "approve", &request, &[]).exits(7).says("denied");
    world.person("alice", &["elevate", "activate", &request]).exits(7).says("denied");
    let list = world.person("dave", &["elevate", "list", "--open", "--json"]).succeeded().json();
    assert_eq!(list["requests"].as_array().unwrap().len(), 0);
    let all = world.person("dave", &["elevate", "list"]).succeeded();
    assert!(all.text().contains("denied") && all.text().contains(&request), "{}", all.text());
}

#[test]
fn a_grant_is_ended_early_and_a_request_is_taken_back() {
    let world = World::new();
    let blob = world.blob("token.dkm", "17", "x");
    let request = world.granted(&[]);
    world.open(&request, &blob, "17").succeeded();
    world.person("eve", &["elevate", "revoke", &request]).exits(4);
    world.person("dave", &["elevate", "revoke", &request]).succeeded();
    world.open(&request, &blob, "17").exits(7).says("revoked");
    let other = world.request(&[]);
    world.person("bob", &["elevate", "withdraw", &other]).exits(4).says("withdraw another's request");
    let none = format!("{}{}", &other[..35], if other.ends_with('0') { '1' } else { '0' });
    world.person("dave", &["elevate", "show", &none]).exits(3).says("there is no request");
    world.person("alice", &["--group", "mail", "elevate", "list"]).exits(3).says("names it by its id");
    world.person("alice", &["elevate", "withdraw", &other]).succeeded();
    world.answer("bob", "approve", &other, &[]).exits(7).says("withdrawn");
}

#[test]
fn an_emergency_has_its_own_level_and_a_review() {
    let world = World::new();
    let blob = world.blob("token.dkm", "17", "x");
    let request = world.request(&["--emergency", "--duration", "5m"]);
    world
        .answer("bob", "approve", &request, &["--level", "manager"])
        .exits(4)
        .says("does not approve at level");
    let approved = world.answer("dave", "approve", &request, &[]).succeeded().json();
    assert_eq!((&approved["status"], &approved["emergency"]), (&Value::from("approved"), &Value::from(true)));
    world.person("alice", &["elevate", "activate", &request]).succeeded();
    world.open(&request, &blob, "17").succeeded();
    world.person("dave", &["elevate", "review", &request]).exits(7);
    world.person("alice", &["elevate", "revoke", &request]).succeeded();
    world.person("alice", &["elevate", "review", &request]).exits(4);
    world.person("dave", &["elevate", "review", &request]).succeeded();
    let shown = world.person("dave", &["elevate", "show", &request]).succeeded();
    assert!(shown.text().contains("reviewed by dave"), "{}", shown.text());
}

#[test]
fn the_requester_may_come_over_the_socket() {
    let world = World::new();
    let blob = world.blob("token.dkm", "17", "over the socket");
    let uid = rustix::process::geteuid().as_raw().to_string();
    world.admin(&["principal", "add", "person:alice", "--uid", &uid, "--administrator"]).succeeded();
    let asked = ["elevate", "request", "--reason", "x", "-c", "account=17", "--duration", "10m", "--json"];
    let request = world.admin(&asked).succeeded().json()["request"].as_str().unwrap().to_owned();
    world.answer("bob", "approve", &request, &[]).succeeded();
    world.answer("carol", "approve", &request, &[]).succeeded();
    world.admin(&["elevate", "activate", &request]).succeeded();
    let run = ["elevate", "run", &request, "--", "unprotect", &blob, "-c", "account=17", "-c", "kind=token"];
    assert_eq!(world.admin(&run).succeeded().text(), "over the socket");
}

#[test]
fn approvals_are_verified_by_ssh_keygen_alone() {
    let world = World::new();
    let request = world.granted(&[]);
    for who in ["dave", "alice"] {
        let folder = format!("evidence-{who}");
        let words = ["elevate", "evidence", &request, "-o", &folder, "--json"];
        let evidence = world.person(who, &words).succeeded().json();
        let answers = evidence["answers"].as_array().unwrap();
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert_eq!(answer["keys_verified"], true);
            let command = answer["command"].as_str().unwrap();
            let verify = |command: &str| {
                let mut shell = Command::new("sh");
                shell.args(["-c", command]).current_dir(world.at(&format!("person-{who}")));
                shell.output().unwrap().status.success()
            };
            assert!(verify(command), "{command}");
            // It can fail: another statement was not signed.
            let statement = world.at(&format!("person-{who}")).join(answer["statement"].as_str().unwrap());
            let text = std::fs::read_to_string(&statement).unwrap();
            std::fs::write(&statement, text.replace("his mail", "her mail")).unwrap();
            assert!(!verify(command), "{command}");
        }
    }
}

#[test]
fn a_person_at_a_terminal_types_what_he_decides() {
    let world = World::new();
    let request = world.request(&["--emergency", "--duration", "5m"]);
    let key = world.key("dave");
    let approve = ["elevate", "approve", &request, "--key", key.to_str().unwrap()];
    for (typed, code, told) in
        [("yes\n", 7, "not confirmed"), ("\n", 7, "not confirmed"), ("approve\n", 0, "dave has approved")]
    {
        let run = world.at_terminal("dave", &approve, typed).exits(code);
        assert!(run.text().contains("Type \"approve\" to sign this"), "{}", run.text());
        assert!(run.text().contains("requester: \"alice\"") && run.text().contains(told), "{}", run.text());
    }
}
