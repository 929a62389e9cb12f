//! The API over HTTP/1.1: which request does what. Bodies are those of [`dkm_remote::wire`].

mod directory;
mod elevation;
mod enrolment;
mod groups;
mod health;
mod input;
mod log;
mod offline;
pub mod openapi;
mod records;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use dkm_remote::wire::BODY_LEN_MAX;

use crate::caller::identify;
use crate::metrics;
use crate::problem::Problem;
use crate::server::Server;
use crate::throttle::Throttle;

/// Everything that the server answers.
pub fn router(server: &Arc<Server>) -> Router {
    let throttle = Arc::new(Throttle::per_second(server.limits().requests_per_second));
    let authenticated = Router::new()
        .route("/v1/whoami", get(directory::who_am_i))
        .route("/v1/repository", get(groups::repository))
        .route("/v1/groups", get(groups::list))
        .route("/v1/groups/{group}", put(groups::create))
        .route("/v1/groups/{group}/announcement", post(groups::announce))
        .route("/v1/groups/{group}/rights", get(groups::rights))
        .route("/v1/groups/{group}/access", get(groups::access))
        .route("/v1/groups/{group}/rooms/{room}", get(records::list))
        .route(
            "/v1/groups/{group}/rooms/{room}/{slot}",
            get(records::get).put(records::put).delete(records::shred),
        )
        .route("/v1/renewal", post(enrolment::renew))
        .route("/v1/principals", get(directory::principals))
        .route("/v1/principals/{name}", put(directory::put_principal).delete(directory::disable_principal))
        .route("/v1/principals/{name}/token", post(enrolment::token))
        .route("/v1/directory-groups", get(directory::directory_groups))
        .route("/v1/directory-groups/{name}", put(directory::put_group))
        .route(
            "/v1/directory-groups/{name}/members/{member}",
            put(directory::add_member).delete(directory::remove_member),
        )
        .route("/v1/groups/{group}/control", get(elevation::control))
        .route("/v1/groups/{group}/requests", get(elevation::list).post(elevation::ask))
        .route("/v1/groups/{group}/offline", post(offline::submit))
        .route("/v1/requests/{request}", get(elevation::show))
        .route("/v1/requests/{request}/evidence", get(elevation::evidence))
        .route("/v1/requests/{request}/answers", post(elevation::answer))
        .route("/v1/requests/{request}/withdrawal", post(elevation::withdraw))
        .route("/v1/requests/{request}/activation", post(elevation::activate))
        .route("/v1/requests/{request}/revocation", post(elevation::revoke))
        .route("/v1/requests/{request}/review", post(elevation::review))
        .route("/v1/requests/{request}/credentials", post(elevation::credentials))
        .route("/v1/requests/{request}/tickets", post(elevation::tickets))
        .route("/v1/requests/{request}/unprotect", post(elevation::unprotect))
        .route("/v1/log/checkpoint", get(log::checkpoint))
        .route("/v1/log/tile/{*path}", get(log::tile))
        .route("/v1/log/handover/{size}", get(log::handover))
        .layer(middleware::from_fn_with_state((Arc::clone(server), throttle), identify));
    Router::new()
        .route("/health", get(health::health))
        .route("/v1/enrolment", post(enrolment::enrol))
        .route("/v1/openapi.json", get(openapi::serve))
        .merge(authenticated)
        .method_not_allowed_fallback(|| async { Problem::wrong_method() })
        .fallback(|| async { Problem::not_found("there is no such path here") })
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(middleware::from_fn_with_state(Duration::from_secs(server.limits().request_s), within))
        .layer(middleware::from_fn_with_state(Arc::clone(server), metrics::count))
        .with_state(Arc::clone(server))
}

/// No request takes longer than it may. A change that has begun goes on.
async fn within(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        // What the framework refuses by itself (a path that is no UTF-8, a query that lacks something) it says in plain text.
        Ok(response) if response.status().is_client_error() && is_plain(&response) => {
            Problem::invalid("the path or the query of the request is not understood").into_response()
        }
        Ok(response) => response,
        Err(_) => Problem::unavailable("the request took too long").into_response(),
    }
}

fn is_plain(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_none_or(|kind| kind.starts_with("text/plain"))
}
