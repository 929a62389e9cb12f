//! Whether the server can do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::server::Server;

/// Whether the server can do its work.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    /// `ok` or `failing`: all of it.
    status: &'static str,
    /// `ok` or `failing`.
    database: &'static str,
    /// `ok` or `failing`: whether the audit log takes entries.
    audit: &'static str,
    /// `ok` or `failing`: whether the domain controllers of the configured domain are known. The server's own groups do not
    /// depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'static str>,
    /// Entries of the audit log under its last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_size: Option<u64>,
}

/// 200 if keys are released and changes are made, 503 if not. It names no path and no group: anybody may ask.
pub(super) async fn health(State(server): State<Arc<Server>>) -> Response {
    let database = server.store().last_leaf().is_ok() && server.catalog().is_ok();
    let audit = server.audit().is_working().await;
    let word = |good| if good { "ok" } else { "failing" };
    let audit_size = dkm_audit::note::Note::parse(&server.audit().log().checkpoint())
        .ok()
        .and_then(|note| note.text().lines().nth(1)?.parse().ok());
    let domain = server.held().map(|held| word(held.domain().is_there()));
    let status = word(database && audit);
    let health = Health { status, database: word(database), audit: word(audit), domain, audit_size };
    let status = if database && audit { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}
