//! Groups whose keys lie in a domain, and not in the server's own database.
//!
//! The server is asked for access there as for its own groups: it reads who lets people in from the group's records, and
//! what it gives out are a temporary account's tickets. Clients read keys from the domain, never through the server.

mod accounts;
#[cfg(feature = "active-directory")]
mod active_directory;
mod held;
#[cfg(feature = "active-directory")]
mod kerberos;
#[cfg(feature = "active-directory")]
mod opening;
mod sign_in;
mod steps;

use std::fmt;

use dkm::{Plaintext, Rosters};
use dkm_core::record::ExposedRecord;
use dkm_core::{Context, GroupId, RequestId, Timestamp};
use dkm_remote::wire::elevation::ControlRecord;
use zeroize::Zeroizing;

pub use accounts::{Accounts, Standing};
pub(crate) use accounts::{Known, SignIns};
#[cfg(feature = "active-directory")]
pub use active_directory::ActiveDirectory;
pub(crate) use held::Held;
#[cfg(feature = "active-directory")]
pub use kerberos::KerberosAccounts;
#[cfg(feature = "active-directory")]
pub use opening::Opening;
pub(crate) use sign_in::CHALLENGE;
use steps::blocking;

use crate::problem::Problem;

/// A domain in which groups lie. Every call waits for a domain controller, and bounds that by itself.
pub trait Domain: fmt::Debug + Send + Sync {
    /// The URL by which clients reach its repository.
    fn url(&self) -> String;

    /// Whether its domain controllers are known. Waits for nothing.
    fn is_there(&self) -> bool {
        true
    }

    /// Looks for its domain controllers, where they are not known yet.
    ///
    /// # Errors
    /// None was found.
    fn find(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// A group's rosters and policies, as they are there now.
    ///
    /// # Errors
    /// There is no such group, the server may not see it, or no domain controller answers.
    fn rosters(&self, group: GroupId) -> Result<Rosters, Problem>;

    /// A group's control records that count, as they are there now.
    ///
    /// # Errors
    /// As [`Domain::rosters`].
    fn control(&self, group: GroupId) -> Result<Vec<ControlRecord>, Problem>;

    /// Writes down that the group's keys are exposed, and reads that back. It may be there already.
    ///
    /// # Errors
    /// It is not known to be there.
    fn expose(&self, group: GroupId, exposed: &ExposedRecord) -> Result<(), Problem>;

    /// The least time that tickets can be got for, in milliseconds.
    fn least_ms(&self) -> u64;

    /// Makes a temporary account in the readers group, gets tickets that end at `until` or before, and closes the account.
    ///
    /// # Errors
    /// It was not done; what was begun opens nothing, and is removed.
    fn issue(&self, group: GroupId, request: RequestId, until: Timestamp) -> Result<Tickets, Problem>;

    /// Ends what was given out under a request, on open connections too. Whether there was anything.
    ///
    /// # Errors
    /// It may still give access.
    fn revoke(&self, group: GroupId, request: RequestId) -> Result<bool, Problem>;

    /// Removes accounts whose end has come. Those that were removed, in words.
    ///
    /// # Errors
    /// Some may be left.
    fn sweep(&self, now: Timestamp) -> Result<Vec<String>, Problem>;

    /// Opens a blob of a group that has the server's account for it among its members.
    ///
    /// # Errors
    /// It has none; the blob is none of the group's, is damaged, or has another context.
    fn unprotect(&self, group: GroupId, context: &Context, blob: &[u8]) -> Result<Plaintext, Problem>;
}

/// What a requester gets: tickets for the domain controllers, and nothing with which to get others.
#[derive(Debug)]
pub struct Tickets {
    /// A credential cache as MIT Kerberos writes it in a file.
    pub cache: Zeroizing<Vec<u8>>,
    /// The account, as the domain names it.
    pub account: String,
    /// Its security identifier.
    pub sid: String,
    /// When they end.
    pub until: Timestamp,
    /// The services that they are for.
    pub services: Vec<String>,
}
