//! Reads what [`statement`](super::statement) wrote, for those who look at it before they sign.

use std::str::FromStr;

use dkm_core::{Context, Digest, Timestamp};

use super::{APPROVAL, Decision, EVERY_KEY, REQUEST, Statement, VERSION};
use crate::request::{Mode, Request, RequestError, Requester, Scope};
use crate::text::unword;

/// Longest statement that is read, in bytes.
pub const STATEMENT_LEN_MAX: usize = 128 * 1024;

/// Why a text is not a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Longer than [`STATEMENT_LEN_MAX`].
    #[error("a statement has at most {STATEMENT_LEN_MAX} bytes, this has {0}")]
    TooLong(usize),
    /// Another version of the text.
    #[error("statement version {0:?} is not known to this program; upgrade it to read the statement")]
    Version(String),
    /// A line is not as it must be, or not where it must be.
    #[error("the statement has no line `{0}: …` as it must be where it must be")]
    Line(&'static str),
    /// Something follows its end.
    #[error("something follows the statement's last line")]
    Longer,
    /// It says the same in another way than there is for it.
    #[error("the statement does not have the one form that there is for what it says")]
    NotCanonical,
    /// No such request can be made.
    #[error("the request's {0}")]
    Request(#[from] RequestError),
}

/// What is left to read.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    /// The value of the next line, if it has this name.
    fn next(&mut self, name: &str) -> Option<&'a str> {
        let (line, rest) = self.0.split_once('\n')?;
        let value = line.strip_prefix(name)?.strip_prefix(": ")?;
        self.0 = rest;
        Some(value)
    }

    fn take(&mut self, name: &'static str) -> Result<&'a str, StatementError> {
        self.next(name).ok_or(StatementError::Line(name))
    }

    fn parsed<T: FromStr>(&mut self, name: &'static str) -> Result<T, StatementError> {
        self.take(name)?.parse().map_err(|_| StatementError::Line(name))
    }

    fn seconds(&mut self, name: &'static str) -> Result<u64, StatementError> {
        let digits = self.take(name)?.strip_suffix(" s").and_then(|digits| digits.parse().ok());
        digits.ok_or(StatementError::Line(name))
    }

    fn digests(&mut self, name: &'static str) -> Result<Vec<Digest>, StatementError> {
        std::iter::from_fn(|| self.next(name))
            .map(|value| value.parse().map_err(|_| StatementError::Line(name)))
            .collect()
    }

    fn text(&mut self, name: &'static str) -> Result<String, StatementError> {
        let bytes = unword(self.take(name)?).ok_or(StatementError::Line(name))?;
        String::from_utf8(bytes).map_err(|_| StatementError::Line(name))
    }

    fn time(&mut self, name: &'static str) -> Result<Timestamp, StatementError> {
        let value = self.take(name)?;
        let ms = match value.strip_suffix(" ms") {
            Some(digits) => digits.parse().ok(),
            None => {
                value.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
            }
        };
        ms.map(Timestamp).ok_or(StatementError::Line(name))
    }

    fn scope(&mut self) -> Result<Scope, StatementError> {
        const PAIR: &str = "scope-context";
        let blobs = self.digests("scope-blob")?;
        let mut context = Context::new();
        while let Some(pair) = self.next(PAIR) {
            // A quoted word may hold this, too; then what stands in front is no word.
            let (key, value) = pair
                .match_indices(" = ")
                .find_map(|(place, between)| {
                    let (key, rest) = pair.split_at_checked(place)?;
                    Some((unword(key)?, unword(rest.strip_prefix(between)?)?))
                })
                .ok_or(StatementError::Line(PAIR))?;
            context = context.with(key, value).map_err(|_| StatementError::Line(PAIR))?;
        }
        let (count_max, bytes_max) = (self.parsed("scope-count")?, self.parsed("scope-bytes")?);
        Ok(Scope { blobs, context, count_max, bytes_max })
    }
}

impl Statement {
    /// Reads a statement. It has one form only: what is read is written as exactly the same bytes.
    ///
    /// # Errors
    /// [`StatementError`]: it is not one, or no such request can be made.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let (request, said) = parse(text, APPROVAL)?;
        let (decision, level, approver) = said.ok_or(StatementError::Line("decision"))?;
        Ok(Self { request, decision, level, approver })
    }
}

/// Reads what a requester signs. It has one form only, too.
///
/// # Errors
/// As [`Statement::parse`].
pub fn parse_request(text: &str) -> Result<Request, StatementError> {
    parse(text, REQUEST).map(|(request, _)| request)
}

type Said = (Decision, String, String);

fn parse(text: &str, first: &'static str) -> Result<(Request, Option<Said>), StatementError> {
    if text.len() > STATEMENT_LEN_MAX {
        return Err(StatementError::TooLong(text.len()));
    }
    let mut lines = Lines(text);
    let version = lines.take(first)?;
    if version != VERSION.to_string() {
        return Err(StatementError::Version(version.chars().take(16).collect()));
    }
    let (instance, id) = (lines.parsed("instance")?, lines.parsed("request")?);
    let mut decided = None;
    if first == APPROVAL {
        let decision = match lines.take("decision")? {
            "approve" => Decision::Approve,
            "deny" => Decision::Deny,
            _ => return Err(StatementError::Line("decision")),
        };
        decided = Some((decision, lines.text("level")?));
    }
    let group = lines.parsed("group")?;
    let (policy, roster) = (lines.digests("policy")?, lines.digests("roster")?);
    let requester = Requester { person: lines.text("requester")?, account: lines.text("requester-account")? };
    let said = match decided {
        Some((decision, level)) => Some((decision, level, lines.text("approver")?)),
        None => None,
    };
    let (reason, ticket) = (lines.text("reason")?, lines.text("ticket")?);
    let mode = match lines.take("mode")? {
        "brokered" => Mode::Brokered,
        "direct" => Mode::Direct,
        _ => return Err(StatementError::Line("mode")),
    };
    let break_glass = match lines.take("break-glass")? {
        "yes" => true,
        "no" => false,
        _ => return Err(StatementError::Line("break-glass")),
    };
    let scope = match lines.next("scope") {
        Some(EVERY_KEY) => None,
        Some(_) => return Err(StatementError::Line("scope")),
        None => Some(lines.scope()?),
    };
    let duration_s = lines.seconds("duration")?;
    let (made, not_after) = (lines.time("made")?, lines.time("not-after")?);
    let activation_window_s = lines.seconds("activation-window")?;
    if !lines.0.is_empty() {
        return Err(StatementError::Longer);
    }
    let request = Request {
        id,
        instance,
        group,
        policy,
        roster,
        requester,
        reason,
        ticket,
        mode,
        scope,
        break_glass,
        duration_s,
        made,
        not_after,
        activation_window_s,
    };
    let words =
        said.as_ref().map(|(decision, level, approver)| (*decision, level.as_str(), approver.as_str()));
    if super::text(&request, words) != text {
        return Err(StatementError::NotCanonical);
    }
    request.check()?;
    Ok((request, said))
}
