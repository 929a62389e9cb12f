//! What people and services of a domain do, and what becomes of it when the domain says otherwise.

use dkm_testbed::Account;

use super::Place;
use crate::world::Run;

const BY_CONTEXT: [&str; 4] = ["-c", "account=17", "-c", "kind=token"];

impl Place {
    /// A group of the server's own that services of a group of the domain read, and into which Alice of the domain is let in;
    /// and a blob of it.
    fn with_group(&mut self) -> String {
        let in_domain = format!("mail-readers@{}", self.domain.name());
        // Ada administers because a group of the domain says so.
        self.of("ada", &["directory", "group-add", &in_domain]).succeeded();
        let roster = self.world.roster().replace("\"person:alice\"", "\"person:alice@dkm.test\"");
        std::fs::write(self.world.at("roster.toml"), roster).unwrap();
        let readers = format!("group:{in_domain}");
        let mut create = vec!["group", "create", "mail"];
        for reader in ["service:mail", "service:dkmd", &readers] {
            create.extend(["--readers", reader]);
        }
        for auditor in ["person:bob", "person:carol", "person:dave"] {
            create.extend(["--auditors", auditor]);
        }
        create.extend(["--policy", "wrap=none", "--roster", "../roster.toml", "--json"]);
        let made = self.world.of("service:mail", &create).succeeded().json();
        self.world.group = made["group"]["id"].as_str().unwrap().to_owned();
        self.world.blob("token.dkm", "17", "the refresh token")
    }

    fn request(&self, more: &[&str], approvers: &[&str]) -> String {
        let mut words =
            vec!["elevate", "request", "--reason", "a customer can't read his mail", "--duration", "30m"];
        words.push("--json");
        words.extend(more);
        let request = self.of("alice", &words).succeeded().json()["request"].as_str().unwrap().to_owned();
        for who in approvers {
            self.world.answer(who, "approve", &request, &[]).succeeded();
        }
        self.of("alice", &["elevate", "activate", &request]).succeeded();
        request
    }

    fn read(&self, name: &str, blob: &str) -> Run {
        self.of(name, &[&["unprotect", blob][..], &BY_CONTEXT].concat())
    }
}

#[test]
fn people_of_the_domain_are_let_in_and_services_read_until_the_domain_says_otherwise() {
    let Some(mut place) = Place::new() else { return };
    let who = place.whoami("alice").succeeded().json();
    assert_eq!(who["account"].as_str(), Some("person:alice@dkm.test"), "{who}");
    assert_eq!((&who["administrator"], &who["auditor"]), (&false.into(), &false.into()), "{who}");
    assert_eq!(place.whoami("ada").succeeded().json()["administrator"], true);
    place.of("alice", &["principal", "list"]).exits(4);
    let blob = place.with_group();

    // By the broker.
    let request = place.request(&["-c", "account=17", "--count", "5"], &["bob", "carol"]);
    let shown = place.of("alice", &["elevate", "show", &request]).succeeded().text();
    assert!(shown.contains("person:alice@dkm.test"), "{shown}");
    let mine = place.of("alice", &["elevate", "list"]).succeeded().text();
    assert!(mine.contains(&request), "{mine}");
    let run = |place: &Place| {
        let words = [&["elevate", "run", &request, "--", "unprotect", &blob][..], &BY_CONTEXT].concat();
        place.of("alice", &words)
    };
    assert_eq!(run(&place).succeeded().text(), "the refresh token");

    // By a certificate that ends with the grant.
    let direct = place.request(&["--direct"], &["bob", "carol", "dave"]);
    let folder = place.world.at("grant").display().to_string();
    place.of("alice", &["elevate", "credentials", &direct, "--credentials", &folder]).succeeded();
    let by_certificate = |place: &Place| {
        let url = format!("{}?credentials={folder}", place.world.server.place());
        let words = [&["unprotect", &blob][..], &BY_CONTEXT].concat();
        place.world.run_with("domain:alice", &url, &[], &words)
    };
    assert_eq!(by_certificate(&place).succeeded().text(), "the refresh token");

    // A service of the domain reads, by a group of the domain. A person whom somebody puts into that group does not, nor one
    // whom somebody puts among the services as well.
    assert_eq!(place.read("svc-robot", &blob).succeeded().text(), "the refresh token");
    let alice = place.account("alice").clone();
    place.domain.add_member(&place.readers, &alice.dn).unwrap();
    Place::outlive_cache();
    let groups = place.whoami("alice").succeeded().json()["groups"].clone();
    assert_eq!(groups, serde_json::json!([]), "{groups}");
    place.read("alice", &blob).fails();
    place.domain.add_member(&place.services, &alice.dn).unwrap();
    let refused = place.refused_in_time("Alice as a service", || place.whoami("alice"));
    refused.exits(4).says("is known here as person:alice@dkm.test");
    place.read("alice", &blob).fails();
    by_certificate(&place).fails();
    place.domain.remove_member(&place.services, &alice.dn).unwrap();
    place.succeeds_in_time("Alice as a person", || place.whoami("alice"));

    // A ticket does not outlive its account's standing.
    let ticket = place.domain.ccache(&alice, None).unwrap();
    place.with("alice", &ticket, &["whoami"]).succeeded();
    by_certificate(&place).succeeded();
    place.domain.disable(&alice).unwrap();
    let whoami = || place.with("alice", &ticket, &["whoami"]);
    place.refused_in_time("a disabled account", whoami).exits(4).says("is disabled in the domain");
    by_certificate(&place).fails();
    place.domain.enable(&alice).unwrap();
    place.succeeds_in_time("an account that is enabled again", || place.whoami("alice"));
    assert_eq!(run(&place).succeeded().text(), "the refresh token");

    // Another account under the same name is another one.
    place.domain.delete(&alice.dn).unwrap();
    place.refused_in_time("a deleted account", whoami).exits(4).says("there is no account");
    let anew: Account = place.domain.add_user("alice").unwrap();
    assert_ne!(anew.sid, alice.sid);
    place.domain.add_member(&place.users, &anew.dn).unwrap();
    *place.people.iter_mut().find(|account| account.sam == "alice").unwrap() = anew;
    place.whoami("alice").exits(4).says("another SID");
    place.with("alice", &ticket, &["whoami"]).exits(4).says("another SID");
    by_certificate(&place).fails();
    // Only an administrator decides otherwise, and not while what the old one has asked for is open.
    let add = ["principal", "add", "person:alice@dkm.test"];
    place.of("ada", &add).says("are open");
    for open in [&request, &direct] {
        place.world.person("dave", &["elevate", "revoke", open]).succeeded();
    }
    place.of("ada", &add).succeeded();
    place.whoami("alice").succeeded();
    by_certificate(&place).fails();
    run(&place).fails();

    // Ranks and certificates are the domain's to give.
    for words in [
        &["principal", "add", "person:alice@dkm.test", "--administrator"][..],
        &["principal", "add", "person:alice@dkm.test", "--uid", "4711"],
        &["principal", "add", "service:alice@dkm.test"],
        &["principal", "add", "person:nobody@dkm.test"],
        &["principal", "add", "person:alice@example.com"],
        &["principal", "token", "person:alice@dkm.test", "-o", "token"],
        &["directory", "group-add", "no-such@dkm.test"],
        &["directory", "member-add", "mail-readers@dkm.test", "service:mail"],
    ] {
        place.of("ada", words).fails();
    }
    place.of("ada", &["principal", "disable", "service:svc-robot@dkm.test"]).succeeded();
    place.read("svc-robot", &blob).exits(4).says("is disabled");
    let log = place.world.server.log();
    let search = ["audit", "search", log.to_str().unwrap(), "--key", &place.world.server.log_key];
    let found = place.world.admin(&search).succeeded().text();
    for entry in ["bind-account", "ticket-refused", "person:alice@dkm.test", "service:svc-robot@dkm.test"] {
        assert!(found.contains(entry), "{entry} is not in {found}");
    }
}
