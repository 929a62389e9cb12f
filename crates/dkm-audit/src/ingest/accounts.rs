//! Which grant an account belongs to.

use std::collections::BTreeMap;

use super::Account;
use crate::entry::{Action, Detail, Entry, GrantRef};

/// Action of an entry that tells the temporary account of a grant.
const ANNOUNCEMENT: &str = "temporary-account";

/// Why a text does not tell an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Not a grant's reference, then a SID or a name, or both.
    #[error("line {line} is not a grant's reference, then the SID or the name of its account, or both")]
    BadLine {
        /// Number of the line, from 1.
        line: usize,
    },
    /// One account of two grants.
    #[error("line {line} names the account of another grant")]
    Twice {
        /// Number of the line, from 1.
        line: usize,
    },
}

/// Temporary accounts of grants.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    sids: BTreeMap<String, GrantRef>,
    names: BTreeMap<String, GrantRef>,
}

impl Accounts {
    /// Reads a list: a line has a grant's reference, then the SID or the name of its account, or both. Empty lines and
    /// those that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        let mut accounts = Self::default();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let mut words = text.split_whitespace();
            let grant: Option<GrantRef> = words.next().and_then(|word| word.parse().ok());
            let words: Vec<&str> = words.collect();
            let (Some(grant), 1..=2) = (grant, words.len()) else {
                return Err(AccountError::BadLine { line });
            };
            for word in words {
                if !accounts.add(grant.clone(), word) {
                    return Err(AccountError::Twice { line });
                }
            }
        }
        Ok(accounts)
    }

    /// Adds the account with this SID or name. `false` if it is another grant's already.
    pub fn add(&mut self, grant: GrantRef, account: &str) -> bool {
        let known = if is_sid(account) { &mut self.sids } else { &mut self.names };
        let known = known.entry(account.to_lowercase()).or_insert_with(|| grant.clone());
        *known == grant
    }

    /// Learns from an entry of the log that tells a grant's account.
    pub fn learn(&mut self, entry: &Entry) {
        if entry.action.as_str() != ANNOUNCEMENT {
            return;
        }
        let (Some(grant), Some(detail)) = (&entry.grant, &entry.detail) else { return };
        for word in detail.as_str().split(' ') {
            if let Some(account) = word.strip_prefix("sid=").or_else(|| word.strip_prefix("account=")) {
                // The first grant that an account is told of keeps it.
                self.add(grant.clone(), account);
            }
        }
    }

    /// Action and detail of an entry that tells the temporary account of a grant. `None` if SID or name have spaces, or
    /// the SID is none.
    #[must_use]
    pub fn announcement(sid: &str, name: &str) -> Option<(Action, Detail)> {
        let plain = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        if !is_sid(sid) || !plain(sid) || !plain(name) || is_sid(name) {
            return None;
        }
        Some((ANNOUNCEMENT.parse().ok()?, format!("sid={sid} account={name}").parse().ok()?))
    }

    /// The grant whose account this is. A SID decides alone: a name may be taken anew by somebody else.
    #[must_use]
    pub fn grant_of(&self, account: &Account) -> Option<&GrantRef> {
        match (&account.sid, &account.name) {
            (Some(sid), name) => self.sids.get(&sid.to_lowercase()).or_else(|| {
                // An account that is known by its name alone.
                let grant = self.names.get(&name.as_ref()?.to_lowercase())?;
                (!self.sids.values().any(|known| known == grant)).then_some(grant)
            }),
            (None, Some(name)) => self.names.get(&name.to_lowercase()),
            (None, None) => None,
        }
    }
}

pub(super) fn is_sid(text: &str) -> bool {
    text.len() > 4 && text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("S-1-"))
}
