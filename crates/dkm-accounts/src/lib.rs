//! Connected accounts: other people's mailbox credentials, kept by DKM.
//!
//! A service that fetches mail from mailboxes elsewhere keeps what opens them. Here each secret is a blob of its own,
//! bound by its context to one owner, one account, one provider and one field: in another row it does not open. Lists and
//! searches never open anything.
//!
//! | you want to | you call |
//! |---|---|
//! | keep a mailbox's password | [`Accounts::add`] |
//! | look what there is | [`Accounts::list`], [`Accounts::show`] |
//! | use a secret | [`Accounts::secret`] |
//! | replace it | [`Accounts::replace_secret`] |
//! | leave an old key | [`Accounts::rewrap`] |
//!
//! The group's keys come from any repository of crate `dkm`; this crate does not know which.

#![forbid(unsafe_code)]

mod account;
mod accounts;
mod error;
pub mod provider;
mod rewrap;
mod secret;
mod store;

pub use account::{
    Account, AccountId, Address, Host, NewAccount, Owner, ParseAccountError, Protocol, State, StateKind,
};
pub use accounts::{Accounts, Exported, Filter};
pub use error::{Error, Result};
pub use provider::{Login, Provider, Server};
pub use rewrap::{Rewrapped, Stuck};
pub use secret::{Field, SECRET_LEN_MAX};
