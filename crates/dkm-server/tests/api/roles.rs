//! Who may do what: every endpoint, asked by everybody.

use std::fmt::Write as _;

use axum::http::Method;
use dkm_server::caller::Peer;

use crate::people::{ALICE, BOB, DAVE, Guarded};
use crate::support::{GROUP, ROOT, UIDS, key_record};

/// Every endpoint, with a body that is good. Those that change something come with a name of their own for each caller, so
/// that what one did is not in the next one's way.
fn endpoints(caller: &str, key: &str, request: &str) -> Vec<(Method, String, Vec<u8>)> {
    let group = format!("/v1/groups/{GROUP}");
    let own: String = caller.chars().filter(char::is_ascii_lowercase).collect();
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    let id = dkm_core::Digest::of(own.as_bytes()).to_string();
    let asked = serde_json::json!({
        "reason": "r", "duration_s": 60, "scope": {"context": {"a": "b"}, "count_max": 1, "bytes_max": 1},
    });
    let answer =
        serde_json::json!({"approver": "bob", "level": "manager", "approve": true, "signature": "none"});
    vec![
        (Method::GET, "/health".to_owned(), vec![]),
        (Method::GET, "/v1/openapi.json".to_owned(), vec![]),
        (Method::GET, "/v1/whoami".to_owned(), vec![]),
        (Method::GET, "/v1/repository".to_owned(), vec![]),
        (Method::GET, "/v1/groups".to_owned(), vec![]),
        (Method::PUT, format!("/v1/groups/{}", &id[..32]), b"{}".to_vec()),
        (Method::GET, format!("{group}/rights"), vec![]),
        (Method::GET, format!("{group}/access"), vec![]),
        (Method::GET, format!("{group}/rooms/control"), vec![]),
        (Method::GET, format!("{group}/rooms/keys"), vec![]),
        (Method::GET, key.to_owned(), vec![]),
        (Method::PUT, format!("{group}/rooms/keys/{own}"), key_record(&own)),
        (Method::PUT, format!("{group}/rooms/control/{own}"), b"of no known kind".to_vec()),
        (Method::DELETE, key.to_owned(), vec![]),
        (Method::POST, format!("{group}/announcement"), vec![]),
        (Method::POST, "/v1/enrolment".to_owned(), json(serde_json::json!({"token": "0", "request": ""}))),
        (Method::POST, "/v1/renewal".to_owned(), json(serde_json::json!({"request": "none"}))),
        (Method::GET, format!("{group}/control"), vec![]),
        (Method::GET, format!("{group}/requests"), vec![]),
        (Method::POST, format!("{group}/requests"), json(asked)),
        (
            Method::POST,
            format!("{group}/offline"),
            json(serde_json::json!({"request": "none", "signature": "none"})),
        ),
        (Method::GET, format!("/v1/requests/{request}"), vec![]),
        (Method::GET, format!("/v1/requests/{request}/evidence"), vec![]),
        (Method::POST, format!("/v1/requests/{request}/answers"), json(answer)),
        (Method::POST, format!("/v1/requests/{request}/activation"), vec![]),
        (
            Method::POST,
            format!("/v1/requests/{request}/unprotect"),
            json(serde_json::json!({"blob": "AAAA"})),
        ),
        (
            Method::POST,
            format!("/v1/requests/{request}/credentials"),
            json(serde_json::json!({"request": "none"})),
        ),
        (Method::POST, format!("/v1/requests/{request}/tickets"), vec![]),
        (Method::POST, format!("/v1/requests/{request}/review"), vec![]),
        (Method::GET, "/v1/principals".to_owned(), vec![]),
        (
            Method::PUT,
            format!("/v1/principals/person:made-by-{own}"),
            json(serde_json::json!({"kind": "person"})),
        ),
        (Method::POST, "/v1/principals/service:stranger/token".to_owned(), vec![]),
        (Method::DELETE, "/v1/principals/person:none".to_owned(), vec![]),
        (Method::GET, "/v1/directory-groups".to_owned(), vec![]),
        (
            Method::PUT,
            format!("/v1/directory-groups/group:{own}"),
            json(serde_json::json!({"kind": "service"})),
        ),
        (Method::PUT, "/v1/directory-groups/group:none/members/service:reader".to_owned(), vec![]),
        (Method::DELETE, "/v1/directory-groups/group:none/members/service:reader".to_owned(), vec![]),
        (Method::GET, "/v1/log/checkpoint".to_owned(), vec![]),
        (Method::GET, "/v1/log/tile/entries/x999/999".to_owned(), vec![]),
        (Method::GET, "/v1/log/handover/1".to_owned(), vec![]),
        (Method::POST, format!("/v1/requests/{request}/revocation"), vec![]),
        (Method::POST, format!("/v1/requests/{request}/withdrawal"), vec![]),
    ]
}

/// The table of roles and actions. A 4xx beside 401 and 403 says that the caller was let in, and asked for what is not
/// there; the key that is deleted was not destroyed.
#[tokio::test]
async fn the_table_of_roles_and_actions() {
    let guarded = Guarded::new().await;
    let place = &guarded.place;
    let key = place.add_key("first").await;
    let mut callers: Vec<(&str, Peer)> =
        vec![("without a certificate", Peer::Nobody), ("unknown uid", Peer::Uid(9999)), ("uid:0", ROOT)];
    callers.extend(UIDS.iter().map(|(uid, account)| (*account, Peer::Uid(*uid))));
    callers.extend([
        ("person:alice, who asked", ALICE),
        ("person:bob, who approves", BOB),
        ("person:dave, who revokes", DAVE),
    ]);
    let mut table = String::new();
    for (name, peer) in callers {
        writeln!(table, "{name}").unwrap();
        let asked = serde_json::json!({
            "reason": "r", "duration_s": 60, "scope": {"context": {"a": "b"}, "count_max": 1, "bytes_max": 1},
        });
        let request = guarded.request(ALICE, asked).await["request"].as_str().unwrap().to_owned();
        for (method, path, body) in endpoints(name, &key, &request) {
            let answer = place.ask(peer, method.clone(), &path, body).await;
            assert!(!answer.status.is_server_error(), "{name}: {method} {path}: {}", answer.body);
            let shown = path.split('?').next().unwrap().replace(GROUP, "GROUP").replace(&request, "REQUEST");
            let own: String = name.chars().filter(char::is_ascii_lowercase).collect();
            let id = dkm_core::Digest::of(own.as_bytes()).to_string();
            let shown = shown.replace(&id[..32], "NEW").replace(&own, "OWN");
            let public = if answer.body["public_only"] == true { " public part" } else { "" };
            writeln!(table, "  {} {method} {shown}{public}", answer.status.as_u16()).unwrap();
        }
    }
    insta::assert_snapshot!("roles", table);
}

/// A request that is not in the table above has not been thought about. That every route is described, another test sees to.
#[test]
fn every_request_is_in_the_table() {
    let asked: Vec<(String, String)> =
        endpoints("x", &format!("/v1/groups/{GROUP}/rooms/keys/x?stamp=0"), "r")
            .into_iter()
            .map(|(method, path, _)| (method.to_string(), path.split('?').next().unwrap().to_owned()))
            .collect();
    for (method, route) in crate::openapi::described() {
        let parts: Vec<&str> = route.split('/').collect();
        // Only a tile's path has slashes in it.
        let whole = !route.ends_with("{path}");
        let fits = |path: &String| {
            let path: Vec<&str> = path.split('/').collect();
            (path.len() == parts.len() || !whole && path.len() > parts.len())
                && path.iter().zip(&parts).all(|(a, b)| a == b || b.starts_with('{'))
        };
        assert!(
            asked.iter().any(|(of, path)| *of == method && fits(path)),
            "{method} {route} is asked by nobody"
        );
    }
}
