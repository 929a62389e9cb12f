//! What must not work, tried by commands.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::world::World;

#[test]
fn the_requester_does_not_approve_by_any_of_her_accounts() {
    let world = World::new();
    let request = world.request(&[]);
    for who in ["alice", "alice-2", "bob"] {
        let key = world.key("alice");
        let more = ["--as", "alice", "--level", "manager", "--key", key.to_str().unwrap()];
        world.answer(who, "approve", &request, &more).exits(4).says("does not decide on it");
    }
    // The other way round.
    let asked = ["elevate", "request", "--reason", "x", "-c", "account=17", "--duration", "10m", "--json"];
    let second = world.person("alice-2", &asked).succeeded().json()["request"].as_str().unwrap().to_owned();
    let more = ["--as", "alice", "--level", "manager"];
    world.answer("alice", "approve", &second, &more).exits(4).says("does not decide on it");
    world.answer("alice", "approve", &second, &["--as", "alice"]).exits(4).says("does not decide on it");
    let shown = world.person("dave", &["elevate", "show", &second, "--json"]).succeeded().json();
    assert_eq!(
        (shown["status"].as_str(), shown["missing"][0]["people"].as_u64()),
        (Some("pending"), Some(1))
    );
}

/// Gives an answer with a signature that was made over any text, straight to the server.
fn replay(
    world: &World,
    who: &str,
    request: &str,
    level: &str,
    approver: &str,
    signature: &str,
) -> Result<(), dkm_remote::ElevationError> {
    let url = world.server.url(&world.at(&format!("person-{who}")).join("credentials"));
    let repository = dkm_remote::RemoteRepository::open(url.parse().unwrap(), dkm_remote::Limits::default());
    let answer = dkm_remote::wire::elevation::NewAnswer {
        approver: approver.into(),
        level: level.into(),
        approve: true,
        signature: signature.into(),
    };
    dkm_remote::Elevations::of(repository).answer(request.parse().unwrap(), &answer).map(drop)
}

fn sign(world: &World, key: &str, namespace: &str, text: &str) -> String {
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(world.key(key))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn an_approval_is_good_for_what_was_signed_and_for_nothing_else() {
    let world = World::new();
    let (first, second) = (
        world.request(&["--emergency", "--duration", "5m"]),
        world.request(&["--emergency", "--duration", "5m"]),
    );
    let seen = world.statement("dave", "approve", &first, &[]).succeeded().json();
    let text = seen["statement"].as_str().unwrap();
    let good = sign(&world, "dave", "dkm-approval", text);
    for (request, level, signature) in [
        (&second, "on call", good.clone()),
        (&first, "legal", good.clone()),
        (&first, "on call", sign(&world, "dave", "dkm-roster", text)),
        (&first, "on call", sign(&world, "dave", "dkm-approval", &text.replace("his mail", "her mail"))),
        (&first, "on call", sign(&world, "carol", "dkm-approval", text)),
    ] {
        let error = replay(&world, "dave", request, level, "dave", &signature).unwrap_err();
        assert!(matches!(error.kind(), dkm::ErrorKind::Usage | dkm::ErrorKind::Denied), "{level}: {error}");
    }
    // It was good.
    replay(&world, "dave", &first, "on call", "dave", &good).unwrap();
}

#[test]
fn a_key_that_the_roster_does_not_have_signs_nothing() {
    let world = World::new();
    let request = world.request(&[]);
    let eve = world.key("eve");
    let more = ["--key", eve.to_str().unwrap()];
    world.answer("bob", "approve", &request, &more).exits(7).says("none that you have in the roster");
    // So it is for whoever sees no group, and stands in the roster alone.
    let more = ["--as", "bob", "--level", "manager", "--key", eve.to_str().unwrap()];
    world.answer("alice-2", "approve", &request, &more).exits(7).says("none that you have in the roster");
    world
        .answer("carol", "approve", &request, &["--level", "manager"])
        .exits(4)
        .says("does not approve at level");
    // Before her level's turn nothing is signed, unless she names it; and then it is not taken.
    world.answer("carol", "approve", &request, &[]).exits(2).says("the level that is to decide now");
    world.answer("carol", "approve", &request, &["--level", "legal"]).exits(7).says("is to approve first");
    // Nobody signs what he has not looked at.
    let key = world.key("carol");
    let blind = ["elevate", "approve", &request, "--level", "legal", "--key", key.to_str().unwrap()];
    world.person("carol", &blind).exits(2).says("nobody is there to confirm");
    let other = "00".repeat(32);
    let other = [&blind[..], &["--yes", "--digest", &other]].concat();
    world.person("carol", &other).exits(7).says("it is not what was looked at");
}

#[test]
fn a_grant_opens_what_it_was_given_for_and_for_whom() {
    let world = World::new();
    let (his, other) = (world.blob("17.dkm", "17", "his"), world.blob("18.dkm", "18", "another's"));
    let request = world.granted(&["--count", "3"]);
    world.open(&request, &other, "18").exits(4).says("does not cover");
    let lied = world.open(&request, &other, "17").exits(2);
    assert_eq!(lied.text(), "");
    for who in ["bob", "dave"] {
        assert_eq!(world.open_as(who, &request, &his, "17").exits(4).says("another's grant").text(), "");
    }
    world.open_as("eve", &request, &his, "17").exits(4);
    assert_eq!(world.open(&request, &his, "17").succeeded().text(), "his");
}

#[test]
fn a_log_that_is_not_the_one_that_was_seen_is_not_believed() {
    let world = World::new();
    let blob = world.blob("17.dkm", "17", "his");
    let request = world.granted(&["--count", "50"]);
    world.open(&request, &blob, "17").succeeded();
    let pins = world.at("person-alice/.local/state/dkm/pins");
    let only = |kind: &str| std::fs::read_dir(pins.join(kind)).unwrap().next().unwrap().unwrap().path();
    let (key, checkpoint) = (only("log-key"), only("checkpoint"));
    world.open(&request, &blob, "17").succeeded();
    // Another log's key; a checkpoint of a fork; one that is ahead of what the server shows now.
    let (known, kept) =
        (std::fs::read_to_string(&key).unwrap(), std::fs::read_to_string(&checkpoint).unwrap());
    let elsewhere = World::new();
    std::fs::write(&key, &elsewhere.server.log_key).unwrap();
    let refused = world.open(&request, &blob, "17").exits(5);
    assert_eq!(refused.text(), "", "no plaintext without a proof");
    std::fs::write(&key, &known).unwrap();
    let mut lines: Vec<&str> = kept.lines().collect();
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    lines[2] = root;
    std::fs::write(&checkpoint, lines.join("\n") + "\n").unwrap();
    let forked = world.open(&request, &blob, "17").exits(5).says("does not begin with");
    assert_eq!(forked.text(), "");
    lines[1] = "900000";
    std::fs::write(&checkpoint, lines.join("\n") + "\n").unwrap();
    assert_eq!(world.open(&request, &blob, "17").exits(5).says("does not begin with").text(), "");
    std::fs::write(&checkpoint, &kept).unwrap();
    world.open(&request, &blob, "17").succeeded();
}

#[test]
fn what_others_write_moves_no_terminal() {
    let world = World::new();
    for reason in ["a\u{1b}[2Jb", "a\u{202e}b", "line\nbreak"] {
        let words = ["elevate", "request", "--reason", reason, "-c", "account=17", "--duration", "10m"];
        let refused = world.person("alice", &words).exits(2).says("reason holds");
        assert!(!refused.stderr.contains(['\u{1b}', '\u{202e}']), "{:?}", refused.stderr);
    }
}
