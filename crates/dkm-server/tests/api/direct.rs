//! Direct access: a person reads keys by a certificate of his grant, for as long as it is in force.

use axum::http::{Method, StatusCode};
use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_audit::entry::Phase;
use dkm_core::Digest;
use dkm_core::record::{Change, ExposedRecord, Purpose, Record, StatusRecord};
use dkm_server::caller::Peer;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::people::{ALICE, ALICE_2, BOB, CAROL, DAVE, Guarded};
use crate::support::{Answer, CREATOR, GROUP, ROOT, key_record};

fn certificate_request() -> String {
    let key = KeyPair::generate().unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
}

fn asked() -> Value {
    json!({ "reason": "the broker is down, and mail stands still", "ticket": "INC-2", "duration_s": 600 })
}

/// A direct grant of Alice's that all three levels approved; not active yet.
async fn approved(guarded: &Guarded) -> String {
    let request = guarded.request(ALICE, asked()).await["request"].as_str().unwrap().to_owned();
    for (who, answer) in
        [(BOB, ("bob", "manager")), (CAROL, ("carol", "legal")), (DAVE, ("dave", "security"))]
    {
        let answer = guarded.answer(who, &request, answer, true).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }
    request
}

async fn active(guarded: &Guarded) -> String {
    let request = approved(guarded).await;
    assert_eq!(guarded.step(ALICE, &request, "activation").await.body["status"], "active");
    request
}

async fn issue(guarded: &Guarded, who: Peer, request: &str) -> Answer {
    let body = json!({ "request": certificate_request() });
    guarded.place.json(who, Method::POST, &format!("/v1/requests/{request}/credentials"), body).await
}

/// As whom a connection with this certificate is known.
fn peer(issued: &Answer) -> Peer {
    assert_eq!(issued.status, StatusCode::OK, "{}", issued.body);
    let pem = issued.body["certificate"].as_str().unwrap();
    Peer::Certificate(Digest::of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()))
}

fn keys() -> String {
    format!("/v1/groups/{GROUP}/rooms/keys")
}

/// Every key of the group, as somebody is shown it.
async fn read_keys(guarded: &Guarded, who: Peer) -> Vec<Answer> {
    let list = guarded.place.get(who, &keys()).await;
    let mut answers = Vec::new();
    for entry in list.body["entries"].as_array().into_iter().flatten() {
        let (slot, stamp) = (entry["slot"].as_str().unwrap(), entry["stamp"].as_str().unwrap());
        answers.push(guarded.place.get(who, &format!("{}/{slot}?stamp={stamp}", keys())).await);
    }
    if answers.is_empty() { vec![list] } else { answers }
}

fn exposures(guarded: &Guarded) -> Vec<ExposedRecord> {
    let store = guarded.place.server.store();
    let room = dkm_core::Room::Control;
    let all = store.read(|c| dkm_server::store::records::all(c, crate::people::group(), room)).unwrap();
    let exposed = all.iter().filter_map(|(_, record)| match Record::decode(&record.bytes) {
        Ok((_, Record::Exposed(exposed))) => Some(exposed),
        _ => None,
    });
    exposed.collect()
}

#[tokio::test]
async fn keys_are_marked_as_exposed_before_a_certificate_reads_them_and_ends_with_the_grant() {
    let guarded = Guarded::new().await;
    let request = approved(&guarded).await;
    let early = issue(&guarded, ALICE, &request).await;
    assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "conflict"), "{}", early.body);
    assert!(exposures(&guarded).is_empty());

    let until = guarded.step(ALICE, &request, "activation").await.body["until_ms"].as_u64().unwrap();
    let issued = issue(&guarded, ALICE, &request).await;
    let holder = peer(&issued);
    assert!(issued.body["not_after_ms"].as_u64().unwrap() <= until);
    let exposed = exposures(&guarded);
    assert_eq!(exposed.len(), 1);
    assert_eq!(
        (&*exposed[0].who, &*exposed[0].grant, exposed[0].until_ms),
        ("person:alice", &*request, until)
    );

    let read = read_keys(&guarded, holder).await;
    assert!(!read.is_empty());
    for answer in &read {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let record = BASE64_STANDARD.decode(answer.body["record"].as_str().unwrap()).unwrap();
        assert!(matches!(Record::decode(&record), Ok((_, Record::Key(_)))));
        assert_eq!(answer.body["public_only"], false);
    }
    // Each reading has its entry, under the person's name and the grant's; the mark and the certificate come before.
    let entries = guarded.place.entries();
    let steps: Vec<_> = entries
        .iter()
        .filter(|e| e.phase == Phase::Intent && e.grant.as_ref().is_some_and(|g| g.as_str() == request))
        .map(|e| (e.actor.as_str(), e.action.as_str()))
        .collect();
    let last: Vec<_> = steps.iter().rev().take(3).rev().copied().collect();
    assert_eq!(
        last,
        [
            ("person:alice", "manage-lifecycle"),
            ("person:alice", "issue-credentials"),
            ("person:alice", "read-key")
        ]
    );
    // By her own name she still reads nothing.
    for answer in read_keys(&guarded, ALICE).await {
        assert!(!answer.status.is_success() || answer.body["public_only"] == true, "{}", answer.body);
    }
}

#[tokio::test]
async fn an_open_connection_reads_nothing_more_once_access_is_revoked() {
    let guarded = Guarded::new().await;
    let request = active(&guarded).await;
    let holder = peer(&issue(&guarded, ALICE, &request).await);
    assert!(read_keys(&guarded, holder).await.iter().all(|answer| answer.status.is_success()));
    assert!(guarded.step(DAVE, &request, "revocation").await.status.is_success());
    for answer in read_keys(&guarded, holder).await {
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    }
    let again = issue(&guarded, ALICE, &request).await;
    assert_eq!(again.code(), "conflict", "{}", again.body);
    let refused = guarded.place.entries().into_iter().rfind(|e| e.action.as_str() == "certificate-refused");
    assert_eq!(refused.unwrap().grant.unwrap().as_str(), request);
}

#[tokio::test]
async fn it_opens_that_group_for_reading_and_nothing_else() {
    let guarded = Guarded::new().await;
    let request = active(&guarded).await;
    let holder = peer(&issue(&guarded, ALICE, &request).await);
    let place = &guarded.place;
    let listed = place.get(holder, "/v1/groups").await;
    assert_eq!(listed.body["groups"], json!([GROUP]));
    let rights = place.get(holder, &format!("/v1/groups/{GROUP}/rights")).await.body;
    assert_eq!(
        (&rights["read"], &rights["create"], &rights["own"]),
        (&json!(true), &json!(false), &json!(false))
    );

    // Another group is not there for her, though she knows its id.
    let other = "09090909-0909-0909-0909-090909090909";
    place.must(CREATOR, Method::PUT, &format!("/v1/groups/{other}"), json!({})).await;
    place.must(CREATOR, Method::POST, &format!("/v1/groups/{other}/announcement"), Value::Null).await;
    assert_eq!(
        place.get(holder, &format!("/v1/groups/{other}/rooms/keys")).await.status,
        StatusCode::NOT_FOUND
    );

    let control = format!("/v1/groups/{GROUP}/rooms/control/{}", "a".repeat(40));
    let put = [
        (format!("{}/{}", keys(), "b".repeat(40)), key_record(&"b".repeat(40))),
        (control, b"anything".to_vec()),
    ];
    for (path, body) in put {
        let answer = place.ask(holder, Method::PUT, &path, body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {}", answer.body);
    }
    // A reader's notice that a key is in use would call off its destruction.
    let notice = Record::Status(StatusRecord {
        key: dkm_core::KeyId([1; 16]),
        change: Change::Resumed,
        purpose: Purpose::InUse,
        reason: "in use".to_owned(),
        epoch: 0,
        answers: vec![Digest([2; 32])],
        when_ms: 1,
    });
    let path = format!("{}/{}", keys(), notice.slot(crate::people::group(), 0));
    let refused = place.ask(holder, Method::PUT, &path, notice.encode(crate::people::group())).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let path = format!("{path}?stamp={}", "00".repeat(16));
    let erase = place.ask(holder, Method::DELETE, &path, vec![]).await;
    assert_eq!(erase.status, StatusCode::FORBIDDEN, "{}", erase.body);
    // No longer than the grant: there is no renewal, and no token, group or request comes of it.
    let renewal = json!({ "request": certificate_request() });
    let refused = [
        ("/v1/renewal".to_owned(), renewal.clone()),
        (format!("/v1/requests/{request}/credentials"), renewal),
        (format!("/v1/groups/{GROUP}/requests"), asked()),
        ("/v1/principals/person:alice/token".to_owned(), Value::Null),
    ];
    for (path, body) in refused {
        let answer = place.json(holder, Method::POST, &path, body).await;
        assert!(answer.status.is_client_error(), "{path}: {} {}", answer.status, answer.body);
        assert!(answer.body.get("certificate").is_none());
    }
    let group =
        place.json(holder, Method::PUT, "/v1/groups/0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a", json!({})).await;
    assert_eq!(group.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn only_the_requester_gets_a_certificate_and_one_at_a_time() {
    let guarded = Guarded::new().await;
    let request = active(&guarded).await;
    for who in [BOB, DAVE, ALICE_2, ROOT, CREATOR] {
        let refused = issue(&guarded, who, &request).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    }
    assert!(exposures(&guarded).is_empty());
    // A grant to open blobs is none to read keys.
    let brokered = guarded.granted(1).await;
    assert_eq!(issue(&guarded, ALICE, &brokered).await.code(), "denied");

    let bad = json!({ "request": "no certificate request" });
    let path = format!("/v1/requests/{request}/credentials");
    assert_eq!(guarded.place.json(ALICE, Method::POST, &path, bad).await.code(), "invalid");
    assert!(exposures(&guarded).is_empty());

    let first = peer(&issue(&guarded, ALICE, &request).await);
    let second = peer(&issue(&guarded, ALICE, &request).await);
    assert_eq!(guarded.place.get(first, &keys()).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(guarded.place.get(second, &keys()).await.status, StatusCode::OK);
    assert_eq!(exposures(&guarded).len(), 1);
    // Who is disabled is let in by no grant.
    guarded.place.must(ROOT, Method::DELETE, "/v1/principals/person:alice", Value::Null).await;
    assert_eq!(guarded.place.get(second, &keys()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_level_more_approves_it_than_what_is_opened_by_the_server() {
    let guarded = Guarded::new().await;
    let request = guarded.request(ALICE, asked()).await["request"].as_str().unwrap().to_owned();
    for (who, answer) in [(BOB, ("bob", "manager")), (CAROL, ("carol", "legal"))] {
        assert!(guarded.answer(who, &request, answer, true).await.status.is_success());
    }
    let early = guarded.step(ALICE, &request, "activation").await;
    assert_eq!(early.code(), "conflict", "{}", early.body);
    assert_eq!(issue(&guarded, ALICE, &request).await.code(), "conflict");
}

#[tokio::test]
async fn nothing_is_given_out_without_the_log_and_a_restart_changes_nothing() {
    let guarded = Guarded::new().await;
    let request = active(&guarded).await;
    let holder = peer(&issue(&guarded, ALICE, &request).await);
    let guarded = guarded.stop().start();
    assert!(read_keys(&guarded, holder).await.iter().all(|answer| answer.status.is_success()));
    let checkpoint = guarded.folder().join("outside");
    std::fs::rename(&checkpoint, guarded.folder().join("away")).unwrap();
    for answer in read_keys(&guarded, holder).await {
        assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable"));
    }
    assert_eq!(issue(&guarded, ALICE, &request).await.code(), "audit-unavailable");
    std::fs::rename(guarded.folder().join("away"), &checkpoint).unwrap();
    assert!(read_keys(&guarded, holder).await.iter().all(|answer| answer.status.is_success()));
}

#[tokio::test]
async fn a_certificate_that_is_slipped_into_the_database_lets_nobody_in_without_a_grant() {
    let guarded = Guarded::new().await;
    let request = approved(&guarded).await;
    let stopped = guarded.stop();
    let id = request.replace('-', "");
    stopped.tamper(&format!(
        "INSERT INTO grant_certificates VALUES (zeroblob(32), x'{id}', 'person:alice', 9999999999999)"
    ));
    let guarded = stopped.start();
    for answer in read_keys(&guarded, Peer::Certificate(Digest([0; 32]))).await {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    }
}

#[tokio::test]
async fn what_was_revoked_stays_so_when_database_and_log_are_put_back_together() {
    let guarded = Guarded::new().await;
    let request = active(&guarded).await;
    let holder = peer(&issue(&guarded, ALICE, &request).await);
    let stopped = guarded.stop();
    stopped.back_up();
    let guarded = stopped.start();
    assert!(guarded.step(DAVE, &request, "revocation").await.status.is_success());
    let stopped = guarded.stop();
    stopped.restore();
    assert!(stopped.try_start().is_err());
    stopped.recover();
    let guarded = stopped.start();
    for answer in read_keys(&guarded, holder).await {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    }
    let gone = guarded.place.get(DAVE, &format!("/v1/requests/{request}")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "{}", gone.body);
}

#[tokio::test]
async fn who_was_disabled_and_is_let_in_anew_has_no_certificate_of_before() {
    let guarded = Guarded::new().await;
    let request = active(&guarded).await;
    let holder = peer(&issue(&guarded, ALICE, &request).await);
    guarded.place.must(ROOT, Method::DELETE, "/v1/principals/person:alice", Value::Null).await;
    let again = json!({ "kind": "person", "uids": [3001] });
    guarded.place.must(ROOT, Method::PUT, "/v1/principals/person:alice", again).await;
    assert_eq!(guarded.place.get(holder, &keys()).await.status, StatusCode::UNAUTHORIZED);
}
