//! Many at once: nobody waits for another's step without need, and no bound is passed by being quick.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use dkm_audit::Entry;
use dkm_audit::entry::Phase;
use serde_json::{Value, json};

use crate::people::{ALICE, BOB, Guarded};
use crate::support::{Answer, GROUP, READER};

/// Long enough for what does not wait to be done, also on a loaded machine; only what waits takes as long.
const A_WHILE: Duration = Duration::from_millis(500);

fn same(guarded: &Guarded) -> Guarded {
    Guarded { place: Arc::clone(&guarded.place) }
}

/// An opening that goes on by itself.
fn opening(guarded: &Guarded, request: &str) -> tokio::task::JoinHandle<Answer> {
    let (guarded, request) = (same(guarded), request.to_owned());
    tokio::spawn(async move {
        let (blob, _) = guarded.blob(&[("account", "17")], b"0123456789");
        guarded.open(ALICE, &request, json!({ "account": "17" }), &blob).await
    })
}

/// Whoever is told about an entry keeps the log from going on until this is dropped.
fn hold_the_log(guarded: &Guarded) -> std::sync::mpsc::Sender<()> {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (started, start) = std::sync::mpsc::channel();
    let (actor, action) = ("service:held".parse().unwrap(), "read-audit".parse().unwrap());
    let entry = Entry::new(dkm_server::server::now(), actor, action, Phase::Recorded);
    let waiting = move |_| {
        started.send(()).unwrap();
        let _ = held.recv();
    };
    guarded.place.server.audit().log().submit(&entry, waiting).unwrap();
    start.recv().unwrap();
    hold
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_under_different_grants_share_the_log_s_wait_and_who_looks_waits_for_none() {
    let guarded = Guarded::new().await;
    let requests = [guarded.granted(5).await, guarded.granted(5).await, guarded.granted(5).await];
    let figures = || guarded.place.server.audit().log().figures();
    let hold = hold_the_log(&guarded);
    let before = figures();
    let openings: Vec<_> = requests.iter().map(|request| opening(&guarded, request)).collect();
    tokio::time::sleep(A_WHILE).await;
    assert!(openings.iter().all(|opening| !opening.is_finished()), "nothing leaves before it is recorded");
    // While all of them wait for the log, others look.
    for path in [format!("/v1/requests/{}", requests[0]), format!("/v1/groups/{GROUP}/requests")] {
        let seen = guarded.place.get(BOB, &path).await;
        assert_eq!(seen.status, StatusCode::OK, "{}", seen.body);
    }
    assert!(guarded.place.get(READER, &format!("/v1/groups/{GROUP}/rooms/keys")).await.status.is_success());
    drop(hold);
    for opening in openings {
        let answer = opening.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let (entries, commits) = (figures().entries - before.entries, figures().commits - before.commits);
    assert!(entries >= 6 && commits < entries, "{entries} entries took {commits} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_at_once_do_not_pass_the_count_of_their_grant() {
    let guarded = Guarded::new().await;
    let request = guarded.granted(3).await;
    let openings: Vec<_> = (0..12).map(|_| opening(&guarded, &request)).collect();
    let mut opened = 0;
    for opening in openings {
        let answer = opening.await.unwrap();
        match answer.status {
            StatusCode::OK => opened += 1,
            status => assert_eq!(status, StatusCode::FORBIDDEN, "{}", answer.body),
        }
    }
    assert_eq!(opened, 3);
    // Database and log agree on all of it.
    guarded.stop().try_start().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_do_not_pass_what_one_person_may_have_open() {
    let guarded = Guarded::new().await;
    let body = json!({
        "reason": "r", "duration_s": 60, "scope": {"context": {"a": "b"}, "count_max": 1, "bytes_max": 1},
    });
    let asked: Vec<_> = (0..24)
        .map(|_| {
            let (guarded, body) = (same(&guarded), body.clone());
            let path = format!("/v1/groups/{GROUP}/requests");
            tokio::spawn(async move { guarded.place.json(ALICE, Method::POST, &path, body).await })
        })
        .collect();
    let mut open = 0;
    for asked in asked {
        open += usize::from(asked.await.unwrap().status.is_success());
    }
    assert_eq!(open, 16);
    guarded.stop().try_start().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_among_openings_ends_them() {
    let guarded = Guarded::new().await;
    let request = guarded.granted(10_000).await;
    let during: Vec<_> = (0..8).map(|_| opening(&guarded, &request)).collect();
    let revoked = guarded.step(BOB, &request, "revocation").await;
    assert_eq!(revoked.body["status"], "revoked", "{}", revoked.body);
    let after: Vec<_> = (0..4).map(|_| opening(&guarded, &request)).collect();
    for opening in during {
        let answer = opening.await.unwrap();
        assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&answer.status), "{}", answer.body);
    }
    for opening in after {
        assert_eq!(opening.await.unwrap().status, StatusCode::CONFLICT);
    }
    // In the log, no opening was announced once the revocation was acknowledged.
    let entries = guarded.place.entries();
    let is = |entry: &Entry, action: &str| entry.action.as_str() == action;
    let ended = entries
        .iter()
        .position(|entry| is(entry, "elevation-revoke") && matches!(entry.phase, Phase::Success { .. }))
        .unwrap();
    let late = entries[ended..].iter().filter(|entry| is(entry, "unprotect") && entry.phase == Phase::Intent);
    assert_eq!(late.count(), 0);
    let shown: Value = guarded.place.get(BOB, &format!("/v1/requests/{request}")).await.body;
    assert_eq!(shown["status"], "revoked");
    guarded.stop().try_start().unwrap();
}
