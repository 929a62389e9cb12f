//! What other systems have recorded, taken into the log: Windows security events, and Samba's JSON audit lines.
//!
//! | what | entry's action |
//! |---|---|
//! | Windows 4662; an operation on an object | `ingested-access` |
//! | Windows 5136, Samba `dsdbChange`; a change of an object | `ingested-change` |
//! | Windows 4624, Samba `Authentication`; a logon | `ingested-logon` |
//! | Samba `Authorization`; a session | `ingested-session` |
//! | Windows 4728; a new member of a group | `ingested-member-added` |
//! | what could not be read | `ingested-unreadable` |
//!
//! An entry tells who, what, where and when, and never a value of an attribute: those may be keys. The entry's time is that
//! of the one who writes the log; the time that the other system gives stands in the detail, since whoever can write into a
//! foreign log must not move the time of this one.

mod accounts;
mod records;
mod samba;
mod time;
mod windows;
mod windows_json;
mod windows_xml;

use dkm_core::{Digest, Timestamp};
use serde_json::Value;

use crate::entry::{Action, Actor, Detail, Entry, Phase};

pub use accounts::{AccountError, Accounts};
pub use records::{RECORD_LEN_MAX, Raw, Records};

/// Longest id of a record that is written as it is; a longer one is hashed.
const ID_LEN_MAX: usize = 200;
/// What every action of an ingested entry begins with.
const PREFIX: &str = "ingested-";

/// Why a record could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Longer than [`RECORD_LEN_MAX`].
    #[error("longer than {RECORD_LEN_MAX} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8; save the file as UTF-8")]
    NotText,
    /// Not an event in JSON or XML.
    #[error("no event, neither in JSON nor in XML")]
    Malformed,
    /// A field is missing, or holds what it cannot.
    #[error("no valid {field}")]
    BadField {
        /// The field.
        field: &'static str,
    },
    /// Of a kind that is not taken in.
    #[error("of another kind: {kind}")]
    OtherKind {
        /// The system and the kind, in letters, digits and spaces.
        kind: String,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// An operation on an object of the directory.
    Access,
    /// A change of an object of the directory.
    Change,
    /// A logon.
    Logon,
    /// A session was opened.
    Session,
    /// A group has a new member.
    MemberAdded,
}

impl Happened {
    const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Change => "change",
            Self::Logon => "logon",
            Self::Session => "session",
            Self::MemberAdded => "member-added",
        }
    }
}

/// An account, by what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its SID.
    pub sid: Option<String>,
    /// Its name, without the domain.
    pub name: Option<String>,
    /// The domain's name.
    pub domain: Option<String>,
}

impl Account {
    fn actor(&self) -> Actor {
        let name = match (&self.domain, &self.name) {
            (Some(domain), Some(name)) => Some(format!("{domain}\\{name}")),
            (None, Some(name)) => Some(name.clone()),
            _ => None,
        };
        let text = match (name, &self.sid) {
            (Some(name), Some(sid)) => format!("{name} ({sid})"),
            (Some(name), None) => name,
            (None, Some(sid)) => sid.clone(),
            (None, None) => "unknown account".to_owned(),
        };
        Actor::lossy(&text)
    }
}

/// One record of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Tells it from all others, wherever it was exported.
    pub id: String,
    /// When, by the other system's clock.
    pub at: Timestamp,
    /// What.
    pub what: Happened,
    /// Whether it succeeded.
    pub done: bool,
    /// Who.
    pub who: Account,
    /// The new member, for [`Happened::MemberAdded`].
    pub member: Option<Account>,
    /// More, as names and values.
    pub facts: Vec<(&'static str, String)>,
}

/// Reads the records in some text: one, or more if it is a list. Errors tell what is wrong, and hold nothing of the text.
#[must_use]
pub fn read(text: &str) -> Vec<Result<Record, RecordError>> {
    let text = text.trim();
    if text.starts_with('<') {
        return vec![windows_xml::read(text)];
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(events)) => {
            events.iter().map(|event| one(event, event.to_string().as_bytes())).collect()
        }
        Ok(event) => vec![one(&event, text.as_bytes())],
        Err(_) => vec![Err(RecordError::Malformed)],
    }
}

fn one(event: &Value, bytes: &[u8]) -> Result<Record, RecordError> {
    if event.get("type").is_some_and(Value::is_string) && event.get("timestamp").is_some() {
        samba::read(event, bytes)
    } else if event.get("winlog").is_some() {
        windows_json::beat(event)
    } else if event.get("Id").is_some() || event.get("RecordId").is_some() {
        windows_json::power_shell(event)
    } else {
        Err(RecordError::Malformed)
    }
}

impl Record {
    /// The id, for a record that its system has numbered, with a part that follows from all that is taken from it: two records
    /// that differ are two, whatever number they bear, so that none can be kept out by a false one.
    fn numbered(mut self) -> Self {
        let content =
            format!("{:?} {} {:?} {:?} {:?}", self.what, self.done, self.who, self.member, self.facts);
        let digest = Digest::of(content.as_bytes()).to_string();
        self.id = format!("{}/{}", self.id, digest.get(..16).unwrap_or_default());
        self
    }

    /// The entry for it, with the grant whose temporary account it was, if it was one.
    #[must_use]
    pub fn entry(&self, now: Timestamp, accounts: &Accounts) -> Entry {
        let phase = if self.done { Phase::Recorded } else { Phase::Denied };
        let mut entry = Entry::new(now, self.who.actor(), Action::ingested(self.what.name()), phase);
        entry.grant =
            accounts.grant_of(&self.who).or_else(|| accounts.grant_of(self.member.as_ref()?)).cloned();
        let mut detail = format!("record={}; at={}", self.id, time::format(self.at));
        for (name, value) in &self.facts {
            detail.push_str(&format!("; {name}={value}"));
        }
        entry.detail = Some(Detail::lossy(&detail));
        entry
    }
}

/// The entry that stands for something which could not be read: where it was, and its hash.
#[must_use]
pub fn unreadable(now: Timestamp, place: &str, raw: &Raw, why: &RecordError) -> Entry {
    let mut entry =
        Entry::new(now, Actor::lossy("unknown account"), Action::ingested("unreadable"), Phase::Recorded);
    let detail = format!("record={}; {place}, line {}: {why}", unreadable_id(&raw.digest), raw.line);
    entry.detail = Some(Detail::lossy(&detail));
    entry.size = Some(raw.len.min(crate::entry::NUMBER_MAX));
    entry
}

/// Id of what could not be read.
#[must_use]
pub fn unreadable_id(digest: &Digest) -> String {
    format!("unreadable/{digest}")
}

/// Id of the record that an entry of the log was made of.
#[must_use]
pub fn record_of(entry: &Entry) -> Option<&str> {
    if !entry.action.as_str().starts_with(PREFIX) {
        return None;
    }
    let id = entry.detail.as_ref()?.as_str().strip_prefix("record=")?;
    Some(id.split(';').next().unwrap_or(id))
}

/// A record's id from its parts, in letters that stand for themselves.
fn id(parts: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-' | ' ');
    let id = parts.join("/");
    if id.len() <= ID_LEN_MAX && parts.iter().all(|part| part.chars().all(plain)) {
        id
    } else {
        format!("{}/{}", parts.first().unwrap_or(&""), Digest::of(id.as_bytes()))
    }
}

/// The name of a kind of record that is not taken in, as far as it is a name.
fn other_kind(system: &str, kind: &str) -> RecordError {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == ' ';
    let is_name = !kind.is_empty() && kind.len() <= 40 && kind.chars().all(plain);
    RecordError::OtherKind { kind: format!("{system} {}", if is_name { kind } else { "of an unknown kind" }) }
}

/// A short text from a foreign record, as far as it is one.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().map(|c| if c == ';' { ',' } else { c }).take(300).collect();
    if out.len() < text.len() {
        out.push_str("...");
    }
    out
}
