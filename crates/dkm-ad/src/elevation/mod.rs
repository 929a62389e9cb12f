//! Access for a time: temporary accounts, of which nobody holds more than tickets that end.
//!
//! An [`Elevator`] makes an account in the repository's container of temporary accounts, puts it into a group's group of
//! temporary accounts, which is a member of the readers group, and gets Kerberos service tickets for the repository's
//! domain controllers as that account. Then it disables the account and sets another random password. What it gives
//! away is the tickets alone: with them one reads until they end, and gets no other.
//!
//! What ends access, and when:
//!
//! * **The tickets' end**, whatever else happens: a domain controller ends the connections that were opened with them,
//!   and takes them for no new one. No process of ours has a part in that.
//! * **A refusal** of the account's SID on the room of keys ([`Elevator::revoke`]): at once, on open connections too.
//! * Disabling or deleting the account, or taking it out of the group, ends nothing that was given away. It only keeps
//!   anybody from getting new tickets.
//!
//! The elevator is an account that stands in the group's roles as such. It reads no key, but it can let anybody in, itself
//! too: by the group's members. That shows (`dkm group audit`), and is not prevented.

mod error;
mod folder;
mod issue;
mod mark;
mod program;
mod refusal;
mod session;
mod sweep;
mod tickets;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use dkm_core::{GroupId, RequestId, Timestamp};
use zeroize::Zeroizing;

pub use self::error::ElevationError;
pub(crate) use self::mark::Mark;
use crate::repository::AdRepository;

/// The container of temporary accounts, in the repository's own.
pub(crate) const TEMPORARY: &str = "temporary";
/// What the names of temporary accounts begin with.
pub(crate) const PREFIX: &str = "dkm-t-";
/// The least time, in milliseconds, for which access can be given. Samba's KDC gives no service ticket by a ticket that
/// ends within two minutes (it takes such a one for a ticket to change a password with), and fetching takes a moment.
pub const LEAST_MS: u64 = 150_000;
/// How old, in milliseconds, an account is at least that is taken for one that was left half-made.
pub const HALF_MADE_AFTER_MS: u64 = 180_000;

/// Gives access for a time, and takes it away, as whom Kerberos says this process is.
pub struct Elevator {
    repository: Arc<AdRepository>,
}

/// Tickets with which one reads a group's keys until they end.
pub struct Tickets {
    /// A credential cache in the file format of MIT Kerberos, with service tickets and no ticket-granting ticket.
    pub cache: Zeroizing<Vec<u8>>,
    /// The short name of the temporary account that the tickets are of.
    pub account: String,
    /// Its SID.
    pub sid: String,
    /// When the last of the tickets ends: what was asked for, or before. A domain gives no longer tickets than its policy
    /// says, ten hours by default.
    pub until: Timestamp,
    /// The services that they are for, such as `ldap/dc1.example.com`.
    pub services: Vec<String>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("account", &self.account)
            .field("sid", &self.sid)
            .field("until", &self.until)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// A temporary account that is there no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its short name.
    pub account: String,
    /// The request that it was made for; none if it does not say.
    pub request: Option<RequestId>,
    /// The group that it let into; none if it does not say.
    pub group: Option<GroupId>,
}

/// How far giving out tickets has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[doc(hidden)]
pub enum Step {
    /// The account is there, disabled, without a password.
    Made,
    /// It is in the group.
    Member,
    /// It can sign in with a password that only this process knows.
    Enabled,
    /// This process has its tickets.
    Ticketed,
    /// It can't sign in any more.
    Disabled,
}

impl Elevator {
    /// An elevator for a repository. Nothing is connected to yet.
    #[must_use]
    pub fn new(repository: Arc<AdRepository>) -> Self {
        Self { repository }
    }

    /// Gives out tickets under a grant: with them one reads the group's keys until `until` at the latest.
    ///
    /// Asked again for the same request, it makes another account. Tickets that were given out before are refused on the
    /// room of keys from then on, as by [`Elevator::revoke`].
    ///
    /// # Errors
    /// See [`ElevationError`]. Nothing is left then that anybody could use, and what is left is [swept](Self::sweep).
    pub fn issue(
        &self,
        group: GroupId,
        request: RequestId,
        until: Timestamp,
    ) -> Result<Tickets, ElevationError> {
        self.issue_stepwise(group, request, until, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Elevator::issue`]. When told to break, it ends as if the process were killed.
    ///
    /// # Errors
    /// As [`Elevator::issue`].
    #[doc(hidden)]
    pub fn issue_stepwise(
        &self,
        group: GroupId,
        request: RequestId,
        until: Timestamp,
        after: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Tickets, ElevationError> {
        issue::issue(&self.repository, group, request, until, after)
    }

    /// Ends the access of a grant at once, on open connections too: the accounts made for it are refused on the group's
    /// room of keys at every domain controller, taken out of the group and disabled. False if there is none of that
    /// grant. Can be repeated.
    ///
    /// # Errors
    /// A domain controller does not answer: it learns of the refusal by replication, or when this is called again. Or
    /// this account may not.
    pub fn revoke(&self, group: GroupId, request: RequestId) -> Result<bool, ElevationError> {
        sweep::revoke(&self.repository, group, request)
    }

    /// Deletes the accounts whose end has passed by `now`, and those that were left half-made, in all groups, with their
    /// refusals and memberships. One that was refused early stays a while longer, until no domain controller can take its
    /// tickets whatever its clock says.
    ///
    /// # Errors
    /// No domain controller answers, or nothing could be deleted. What fails for single accounts is tried again next time.
    pub fn sweep(&self, now: Timestamp) -> Result<Vec<Ended>, ElevationError> {
        sweep::sweep(&self.repository, now)
    }
}

/// It is called from threads of a server.
const _: fn() = || {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Elevator>();
};

impl fmt::Debug for Elevator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elevator").finish_non_exhaustive()
    }
}
