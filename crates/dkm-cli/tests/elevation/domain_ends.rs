//! What is given out in a real domain ends: whatever the server, its accounts, the domain controller and the roster come to.
//!
//! One domain for all, since starting one takes long; each part leaves it as the next needs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dkm_testbed::Scope;

use crate::domain::{Place, SLACK};

/// In how many places the server is killed while it makes tickets.
const KILLS: u32 = 12;
/// `userAccountControl`: the account is disabled.
const DISABLED: u32 = 2;

#[test]
fn what_is_given_out_in_a_domain_ends() {
    let Some(mut place) = Place::new() else { return };
    let blob = place.blob();
    a_server_that_is_killed_while_it_makes_tickets_leaves_nothing_unknown(&mut place, &blob);
    who_was_shut_out_let_in_and_shut_out_again_is_out(&mut place, &blob);
    without_a_roster_in_force_nobody_stays_in(&mut place, &blob);
}

/// Folders in which tickets were being fetched when the server was killed.
fn leftovers(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.domain.folder().join("run")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SLACK, "{what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn a_server_that_is_killed_while_it_makes_tickets_leaves_nothing_unknown(place: &mut Place, blob: &str) {
    let request = place.active("1h");
    let began = Instant::now();
    place.tickets(&request).succeeded();
    let whole = began.elapsed();
    // All that anybody could have got hold of: what was given out, and what lay in the server's memory when it was killed.
    let mut caches = vec![place.world.at("cache-first")];
    std::fs::rename(place.folder().join("krb5cc"), &caches[0]).unwrap();
    for kill in 0..KILLS {
        // Where it is killed is not the same on each machine; what must hold then is.
        std::thread::scope(|scope| {
            let (place, delay) = (&*place, whole * kill / (KILLS - 1));
            let asking = scope.spawn(|| place.tickets(&request).code);
            std::thread::sleep(delay);
            place.world.server.kill_by_id();
            asking.join().unwrap();
        });
        place.world.server.kill();
        for folder in leftovers(place) {
            for file in std::fs::read_dir(folder).unwrap() {
                let path = file.unwrap().path();
                let to = place.world.at(&format!("cache-{}", caches.len()));
                if std::fs::copy(&path, &to).is_ok() {
                    caches.push(to);
                }
            }
        }
        let given = place.folder().join("krb5cc");
        if given.exists() {
            let to = place.world.at(&format!("cache-{}", caches.len()));
            std::fs::rename(&given, &to).unwrap();
            caches.push(to);
        }
        place.world.server.restart();
        let known = place.logged(&request);
        let announced = known.matches("issue-tickets").count();
        let there = place.accounts();
        assert!(there.len() <= announced, "{} accounts, announced {announced} times: {known}", there.len());
        for (name, description, _) in &there {
            assert!(description.contains(&request), "{name}: {description}");
        }
        until("tickets are left in the server's folder", || leftovers(place).is_empty());
    }
    // The request was not held up by any of it: it gives what it should, and it ends.
    place.tickets(&request).succeeded();
    assert_eq!(place.unprotect(blob).succeeded().text(), "the refresh token");
    caches.push(place.folder().join("krb5cc"));
    place.world.person("dave", &["elevate", "revoke", &request]).succeeded();
    until("an account can sign in", || {
        place.accounts().iter().all(|(_, _, control)| control & DISABLED != 0)
    });
    for cache in &caches {
        let environment = place.domain.env_with(cache);
        let run = place.world.run_with(
            "person:alice",
            &place.url,
            &environment,
            &["unprotect", "-c", "account=17", blob],
        );
        assert!(run.code.is_some_and(|code| code != 0), "{} still opens it", cache.display());
    }
    place.tickets(&request).exits(7).says("revoked");
    let log = place.world.server.log();
    let key = &place.world.server.log_key;
    place.world.admin(&["audit", "verify", log.to_str().unwrap(), "--key", key]).succeeded();
}

fn who_was_shut_out_let_in_and_shut_out_again_is_out(place: &mut Place, blob: &str) {
    let request = place.active("1h");
    place.tickets(&request).succeeded();
    assert_eq!(place.unprotect(blob).succeeded().text(), "the refresh token");
    place.world.admin(&["principal", "disable", "person:alice"]).succeeded();
    until("she is let in though she is disabled", || place.unprotect(blob).code != Some(0));
    until("that is not recorded", || place.logged(&request).contains("end-tickets"));
    place.world.enable("person:alice");
    // Her grant goes on, and so she gets tickets again.
    place.tickets(&request).succeeded();
    assert_eq!(place.unprotect(blob).succeeded().text(), "the refresh token");
    let controller = &place.domain.controllers()[0];
    controller.freeze().unwrap();
    // It is taken if what is in force was read just before, or refused for now; what was given out can't be ended yet in either case.
    let revoked = place.world.person("dave", &["elevate", "revoke", &request]).code;
    assert!(matches!(revoked, Some(0 | 6)), "{revoked:?}");
    place.world.admin(&["principal", "disable", "person:alice"]).succeeded();
    controller.thaw().unwrap();
    until("she is let in though she is disabled again", || place.unprotect(blob).code != Some(0));
    until("that is not recorded", || place.logged(&request).matches("end-tickets").count() == 2);
    place.world.enable("person:alice");
    let again = if revoked == Some(0) { 7 } else { 0 };
    place.world.person("dave", &["elevate", "revoke", &request]).exits(again);
    // Once for each time: what was ended is neither ended nor recorded again.
    assert_eq!(place.logged(&request).matches("end-tickets").count(), 2);
}

fn without_a_roster_in_force_nobody_stays_in(place: &mut Place, blob: &str) {
    let request = place.active("1h");
    place.tickets(&request).succeeded();
    assert_eq!(place.unprotect(blob).succeeded().text(), "the refresh token");
    // What the server has seen it goes on by; another server, or this one after a start, finds none in force.
    place.world.server.kill();
    let found = place.domain.search(place.domain.base(), Scope::Sub, "(cn=roster*)", &["cn"]).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    place.domain.controllers()[0].delete(&found[0].dn).unwrap();
    assert_eq!(place.unprotect(blob).succeeded().text(), "the refresh token");
    place.world.server.restart();
    until("she is let in though nobody is", || place.unprotect(blob).code != Some(0));
    until("that is not recorded", || place.logged(&request).contains("end-tickets"));
    // She is nobody there any more.
    place.tickets(&request).exits(4);
}
