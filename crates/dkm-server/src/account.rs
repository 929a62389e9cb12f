//! Who asks: principals and directory groups, by name.

use std::fmt;
use std::str::FromStr;

use dkm_remote::wire::Kind;

/// Longest name, in bytes (DESIGN §9).
pub const NAME_LEN_MAX: usize = 128;

/// Why a text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected service:NAME, person:NAME or group:NAME, a name being 1 to 128 of a-z, 0-9, '.', '_' and '-', and @DOMAIN \
     behind it for those of a domain"
)]
pub struct ParseNameError;

/// Whether a text is the bare name of a principal or a directory group.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Whether a text is the name of an account or a group of a domain: its short name, `@`, and the domain's name in DNS. A
/// computer's short name ends with `$`. No name of the server's own is one of these.
#[must_use]
pub fn is_name_of_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.bytes().all(is_allowed)
    };
    text.len() <= NAME_LEN_MAX
        && text.split_once('@').is_some_and(|(name, domain)| {
            is_name(name.strip_suffix('$').unwrap_or(name)) && domain.split('.').all(is_label)
        })
}

/// The short name and the domain of a name; no domain for the server's own.
#[must_use]
pub fn parts(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(name, domain)| (name, Some(domain)))
}

/// A principal: a service account or a person. Which of the two it is never changes, and stands in its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// What it is.
    pub kind: Kind,
    name: String,
}

impl Account {
    /// An account of a domain, by its short name there in small or capital letters.
    ///
    /// # Errors
    /// The name has other letters than names here have.
    pub fn of_domain(kind: Kind, short: &str, domain: &str) -> Result<Self, ParseNameError> {
        let name = format!("{}@{domain}", short.to_ascii_lowercase());
        if is_name_of_domain(&name) { Ok(Self { kind, name }) } else { Err(ParseNameError) }
    }

    /// The bare name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bare name without the domain.
    #[must_use]
    pub fn short_name(&self) -> &str {
        parts(&self.name).0
    }

    /// The domain whose account it is; none for one of the server's own.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        parts(&self.name).1
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", prefix(self.kind), self.name)
    }
}

fn is_either(name: &str) -> bool {
    is_name(name) || is_name_of_domain(name)
}

impl FromStr for Account {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        match text.split_once(':') {
            Some(("service", name)) if is_either(name) => {
                Ok(Self { kind: Kind::Service, name: name.to_owned() })
            }
            Some(("person", name)) if is_either(name) => {
                Ok(Self { kind: Kind::Person, name: name.to_owned() })
            }
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
    /// A directory group, by its bare name: the server's own, or one of a domain.
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
            Some(name) if is_either(name) => Ok(Self::Group(name.to_owned())),
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
        for text in [
            "service:mail-1",
            "person:alice",
            "group:mail.readers_2",
            "person:alice@example.com",
            "service:mail-1$@ad.example.com",
            "group:readers@example.com",
        ] {
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
            "person:alice@",
            "person:@example.com",
            "person:$@example.com",
            "person:alice@Example.com",
            "person:alice@example..com",
            "person:alice@example.com@example.com",
            "person:alice@exa mple.com",
            "person:alice@example.com.",
            "person:alic\u{e9}@example.com",
            "service:mail$",
            "service:ma$il@example.com",
            &long,
        ] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
        let alice = Account::of_domain(Kind::Person, "Alice", "example.com").unwrap();
        assert_eq!(alice, "person:alice@example.com".parse().unwrap());
        assert_eq!((alice.short_name(), alice.domain()), ("alice", Some("example.com")));
        assert_eq!("person:alice".parse::<Account>().unwrap().domain(), None);
        for odd in ["", "al ice", "al\\ice", "al/ice", "alice@example.com", "al\u{131}ce", "alice\n"] {
            assert!(Account::of_domain(Kind::Person, odd, "example.com").is_err(), "{odd}");
        }
    }
}
