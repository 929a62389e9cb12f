//! What people try.

use axum::http::{Method, StatusCode};
use dkm_server::caller::Peer;
use dkm_server::setup::{self, SetupError};
use serde_json::{Value, json};

use crate::support::{CREATOR, GROUP, Place, READER, ROOT, STRANGER, key_record};

#[tokio::test]
async fn a_person_is_made_a_member_by_no_way_of_the_api() {
    let place = Place::with_everybody().await;
    let new = "/v1/groups/08080808-0808-0808-0808-080808080808";
    place.must(ROOT, Method::PUT, "/v1/directory-groups/group:staff", json!({"kind": "person"})).await;
    place.must(ROOT, Method::PUT, "/v1/directory-groups/group:robots", json!({"kind": "service"})).await;
    for role in ["readers", "creators"] {
        for who in ["person:nobody", "group:staff"] {
            let refused = place.json(CREATOR, Method::PUT, new, json!({ role: [who] })).await;
            assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid"));
            assert!(refused.body["detail"].as_str().unwrap().contains("only service accounts are members"));
        }
    }
    for who in ["person:nobody", "group:staff"] {
        let path = format!("/v1/directory-groups/group:robots/members/{who}");
        let refused = place.json(ROOT, Method::PUT, &path, Value::Null).await;
        assert!(refused.body["detail"].as_str().unwrap().contains("never mixed"));
    }
    // A person has no group of its own either: it would be a member.
    let refused = place.json(Peer::Uid(2007), Method::PUT, new, json!({})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    // What a principal is never changes.
    let refused =
        place.json(ROOT, Method::PUT, "/v1/principals/person:nobody", json!({"kind": "service"})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let refused = place.json(
        ROOT,
        Method::PUT,
        "/v1/principals/service:reader",
        json!({"kind": "service", "administrator": true}),
    );
    assert_eq!(refused.await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_administrator_reads_no_keys() {
    let place = Place::with_everybody().await;
    let key = place.add_key("first").await;
    for who in [ROOT, Peer::Uid(2008)] {
        let refused = place.get(who, &key).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "denied"));
        assert_eq!(place.get(who, "/v1/groups").await.body["groups"], json!([]));
    }
}

#[tokio::test]
async fn a_removed_member_is_denied_with_the_next_request() {
    let place = Place::with_everybody().await;
    let member = "/v1/directory-groups/group:robots/members/service:stranger";
    place.must(ROOT, Method::PUT, "/v1/directory-groups/group:robots", json!({"kind": "service"})).await;
    place.must(ROOT, Method::PUT, member, Value::Null).await;
    let group = "/v1/groups/08080808-0808-0808-0808-080808080808";
    place.must(CREATOR, Method::PUT, group, json!({"readers": ["group:robots"]})).await;
    place.must(CREATOR, Method::POST, &format!("{group}/announcement"), Value::Null).await;
    let rights = format!("{group}/rights");
    assert_eq!(place.get(STRANGER, &rights).await.body["read"], true);
    place.must(ROOT, Method::DELETE, member, Value::Null).await;
    let refused = place.get(STRANGER, &rights).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "denied"));

    place.must(ROOT, Method::DELETE, "/v1/principals/service:reader", Value::Null).await;
    let refused = place.get(READER, &format!("/v1/groups/{GROUP}/rights")).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
}

#[tokio::test]
async fn nobody_changes_or_erases_a_record_and_a_slot_is_taken_once() {
    let place = Place::with_everybody().await;
    let key = place.add_key("first").await;
    let slot = key.split('?').next().unwrap();
    let again = place.ask(CREATOR, Method::PUT, slot, key_record("other")).await;
    assert_eq!(again.body["outcome"], "taken");
    let erased = place.ask(CREATOR, Method::DELETE, &key, vec![]).await;
    assert_eq!((erased.status, erased.code()), (StatusCode::CONFLICT, "not-tombstoned"));
    assert_eq!(place.get(READER, &key).await.status, StatusCode::OK);
}

#[tokio::test]
async fn garbage_is_refused_with_words_and_never_with_an_error_of_the_server() {
    let place = Place::with_everybody().await;
    let long = "x".repeat(5000);
    let paths = [
        "/v1/groups/x/rights".to_owned(),
        format!("/v1/groups/{long}/rights"),
        format!("/v1/groups/{GROUP}/rooms/attic"),
        format!("/v1/groups/{GROUP}/rooms/keys/UPPER?stamp=00"),
        format!("/v1/groups/{GROUP}/rooms/keys/slot?stamp=zz"),
        format!("/v1/groups/{GROUP}/rooms/keys/slot"),
        format!("/v1/groups/{GROUP}/rooms/keys?since=%00%ff"),
        format!("/v1/groups/{GROUP}/rooms/keys?since={long}"),
        "/v1/groups/%ff%fe/rights".to_owned(),
        "/v1/nothing".to_owned(),
    ];
    for path in paths {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
            let answer = place.ask(CREATOR, method.clone(), &path, b"{\"a\": [1,".to_vec()).await;
            assert!(!answer.status.is_server_error(), "{method} {path}: {}", answer.status);
            if !answer.status.is_success() {
                assert!(
                    !answer.body["detail"].as_str().unwrap_or("").is_empty(),
                    "{method} {path}: {}",
                    answer.body
                );
            }
        }
    }
    let secret = "tokentokentoken";
    let body = format!("{{\"token\": {{\"{secret}\": 1}}}}").into_bytes();
    let answer = place.ask(Peer::Nobody, Method::POST, "/v1/enrolment", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.body.to_string().contains(secret), "an error repeats what may be a secret");
    let too_much = vec![b'x'; dkm_remote::wire::BODY_LEN_MAX + 1];
    let path = format!("/v1/groups/{GROUP}/rooms/keys/slot");
    assert_eq!(place.ask(CREATOR, Method::PUT, &path, too_much).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(place.ask(CREATOR, Method::PUT, &path, vec![]).await.status, StatusCode::BAD_REQUEST);
}

/// A database that was put back may hold access that was taken away since: it is not served.
#[tokio::test]
async fn an_older_database_is_not_served_until_somebody_answers_for_it() {
    let place = Place::with_everybody().await;
    let (config, folder) = (place.config.clone(), place.folder.path().to_owned());
    let database = config.data.join("dkmd.db");
    place.server.store().settle();
    let older = folder.join("older.db");
    std::fs::copy(&database, &older).unwrap();
    place.must(ROOT, Method::DELETE, "/v1/principals/service:reader", Value::Null).await;
    let kept = place.folder;
    drop(place.server);
    setup::open(&config).unwrap();

    std::fs::copy(&older, &database).unwrap();
    for name in ["dkmd.db-wal", "dkmd.db-shm"] {
        let _ = std::fs::remove_file(config.data.join(name));
    }
    let error = setup::open(&config).unwrap_err();
    assert!(matches!(error, SetupError::Mismatch(_)), "{error}");
    assert!(error.advice().unwrap().contains("dkmd recover"), "{error}");
    let recovered = setup::recover(&config, "uid:0", &"INC-1: the disk was lost".parse().unwrap()).unwrap();
    drop(recovered);
    // From here on it is in order, and what was done is in the log.
    let server = std::sync::Arc::new(setup::open(&config).unwrap());
    let place = Place { folder: kept, config, server };
    let entry = place.entries().into_iter().find(|entry| entry.action.as_str() == "recover").unwrap();
    assert_eq!(entry.reason.unwrap().as_str(), "INC-1: the disk was lost");
    assert_eq!(place.get(READER, &format!("/v1/groups/{GROUP}/rights")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_older_log_is_not_served_either() {
    let place = Place::with_everybody().await;
    let config = place.config.clone();
    let (log, older) = (config.data.join("audit"), place.folder.path().join("older"));
    copy_all(&log, &older);
    place.add_key("first").await;
    let kept = place.folder;
    drop(place.server);
    std::fs::remove_dir_all(&log).unwrap();
    copy_all(&older, &log);
    assert!(matches!(setup::open(&config).unwrap_err(), SetupError::Audit(_)));
    // With the checkpoint put back too, the database still knows better.
    std::fs::copy(log.join("checkpoint"), &config.checkpoint).unwrap();
    assert!(matches!(setup::open(&config).unwrap_err(), SetupError::Mismatch(_)));
    // Whoever answers for it can go on.
    drop(setup::recover(&config, "uid:0", &"INC-2: the log was lost".parse().unwrap()).unwrap());
    setup::open(&config).unwrap();
    drop(kept);
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &into);
        } else {
            std::fs::copy(entry.path(), into).unwrap();
        }
    }
}

#[tokio::test]
async fn nobody_becomes_the_server_itself() {
    let place = Place::with_everybody().await;
    let path = "/v1/principals/service:dkmd";
    for refused in [
        place.json(ROOT, Method::POST, &format!("{path}/token"), Value::Null).await,
        place.json(ROOT, Method::PUT, path, json!({"kind": "service", "uids": [4000]})).await,
    ] {
        assert_eq!(refused.code(), "invalid", "{}", refused.body);
    }
}

/// A reader tells that a key is in use, and takes no key's place by that.
#[tokio::test]
async fn a_reader_adds_nothing_but_notices_in_their_own_places() {
    use dkm_core::record::{Change, Purpose, Record, StatusRecord};
    let place = Place::with_everybody().await;
    let group = GROUP.parse().unwrap();
    let notice = Record::Status(StatusRecord {
        key: dkm_core::KeyId([1; 16]),
        change: Change::Resumed,
        purpose: Purpose::InUse,
        reason: "in use".to_owned(),
        epoch: 0,
        answers: vec![dkm_core::Digest([2; 32])],
        when_ms: 1,
    });
    let path = |slot: &str| format!("/v1/groups/{GROUP}/rooms/keys/{slot}");
    let own = notice.slot(group, 0).to_string();
    let elsewhere = place.ask(READER, Method::PUT, &path("a-key-s-place"), notice.encode(group)).await;
    assert_eq!(elsewhere.code(), "denied", "{}", elsewhere.body);
    let key = place.ask(READER, Method::PUT, &path("a-key-s-place"), key_record("x")).await;
    assert_eq!(key.code(), "denied");
    let taken = place.ask(READER, Method::PUT, &path(&own), notice.encode(group)).await;
    assert_eq!(taken.body["outcome"], "created", "{}", taken.body);
}
