//! What an answer that is no success means.

use std::time::Duration;

use dkm::repository::RepositoryError;

use crate::elevations::ElevationError;
use crate::http::Answer;
use crate::wire::{Code, Problem};

/// Most of a server's own words that are shown, in characters.
const WORDS_MAX: usize = 1_000;

/// A server's words for people: one line, not too long, and nothing that moves a terminal's cursor or shows text in another
/// order.
fn shown(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    let plain = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    text.chars().map(plain).take(WORDS_MAX).collect()
}

fn words(problem: &Problem) -> String {
    let detail = shown(&problem.detail);
    problem.advice.as_ref().map_or(detail.clone(), |advice| format!("{detail}: {}", shown(advice)))
}

/// The error in a repository's words. `what` was asked for at `location`.
///
/// Only a status and a code that say the same are a decision of the server. What stands between it and the client, or
/// a fault of its own, must not make a client drop its keys.
pub(crate) fn error(location: &str, what: &str, answer: &Answer) -> RepositoryError {
    let (location, what) = (location.to_owned(), what.to_owned());
    let status = answer.status;
    let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) else {
        let why = match status {
            300..=399 => "it sends its callers elsewhere, and no client of dkmd follows".to_owned(),
            _ => "and not in the words of dkmd".to_owned(),
        };
        return RepositoryError::Unavailable { location, why: format!("{what}: it answers {status}, {why}") };
    };
    let words = words(&problem);
    match (status, problem.code) {
        (401, Code::Unauthenticated) => {
            RepositoryError::Denied { location, what: format!("{what} (the server says: {words})") }
        }
        (403, Code::Denied) => RepositoryError::Denied { location, what },
        (404, Code::NotFound) => RepositoryError::NotFound { location, what },
        (400 | 413 | 415 | 422, Code::Invalid) | (409, Code::Conflict) => {
            RepositoryError::Invalid(format!("{location}, {what}: {words}"))
        }
        (507, Code::NoSpace) => RepositoryError::NoSpace { location },
        (503, Code::AuditUnavailable) => RepositoryError::Unavailable {
            location,
            why: format!(
                "{what}: its audit log can't be written, so that nothing was released or changed: {words}"
            ),
        },
        (429, Code::Busy) => RepositoryError::Unavailable {
            location,
            why: format!("{what}: this account asks too much at a time: {words}"),
        },
        _ => RepositoryError::Unavailable { location, why: format!("{what}: it answers {status}: {words}") },
    }
}

/// As [`error`], for what a person asks a server to decide: its reasons are told, and a state that does not allow
/// something is no mistake of the caller's.
pub(crate) fn decision(location: &str, what: &str, answer: &Answer) -> ElevationError {
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    let (status, what_of) = (answer.status, || what.to_owned());
    match (status, problem) {
        (403, Some(problem)) if problem.code == Code::Denied => {
            ElevationError::Denied { what: what_of(), why: words(&problem) }
        }
        (404, Some(problem)) if problem.code == Code::NotFound => {
            ElevationError::NotFound { what: what_of(), why: words(&problem) }
        }
        (409, Some(problem)) if problem.code == Code::Conflict => {
            ElevationError::Refused { what: what_of(), why: words(&problem) }
        }
        _ => ElevationError::Other(error(location, what, answer).into()),
    }
}

/// As [`error`], for one record.
pub(crate) fn record_error(location: &str, slot: &str, answer: &Answer) -> RepositoryError {
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    let (location_of, name) = (location.to_owned(), slot.to_owned());
    match (answer.status, problem) {
        (409, Some(Problem { code: Code::NotTombstoned, .. })) => {
            RepositoryError::NotTombstoned { location: location_of, name }
        }
        (500..=599, Some(problem)) if problem.code == Code::Unreadable => {
            RepositoryError::Unreadable { location: location_of, name, why: words(&problem) }
        }
        _ => error(location, &format!("record {slot}"), answer),
    }
}

/// An answer that is a success and can't be one.
pub(crate) fn odd(location: &str, what: &str, why: impl std::fmt::Display) -> RepositoryError {
    let why = format!("{what}: its answer is not understood: {}", shown(&why.to_string()));
    RepositoryError::Unavailable { location: location.to_owned(), why }
}

/// How long ago or ahead a moment is, roughly, for people.
pub(crate) fn roughly(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 2 * 86_400 => format!("{} days", seconds / 86_400),
        seconds if seconds >= 2 * 3_600 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} minutes", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    fn code() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec![
            "unauthenticated",
            "denied",
            "not-found",
            "invalid",
            "not-tombstoned",
            "conflict",
            "unreadable",
            "busy",
            "no-space",
            "audit-unavailable",
            "unavailable",
            "of-later",
        ])
    }

    proptest! {
        /// Whatever a server says, one line comes of it, and a decision only of the two answers that are one.
        #[test]
        fn any_answer_is_an_error_in_plain_words(
            status in 100u16..600,
            code in code(),
            detail in ".{0,40}",
            cut in 0usize..60,
        ) {
            let body = serde_json::json!({"code": code, "detail": detail}).to_string();
            let whole = cut > 40;
            let bytes = body.as_bytes();
            let bytes = if whole { bytes } else { &bytes[..cut.min(bytes.len() - 1)] };
            let answer = Answer { status, body: Zeroizing::new(bytes.to_vec()) };
            let told = decision("https://h", "x", &answer);
            prop_assert!(!told.to_string().contains(char::is_control));
            for error in [error("https://h", "x", &answer), record_error("https://h", "slot", &answer)] {
                let moves = |c: char| c.is_control() || c == '\u{202e}';
                prop_assert!(!error.to_string().contains(moves));
                let decided = whole && matches!((status, code), (401, "unauthenticated") | (403, "denied"));
                prop_assert_eq!(matches!(error, RepositoryError::Denied { .. }), decided);
            }
        }
    }
}
