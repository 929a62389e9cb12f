//! A domain with two controllers.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;

use common::{ldapsearch, text};
use dkm_testbed::{Domain, Options, Scope};

#[test]
fn changes_replicate_a_partition_makes_conflict_twins_and_the_survivor_of_a_loss_goes_on() {
    let Some(domain) = Domain::start_or_skip(&Options::two()).unwrap() else { return };
    let (first, second) = (&domain.controllers()[0], domain.second().unwrap());
    assert_ne!(first.invocation_id().unwrap(), second.invocation_id().unwrap());
    let account = domain.add_user("svc-a").unwrap();
    let room = format!("OU=room,{}", domain.base());
    domain.add_ou(&room).unwrap();
    domain.replicate().unwrap();
    let cache = domain.ccache_at(second, &account, None).unwrap();
    assert!(text(&ldapsearch(&domain, second, &cache, &room)).contains("objectClass: organizationalUnit"));

    // Both sides make the same name, and what only one side makes stays there until the link is mended.
    domain.link_down().unwrap();
    let contact = |name: &str, value: &str| {
        format!("dn: CN={name},{room}\nobjectClass: contact\ndescription: {value}\n")
    };
    first.modify_ldif(&(contact("twin", "made on the first") + "\n" + &contact("single", "x"))).unwrap();
    second.modify_ldif(&contact("twin", "made on the second")).unwrap();
    let all = "(objectClass=contact)";
    assert_eq!(second.search(&room, Scope::One, all, &[]).unwrap().len(), 1);
    domain.link_up().unwrap();
    domain.replicate().unwrap();
    let seen = |at: &dkm_testbed::Controller| -> BTreeSet<(String, String)> {
        let found = at.search(&room, Scope::One, all, &["description"]).unwrap();
        found.iter().map(|entry| (entry.dn.clone(), entry.text("description").unwrap())).collect()
    };
    let objects = seen(first);
    assert_eq!(objects, seen(second));
    let values: BTreeSet<&str> = objects.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, BTreeSet::from(["made on the first", "made on the second", "x"]));
    assert_eq!(objects.iter().filter(|(dn, _)| dn.contains("\\0ACNF:")).count(), 1, "{objects:?}");

    // A controller that stops comes back and catches up; one that is lost doesn't.
    second.stop().unwrap();
    first.modify_ldif(&contact("later", "y")).unwrap();
    domain.restart_controller(second).unwrap();
    domain.replicate().unwrap();
    assert_eq!(second.search(&format!("CN=later,{room}"), Scope::Base, all, &[]).unwrap().len(), 1);
    domain.lose(first).unwrap();
    domain.restart().unwrap_err();
    let cache = domain.ccache(&account, None).unwrap();
    assert!(ldapsearch(&domain, second, &cache, &room).status.success());
}
