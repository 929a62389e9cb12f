//! A person is let in: asked, approved at every level, activated, used, over.

use axum::http::StatusCode;
use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_audit::entry::Phase;
use serde_json::{Value, json};

use crate::people::{ALICE, ALICE_2, BOB, CAROL, DAVE, EVE, Guarded, asked};
use crate::support::{GROUP, READER, ROOT};

fn context() -> Value {
    json!({ "account": "17", "kind": "token" })
}

const CONTEXT: &[(&str, &str)] = &[("account", "17"), ("kind", "token")];

fn brokered() -> Value {
    json!({
        "reason": "a customer can't read his mail", "ticket": "INC-1", "duration_s": 600,
        "scope": { "context": { "account": "17" }, "count_max": 2, "bytes_max": 1000 },
    })
}

async fn asked_by_alice(guarded: &Guarded) -> String {
    guarded.request(ALICE, brokered()).await["request"].as_str().unwrap().to_owned()
}

fn elevations(guarded: &Guarded) -> Vec<(String, String, bool)> {
    let entries = guarded.place.entries().into_iter().filter(|entry| entry.grant.is_some());
    entries
        .filter(|entry| !matches!(entry.phase, Phase::Success { .. }))
        .map(|e| (e.actor.as_str().to_owned(), e.action.as_str().to_owned(), e.phase == Phase::Denied))
        .collect()
}

#[tokio::test]
async fn the_whole_way_with_an_entry_for_each_step() {
    let guarded = Guarded::new().await;
    let (blob, id) = guarded.blob(CONTEXT, b"the refresh token");
    let request = asked_by_alice(&guarded).await;
    let before = guarded.open(ALICE, &request, context(), &blob).await;
    assert_eq!((before.status, before.code()), (StatusCode::CONFLICT, "conflict"), "{}", before.body);

    // The levels have an order.
    let early = guarded.answer(CAROL, &request, ("carol", "legal"), true).await;
    assert_eq!(early.code(), "conflict", "{}", early.body);
    let one = guarded.answer(BOB, &request, ("bob", "manager"), true).await;
    assert_eq!(one.body["missing"][0]["level"], "legal");
    assert_eq!(guarded.step(ALICE, &request, "activation").await.code(), "conflict");
    let both = guarded.answer(CAROL, &request, ("carol", "legal"), true).await;
    assert_eq!(both.body["status"], "approved", "{}", both.body);
    let active = guarded.step(ALICE, &request, "activation").await;
    assert_eq!(active.body["status"], "active");
    assert!(active.body["until_ms"].as_u64().is_some());

    let opened = guarded.open(ALICE, &request, context(), &blob).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.body);
    let plaintext = BASE64_STANDARD.decode(opened.body["plaintext"].as_str().unwrap()).unwrap();
    assert_eq!(plaintext, b"the refresh token");

    let told: Vec<_> = elevations(&guarded).into_iter().filter(|(_, _, denied)| !denied).collect();
    let steps: Vec<_> = told.iter().map(|(who, what, _)| (&**who, &**what)).collect();
    assert_eq!(
        steps,
        [
            ("person:alice", "elevation-request"),
            ("person:bob", "elevation-answer"),
            ("person:carol", "elevation-answer"),
            ("person:alice", "elevation-activate"),
            ("person:alice", "unprotect"),
        ]
    );
    let entries = guarded.place.entries();
    let use_of_it = entries
        .iter()
        .find(|entry| entry.action.as_str() == "unprotect" && entry.phase == Phase::Intent)
        .unwrap();
    assert_eq!(use_of_it.blob.unwrap().to_string(), id);
    assert_eq!((use_of_it.size, use_of_it.group.unwrap().to_string()), (Some(17), GROUP.to_owned()));
    assert!(use_of_it.context.is_some());
    assert_eq!(
        opened.body["leaf"].as_u64().unwrap() as usize,
        entries.iter().position(|e| e == use_of_it).unwrap()
    );

    // Used up.
    assert_eq!(guarded.open(ALICE, &request, context(), &blob).await.status, StatusCode::OK);
    let third = guarded.open(ALICE, &request, context(), &blob).await;
    assert_eq!(third.code(), "denied", "{}", third.body);
}

#[tokio::test]
async fn a_receipt_is_proof_for_who_trusts_only_the_log_s_key() {
    use dkm_audit::{Trust, merkle};
    let guarded = Guarded::new().await;
    let (blob, _) = guarded.blob(CONTEXT, b"x");
    let request = guarded.granted(1).await;
    let opened = guarded.open(ALICE, &request, context(), &blob).await.body;
    let trust = Trust::log(guarded.place.server.audit().log().key()).unwrap();
    let checkpoint = trust.verify(opened["checkpoint"].as_str().unwrap().as_bytes()).unwrap().checkpoint;
    let hashes: Vec<dkm_core::Digest> = opened["proof"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| {
            dkm_core::Digest(BASE64_STANDARD.decode(hash.as_str().unwrap()).unwrap().try_into().unwrap())
        })
        .collect();
    let index = opened["leaf"].as_u64().unwrap();
    let entry = guarded.place.entries().swap_remove(index as usize);
    let leaf = merkle::leaf_hash(&entry.encode().unwrap());
    merkle::verify_inclusion(&leaf, index, checkpoint.size, &checkpoint.root, &hashes).unwrap();
}

#[tokio::test]
async fn the_requester_does_not_approve_by_any_of_his_names() {
    let guarded = Guarded::new().await;
    let request = asked_by_alice(&guarded).await;
    for who in [ALICE, ALICE_2, BOB] {
        let own = guarded.answer(who, &request, ("alice", "manager"), true).await;
        assert_eq!((own.status, own.code()), (StatusCode::FORBIDDEN, "denied"), "{}", own.body);
    }
    // The other way round: by her second account she asks, and still does not decide.
    let second = guarded.request(ALICE_2, brokered()).await["request"].as_str().unwrap().to_owned();
    assert_eq!(guarded.answer(ALICE, &second, ("alice", "manager"), true).await.code(), "denied");
    assert!(elevations(&guarded).iter().all(|(_, what, denied)| what != "elevation-answer" || *denied));
}

#[tokio::test]
async fn an_approval_is_good_for_one_request_one_level_and_one_decision() {
    let guarded = Guarded::new().await;
    let (first, second) = (asked_by_alice(&guarded).await, asked_by_alice(&guarded).await);
    let seen = guarded.place.get(BOB, &format!("/v1/requests/{first}")).await.body;
    let text = dkm_lockbox::statement(&asked(&seen), dkm_lockbox::Decision::Approve, "manager", "bob");
    let signature = crate::people::sign(guarded.folder(), "bob", "dkm-approval", &text);
    let elsewhere = crate::people::sign(guarded.folder(), "bob", "dkm-roster", &text);
    let edited =
        crate::people::sign(guarded.folder(), "bob", "dkm-approval", &text.replace("his mail", "her mail"));
    let by_carol = crate::people::sign(guarded.folder(), "carol", "dkm-approval", &text);
    for (request, level, signature) in [
        (&second, "manager", &signature),
        (&first, "legal", &signature),
        (&first, "manager", &elsewhere),
        (&first, "manager", &edited),
        (&first, "manager", &by_carol),
        (&first, "manager", &"none".to_owned()),
    ] {
        let body = json!({ "approver": "bob", "level": level, "approve": true, "signature": signature });
        let path = format!("/v1/requests/{request}/answers");
        let refused = guarded.place.json(BOB, axum::http::Method::POST, &path, body).await;
        assert!(refused.status.is_client_error(), "{level}: {}", refused.body);
    }
    let body = json!({ "approver": "bob", "level": "manager", "approve": true, "signature": signature });
    let path = format!("/v1/requests/{first}/answers");
    let taken = guarded.place.json(BOB, axum::http::Method::POST, &path, body.clone()).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    assert_eq!(guarded.place.json(BOB, axum::http::Method::POST, &path, body).await.code(), "conflict");
}

#[tokio::test]
async fn a_denial_stands_whatever_comes_after() {
    let guarded = Guarded::new().await;
    let request = asked_by_alice(&guarded).await;
    guarded.answer(BOB, &request, ("bob", "manager"), true).await;
    let denied = guarded.answer(CAROL, &request, ("carol", "legal"), false).await;
    assert_eq!(denied.body["status"], "denied", "{}", denied.body);
    assert!(!guarded.answer(CAROL, &request, ("carol", "legal"), true).await.status.is_success());
    assert_eq!(guarded.step(ALICE, &request, "activation").await.code(), "conflict");
}

#[tokio::test]
async fn a_grant_is_the_requester_s_for_its_scope_until_it_is_revoked() {
    let guarded = Guarded::new().await;
    let request = guarded.granted(5).await;
    let (mine, _) = guarded.blob(CONTEXT, b"his");
    let (other, _) = guarded.blob(&[("account", "18"), ("kind", "token")], b"another's");
    for who in [BOB, EVE, READER, ROOT] {
        assert_eq!(guarded.open(who, &request, context(), &mine).await.code(), "denied");
    }
    // Another customer's blob, under its own context and under this one.
    let own = json!({ "account": "18", "kind": "token" });
    assert_eq!(guarded.open(ALICE, &request, own, &other).await.code(), "denied");
    let lied = guarded.open(ALICE, &request, context(), &other).await;
    assert_eq!(lied.code(), "invalid", "{}", lied.body);
    assert_eq!(guarded.open(ALICE, &request, context(), &mine).await.status, StatusCode::OK);
    assert_eq!(guarded.step(EVE, &request, "revocation").await.code(), "denied");
    let revoked = guarded.step(DAVE, &request, "revocation").await;
    assert_eq!(revoked.body["status"], "revoked", "{}", revoked.body);
    assert_eq!(guarded.open(ALICE, &request, context(), &mine).await.code(), "conflict");
    assert_eq!(guarded.step(ALICE, &request, "activation").await.code(), "conflict");
}

#[tokio::test]
async fn who_is_no_person_of_the_roster_sees_and_asks_nothing() {
    let guarded = Guarded::new().await;
    let request = asked_by_alice(&guarded).await;
    let path = format!("/v1/groups/{GROUP}/requests");
    for who in [EVE, ROOT] {
        assert_eq!(guarded.place.get(who, &path).await.code(), "denied");
        assert_eq!(guarded.place.get(who, &format!("/v1/requests/{request}")).await.code(), "denied");
    }
    for who in [EVE, READER, ROOT] {
        let refused = guarded.place.json(who, axum::http::Method::POST, &path, brokered()).await;
        assert_eq!(refused.code(), "denied", "{}", refused.body);
    }
    assert_eq!(guarded.place.get(BOB, &path).await.body["requests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_server_opens_only_blobs_of_groups_that_name_it() {
    let guarded = Guarded::new().await;
    let request = guarded.granted(5).await;
    let (blob, _) = guarded.blob(CONTEXT, b"x");
    assert_eq!(guarded.open(ALICE, &request, context(), &blob).await.status, StatusCode::OK);
    guarded.forget_the_server().await;
    let refused = guarded.open(ALICE, &request, context(), &blob).await;
    assert_eq!(refused.code(), "denied", "{}", refused.body);
}

#[tokio::test]
async fn an_emergency_has_its_own_level_and_is_reviewed() {
    let guarded = Guarded::new().await;
    let mut body = brokered();
    (body["break_glass"], body["duration_s"]) = (json!(true), json!(900));
    let request = guarded.request(ALICE, body.clone()).await["request"].as_str().unwrap().to_owned();
    assert_eq!(guarded.answer(BOB, &request, ("bob", "manager"), true).await.code(), "denied");
    let approved = guarded.answer(DAVE, &request, ("dave", "on call"), true).await;
    assert_eq!(approved.body["status"], "approved", "{}", approved.body);
    guarded.step(ALICE, &request, "activation").await;
    let (blob, _) = guarded.blob(CONTEXT, b"x");
    assert_eq!(guarded.open(ALICE, &request, context(), &blob).await.status, StatusCode::OK);
    assert!(!guarded.step(ALICE, &request, "review").await.status.is_success(), "not by who had it");
    (body["duration_s"], body["break_glass"]) = (json!(901), json!(true));
    let path = format!("/v1/groups/{GROUP}/requests");
    let long = guarded.place.json(ALICE, axum::http::Method::POST, &path, body).await;
    assert_eq!(long.code(), "invalid", "{}", long.body);
}

#[tokio::test]
async fn approvals_are_verified_by_ssh_keygen_alone() {
    let guarded = Guarded::new().await;
    let request = guarded.granted(1).await;
    let path = format!("/v1/requests/{request}/evidence");
    let evidence = guarded.place.get(BOB, &path).await.body;
    let answers = evidence["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let text = |field: &str| answer[field].as_str().unwrap();
        let (signers, signature) = (guarded.folder().join("signers"), guarded.folder().join("signature"));
        std::fs::write(&signers, text("allowed_signers")).unwrap();
        std::fs::write(&signature, text("signature")).unwrap();
        let mut child = std::process::Command::new("ssh-keygen")
            .args(["-Y", "verify", "-n", "dkm-approval", "-I", text("principal"), "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(&signature)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text("statement").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

#[tokio::test]
async fn without_the_log_no_step_is_taken_and_nothing_is_opened() {
    let guarded = Guarded::new().await;
    let request = guarded.granted(5).await;
    let (blob, _) = guarded.blob(CONTEXT, b"x");
    let (outside, away) = (guarded.folder().join("outside"), guarded.folder().join("away"));
    std::fs::rename(&outside, &away).unwrap();
    let refused = guarded.open(ALICE, &request, context(), &blob).await;
    assert_eq!(refused.code(), "audit-unavailable");
    assert_eq!(refused.body["plaintext"], Value::Null);
    assert_eq!(guarded.step(DAVE, &request, "revocation").await.code(), "audit-unavailable");
    std::fs::rename(&away, &outside).unwrap();
    assert_eq!(guarded.open(ALICE, &request, context(), &blob).await.status, StatusCode::OK);
    assert_eq!(guarded.step(DAVE, &request, "revocation").await.body["status"], "revoked");
}

#[tokio::test]
async fn what_was_granted_and_revoked_survives_a_restart_and_tampering_does_not_start() {
    let guarded = Guarded::new().await;
    let (kept, ended) = (guarded.granted(5).await, guarded.granted(5).await);
    let (blob, _) = guarded.blob(CONTEXT, b"x");
    guarded.step(DAVE, &ended, "revocation").await;
    let guarded = guarded.stop().start();
    assert_eq!(guarded.open(ALICE, &kept, context(), &blob).await.status, StatusCode::OK);
    assert_eq!(guarded.open(ALICE, &ended, context(), &blob).await.code(), "conflict");

    let stopped = guarded.stop();
    // Whoever can write the database takes the revocation out, adds an activation, or changes an answer.
    for (change, back) in [
        (
            "CREATE TABLE kept AS SELECT * FROM elevations; DELETE FROM elevations WHERE number = (SELECT max(number) \
             FROM elevations)",
            "DELETE FROM elevations; INSERT INTO elevations SELECT * FROM kept; DROP TABLE kept",
        ),
        (
            "INSERT INTO elevations SELECT request, 99, key_group, record, leaf FROM elevations LIMIT 1",
            "DELETE FROM elevations WHERE number = 99",
        ),
        (
            "UPDATE elevations SET leaf = leaf + 100000 WHERE number = 1",
            "UPDATE elevations SET leaf = leaf - 100000 WHERE number = 1",
        ),
    ] {
        stopped.tamper(change);
        let error = stopped.try_start().unwrap_err();
        assert!(matches!(error, dkm_server::setup::SetupError::Mismatch(_)), "{change}: {error}");
        stopped.tamper(back);
        stopped.try_start().unwrap();
    }
}
