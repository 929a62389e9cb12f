//! The audit log is a precondition.

use std::os::unix::fs::PermissionsExt;

use axum::http::{Method, StatusCode};
use dkm_audit::entry::{Actor, Phase};
use serde_json::Value;

use crate::support::{CREATOR, GROUP, PERSON_OWNER, Place, READER, ROOT, STRANGER};

fn last(place: &Place, action: &str) -> Vec<(String, Phase)> {
    let entries = place.entries().into_iter().filter(|entry| entry.action.as_str() == action);
    entries.map(|entry| (entry.actor.as_str().to_owned(), entry.phase)).collect()
}

#[tokio::test]
async fn a_key_leaves_only_after_its_entry_and_every_refusal_has_one() {
    let place = Place::with_everybody().await;
    let key = place.add_key("first").await;
    assert!(last(&place, "read-key").is_empty());
    let read = place.get(READER, &key).await;
    assert_eq!(read.status, StatusCode::OK);
    let found = last(&place, "read-key");
    assert_eq!(found[0], ("service:reader".to_owned(), Phase::Intent));
    let entries = place.entries();
    let intent = entries.iter().find(|entry| entry.action.as_str() == "read-key").unwrap();
    assert_eq!(intent.group.unwrap().to_string(), GROUP);
    assert!(intent.key.is_some());

    // Whoever owns the group and reads no keys gets what is no secret, and that is no release.
    let public = place.get(PERSON_OWNER, &key).await;
    assert_eq!(public.body["public_only"], true);
    assert_eq!(last(&place, "read-key").iter().filter(|(_, phase)| *phase == Phase::Intent).count(), 1);

    let denied = place.get(STRANGER, &key).await;
    assert_eq!((denied.status, denied.code()), (StatusCode::FORBIDDEN, "denied"));
    assert_eq!(last(&place, "read-metadata"), [("service:stranger".to_owned(), Phase::Denied)]);
}

#[tokio::test]
async fn entries_hold_no_material() {
    let place = Place::with_everybody().await;
    let key = place.add_key("first").await;
    place.get(READER, &key).await;
    let token = place.must(ROOT, Method::POST, "/v1/principals/service:reader/token", Value::Null).await;
    let token = token["token"].as_str().unwrap();
    let material = dkm_core::Digest::of(b"first");
    for entry in place.entries() {
        let line = String::from_utf8(entry.encode().unwrap()).unwrap();
        assert!(!line.contains(token) && !line.contains(&material.to_string()), "{line}");
    }
}

/// A log that takes no entries stops everything that must be recorded, says so, and everything goes on once it does.
#[tokio::test]
async fn without_the_log_nothing_is_released_or_changed_and_it_recovers() {
    let place = Place::with_everybody().await;
    let key = place.add_key("first").await;
    let checkpoint = place.folder.path().join("outside");
    let away = place.folder.path().join("away");
    // The place of the last checkpoint is gone: not even root can write there.
    std::fs::rename(&checkpoint, &away).unwrap();
    for _ in 0..2 {
        let read = place.get(READER, &key).await;
        assert_eq!((read.status, read.code()), (StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable"));
        assert_eq!(read.body["record"], Value::Null);
        assert!(read.body["advice"].as_str().unwrap().contains("/health"));
        let denied = place.get(STRANGER, &key).await;
        assert_eq!(denied.code(), "audit-unavailable", "what can't be recorded is not even refused");
        let path = format!("/v1/groups/{GROUP}/rooms/keys/second");
        let put = place.ask(CREATOR, Method::PUT, &path, crate::support::key_record("second")).await;
        assert_eq!(put.code(), "audit-unavailable");
        let health = place.get(READER, "/health").await;
        assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((&health.body["audit"], &health.body["database"]), (&"failing".into(), &"ok".into()));
    }
    // What is no secret and changes nothing is still served: clients go on with what they have.
    assert_eq!(place.get(READER, &format!("/v1/groups/{GROUP}/rooms/keys")).await.status, StatusCode::OK);
    std::fs::rename(&away, &checkpoint).unwrap();
    assert_eq!(place.get(READER, "/health").await.status, StatusCode::OK);
    assert_eq!(place.get(READER, &key).await.status, StatusCode::OK);
    let list = place.get(READER, &format!("/v1/groups/{GROUP}/rooms/keys")).await;
    assert_eq!(list.body["entries"].as_array().unwrap().len(), 1, "the change that was refused was not made");
}

#[tokio::test]
async fn a_log_that_was_removed_while_it_runs_is_noticed() {
    let place = Place::with_everybody().await;
    let key = place.add_key("first").await;
    std::fs::rename(place.data().join("audit"), place.folder.path().join("taken")).unwrap();
    let read = place.get(READER, &key).await;
    assert_eq!(read.code(), "audit-unavailable", "{}", read.body);
    std::fs::rename(place.folder.path().join("taken"), place.data().join("audit")).unwrap();
    assert_eq!(place.get(READER, &key).await.status, StatusCode::OK);
}

#[tokio::test]
async fn changes_are_announced_before_and_told_after() {
    let place = Place::with_everybody().await;
    place.add_key("first").await;
    let entries = place.entries();
    let at = |phase: fn(&Phase) -> bool| {
        entries.iter().position(|entry| entry.action.as_str() == "add-key" && phase(&entry.phase)).unwrap()
    };
    let intent = at(|phase| *phase == Phase::Intent);
    let outcome = at(|phase| matches!(phase, Phase::Success { .. }));
    assert!(intent < outcome);
    assert_eq!(entries[outcome].phase.intent(), Some(intent as u64));
    assert_eq!(entries[intent].actor, "service:creator".parse::<Actor>().unwrap());
    assert!(place.server.store().last_leaf().unwrap().unwrap() >= intent as u64);
}

#[tokio::test]
async fn the_folder_is_this_account_s_alone() {
    let place = Place::new();
    for name in ["", "audit.key", "authority.key", "dkmd.db"] {
        let mode = std::fs::metadata(place.data().join(name)).unwrap().permissions().mode() & 0o077;
        // The database lies in a folder that nobody else may enter.
        assert!(mode == 0 || name == "dkmd.db", "{name}");
    }
}
