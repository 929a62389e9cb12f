//! An account: a mailbox of somebody, and how it is reached. Nothing in it is secret.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use dkm::Timestamp;

use crate::provider::{Login, Provider};

/// Longest owner, in bytes.
pub(crate) const OWNER_LEN_MAX: usize = 256;
/// Longest address, in bytes (RFC 5321 §4.5.3.1.3).
pub(crate) const ADDRESS_LEN_MAX: usize = 254;

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseAccountError(pub(crate) String);

fn refuse(why: impl Into<String>) -> ParseAccountError {
    ParseAccountError(why.into())
}

/// What names an account: 16 random bytes, written as 32 hexadecimal digits. It is never given out twice, so that a blob of
/// an account that was removed opens nothing of one that came after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub(crate) [u8; 16]);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({self})")
    }
}

impl FromStr for AccountId {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        let error = || refuse(format!("{text:?} is no account's id, which has 32 hexadecimal digits"));
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut id = [0; 16];
        for (byte, at) in id.iter_mut().zip((0..).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or_else(error)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| error())?;
        }
        Ok(Self(id))
    }
}

/// Text of one line, with a bound.
fn line(text: &str, what: &str, len_max: usize) -> Result<(), ParseAccountError> {
    if text.is_empty() || text.len() > len_max {
        return Err(refuse(format!("{what} has 1 to {len_max} bytes")));
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(refuse(format!("{what} has no control characters, and no spaces around it")));
    }
    Ok(())
}

/// Whose account it is, as the service that keeps it names its users.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(String);

impl Owner {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Owner {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        line(text, "an owner", OWNER_LEN_MAX)?;
        Ok(Self(text.to_owned()))
    }
}

/// A mailbox's address (RFC 5321 §4.1.2), its domain in small letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        line(text, "an address", ADDRESS_LEN_MAX)?;
        let error = || refuse(format!("{text:?} is no address such as alice@example.com"));
        let (local, domain) = text.rsplit_once('@').ok_or_else(error)?;
        let is_local = !local.is_empty() && !local.contains([' ', '@', '<', '>', ',', ';', '"']);
        if !is_local || Host::from_str(domain).is_err() {
            return Err(error());
        }
        Ok(Self(format!("{local}@{}", domain.to_lowercase())))
    }
}

/// The name of a server, which its certificate must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Host {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        let is_label = |label: &str| {
            let inner =
                label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            !label.is_empty()
                && label.len() <= 63
                && inner
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.is_empty() || text.len() > 253 || !text.split('.').all(is_label) {
            return Err(refuse(format!("{text:?} is no name of a host such as imap.example.com")));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// How mail is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// IMAP (RFC 9051, RFC 3501).
    Imap,
    /// POP3 (RFC 1939).
    Pop3,
}

impl Protocol {
    /// Its name in commands and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }

    /// The port over TLS (RFC 8314).
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Imap => 993,
            Self::Pop3 => 995,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        match text {
            "imap" => Ok(Self::Imap),
            "pop3" => Ok(Self::Pop3),
            _ => Err(refuse("a protocol is imap or pop3")),
        }
    }
}

/// What came of the last time that the mailbox was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKind {
    /// It was not tried since its secret was given.
    New,
    /// It let us in.
    Ok,
    /// It refused the secret: nothing helps but another one.
    AuthFailed,
    /// It asks to come less often.
    Throttled,
    /// It did not answer, or not as such a server does.
    Unreachable,
    /// It is not the server that it should be: its certificate is not to be believed.
    Untrusted,
    /// The secret could not be opened: keys are out of reach, or the blob is damaged.
    Locked,
}

impl StateKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Ok,
        Self::AuthFailed,
        Self::Throttled,
        Self::Unreachable,
        Self::Untrusted,
        Self::Locked,
    ];

    /// Its name in commands and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ok => "ok",
            Self::AuthFailed => "auth-failed",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Locked => "locked",
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StateKind {
    type Err = ParseAccountError;

    fn from_str(text: &str) -> Result<Self, ParseAccountError> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            refuse("a state is new, ok, auth-failed, throttled, unreachable, untrusted or locked")
        })
    }
}

/// The state, since when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which.
    pub kind: StateKind,
    /// Since when.
    pub since: Timestamp,
    /// More, in words; never a secret.
    pub detail: String,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whose it is.
    pub owner: Owner,
    /// Its address.
    pub address: Address,
    /// Who provides it.
    pub provider: Provider,
    /// How mail is fetched.
    pub protocol: Protocol,
    /// Where.
    pub host: Host,
    /// At which port, over TLS.
    pub port: u16,
    /// The name that is given at sign-in: the address, if nothing else was said.
    pub user: String,
    /// How one signs in.
    pub login: Login,
    /// File with the authorities that vouch for the server, in PEM; the system's if none.
    pub ca: Option<PathBuf>,
    /// When it was added.
    pub created: Timestamp,
    /// What came of it last.
    pub state: State,
}

/// An account that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Whose it is.
    pub owner: Owner,
    /// Its address.
    pub address: Address,
    /// Who provides it.
    pub provider: Provider,
    /// How mail is fetched.
    pub protocol: Protocol,
    /// Where; the provider's server if none.
    pub server: Option<(Host, u16)>,
    /// The name that is given at sign-in; the address if none.
    pub user: Option<String>,
    /// How one signs in.
    pub login: Login,
    /// File with the authorities that vouch for the server.
    pub ca: Option<PathBuf>,
}

impl NewAccount {
    /// The account, under a new id; what can't be is refused.
    pub(crate) fn account(self, id: AccountId, now: Timestamp) -> crate::Result<Account> {
        let Self { owner, address, provider, protocol, server, user, login, ca } = self;
        if let Some(why) = provider.refuses(login) {
            return Err(crate::Error::Login { provider, login, why });
        }
        let (host, port) = match (server, provider.server(protocol)) {
            (Some(server), _) => server,
            (None, Some(known)) => (Host(known.host.to_owned()), known.port),
            (None, None) => return Err(crate::Error::NoServer),
        };
        let user = user.unwrap_or_else(|| address.as_str().to_owned());
        line(&user, "a user's name", OWNER_LEN_MAX)
            .map_err(|error| crate::Error::BadName(error.to_string()))?;
        let state = State { kind: StateKind::New, since: now, detail: String::new() };
        Ok(Account {
            id,
            owner,
            address,
            provider,
            protocol,
            host,
            port,
            user,
            login,
            ca,
            created: now,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hosts_and_owners_are_read_strictly() {
        for (text, read) in [
            ("alice@example.com", Some("alice@example.com")),
            ("A.b+c@EXAMPLE.com", Some("A.b+c@example.com")),
            ("alice", None),
            ("@example.com", None),
            ("alice@", None),
            ("alice@exa mple.com", None),
            ("a b@example.com", None),
            ("alice@example.com\r\nA1 LOGOUT", None),
            ("alice@-example.com", None),
            ("<alice@example.com>", None),
        ] {
            assert_eq!(text.parse::<Address>().ok().as_ref().map(Address::as_str), read, "{text:?}");
        }
        assert!("x".repeat(255).parse::<Address>().is_err());
        assert!(format!("{}@example.com", "x".repeat(250)).parse::<Address>().is_err());
        for text in ["", " ", "a\u{7}", "a ", &"x".repeat(257)] {
            assert!(text.parse::<Owner>().is_err(), "{text:?}");
        }
        assert!("user 4711, tenant 3".parse::<Owner>().is_ok());
        for text in ["", ".", "a..b", "a/b", "a:993", "[::1]", "ü.example"] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = AccountId([0xa5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "a5", &"g".repeat(32), &"+1".repeat(16), &"a".repeat(33)] {
            assert!(text.parse::<AccountId>().is_err(), "{text:?}");
        }
        for kind in StateKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }
}
