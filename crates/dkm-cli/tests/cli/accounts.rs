//! Connected accounts, kept by commands.

use serde_json::Value;

use crate::support::World;

const SECRET: &[u8] = b"abcd efgh ijkl mnop\n";

fn added(world: &World, words: &[&str], secret: &[u8]) -> Value {
    let words = [&["accounts", "add"], words, &["--password-stdin", "--json"]].concat();
    world.dkm_stdin(words, secret).succeeded().json()
}

fn json(world: &World, words: &[&str]) -> Value {
    world.dkm([&["accounts"], words, &["--json"]].concat()).succeeded().json()
}

#[test]
fn kept_listed_shown_changed_and_removed() {
    let world = World::with_group();
    let alice = added(&world, &["alice@Gmail.com", "--owner", "user-1"], SECRET);
    assert_eq!(
        (&alice["provider"], &alice["host"], &alice["state"]),
        (&"gmail".into(), &"imap.gmail.com".into(), &"new".into())
    );
    let pop = ["alice@example.org", "--owner", "user-1", "--host", "pop.example.org", "--protocol", "pop3"];
    let custom = added(&world, &pop, b"x");
    assert_eq!((&custom["provider"], &custom["port"]), (&"custom".into(), &995.into()));
    added(&world, &["bob@hotmail.com", "--owner", "user 2", "--login", "oauth2"], b"token\r\n");

    let list = world.dkm(["accounts", "list"]).succeeded().text();
    assert!(list.contains("3 accounts.") && list.contains("bob@hotmail.com"), "{list}");
    let of = json(&world, &["list", "--owner", "user 2"]);
    assert_eq!(of["accounts"].as_array().unwrap().len(), 1);
    let shown = world.dkm(["accounts", "show", "bob@HOTMAIL.com"]).succeeded().text();
    assert!(shown.contains("Outlook.com") && shown.contains("refresh-token under key"), "{shown}");
    let id = alice["id"].as_str().unwrap();
    assert_eq!(json(&world, &["show", &id[..8]])["id"], alice["id"]);

    // A service that has read the secret reads the new one; and the export is what it says.
    let update = ["accounts", "update", id, "--password-stdin"];
    world.dkm_stdin(update, b"second\n").succeeded();
    let export = world.dkm(["accounts", "export", "--owner", "user-1"]).succeeded();
    world.write("accounts.jsonl", &export.stdout);
    let lines: Vec<Value> = export.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["id"] == alice["id"]).unwrap();
    let usage = ["key", "usage", "--json-lines", "accounts.jsonl", "--field", "/secrets/password", "--json"];
    let usage = world.dkm(usage).succeeded().json();
    assert_eq!(usage["keys"][0]["blobs"], 2, "{usage}");
    world.write("blob64", line["secrets"]["password"].as_str().unwrap());
    let open = "base64 -d blob64 > blob && exec \"$0\" unprotect -c dkm-accounts=1 -c owner=user-1 -c account=$1 -c provider=gmail -c field=password blob";
    let mut opened = std::process::Command::new("/bin/sh");
    for (name, value) in world.command().get_envs() {
        opened.env(name, value.unwrap());
    }
    let opened =
        opened.args(["-c", open, env!("CARGO_BIN_EXE_dkm"), id]).current_dir(world.at("")).output().unwrap();
    assert_eq!(opened.stdout, b"second", "{}", String::from_utf8_lossy(&opened.stderr));

    world.dkm(["accounts", "remove", id]).succeeded();
    world.dkm(["accounts", "show", id]).exits(3);
    assert_eq!(json(&world, &["rewrap"])["renewed"], 0);
}

#[test]
fn what_cannot_be_is_told_with_what_helps() {
    let world = World::with_group();
    let add = |words: &[&str]| {
        world.dkm_stdin([&["accounts", "add"], words, &["--password-stdin"]].concat(), SECRET)
    };
    add(&["alice@gmail.com", "--owner", "user-1"]).succeeded();
    let runs = [
        add(&["alice@gmail.com", "--owner", "user-1"]).exits(2),
        add(&["alice@outlook.com", "--owner", "user-1"]).exits(2),
        add(&["alice@example.org", "--owner", "user-1"]).exits(2),
        add(&["alice@gmail.com", "--owner", "user-1", "--host", "imap.example.org"]).exits(2),
        add(&["alice", "--owner", "user-1"]).exits(2),
        world.dkm_stdin(["accounts", "update", "alice@gmail.com", "--password-stdin"], b"").exits(2),
        world.dkm_stdin(["accounts", "update", "alice@gmail.com", "--password-stdin"], b"a\nb\n").exits(2),
        world.dkm(["accounts", "add", "bob@gmail.com", "--owner", "user-1"]).exits(2),
        world.dkm(["accounts", "show", "bob@gmail.com"]).exits(3),
        world.dkm(["accounts", "show", "bob"]).exits(2),
        world.dkm(["accounts", "list", "--store", "elsewhere"]).exits(3),
        world.dkm(["accounts", "list", "--state", "lost"]).exits(2),
    ];
    insta::assert_snapshot!("accounts_refused", world.session(&runs));
}

#[test]
fn the_secret_is_nowhere_but_in_its_blob() {
    let world = World::with_group();
    added(&world, &["alice@gmail.com", "--owner", "user-1"], SECRET);
    let traced = |command: &mut std::process::Command| {
        command.env("DKM_LOG", "trace");
    };
    let words = ["accounts", "update", "alice@gmail.com", "--password-stdin"];
    let run = world.dkm_with(words, SECRET, traced).succeeded();
    assert!(!run.stderr.contains("abcd efgh"));
    assert!(!crate::secrecy::holds(world.path(), b"abcd efgh"));
}
