//! Who asks: principals and directory groups, by name.

use std::fmt;
use std::str::FromStr;

use dkm_remote::wire::Kind;

/// Longest name, in bytes (DESIGN §9).
pub const NAME_LEN_MAX: usize = 128;

/// Why a text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected service:NAME, person:NAME or group:NAME, a name being 1 to 128 of a-z, 0-9, '.', '_' and '-'"
)]
pub struct ParseNameError;

/// Whether a text is the bare name of a principal or a directory group.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// A principal: a service account or a person. Which of the two it is never changes, and stands in its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// What it is.
    pub kind: Kind,
    name: String,
}

impl Account {
    /// The bare name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", prefix(self.kind), self.name)
    }
}

impl FromStr for Account {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        match text.split_once(':') {
            Some(("service", name)) if is_name(name) => {
                Ok(Self { kind: Kind::Service, name: name.to_owned() })
            }
            Some(("person", name)) if is_name(name) => Ok(Self { kind: Kind::Person, name: name.to_owned() }),
            _ => Err(ParseNameError),
        }
    }
}

/// The word before a principal's name.
#[must_use]
pub const fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Person => "person",
    }
}

/// A principal or a directory group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A principal.
    Account(Account),
    /// A directory group, by its bare name.
    Group(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => account.fmt(f),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        match text.strip_prefix("group:") {
            Some(name) if is_name(name) => Ok(Self::Group(name.to_owned())),
            Some(_) => Err(ParseNameError),
            None => text.parse().map(Self::Account),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_nothing_else_is_one() {
        for text in ["service:mail-1", "person:alice", "group:mail.readers_2"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        let long = format!("service:{}", "a".repeat(129));
        for text in [
            "",
            "alice",
            "service:",
            "group:",
            "Service:x",
            "person:Alice",
            "person:a b",
            "uid:0",
            "group:person:x",
            &long,
        ] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
