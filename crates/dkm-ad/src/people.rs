//! Accounts of a domain, as a server sees them that lets them sign in: who they are, whether the domain lets them do
//! anything, and the groups that they are in.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use dkm::repository::Repository as _;

use crate::accounts;
use crate::ldap::{Connection, LdapError, Scope, Search, all_of, any_of, equal};
use crate::repository::AdRepository;
use crate::security::Sid;
use crate::url::AdUrl;

/// `UF_ACCOUNTDISABLE`, MS-ADTS §2.2.16.
const DISABLED: u32 = 0x2;
/// `UF_LOCKOUT`: in the computed flags.
const LOCKED: u32 = 0x10;
/// Between 1601, where the directory's times begin, and 1970, in units of 100 ns (MS-DTYP §2.3.3).
const FILETIME_EPOCH: u64 = 116_444_736_000_000_000;
/// An account that does not end has this, or 0 (MS-ADA1 §2.2).
const NEVER: u64 = 0x7FFF_FFFF_FFFF_FFFF;

/// An account, as its domain has it at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its short name (`sAMAccountName`), as the domain writes it.
    pub name: String,
    /// Who it is: another one under the same name has another.
    pub sid: Sid,
    /// Every group that it is in, by every route.
    pub groups: BTreeSet<Sid>,
    /// Why it may do nothing, if so.
    pub shut: Option<&'static str>,
}

/// Why an account can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// No domain controller answers, or not as it must: nothing is known.
    #[error("{0}")]
    Unavailable(String),
    /// There is none, or the name is not that of one alone.
    #[error("{0}")]
    Unknown(String),
}

/// Asks a domain for accounts, with one connection, which is kept.
#[derive(Debug)]
pub struct People {
    repository: Arc<AdRepository>,
    kept: Mutex<Option<Connection>>,
}

impl People {
    /// Of the domain of a repository, as the account that the repository is opened as.
    #[must_use]
    pub const fn new(repository: Arc<AdRepository>) -> Self {
        Self { repository, kept: Mutex::new(None) }
    }

    /// The account with this short name. Waits for a domain controller.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn account(&self, name: &str) -> Result<Found, PeopleError> {
        let url = self.repository.location();
        self.ask(|connection| account(connection, url, name))
    }

    /// The group with this name, `DOMAIN\name`, distinguished name or SID.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn group(&self, name: &str) -> Result<Sid, PeopleError> {
        let domain = self.repository.location().domain_dn();
        self.ask(|connection| {
            Ok(match accounts::find(connection, &domain, name)? {
                Ok(found) if found.is_group => Ok(found.sid),
                Ok(_) => Err(PeopleError::Unknown(format!("{name:?} is no group of the domain"))),
                Err(why) => Err(PeopleError::Unknown(why)),
            })
        })
    }

    /// Asks the first domain controller that answers.
    fn ask<T>(
        &self,
        f: impl Fn(&mut Connection) -> Result<Result<T, PeopleError>, LdapError>,
    ) -> Result<T, PeopleError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut connection) = kept.take()
            && let Ok(answer) = f(&mut connection)
        {
            *kept = Some(connection);
            return answer;
        }
        // It may have been ended because nothing was asked for long: that is no answer.
        let mut last = "there is no domain controller".to_owned();
        for number in 0..self.repository.replicas() {
            let answered = self.connect(number).and_then(|mut connection| {
                let answer = f(&mut connection).map_err(|error| error.to_string())?;
                Ok((connection, answer))
            });
            match answered {
                Ok((connection, answer)) => {
                    *kept = Some(connection);
                    return answer;
                }
                Err(why) => last = format!("{}: {why}", self.repository.shared().place(number)),
            }
        }
        Err(PeopleError::Unavailable(last))
    }

    /// A connection to a domain controller of the domain that is no copy for branch offices: those are trusted less. There
    /// need be no repository.
    fn connect(&self, number: usize) -> Result<Connection, String> {
        let mut connection = self.repository.raw(number).map_err(|error| error.to_string())?;
        let mut find = |dn: &str, attributes| {
            let found = connection.find(&Search::base(dn, attributes)).map_err(|error| error.to_string())?;
            found.ok_or_else(|| "it does not describe itself".to_owned())
        };
        let root = find("", vec!["dsServiceName", "defaultNamingContext"])?;
        let naming = root.text("defaultNamingContext").unwrap_or_default();
        if !naming.eq_ignore_ascii_case(&self.repository.location().domain_dn()) {
            return Err(format!("it serves {naming:?}"));
        }
        let settings = find(root.text("dsServiceName").unwrap_or_default(), vec!["objectClass"])?;
        let mut classes = settings.values("objectClass").peekable();
        if classes.peek().is_none() || classes.any(|class| class.eq_ignore_ascii_case(b"nTDSDSARO")) {
            return Err("it is a read-only domain controller, or does not say that it is none".to_owned());
        }
        drop(classes);
        Ok(connection)
    }
}

fn account(
    connection: &mut Connection,
    url: &AdUrl,
    name: &str,
) -> Result<Result<Found, PeopleError>, LdapError> {
    let principal = format!("{name}@{}", url.domain);
    // Whoever may write an account's userPrincipalName can get tickets in the name of another: those are nobody's.
    let search = Search {
        base: url.domain_dn(),
        scope: Scope::Subtree,
        filter: all_of(vec![
            equal("objectClass", "user"),
            any_of(vec![equal("sAMAccountName", name), equal("userPrincipalName", &principal)]),
        ]),
        attributes: vec!["sAMAccountName"],
        paged: false,
    };
    let found = connection.search(&search)?;
    let [one] = found.as_slice() else {
        let why = if found.is_empty() {
            format!("there is no account {name:?} in the domain")
        } else {
            format!("{name:?} is the sAMAccountName of one account, and the userPrincipalName of another")
        };
        return Ok(Err(PeopleError::Unknown(why)));
    };
    let is_short = one.text("sAMAccountName").is_some_and(|is| is.eq_ignore_ascii_case(name));
    if !is_short {
        let why = format!("no account has {name:?} as its sAMAccountName: sign in by that");
        return Ok(Err(PeopleError::Unknown(why)));
    }
    let search = Search::base(
        one.dn.as_str(),
        vec![
            "sAMAccountName",
            "objectSid",
            "userAccountControl",
            "msDS-User-Account-Control-Computed",
            "accountExpires",
            "tokenGroups",
        ],
    );
    let Some(read) = connection.find(&search)? else {
        return Ok(Err(PeopleError::Unknown(format!("there is no account {name:?} in the domain"))));
    };
    let sids: BTreeSet<Sid> = read.values("tokenGroups").filter_map(|sid| Sid::parse(sid).ok()).collect();
    let flags = read.text("userAccountControl").and_then(|flags| flags.parse::<u32>().ok());
    let sid = read.bytes("objectSid").and_then(|sid| Sid::parse(sid).ok());
    let (Some(flags), Some(sid), Some(name), false) =
        (flags, sid, read.text("sAMAccountName"), sids.is_empty())
    else {
        // Every account is in a group, and each of the others has these.
        let why = format!(
            "this server's account may not read userAccountControl or tokenGroups of {}: put it into the group \
             \"Windows Authorization Access Group\"",
            read.dn
        );
        return Ok(Err(PeopleError::Unavailable(why)));
    };
    let computed = read.text("msDS-User-Account-Control-Computed").and_then(|flags| flags.parse().ok());
    let expires = read.text("accountExpires").and_then(|time| time.parse().ok());
    let shut = shut(flags, computed.unwrap_or(0), expires.unwrap_or(0), file_time());
    Ok(Ok(Found { name: name.to_owned(), sid, groups: sids, shut }))
}

/// The system's clock, as the directory writes times.
fn file_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    FILETIME_EPOCH.saturating_add(u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX))
}

fn shut(flags: u32, computed: u32, expires: u64, now: u64) -> Option<&'static str> {
    if flags & DISABLED != 0 {
        Some("is disabled")
    } else if computed & LOCKED != 0 {
        Some("is locked out")
    } else if ![0, NEVER].contains(&expires) && expires <= now {
        Some("has expired")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_disabled_locked_or_expired_is_shut_out() {
        let now = file_time();
        assert_eq!(shut(0x200, 0, 0, now), None);
        assert_eq!(shut(0x200, 0, NEVER, now), None);
        assert_eq!(shut(0x200, 0, now + 1, now), None);
        assert_eq!(shut(0x202, 0, 0, now), Some("is disabled"));
        assert_eq!(shut(0x200, 0x10, 0, now), Some("is locked out"));
        assert_eq!(shut(0x200, 0, now, now), Some("has expired"));
        // 2026 and later.
        assert!(now > 134_000_000_000_000_000);
    }
}
