//! Reads what requests hold, and says what is wrong with it.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use dkm_core::{GroupId, Room, SlotName};
use serde::de::DeserializeOwned;

use crate::account::{Account, Name};
use crate::problem::Problem;
use crate::server::Server;

/// A body as it came.
pub(super) struct Raw(pub(super) Bytes);

impl FromRequest<Arc<Server>> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Server>) -> Result<Self, Problem> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(error) if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::too_large())
            }
            Err(_) => Err(Problem::invalid("the body broke off")),
        }
    }
}

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Server>) -> Result<Self, Problem> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            // What serde says may quote the value, which may be a secret: where it is must do.
            Problem::invalid(format!(
                "the body is not the JSON that belongs here (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }
}

fn parsed<T: FromStr>(text: &str, what: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Problem::invalid(format!("this is no {what}: {error}")))
}

pub(super) fn group(text: &str) -> Result<GroupId, Problem> {
    parsed(text, "group id")
}

pub(super) fn room(text: &str) -> Result<Room, Problem> {
    let room = Room::ALL.into_iter().find(|room| room.as_str() == text);
    room.ok_or_else(|| Problem::not_found("the rooms of a group are control and keys"))
}

pub(super) fn slot(text: &str) -> Result<SlotName, Problem> {
    parsed(text, "slot")
}

pub(super) fn account(text: &str) -> Result<Account, Problem> {
    parsed(text, "principal")
}

pub(super) fn name(text: &str) -> Result<Name, Problem> {
    parsed(text, "principal or directory group")
}

pub(super) fn directory_group(text: &str) -> Result<String, Problem> {
    match parsed::<Name>(text, "directory group")? {
        Name::Group(name) => Ok(name),
        Name::Account(_) => Err(Problem::invalid("this is no directory group: expected group:NAME")),
    }
}

/// Bytes in hexadecimal, at most so many.
pub(super) fn hex(text: &str, max: usize) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() > 2 * max || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Bytes as hexadecimal.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
