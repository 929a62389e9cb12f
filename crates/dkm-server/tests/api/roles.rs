//! Who may do what: every endpoint, asked by everybody.

use std::fmt::Write as _;

use axum::http::Method;
use dkm_server::caller::Peer;

use crate::support::{GROUP, Place, ROOT, UIDS, key_record};

/// Every endpoint, with a body that is good. Those that change something come with a name of their own for each caller, so
/// that what one did is not in the next one's way.
fn endpoints(caller: &str, key: &str) -> Vec<(Method, String, Vec<u8>)> {
    let group = format!("/v1/groups/{GROUP}");
    let own: String = caller.chars().filter(char::is_ascii_lowercase).collect();
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    let id = dkm_core::Digest::of(own.as_bytes()).to_string();
    vec![
        (Method::GET, "/health".to_owned(), vec![]),
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
    ]
}

/// The table of roles and actions. A 4xx beside 401 and 403 says that the caller was let in, and asked for what is not
/// there; the key that is deleted was not destroyed.
#[tokio::test]
async fn the_table_of_roles_and_actions() {
    let place = Place::with_everybody().await;
    let key = place.add_key("first").await;
    let mut callers: Vec<(&str, Peer)> =
        vec![("without a certificate", Peer::Nobody), ("unknown uid", Peer::Uid(9999)), ("uid:0", ROOT)];
    callers.extend(UIDS.iter().map(|(uid, account)| (*account, Peer::Uid(*uid))));
    let mut table = String::new();
    for (name, peer) in callers {
        writeln!(table, "{name}").unwrap();
        for (method, path, body) in endpoints(name, &key) {
            let answer = place.ask(peer, method.clone(), &path, body).await;
            assert!(!answer.status.is_server_error(), "{name}: {method} {path}: {}", answer.body);
            let shown = path.split('?').next().unwrap().replace(GROUP, "GROUP");
            let own: String = name.chars().filter(char::is_ascii_lowercase).collect();
            let id = dkm_core::Digest::of(own.as_bytes()).to_string();
            let shown = shown.replace(&id[..32], "NEW").replace(&own, "OWN");
            let public = if answer.body["public_only"] == true { " public part" } else { "" };
            writeln!(table, "  {} {method} {shown}{public}", answer.status.as_u16()).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// A route that is not in the table above has not been thought about.
#[test]
fn every_route_is_in_the_table() {
    let source = include_str!("../../src/http/mod.rs");
    let routes: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().split('"').nth(1))
        .filter(|text| text.starts_with('/'))
        .collect();
    assert!(routes.len() > 10, "{routes:?}");
    let asked: Vec<String> = endpoints("x", &format!("/v1/groups/{GROUP}/rooms/keys/x?stamp=0"))
        .into_iter()
        .map(|(_, path, _)| path.split('?').next().unwrap().to_owned())
        .collect();
    for route in routes {
        let parts: Vec<&str> = route.split('/').collect();
        let fits = |path: &String| {
            let path: Vec<&str> = path.split('/').collect();
            path.len() == parts.len() && path.iter().zip(&parts).all(|(a, b)| a == b || b.starts_with('{'))
        };
        assert!(asked.iter().any(fits), "{route} is asked by nobody");
    }
}
