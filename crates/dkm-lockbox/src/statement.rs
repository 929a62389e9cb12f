//! What an approver signs: the whole request and the decision, as lines that a person can read.
//!
//! One `name: value` a line, in a fixed order, each ended by a line feed. A request has exactly one such text for each
//! decision, level and approver, and no two have the same: values hold no line breaks, and are quoted where they could
//! be anything.

mod parse;

use std::fmt::Write as _;

use dkm_core::{Digest, Timestamp};
use minicbor::{Decode, Encode};

pub use self::parse::{STATEMENT_LEN_MAX, StatementError, parse_request};
use crate::request::{Request, Scope};
use crate::text::word;

/// The namespace of signatures under statements, as `ssh-keygen -n` takes it.
pub const NAMESPACE: &str = "dkm-approval";
/// What an approval begins with.
const APPROVAL: &str = "dkm-approval";
/// What a request begins with.
const REQUEST: &str = "dkm-request";
/// Version of the texts.
const VERSION: u8 = 1;
/// The scope of direct access.
const EVERY_KEY: &str = "every key of the group";

/// What an approver decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Decision {
    /// The request shall be granted, as far as this level goes.
    #[n(0)]
    Approve,
    /// It shall not, whatever others say.
    #[n(1)]
    Deny,
}

impl Decision {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The request that is decided on.
    pub request: Request,
    /// How.
    pub decision: Decision,
    /// At which level.
    pub level: String,
    /// By whom: a person of the roster.
    pub approver: String,
}

/// The text that an approver, a person of the roster, signs to decide on a request at a level.
#[must_use]
pub fn statement(request: &Request, decision: Decision, level: &str, approver: &str) -> String {
    text(request, Some((decision, level, approver)))
}

/// The text that a requester signs who can't reach the server: the same without a decision, under another name.
#[must_use]
pub fn request_statement(request: &Request) -> String {
    text(request, None)
}

fn text(request: &Request, said: Option<(Decision, &str, &str)>) -> String {
    let mut lines = Lines::default();
    lines.add(if said.is_some() { APPROVAL } else { REQUEST }, VERSION);
    lines.add("instance", request.instance);
    lines.add("request", request.id);
    if let Some((decision, level, _)) = said {
        lines.add("decision", decision.as_str());
        lines.add("level", word(level.as_bytes()));
    }
    lines.add("group", request.group);
    lines.digests("policy", &request.policy);
    lines.digests("roster", &request.roster);
    lines.add("requester", word(request.requester.person.as_bytes()));
    lines.add("requester-account", word(request.requester.account.as_bytes()));
    if let Some((.., approver)) = said {
        lines.add("approver", word(approver.as_bytes()));
    }
    lines.add("reason", word(request.reason.as_bytes()));
    lines.add("ticket", word(request.ticket.as_bytes()));
    lines.add("mode", request.mode);
    lines.add("break-glass", if request.break_glass { "yes" } else { "no" });
    match &request.scope {
        Some(scope) => lines.scope(scope),
        None => lines.add("scope", EVERY_KEY),
    }
    lines.add("duration", format_args!("{} s", request.duration_s));
    lines.add("made", time(request.made));
    lines.add("not-after", time(request.not_after));
    lines.add("activation-window", format_args!("{} s", request.activation_window_s));
    lines.0
}

impl Statement {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        statement(&self.request, self.decision, &self.level, &self.approver)
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{name}: {value}");
    }

    fn digests(&mut self, name: &str, digests: &[Digest]) {
        digests.iter().for_each(|digest| self.add(name, digest));
    }

    fn scope(&mut self, scope: &Scope) {
        self.digests("scope-blob", &scope.blobs);
        for (key, value) in scope.context.pairs() {
            self.add("scope-context", format_args!("{} = {}", word(key), word(value)));
        }
        self.add("scope-count", scope.count_max);
        self.add("scope-bytes", scope.bytes_max);
    }
}

/// A point in time as RFC 3339 writes it, or in milliseconds where it is beyond that.
pub(crate) fn time(at: Timestamp) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{} ms", at.0), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests;
