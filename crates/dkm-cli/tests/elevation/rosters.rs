//! Rosters, changed by who may, and by nobody else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::world::World;

#[test]
fn a_roster_is_checked_shown_and_changed_by_those_whom_it_names() {
    let world = World::new();
    let checked = world.person("dave", &["roster", "check", "../roster.toml"]).succeeded();
    assert!(checked.text().contains("level 2 \"legal\": 1 of \"carol\""), "{}", checked.text());
    let shown = world.person("dave", &["roster", "show", "--json"]).succeeded().json();
    assert_eq!(shown["versions"][0]["digest"], shown["genesis"]);
    let toml = world.person("dave", &["roster", "show", "--toml"]).succeeded().text();
    let quorum = toml.replace("approvers = [\"carol\"]", "approvers = [\"carol\", \"dave\"]");
    assert_ne!(toml, quorum, "{toml}");
    std::fs::write(world.at("next.toml"), quorum).unwrap();

    let propose = ["roster", "propose", &world.group, "../next.toml", "-o", "../p"];
    let proposed = world.person("dave", &propose).succeeded();
    assert!(proposed.text().contains("- level 2 \"legal\": 1 of \"carol\"\n"), "{}", proposed.text());
    assert!(
        proposed.text().contains("+ level 2 \"legal\": 1 of \"carol\", \"dave\"\n"),
        "{}",
        proposed.text()
    );
    // An owner alone can't: neither without signatures, nor with one level's.
    world
        .of("service:mail", &["roster", "apply", "../p"])
        .exits(7)
        .says("level \"manager\" lacks 1 signature of alice, bob");
    sign(&world, "carol", "../p", "+ level 2");
    world.of("service:mail", &["roster", "apply", "../p"]).exits(7).says("level \"manager\" lacks");
    sign(&world, "bob", "../p", "+ level 2");
    let applied = world.of("service:mail", &["roster", "apply", "../p", "--json"]).succeeded().json();
    assert_eq!(applied["version"], 2);
    let waiting = world.person("dave", &["roster", "show"]).succeeded().text();
    assert!(waiting.contains("takes effect at") && waiting.contains("+ level 2"), "{waiting}");
    let json = world.person("dave", &["roster", "show", "--json"]).succeeded().json();
    assert_eq!(
        (&json["versions"][1]["waits"], &json["versions"][1]["in_force"]),
        (&true.into(), &false.into())
    );
    assert_eq!(json["versions"][1]["signed_by"], serde_json::json!(["bob", "carol"]));
    // What follows the first version is too late.
    world.of("service:mail", &["roster", "apply", "../p"]).succeeded();
}

/// Signs a proposal that is shown with these words.
fn sign(world: &World, who: &str, proposal: &str, shown: &str) {
    let key = world.key(who);
    let key = if key.exists() { key.to_str().unwrap().to_owned() } else { "agent".to_owned() };
    let words = ["roster", "sign", proposal, "--as", who, "--key", &key, "--json"];
    let seen = world.person(who, &[&words[..], &["--dry-run"]].concat()).succeeded().json();
    assert!(seen["shown"].as_str().unwrap().contains(shown), "{seen}");
    let digest = seen["digest"].as_str().unwrap().to_owned();
    world.person(who, &[&words[..], &["--yes", "--digest", &digest]].concat()).succeeded();
}

#[test]
fn an_owner_who_writes_past_the_command_changes_nothing_and_is_seen() {
    use dkm_core::record::Record;
    let world = World::new();
    let request = world.request(&[]);
    let one_level = world.roster().replace("[[levels]]\nname = \"legal\"\napprovers = [\"carol\"]\n\n", "");
    std::fs::write(world.at("next.toml"), one_level).unwrap();
    world.person("dave", &["roster", "propose", &world.group, "../next.toml", "-o", "../p"]).succeeded();
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(world.at("p")).unwrap()).unwrap();
    let bytes =
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, file["record"].as_str().unwrap()).unwrap();
    let (group, record) = Record::decode(&bytes).unwrap();
    let url = world.server.url(&world.at("service-mail/credentials"));
    let repository = dkm_remote::RemoteRepository::open(url.parse().unwrap(), dkm_remote::Limits::default());
    let mut replica = dkm::repository::Repository::connect(&repository, 0).unwrap();
    let slot = record.slot(group, 0);
    let put = replica.put(group, dkm_core::Room::Control, &slot, &bytes).unwrap();
    assert_eq!(put, dkm::repository::Put::Created);
    let seen = world
        .person("dave", &["roster", "show"])
        .succeeded()
        .says("does not count: its signatures do not satisfy");
    assert!(seen.text().contains("level 2 \"legal\""), "{}", seen.text());
    world.answer("bob", "approve", &request, &[]).succeeded();
    world.person("alice", &["elevate", "activate", &request]).exits(7).says("pending");
}

#[test]
fn another_first_roster_than_the_one_that_was_seen_is_not_believed() {
    let world = World::new();
    let request = world.request(&[]);
    world.person("bob", &["roster", "show"]).succeeded();
    let pin = world.at(&format!("person-bob/.local/state/dkm/pins/roster/{}", world.group));
    std::fs::write(&pin, "00".repeat(32)).unwrap();
    world.person("bob", &["roster", "show"]).exits(5).says("and was 00000");
    world.answer("bob", "approve", &request, &[]).exits(5).says("first roster");
}

#[test]
fn a_change_of_the_roster_ends_what_was_granted_and_leaves_its_evidence() {
    let world = World::with_delay("0");
    let blob = world.blob("token.dkm", "17", "x");
    let request = world.granted(&[]);
    world.open(&request, &blob, "17").succeeded();
    let toml = world.person("dave", &["roster", "show", "--toml"]).succeeded().text();
    // Dave is the manager now, and Bob has left.
    let public = |name: &str| std::fs::read_to_string(world.key(name).with_extension("pub")).unwrap();
    let key = format!("\"{}\"", public("bob").trim());
    let next =
        toml.replace("approvers = [\n    \"alice\",\n    \"bob\",\n]", "approvers = [\"alice\", \"dave\"]");
    let next = next.replace(&key, "").replace("person:bob", "person:gone");
    assert!(next.contains("[\"alice\", \"dave\"]") && !next.contains(&key), "{next}");
    std::fs::write(world.at("next.toml"), next).unwrap();
    world.person("dave", &["roster", "propose", &world.group, "../next.toml", "-o", "../p"]).succeeded();
    for who in ["bob", "carol"] {
        sign(&world, who, "../p", "+ person \"bob\": account \"person:gone\"");
    }
    world.of("service:mail", &["roster", "apply", "../p"]).succeeded();
    world.open(&request, &blob, "17").exits(7).says("the policy or the roster was changed");
    let evidence =
        world.person("dave", &["elevate", "evidence", &request, "-o", "e", "--json"]).succeeded().json();
    for answer in evidence["answers"].as_array().unwrap() {
        let mut verify = std::process::Command::new("sh");
        verify.args(["-c", answer["command"].as_str().unwrap()]).current_dir(world.at("person-dave"));
        assert!(verify.output().unwrap().status.success(), "{answer}");
    }
}

#[test]
fn who_checked_before_does_not_approve_unchecked() {
    let world = World::new();
    let request = world.request(&[]);
    // Alice's other account is no auditor, and sees no group: she stands in the roster, so she checks all the same.
    let more = ["--as", "alice", "--level", "manager"];
    let seen = world.statement("alice-2", "approve", &request, &more).succeeded().json();
    assert!(
        seen["checks"].as_str().unwrap().contains("Checked in the records") && seen["checked"] == true,
        "{seen}"
    );
    // Through a server that withholds the group's records.
    let uid = std::fs::metadata(world.at("roster.toml")).unwrap().uid().to_string();
    world.admin(&["principal", "add", "person:bob", "--uid", &uid]).succeeded();
    let withholding = withholding(&world);
    let answer = |decision: &str| {
        let words =
            ["elevate", decision, &request, "--dry-run", "--json", "--as", "bob", "--level", "manager"];
        let words = [&words[..], &["--key", "agent"]].concat();
        world.run_with("person:bob", &withholding, &[], &words)
    };
    let seen = answer("approve").succeeded().json();
    assert!(seen["checks"].as_str().unwrap().contains("NOT CHECKED") && seen["checked"] == false, "{seen}");
    // Once he has seen them, not any more.
    world.statement("bob", "approve", &request, &[]).succeeded();
    answer("approve").exits(4).says("and can't now");
    answer("deny").succeeded();
}

/// A server in front of the world's, which says of each group's records that they are not for the caller.
fn withholding(world: &World) -> String {
    let (front, behind) = (world.at("front"), world.at("server/socket"));
    let listener = UnixListener::bind(&front).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, UnixStream::connect(&behind)) else { return };
            std::thread::spawn(move || forward(client, server));
        }
    });
    format!("unix:{}", front.display())
}

/// Passes requests without a body on, one after the other, until either end has enough.
fn forward(mut client: UnixStream, mut server: UnixStream) -> Option<()> {
    let body = r#"{"code":"denied","detail":"not for you"}"#;
    let refusal = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut requests = BufReader::new(client.try_clone().ok()?);
    let mut answers = server.try_clone().ok()?;
    let mut to_client = client.try_clone().ok()?;
    std::thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if requests.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        if head.starts_with("GET /v1/groups/") {
            client.write_all(refusal.as_bytes()).ok()?;
        } else {
            server.write_all(head.as_bytes()).ok()?;
        }
    }
}

#[test]
fn files_that_are_none_are_told_so() {
    let world = World::new();
    std::fs::write(world.at("bad.toml"), world.roster().replace("revokers", "revoker")).unwrap();
    world.person("dave", &["roster", "check", "../bad.toml"]).exits(2).says("unknown field revoker");
    world.person("dave", &["roster", "check", "../none.toml"]).exits(3);
    world.person("dave", &["roster", "sign", "../roster.toml", "--as", "dave", "--key", "agent"]).exits(2);
}
