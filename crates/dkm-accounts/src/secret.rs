//! What is secret of an account, and the context that binds each secret to its place.

use std::fmt;
use std::str::FromStr;

use dkm::Context;

use crate::account::Account;
use crate::error::{Error, Result};

/// Longest secret, in bytes: refresh tokens of some providers have some thousands.
pub const SECRET_LEN_MAX: usize = 16 * 1024;

/// Which secret of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// A password, or an app password.
    Password,
    /// An OAuth 2.0 refresh token.
    RefreshToken,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Password, Self::RefreshToken];

    /// Its name in contexts and in the store. It never changes: blobs are bound to it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::RefreshToken => "refresh-token",
        }
    }

    /// Refuses what can't be such a secret.
    pub(crate) fn check(self, secret: &[u8]) -> Result<()> {
        let bad = |what| Error::BadSecret { field: self, what };
        if secret.is_empty() {
            return Err(bad("empty"));
        }
        if secret.len() > SECRET_LEN_MAX {
            return Err(bad("longer than 16 KiB"));
        }
        // It stands in a line of IMAP or POP3, or between NULs in SASL.
        if secret.iter().any(|byte| [0, b'\r', b'\n'].contains(byte)) {
            return Err(bad("more than one line, or holds a zero byte"));
        }
        std::str::from_utf8(secret).map(drop).map_err(|_| bad("not UTF-8 text"))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Field {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|field| field.as_str() == text).ok_or(())
    }
}

/// The context of a secret's blob: whose it is, of which account, at which provider, and which secret. The address is not
/// part of it: an account that is corrected stays readable.
///
/// # Errors
/// None for an account that this crate has made: owners are short.
pub(crate) fn context(account: &Account, field: Field) -> Result<Context> {
    Context::new()
        .with("dkm-accounts", "1")
        .and_then(|context| context.with("owner", account.owner.as_str()))
        .and_then(|context| context.with("account", account.id.to_string()))
        .and_then(|context| context.with("provider", account.provider.as_str()))
        .and_then(|context| context.with("field", field.as_str()))
        .map_err(|error| Error::Damaged { account: account.id, what: error.to_string() })
}
