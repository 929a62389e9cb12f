//! The audit log, read over HTTP by whoever audits the server.

use axum::http::{Method, StatusCode};
use dkm_audit::entry::Phase;
use dkm_audit::source::Source;
use dkm_audit::tile::Tile;
use dkm_audit::{Trust, verify::verify};
use dkm_server::caller::Peer;
use serde_json::json;

use crate::support::{LOG_READER, Place, READER, ROOT, STRANGER};

async fn file(place: &Place, who: Peer, path: &str) -> (StatusCode, String, Vec<u8>) {
    place.bytes(who, Method::GET, &format!("/v1/log/{path}"), vec![]).await
}

fn readings(place: &Place) -> Vec<(String, Phase)> {
    let entries = place.entries().into_iter().filter(|entry| entry.action.as_str() == "read-audit");
    entries.map(|entry| (entry.actor.as_str().to_owned(), entry.phase)).collect()
}

/// What was fetched.
struct Fetched(std::collections::BTreeMap<String, Vec<u8>>);

impl Source for Fetched {
    fn read(&self, path: &str, _: usize) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).cloned())
    }

    fn names(&self, _: &str) -> std::io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn an_auditor_fetches_a_log_that_verifies_and_that_says_so() {
    let place = Place::with_everybody().await;
    // More than one bundle.
    for _ in 0..300 {
        place.get(STRANGER, &format!("/v1/groups/{}/rights", crate::support::GROUP)).await;
    }
    let (status, kind, checkpoint) = file(&place, LOG_READER, "checkpoint").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/plain; charset=utf-8"));
    let trust = Trust::log(place.server.audit().log().key()).unwrap();
    let size = trust.verify(&checkpoint).unwrap().checkpoint.size;
    assert!(size > 256);
    let mut fetched = Fetched([("checkpoint".to_owned(), checkpoint)].into());
    for (level, at) in [(None, 0), (None, 256), (Some(0), 0), (Some(0), 256), (Some(1), 0)] {
        let path = Tile::of(level, at, size).unwrap().path();
        let (status, kind, bytes) = file(&place, LOG_READER, &path).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/octet-stream"), "{path}");
        fetched.0.insert(path, bytes);
    }
    let report = verify(&fetched, &trust, None).unwrap();
    assert_eq!(report.checkpoint.size, size);
    // The reading itself is the last entry that was fetched, however many files it took; another reader has his own.
    assert_eq!(readings(&place), [("person:log-reader".to_owned(), Phase::Recorded)]);
    assert_eq!(place.entries().len() as u64, size);
    file(&place, ROOT, "checkpoint").await;
    file(&place, ROOT, "checkpoint").await;
    assert_eq!(readings(&place).len(), 2);
}

#[tokio::test]
async fn who_is_no_auditor_is_refused_each_time_and_that_is_recorded() {
    let place = Place::with_everybody().await;
    for path in ["checkpoint", "tile/entries/000.p/1", "handover/1", "tile/../../audit.key"] {
        let (status, _, bytes) = file(&place, READER, path).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {}", String::from_utf8_lossy(&bytes));
        let (status, ..) = file(&place, Peer::Nobody, path).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let denied = ("service:reader".to_owned(), Phase::Denied);
    assert_eq!(readings(&place), vec![denied; 4]);

    // An auditor reads no keys by that, and one who is none any more reads no further.
    let key = place.add_key("first").await;
    assert_eq!(place.get(LOG_READER, &key).await.status, StatusCode::FORBIDDEN);
    assert_eq!(file(&place, LOG_READER, "checkpoint").await.0, StatusCode::OK);
    let path = "/v1/principals/person:log-reader";
    place.must(ROOT, Method::PUT, path, json!({"kind": "person", "uids": [2009]})).await;
    assert_eq!(file(&place, LOG_READER, "checkpoint").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn odd_paths_are_refused_and_nothing_beside_the_log_is_served() {
    let place = Place::with_everybody().await;
    let size = place.entries().len();
    for (path, status) in [
        ("tile/0/1", 400),
        ("tile/0/000.p/0", 400),
        ("tile/0/000.p/999999999999999999999999", 400),
        ("tile/9/000", 400),
        ("tile/0/..%2f..%2f..%2faudit.key", 400),
        ("tile/%2e%2e/%2e%2e/audit.key", 400),
        ("tile/0/000%00", 400),
        ("tile/%ff", 400),
        ("tile//0/000", 400),
        ("tile/entries/x999/x999/x999/x999/x999/x999/999", 400),
        ("tile/0/x072/x057/x594/x037/x927/935", 404),
        ("tile/0/x999/x999/999", 404),
        ("tile/entries/000", 404),
        ("tile/7/000", 404),
        ("handover/x", 400),
        ("handover/01", 400),
        ("handover/-1", 400),
        ("handover/..%2fcheckpoint", 400),
        ("handover/18446744073709551616", 400),
        ("handover/7", 404),
        ("lock", 404),
        (".tmp", 404),
        ("tile", 404),
        ("", 404),
    ] {
        let (found, kind, body) = file(&place, LOG_READER, path).await;
        assert_eq!(found.as_u16(), status, "{path}: {}", String::from_utf8_lossy(&body));
        assert_eq!(kind, "application/problem+json", "{path}");
        assert!(!String::from_utf8_lossy(&body).contains(place.folder.path().to_str().unwrap()), "{path}");
    }
    let long = format!("tile/{}", "x001/".repeat(2000));
    assert_eq!(file(&place, LOG_READER, &long).await.0, StatusCode::BAD_REQUEST);

    // What lies beside the acknowledged tiles, of a writer that died, is no part of the log.
    let stray = place.data().join("audit/tile/entries/000.p");
    std::fs::write(stray.join((size + 50).to_string()), "never acknowledged").unwrap();
    let (status, ..) = file(&place, LOG_READER, &format!("tile/entries/000.p/{}", size + 50)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_reading_that_cannot_be_recorded_does_not_begin() {
    let place = Place::with_everybody().await;
    let (outside, away) = (place.folder.path().join("outside"), place.folder.path().join("away"));
    std::fs::rename(&outside, &away).unwrap();
    let refused = place.get(LOG_READER, "/v1/log/checkpoint").await;
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable"));
    std::fs::rename(&away, &outside).unwrap();
    assert_eq!(file(&place, LOG_READER, "checkpoint").await.0, StatusCode::OK);
}
