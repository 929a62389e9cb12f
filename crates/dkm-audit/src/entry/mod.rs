//! Entries: what happened, or is about to happen. A leaf of the log is the encoding of one entry.
//!
//! An entry holds ids, digests, sizes and short texts that people see anyway. There is no field that could take key
//! material, plaintext or a context pair: a context stands in it as an HMAC under a key of this log alone.

mod context;
mod export;
mod line;
#[cfg(test)]
mod tests;
mod text;

use dkm_core::{Digest, GroupId, KeyId, Timestamp};

use crate::note::VerifierKey;

pub use context::{ContextKey, ContextMac};
pub use line::{ENTRY_LEN_MAX, EntryError, NUMBER_MAX};
pub use text::{Action, Actor, Detail, GrantRef, Reason, TextError};

/// Where an entry stands in the course of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The action is about to be done. Without an outcome, it counts as done.
    Intent,
    /// The action of an earlier intent was done.
    Success {
        /// Index of the leaf that holds the intent.
        intent: u64,
    },
    /// The action of an earlier intent came to nothing.
    Failure {
        /// Index of the leaf that holds the intent.
        intent: u64,
    },
    /// The action was asked for and refused.
    Denied,
    /// Something has happened that had no intent.
    Recorded,
}

impl Phase {
    /// The phase's name, which stays the same in all versions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Success { .. } => "success",
            Self::Failure { .. } => "failure",
            Self::Denied => "denied",
            Self::Recorded => "recorded",
        }
    }

    /// Index of the leaf that holds the intent, for an outcome.
    #[must_use]
    pub const fn intent(self) -> Option<u64> {
        match self {
            Self::Success { intent } | Self::Failure { intent } => Some(intent),
            Self::Intent | Self::Denied | Self::Recorded => None,
        }
    }
}

/// One entry. Which fields an action has, its kind decides; none of them is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, by the clock of who writes. The order of leaves, not their times, is what the log proves.
    pub time: Timestamp,
    /// Who does it.
    pub actor: Actor,
    /// What is done.
    pub action: Action,
    /// Whether it is about to be done, was done, or was refused.
    pub phase: Phase,
    /// The grant under which it is done.
    pub grant: Option<GrantRef>,
    /// The group that it concerns.
    pub group: Option<GroupId>,
    /// The key that it concerns.
    pub key: Option<KeyId>,
    /// SHA-256 of the blob that it concerns.
    pub blob: Option<Digest>,
    /// The blob's context, recognisable to who knows it and the log's context key.
    pub context: Option<ContextMac>,
    /// How much data, in bytes; at most [`NUMBER_MAX`].
    pub size: Option<u64>,
    /// Why, in the words of who does it.
    pub reason: Option<Reason>,
    /// More, in the words of the program.
    pub detail: Option<Detail>,
    /// The log's next key, when it changes its key.
    pub next_key: Option<VerifierKey>,
}

impl Entry {
    /// An entry with nothing but what every entry has.
    #[must_use]
    pub const fn new(time: Timestamp, actor: Actor, action: Action, phase: Phase) -> Self {
        Self {
            time,
            actor,
            action,
            phase,
            grant: None,
            group: None,
            key: None,
            blob: None,
            context: None,
            size: None,
            reason: None,
            detail: None,
            next_key: None,
        }
    }

    /// The key that the log changes to with this entry.
    #[must_use]
    pub fn announces(&self) -> Option<&VerifierKey> {
        if self.action == Action::log_key_rotated() { self.next_key.as_ref() } else { None }
    }
}
