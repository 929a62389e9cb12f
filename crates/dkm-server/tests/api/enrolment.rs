//! Tokens and certificates.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use dkm_core::Digest;
use dkm_server::caller::Peer;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::support::{GROUP, Place, READER, ROOT};

fn request() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    // Whatever name the request gives itself, the server says who it is.
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "service:creator");
    params.serialize_request(&key).unwrap().pem().unwrap()
}

async fn token(place: &Place, of: &str) -> String {
    let answer = place.must(ROOT, Method::POST, &format!("/v1/principals/{of}/token"), Value::Null).await;
    answer["token"].as_str().unwrap().to_owned()
}

fn peer(answer: &Value) -> Peer {
    let pem = answer["certificate"].as_str().unwrap();
    Peer::Certificate(Digest::of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()))
}

#[tokio::test]
async fn a_token_brings_one_certificate_and_that_the_next() {
    let place = Place::with_everybody().await;
    let token = token(&place, "service:reader").await;
    let enrolment = json!({ "token": token, "request": request() });
    let refused = place
        .json(Peer::Nobody, Method::POST, "/v1/enrolment", json!({ "token": token, "request": "none" }))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "a bad request does not use the token up");
    let first = place.must(Peer::Nobody, Method::POST, "/v1/enrolment", enrolment.clone()).await;
    assert_eq!(first["account"], "service:reader");
    let who = place.get(peer(&first), "/v1/whoami").await;
    assert_eq!(who.body["account"], "service:reader");
    let again = place.json(Peer::Nobody, Method::POST, "/v1/enrolment", enrolment).await;
    assert_eq!((again.status, again.code()), (StatusCode::UNAUTHORIZED, "unauthenticated"));

    let next = place.must(peer(&first), Method::POST, "/v1/renewal", json!({ "request": request() })).await;
    assert_ne!(peer(&next), peer(&first));
    for certificate in [&first, &next] {
        assert_eq!(
            place.get(peer(certificate), &format!("/v1/groups/{GROUP}/rights")).await.body["read"],
            true
        );
    }
    place.must(ROOT, Method::DELETE, "/v1/principals/service:reader", Value::Null).await;
    for certificate in [&first, &next] {
        let refused = place.get(peer(certificate), "/v1/whoami").await;
        assert_eq!(refused.code(), "unauthenticated");
    }
    // Enabled again, its old certificates are still worth nothing.
    place.must(ROOT, Method::PUT, "/v1/principals/service:reader", json!({"kind": "service"})).await;
    assert_eq!(place.get(peer(&next), "/v1/whoami").await.code(), "unauthenticated");
}

#[tokio::test]
async fn tokens_of_others_guesses_and_replaced_ones_bring_nothing() {
    let place = Place::with_everybody().await;
    let first = token(&place, "service:reader").await;
    let second = token(&place, "service:reader").await;
    for guess in [&first, "", "00", &"0".repeat(64)] {
        let body = json!({ "token": guess, "request": request() });
        let refused = place.json(Peer::Nobody, Method::POST, "/v1/enrolment", body).await;
        assert_eq!(refused.code(), "unauthenticated");
    }
    assert_eq!(
        place.json(READER, Method::POST, "/v1/principals/service:reader/token", Value::Null).await.code(),
        "denied"
    );
    let none = place.json(ROOT, Method::POST, "/v1/principals/service:none/token", Value::Null).await;
    assert_eq!(none.code(), "not-found");
    let body = json!({ "token": second, "request": request() });
    place.must(Peer::Nobody, Method::POST, "/v1/enrolment", body).await;
}

#[tokio::test]
async fn a_token_is_used_once_however_many_try_at_once() {
    let place = Arc::new(Place::with_everybody().await);
    let token = token(&place, "service:reader").await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (place, body) = (Arc::clone(&place), json!({ "token": token, "request": request() }));
        tries.spawn(async move { place.json(Peer::Nobody, Method::POST, "/v1/enrolment", body).await });
    }
    let answers = tries.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status.is_success()).count(), 1);
}
