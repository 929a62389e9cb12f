//! Ending access early, and clearing away what has ended.

use dkm::repository::Repository as _;
use dkm_core::{GroupId, RequestId, Timestamp};

use super::mark::Mark;
use super::session::{Account, Group, Session};
use super::{ElevationError, Ended, HALF_MADE_AFTER_MS, folder};
use crate::repository::AdRepository;
use crate::security::Sid;

/// For how long after the end, in milliseconds, a refusal stays: clocks of domain controllers may differ from each other
/// by the five minutes that Kerberos allows, and a ticket is taken within five minutes of its end.
const REFUSED_FOR_MS: u64 = 600_000;

/// See [`super::Elevator::revoke`].
pub(super) fn revoke(
    repository: &AdRepository,
    group: GroupId,
    request: RequestId,
) -> Result<bool, ElevationError> {
    let mut session = Session::open(repository)?;
    let accounts = session.of_grant(group, request)?;
    if accounts.is_empty() {
        return Ok(false);
    }
    let of = session.group(group)?;
    shut_out(repository, &mut session, &of, &accounts, group)?;
    Ok(true)
}

/// Refuses accounts everywhere, first where the session is; then takes them out of the group and disables them.
pub(super) fn shut_out(
    repository: &AdRepository,
    session: &mut Session,
    of: &Group,
    accounts: &[Account],
    group: GroupId,
) -> Result<(), ElevationError> {
    let sids: Vec<Sid> = accounts.iter().map(|account| account.sid).collect();
    session.refuse(of, &sids)?;
    let here = session.replica.number;
    let mut missed = None;
    for number in (0..repository.replicas()).filter(|number| *number != here) {
        let refused = Session::with(repository, number).and_then(|mut other| {
            let of = other.group(group)?;
            other.refuse(&of, &sids)
        });
        missed = missed.or(refused.err());
    }
    for account in accounts {
        session.leave(of, &account.dn)?;
        session.disable(&account.dn, account.mark.map(|mark| Mark { is_finished: true, ..mark }))?;
    }
    match missed {
        None => Ok(()),
        Some(error) => Err(ElevationError::Unreachable {
            place: format!("a domain controller of {}", repository.url()),
            why: format!(
                "the account is refused at the others, and there only once that is replicated to it: {error}"
            ),
        }),
    }
}

impl Session {
    /// The accounts that were made for a grant.
    pub(super) fn of_grant(
        &mut self,
        group: GroupId,
        request: RequestId,
    ) -> Result<Vec<Account>, ElevationError> {
        let mut accounts = self.accounts()?;
        accounts.retain(|account| {
            account.mark.is_some_and(|mark| (mark.group, mark.request) == (group, request))
        });
        Ok(accounts)
    }

    /// Deletes an account and what there is of it, unless it is too early. True if it is gone.
    fn clear(&mut self, account: &Account, now: Timestamp) -> Result<bool, ElevationError> {
        let Some(mark) = account.mark else {
            if account.is_foreign {
                return Ok(false);
            }
            self.delete(&account.dn)?;
            return Ok(true);
        };
        let is_left = !mark.is_finished && mark.made.plus(HALF_MADE_AFTER_MS) <= now;
        if mark.until > now && !is_left {
            return Ok(false);
        }
        let group = match self.group(mark.group) {
            Ok(group) => Some(group),
            // It is gone, or this account has no part in it any more: it has no refusals of ours.
            Err(ElevationError::Denied { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(group) = group
            && self.refused(&group)?.contains(&account.sid)
        {
            if mark.until.plus(REFUSED_FOR_MS) > now {
                return Ok(false);
            }
            self.admit(&group, &[account.sid])?;
        }
        // The membership goes with the account.
        self.delete(&account.dn)?;
        Ok(true)
    }
}

/// See [`super::Elevator::sweep`].
pub(super) fn sweep(repository: &AdRepository, now: Timestamp) -> Result<Vec<Ended>, ElevationError> {
    folder::clear_leftovers();
    let mut session = Session::open(repository)?;
    let (mut ended, mut failed) = (Vec::new(), None);
    for account in session.accounts()? {
        match session.clear(&account, now) {
            Ok(false) => {}
            Ok(true) => ended.push(Ended {
                account: account.name,
                request: account.mark.map(|mark| mark.request),
                group: account.mark.map(|mark| mark.group),
            }),
            Err(error) => {
                tracing::warn!(account = account.name, %error, "a temporary account is left");
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) if ended.is_empty() => Err(error),
        _ => Ok(ended),
    }
}
