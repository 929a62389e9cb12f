//! Why a request is not carried out, as its caller is told (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dkm_remote::wire::{self, Code};

/// A problem, and the status that goes with it. Never holds a secret: it is sent and logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", body.detail)]
pub struct Problem {
    status: u16,
    body: wire::Problem,
}

impl Problem {
    fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), body: wire::Problem { code, detail: detail.into(), advice: None } }
    }

    /// How to recover.
    #[must_use]
    pub fn advice(mut self, text: impl Into<String>) -> Self {
        self.body.advice = Some(text.into());
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.body.code
    }

    /// Whether it was decided so; otherwise it can't be said at the moment.
    #[must_use]
    pub const fn is_decision(&self) -> bool {
        !matches!(self.body.code, Code::Unavailable | Code::AuditUnavailable | Code::NoSpace | Code::Busy)
    }

    /// Nobody, as far as this server knows.
    #[must_use]
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, detail)
    }

    /// Decided: no.
    #[must_use]
    pub fn denied(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Denied, detail)
    }

    /// It is not there.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, detail)
    }

    /// The request can't be understood or expressed.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Invalid, detail)
    }

    /// There is no such method here.
    #[must_use]
    pub fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Invalid, "this method is not there for this path")
    }

    /// More than is taken.
    #[must_use]
    pub fn too_large() -> Self {
        let max = wire::BODY_LEN_MAX;
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::Invalid, format!("a body has at most {max} bytes"))
    }

    /// A ticket that is not taken. That decides nothing about whose it is: another one of the same account may be taken.
    #[must_use]
    pub fn ticket(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Invalid, detail)
    }

    /// It is in a state that does not allow this.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Code::Conflict, detail)
    }

    /// Only records of destroyed keys are erased.
    #[must_use]
    pub fn not_tombstoned(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Code::NotTombstoned, detail)
    }

    /// Too much at a time.
    #[must_use]
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::Busy, detail)
            .advice("try again in a moment, and less at a time")
    }

    /// No space.
    #[must_use]
    pub fn no_space(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::NoSpace, detail)
            .advice("free some space on the server; nothing was lost, and the same can be asked again")
    }

    /// What must be recorded first can't be.
    #[must_use]
    pub fn audit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::AuditUnavailable, detail).advice(
            "nothing is released or changed until the audit log takes entries again; GET /health says when",
        )
    }

    /// Something that the server needs does not work.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<dkm_audit::store::Error> for Problem {
    fn from(error: dkm_audit::store::Error) -> Self {
        match &error {
            dkm_audit::store::Error::Busy { .. } => Self::busy(error.to_string()),
            dkm_audit::store::Error::Entry(_) => Self::invalid(error.to_string()),
            _ => Self::audit(error.to_string()),
        }
    }
}

fn is_moved(error: &rusqlite::Error) -> bool {
    let moved = rusqlite::ffi::SQLITE_READONLY_DBMOVED;
    matches!(error, rusqlite::Error::SqliteFailure(failed, _) if failed.extended_code == moved)
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::no_space("no space left for the server's database"),
            Some(_) if is_moved(&error) => Self::unavailable(
                "the server's database was moved, removed or replaced while it was in use",
            )
            .advice("put back the one that was there; if it is lost, stop the server: dkmd check says more"),
            Some(rusqlite::ErrorCode::ReadOnly) => Self::unavailable("the server's database is read-only"),
            // What SQLite says of a statement may quote values.
            Some(code) => Self::unavailable(format!("the server's database failed: {code:?}")),
            None => Self::unavailable("the server's database holds something that it cannot"),
        }
    }
}
