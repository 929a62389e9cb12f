//! The happy path of every command, in text and in JSON, as snapshots.

use crate::support::{Run, World};

/// Every JSON result is one object on one line.
fn assert_json(runs: &[Run]) {
    for run in runs {
        assert!(run.json().is_object());
    }
}

#[test]
fn groups_and_policy() {
    let world = World::empty();
    let text = [
        world.dkm(["init"]),
        world.dkm(["group", "list"]),
        world.dkm(["group", "create", "mail", "--description", "mailbox passwords"]),
        world.dkm(["group", "create", "backup", "--creators", "owner", "--policy", "rotation_period=30d"]),
        world.dkm(["group", "list"]),
        world.dkm(["policy", "show"]),
        world.dkm(["policy", "set", "rotation_period=60d", "suite=chacha20-poly1305", "--dry-run"]),
        world.dkm(["policy", "set", "rotation_period=60d", "suite=chacha20-poly1305"]),
        world.dkm(["policy", "set", "rotation_period=60d"]),
    ];
    insta::assert_snapshot!("groups_and_policy", world.session(&text));
}

#[test]
fn a_group_is_handed_over_only_where_that_is_said() {
    let world = World::with_group();
    let hand_over = ["policy", "set", "owners=uid:4000000000"];
    world.dkm(hand_over).exits(7);
    world.dkm(hand_over.into_iter().chain(["--even-if-it-locks-me-out"])).succeeded();
    world.dkm(["policy", "set", "rotation_period=60d"]).exits(4);
}

#[test]
fn groups_and_policy_in_json() {
    let world = World::empty();
    let json = [
        world.dkm(["init", "--json"]),
        world.dkm(["group", "create", "mail", "--json"]),
        world.dkm(["group", "list", "--json"]),
        world.dkm(["policy", "show", "--json"]),
        world.dkm(["policy", "set", "rotation_period=60d", "--json"]),
    ];
    assert_json(&json);
    insta::assert_snapshot!("groups_and_policy_json", world.session(&json));
}

#[test]
fn protect_and_open() {
    let world = World::with_group();
    world.write("password.txt", "correct horse");
    let text = [
        world.dkm(["protect", "-c", "account=alice", "password.txt", "-o", "password.dkm"]),
        world.dkm(["inspect", "password.dkm"]),
        world.dkm(["unprotect", "-c", "account=alice", "password.dkm"]),
        world.dkm(["unprotect", "-c", "account=alice", "--whole", "password.dkm"]),
        world.dkm(["unprotect", "-c", "account=alice", "password.dkm", "-o", "opened.txt"]),
        world.dkm(["reprotect", "-c", "account=alice", "password.dkm", "password.txt"]),
        world.dkm(["key", "usage", "password.dkm", "password.txt"]),
    ];
    insta::assert_snapshot!("protect_and_open", world.session(&text));
    assert_eq!(std::fs::read(world.at("opened.txt")).unwrap(), b"correct horse");
}

#[test]
fn protect_and_open_in_json() {
    let world = World::with_group();
    world.write("password.txt", "correct horse");
    let json = [
        world.dkm(["protect", "-c", "account=alice", "password.txt", "-o", "password.dkm", "--json"]),
        world.dkm(["inspect", "password.dkm", "--json"]),
        world.dkm(["unprotect", "-c", "account=alice", "password.dkm", "-o", "opened.txt", "--json"]),
        world.dkm(["reprotect", "-c", "account=alice", "password.dkm", "--json"]),
        world.dkm(["key", "usage", "password.dkm", "--json"]),
    ];
    assert_json(&json);
    insta::assert_snapshot!("protect_and_open_json", world.session(&json));
    // Where stdout carries the plaintext, the result is on stderr.
    let beside = world.dkm(["unprotect", "-c", "account=alice", "password.dkm", "--json"]).succeeded();
    assert_eq!(beside.text(), "correct horse");
    let result: serde_json::Value = serde_json::from_str(beside.stderr.trim()).unwrap();
    assert_eq!(result["plaintext_len"], 13);
}

#[test]
fn the_life_of_keys() {
    let world = World::with_group();
    let first = world.protecting_key();
    world.write("old.txt", "protected with the first key");
    world.dkm(["protect", "old.txt", "-o", "old.dkm"]).succeeded();
    let mut text = vec![
        world.dkm(["key", "list"]),
        world.dkm(["key", "show", &first[..6]]),
        world.dkm(["key", "suspend", &first[..6], "--reason", "under investigation"]),
        world.dkm(["unprotect", "old.dkm"]),
        world.dkm(["protect", "old.txt", "-o", "refused.dkm"]),
        world.dkm(["key", "resume", &first[..6], "--reason", "false alarm"]),
        world.dkm(["key", "roll", "--reason", "rehearsal"]),
        world.dkm(["key", "roll"]),
        world.dkm(["key", "compromise", &first, "--reason", "found in a core dump"]),
        world.dkm(["unprotect", "old.dkm"]),
        world.dkm(["unprotect", "old.dkm", "--allow-compromised", "to change the password"]),
        world.dkm(["reprotect", "old.dkm"]),
        world.dkm(["reprotect", "old.dkm", "--allow-compromised", "cannot be changed"]),
        world.dkm(["unprotect", "old.dkm"]),
    ];
    let destroy = ["key", "destroy", &first, "--reason", "over", "--force", "--confirm", &first];
    text.push(world.dkm(destroy));
    text.push(world.dkm(["key", "list"]));
    text.push(world.dkm(["key", "show", &first[..6]]));
    insta::assert_snapshot!("life_of_keys", world.session(&text));
    let journal = std::fs::read_to_string(world.at("state/dkm/audit.jsonl")).unwrap();
    for needle in ["to change the password", "found in a core dump", "cannot be changed", "false alarm"] {
        assert!(journal.contains(needle), "{needle}\n{journal}");
    }
}

#[test]
fn the_life_of_keys_in_json() {
    let world = World::with_group();
    let first = world.protecting_key();
    let mut json = vec![
        world.dkm(["key", "list", "--json"]),
        world.dkm(["key", "show", &first, "--json"]),
        world.dkm(["key", "suspend", &first, "--reason", "a", "--json"]),
        world.dkm(["key", "resume", &first, "--reason", "b", "--json"]),
        world.dkm(["key", "roll", "--json"]),
        world.dkm(["key", "compromise", &first, "--reason", "c", "--json"]),
    ];
    let destroy = ["key", "destroy", &first, "--reason", "d", "--force", "--confirm", &first, "--json"];
    json.push(world.dkm(destroy));
    json.push(world.dkm(["key", "list", "--json"]));
    json.push(world.dkm(["key", "show", &first, "--json"]));
    assert_json(&json);
    insta::assert_snapshot!("life_of_keys_json", world.session(&json));
}

#[test]
fn what_waits_when_somebody_leaves_is_told_and_dealt_with() {
    let world = World::with_group();
    let first = world.protecting_key();
    let roll =
        |arguments: &[&str]| world.dkm(["key", "roll", "--json"].iter().chain(arguments)).succeeded().json();
    let waiting = roll(&[])["key"]["key"].clone();
    let told = world.dkm(["key", "roll"]).succeeded();
    assert!(told.stderr.contains("dkm key roll --fresh"), "{}", told.stderr);
    let fresh = roll(&["--fresh"]);
    assert_eq!(fresh["archived"], serde_json::json!([waiting]));
    let fresh = fresh["key"]["key"].clone();
    let compromise = ["key", "compromise", &first, "--reason", "x", "--keep-waiting", "--json"];
    let done = world.dkm(compromise).succeeded();
    assert_eq!(done.json()["still_waiting"], serde_json::json!([fresh]));
    assert!(done.stderr.contains("\"kind\":\"waiting-key\""), "{}", done.stderr);
}

#[test]
fn json_lines_are_renewed_with_a_context_from_their_own_fields() {
    let world = World::with_group();
    let first = world.protecting_key();
    let blob = |account: &str| {
        let id = format!("account={account}");
        let blob = world
            .dkm_stdin(["protect", "-c", "service=imap", "-c", &id], account.as_bytes())
            .succeeded()
            .stdout;
        String::from_utf8(base64(&blob)).unwrap()
    };
    let store = format!(
        "{{\"id\":\"alice\",\"password\":\"{}\"}}\n{{\"id\":\"bob\",\"password\":\"{}\",\"x\":1}}\n",
        blob("alice"),
        blob("bob")
    );
    world.write("accounts.jsonl", &store);
    world.dkm(["key", "compromise", &first, "--reason", "rehearsal"]).succeeded();
    let common = ["--json-lines", "accounts.jsonl", "--field", "/password"];
    let usage = world.dkm(["key", "usage", "--json"].into_iter().chain(common)).succeeded().json();
    assert_eq!(usage["keys"][0]["blobs"], 2);
    let context = ["-c", "service=imap", "--context-from", "account=/id", "--allow-compromised", "rehearsal"];
    let renewed =
        world.dkm(["reprotect", "--json"].into_iter().chain(common).chain(context)).succeeded().json();
    assert_eq!(renewed["renewed"], 2);
    let after = world.dkm(["key", "usage", "--json"].into_iter().chain(common)).succeeded().json();
    assert_eq!(after["keys"][0]["key"].as_str().unwrap(), world.protecting_key());
    assert_ne!(std::fs::read_to_string(world.at("accounts.jsonl")).unwrap(), store);
}

/// Base64 with the program that everybody has, so that no other encoder has to be trusted.
fn base64(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child =
        Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn archives_are_exported_inspected_and_restored() {
    let world = World::with_group();
    world.write("secret", "keep me");
    world.dkm(["protect", "secret", "-o", "secret.dkm"]).succeeded();
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    world.write("identity.txt", age::secrecy::ExposeSecret::expose_secret(&identity.to_string()));
    let text = [
        world.dkm(["archive", "export", "--recipient", &recipient, "-o", "mail.age"]),
        world.dkm(["inspect", "mail.age"]),
        world.dkm(["archive", "inspect", "mail.age", "--identity", "identity.txt"]),
        world.dkm(["archive", "restore", "mail.age", "--identity", "identity.txt", "--reason", "rehearsal"]),
    ];
    insta::assert_snapshot!("archives", world.session(&text));

    // Repository and root keys are lost; the archive brings the group back under its old id.
    std::fs::remove_dir_all(world.at("data/dkm")).unwrap();
    world.dkm(["init"]).succeeded();
    let lost = world.dkm(["archive", "restore", "mail.age", "--identity", "identity.txt"]).exits(3);
    assert!(lost.stderr.contains("--make-group"), "{}", lost.stderr);
    let json = [
        world.dkm(["archive", "inspect", "mail.age", "--identity", "identity.txt", "--json"]),
        world.dkm(["archive", "restore", "mail.age", "--identity", "identity.txt", "--make-group", "--json"]),
        world.dkm(["archive", "export", "--recipient", &recipient, "-o", "again.age", "--json"]),
    ];
    assert_json(&json);
    insta::assert_snapshot!("archives_json", world.session(&json));
    assert_eq!(world.dkm(["unprotect", "secret.dkm"]).succeeded().text(), "keep me");
}

#[test]
fn new_keys_are_sealed_to_the_archive_before_use_where_policy_says_so() {
    let world = World::with_group();
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let recipients = format!("archive_recipients={recipient}");
    world.dkm(["policy", "set", &recipients, "archive_before_use=true"]).succeeded();
    // With nowhere to put it, no key is made.
    let refused = world.dkm(["key", "roll"]).exits(7);
    assert!(refused.stderr.contains("DKM_ARCHIVE_FOLDER"), "{}", refused.stderr);
    assert_eq!(world.dkm(["key", "list", "--json"]).succeeded().json()["keys"].as_array().unwrap().len(), 1);
    let made = world
        .dkm_with(["key", "roll", "--json"], b"", |command| {
            command.env("DKM_ARCHIVE_FOLDER", "sealed");
        })
        .succeeded()
        .json();
    let (group, key) = (made["group"]["id"].as_str().unwrap(), made["key"]["key"].as_str().unwrap());
    let sealed = std::fs::read(world.at(&format!("sealed/{group}/{key}.age"))).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
}

#[test]
fn the_doctor_tells_what_is_wrong_and_exits_accordingly() {
    let world = World::with_group();
    let healthy = world.dkm(["doctor", "--json"]).succeeded();
    assert_eq!(healthy.json()["healthy"], true);
    let checks = healthy.json()["checks"].as_array().unwrap().clone();
    let single = checks.iter().find(|check| check["name"] == "replicas").unwrap();
    assert_eq!(single["level"], "warning");

    // Without its root key the group's keys can't be opened.
    std::fs::rename(world.at("data/dkm/repository.root-keys"), world.at("elsewhere")).unwrap();
    let ill = world.dkm(["doctor", "--json"]).exits(3).json();
    assert_eq!(ill["healthy"], false);
    let broken = ill["checks"].as_array().unwrap().iter().find(|check| check["name"] == "root-key").unwrap();
    assert_eq!((&broken["level"], &broken["kind"]), (&"error".into(), &"not-found".into()));
    // Elsewhere is as good, if it is named.
    world
        .dkm_with(["doctor"], b"", |command| {
            command.env("DKM_ROOT_KEYS", "elsewhere");
        })
        .succeeded();

    let nowhere = World::empty();
    let missing = nowhere.dkm(["doctor"]).exits(3);
    assert!(missing.text().contains("dkm init"), "{}", missing.text());
    assert_eq!(missing.stderr, "");
}

#[test]
fn the_doctor_in_text() {
    let world = World::with_group();
    let text = world.session(&[world.dkm(["doctor"])]);
    // Whether memory can be locked, and who has access, depends on the machine and the account.
    let stable: Vec<&str> =
        text.lines().filter(|line| !line.contains("  memory  ") && !line.contains("  access  ")).collect();
    insta::assert_snapshot!("doctor", stable.join("\n"));
}

#[test]
fn root_keys_are_listed_made_and_replaced() {
    let world = World::with_group();
    let first = world.protecting_key();
    let made = world.dkm(["root-key", "make", "--reason", "yearly", "--json"]).succeeded().json();
    let new = made["root_key"].as_str().unwrap();
    assert_eq!(made["wraps"], false);
    let text = [
        world.dkm(["root-key", "list"]),
        world.dkm(["root-key", "use", new, "--reason", "yearly"]),
        world.dkm(["key", "roll"]),
        world.dkm(["root-key", "list"]),
        world.dkm(["root-key", "use", "ff"]),
        world.dkm(["root-key", "use", &"f".repeat(32)]),
    ];
    insta::assert_snapshot!("root_keys", world.session(&text));
    assert_eq!((text[4].code, text[5].code), (Some(2), Some(3)));
    let list = world.dkm(["root-key", "list", "--json"]).succeeded().json();
    let root = |is_new: bool| {
        let roots = list["root_keys"].as_array().unwrap();
        roots.iter().find(|root| (root["id"] == new) == is_new).unwrap().clone()
    };
    assert_eq!(
        (&root(false)["needed_by"], &root(false)["current"]),
        (&serde_json::json!([first]), &false.into())
    );
    assert_eq!((root(true)["keys"].as_array().unwrap().len(), &root(true)["current"]), (1, &true.into()));
    let journal = std::fs::read_to_string(world.at("state/dkm/audit.jsonl")).unwrap();
    assert_eq!(journal.matches("root-key-rotated").count(), 1, "what is refused is not recorded as done");

    // A group whose keys were not wrapped comes to a root key.
    world.dkm(["group", "create", "plain", "--policy", "wrap=none"]).succeeded();
    let steps = [
        world.dkm(["root-key", "list", "--group", "plain"]),
        world.dkm(["root-key", "make", "--group", "plain"]),
        world.dkm(["policy", "set", "--group", "plain", "wrap=root-key"]),
        world.dkm(["key", "roll", "--group", "plain"]),
        world.dkm(["root-key", "list", "--group", "plain"]),
    ];
    insta::assert_snapshot!("first_root_key", world.session(&steps));
}

#[test]
fn a_command_republishes_only_what_some_replica_has() {
    let world = World::with_group();
    let key = world.protecting_key();
    let text = [
        world.dkm(["key", "republish", "--dry-run"]),
        world.dkm(["key", "republish", &key, "--reason", "rehearsal"]),
        world.dkm(["key", "republish", &"f".repeat(32)]),
    ];
    insta::assert_snapshot!("republish", world.session(&text));
    assert_eq!(text[2].code, Some(3));
    let json = world.dkm(["key", "republish", &key, "--json"]).succeeded().json();
    assert_eq!(json["keys"][0]["fate"], "everywhere");
    let destroyed = {
        world.dkm(["key", "roll"]).succeeded();
        let waiting = world.dkm(["key", "list", "--json"]).succeeded().json()["keys"][1]["id"].clone();
        let waiting = waiting.as_str().unwrap().to_owned();
        let destroy = ["key", "destroy", &waiting, "--reason", "x", "--force", "--confirm", &waiting];
        world.dkm(destroy).succeeded();
        waiting
    };
    world.dkm(["key", "republish", &destroyed]).exits(7);
}
