//! The description of the API says what the server does.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use dkm_server::caller::Peer;
use serde_json::Value;

use crate::support::Place;

/// Methods and paths of the description.
pub(crate) fn described() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(dkm_server::openapi::text()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = |path: &String, item: &Value| {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(|(path, item)| methods(path, item)).collect()
}

/// Methods and paths of the router, as its source has them.
fn routed() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/http/mod.rs");
    let mut routes = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap().replace("{*", "{");
        // Up to the parenthesis that closes it.
        let mut depth = 1;
        let end = route.char_indices().find(|(_, c)| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let route = &route[..end.unwrap().0];
        for method in ["get", "put", "post", "delete", "patch", "any"] {
            if route.contains(&format!(" {method}(")) || route.contains(&format!(".{method}(")) {
                routes.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    routes
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let (described, routed) = (described(), routed());
    assert!(routed.len() > 35, "{routed:?}");
    assert_eq!(described, routed);
}

#[test]
fn what_is_checked_in_is_what_it_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == dkm_server::openapi::text(),
        "docs/openapi.json is not what the server says: cargo run -p dkm-server -- openapi > docs/openapi.json, and look at \
         the difference"
    );
}

#[tokio::test]
async fn anybody_gets_it_from_the_server() {
    let place = Place::new();
    let (status, kind, bytes) = place.bytes(Peer::Nobody, Method::GET, "/v1/openapi.json", vec![]).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"));
    assert_eq!(bytes, dkm_server::openapi::text().as_bytes());
}
