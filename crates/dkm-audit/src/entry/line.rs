//! The bytes of an entry: one line of JSON, without spaces, fields in a fixed order, those without a value left out.
//! Texts are escaped as RFC 8785 has it. What does not encode back to the same bytes is refused.

use std::borrow::Cow;
use std::str::FromStr;

use dkm_core::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ContextMac, Entry, Phase};

/// Longest encoding of an entry, in bytes.
pub const ENTRY_LEN_MAX: usize = 16 * 1024;
/// Largest number in an entry: every reader of JSON keeps it exactly.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Version of the encoding.
const VERSION: u8 = 1;

/// Why bytes are no entry, or an entry has no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Longer than [`ENTRY_LEN_MAX`].
    #[error("the entry is longer than {ENTRY_LEN_MAX} bytes")]
    TooLong,
    /// Not a JSON object with an entry's fields.
    #[error("the entry is not JSON with the fields of an entry")]
    Malformed,
    /// Written by a newer program.
    #[error("the entry's version {version} is not known to this program")]
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// A field holds something that it cannot.
    #[error("the entry's field {field:?} holds no valid value")]
    BadField {
        /// The field's name.
        field: &'static str,
    },
    /// It means an entry, but is not written as this program writes it.
    #[error("the entry is not in its canonical form")]
    NotCanonical,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    version: u8,
    time: u64,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    phase: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    grant: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    group: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    blob: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    context: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    next_key: Option<Cow<'a, str>>,
}

fn owned<'a>(value: Option<&impl ToString>) -> Option<Cow<'a, str>> {
    value.map(|value| Cow::Owned(value.to_string()))
}

fn field<T: FromStr>(text: &str, field: &'static str) -> Result<T, EntryError> {
    text.parse().map_err(|_| EntryError::BadField { field })
}

fn optional<T: FromStr>(text: Option<&Cow<'_, str>>, name: &'static str) -> Result<Option<T>, EntryError> {
    text.map(|text| field(text, name)).transpose()
}

impl Entry {
    /// The entry's bytes: a leaf of the log, without a newline.
    ///
    /// # Errors
    /// [`EntryError::BadField`] for a number above [`NUMBER_MAX`]; [`EntryError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        for (number, field) in
            [(Some(self.time.0), "time"), (self.phase.intent(), "intent"), (self.size, "size")]
        {
            if number.is_some_and(|number| number > NUMBER_MAX) {
                return Err(EntryError::BadField { field });
            }
        }
        let line = Line {
            version: VERSION,
            time: self.time.0,
            actor: self.actor.as_str().into(),
            action: self.action.as_str().into(),
            phase: self.phase.as_str().into(),
            intent: self.phase.intent(),
            grant: owned(self.grant.as_ref()),
            group: owned(self.group.as_ref()),
            key: owned(self.key.as_ref()),
            blob: owned(self.blob.as_ref()),
            context: owned(self.context.as_ref()),
            size: self.size,
            reason: owned(self.reason.as_ref()),
            detail: owned(self.detail.as_ref()),
            next_key: owned(self.next_key.as_ref()),
        };
        let bytes = serde_json::to_vec(&line).map_err(|_| EntryError::Malformed)?;
        if bytes.len() > ENTRY_LEN_MAX { Err(EntryError::TooLong) } else { Ok(bytes) }
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_LEN_MAX {
            return Err(EntryError::TooLong);
        }
        let line: Line<'_> = serde_json::from_slice(bytes).map_err(|_| EntryError::Malformed)?;
        if line.version != VERSION {
            return Err(EntryError::UnknownVersion { version: line.version });
        }
        let phase = match (&*line.phase, line.intent) {
            ("intent", None) => Phase::Intent,
            ("success", Some(intent)) => Phase::Success { intent },
            ("failure", Some(intent)) => Phase::Failure { intent },
            ("denied", None) => Phase::Denied,
            ("recorded", None) => Phase::Recorded,
            _ => return Err(EntryError::BadField { field: "phase" }),
        };
        let context: Option<Digest> = optional(line.context.as_ref(), "context")?;
        let entry = Self {
            time: Timestamp(line.time),
            actor: field(&line.actor, "actor")?,
            action: field(&line.action, "action")?,
            phase,
            grant: optional(line.grant.as_ref(), "grant")?,
            group: optional(line.group.as_ref(), "group")?,
            key: optional(line.key.as_ref(), "key")?,
            blob: optional(line.blob.as_ref(), "blob")?,
            context: context.map(|mac| ContextMac(mac.0)),
            size: line.size,
            reason: optional(line.reason.as_ref(), "reason")?,
            detail: optional(line.detail.as_ref(), "detail")?,
            next_key: optional(line.next_key.as_ref(), "next_key")?,
        };
        if entry.encode()? == bytes { Ok(entry) } else { Err(EntryError::NotCanonical) }
    }
}
