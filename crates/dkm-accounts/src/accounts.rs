//! What is done with accounts: the store and the group's keys together.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dkm::blocking::Group;
use dkm::core::blob::Header;
use dkm::{KeyId, Plaintext, Timestamp};

use crate::account::{Account, AccountId, NewAccount, State, StateKind};
use crate::error::{Error, Result};
use crate::provider::Login;
use crate::secret::{Field, context};
use crate::store::{Selected, Store, Stored, rows};

/// Which accounts are meant: all that agree with everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this owner.
    pub owner: Option<String>,
    /// With this address.
    pub address: Option<String>,
    /// In this state.
    pub state: Option<StateKind>,
}

/// An account with its secrets as they are stored: blobs, which open nothing without the group's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The account.
    pub account: Account,
    /// Each secret's name, key and blob.
    pub secrets: Vec<(Field, KeyId, Vec<u8>)>,
}

/// A store of accounts, and the keys that protect their secrets.
pub struct Accounts {
    pub(crate) store: Store,
    pub(crate) group: Group,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accounts({})", self.store.path().display())
    }
}

impl Login {
    /// The secret that is given for it.
    #[must_use]
    pub const fn field(self) -> Field {
        match self {
            Self::Password => Field::Password,
            Self::OAuth2 => Field::RefreshToken,
        }
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp(u64::try_from(since).unwrap_or(u64::MAX))
}

impl Accounts {
    /// Makes a store in a folder that is there, for secrets under this group's keys.
    ///
    /// # Errors
    /// There is a file already; the folder is open to others, or can't be written.
    pub fn create(path: &Path, group: Group) -> Result<Self> {
        Ok(Self { store: Store::create(path, group.id())?, group })
    }

    /// Opens the store that is there.
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::NotAStore`], [`Error::Version`], [`Error::Open`]; [`Error::OtherGroup`] if its secrets
    /// are protected with another group's keys.
    pub fn open(path: &Path, group: Group) -> Result<Self> {
        let store = Store::open(path)?;
        if store.group() != group.id() {
            return Err(Error::OtherGroup { path: path.to_owned(), store: store.group(), group: group.id() });
        }
        Ok(Self { store, group })
    }

    /// The group whose keys protect.
    #[must_use]
    pub const fn group(&self) -> &Group {
        &self.group
    }

    fn protect(&self, account: &Account, field: Field, secret: &[u8]) -> Result<Stored> {
        field.check(secret)?;
        let doing = || format!("protecting the {field} of account {}", account.id);
        let blob = self.group.protect(&context(account, field)?, secret).map_err(Error::dkm(doing()))?;
        Ok(Stored { account: account.id, field, key: key_of(account.id, &blob)?, blob })
    }

    /// Adds an account with its secret: a password, or a refresh token, as its login says. Both are durable when this
    /// returns, or neither is there.
    ///
    /// # Errors
    /// What can't be such an account or secret; [`Error::Exists`]; nothing can be protected or stored.
    pub fn add(&mut self, new: NewAccount, secret: &[u8]) -> Result<Account> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| Error::NoRandomness)?;
        let account = new.account(AccountId(id), now())?;
        let stored = self.protect(&account, account.login.field(), secret)?;
        let taken = self.store.change(|tx| {
            let taken = rows::taken(tx, &account)?;
            if taken.is_none() {
                rows::insert(tx, &account)?;
                rows::put_secret(tx, &stored)?;
            }
            Ok(taken)
        })?;
        match taken {
            None => Ok(account),
            Some(there) => Err(Error::Exists {
                owner: account.owner.to_string(),
                address: account.address.to_string(),
                account: there,
            }),
        }
    }

    /// Gives each account that is meant to `f`, in the order of owners, until it says stop. Nothing is opened.
    ///
    /// # Errors
    /// The store can't be read. An account that is damaged is given to `f` as such.
    pub fn list(&self, filter: &Filter, f: impl FnMut(Result<Account>) -> bool) -> Result<()> {
        let selected = Selected {
            owner: filter.owner.as_deref(),
            address: filter.address.as_deref(),
            state: filter.state.map(StateKind::as_str),
        };
        self.store.read(|c| rows::each(c, &selected, f))
    }

    /// An account.
    ///
    /// # Errors
    /// [`Error::NoAccount`], [`Error::Damaged`]; the store can't be read.
    pub fn show(&self, id: AccountId) -> Result<Account> {
        self.store.read(|c| rows::of_id(c, id))?.ok_or(Error::NoAccount(id))?
    }

    /// Which secrets an account has, by name, and the key of each. Nothing is opened.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn keys_of(&self, id: AccountId) -> Result<Vec<(String, KeyId)>> {
        self.store.read(|c| rows::keys_of(c, id))
    }

    /// How many secrets each key protects, and how many bytes their blobs have.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn usage(&self) -> Result<Vec<(KeyId, u64, u64)>> {
        self.store.read(rows::usage)
    }

    /// Opens a secret, for the one call that needs it. Let go of it at once.
    ///
    /// # Errors
    /// [`Error::NoAccount`], [`Error::NoSecret`]; the blob is damaged, of another account, or its key is out of reach.
    pub fn secret(&self, id: AccountId, field: Field) -> Result<Plaintext> {
        let account = self.show(id)?;
        let stored = self.store.read(|c| rows::secret(c, id, field))?;
        let stored = stored.ok_or(Error::NoSecret { account: id, field })?;
        let opened = self.group.unprotect(&context(&account, field)?, &stored.blob);
        opened.map_err(Error::dkm(format!("opening the {field} of account {id}")))
    }

    /// Replaces an account's secret, durably; the account is as new.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; what can't be a secret; nothing can be protected or stored: the old one stays.
    pub fn replace_secret(&mut self, id: AccountId, secret: &[u8]) -> Result<()> {
        let account = self.show(id)?;
        let stored = self.protect(&account, account.login.field(), secret)?;
        let state = State { kind: StateKind::New, since: now(), detail: String::new() };
        let there = self.store.change(|tx| {
            let there = rows::set_state(tx, id, &state)?;
            if there {
                rows::put_secret(tx, &stored)?;
            }
            Ok(there)
        })?;
        if there { Ok(()) } else { Err(Error::NoAccount(id)) }
    }

    /// Notes what came of trying the mailbox. `detail` never holds a secret.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; the store can't be written.
    pub fn set_state(&mut self, id: AccountId, kind: StateKind, detail: &str) -> Result<()> {
        let state = State { kind, since: now(), detail: detail.to_owned() };
        let there = self.store.change(|tx| rows::set_state(tx, id, &state))?;
        if there { Ok(()) } else { Err(Error::NoAccount(id)) }
    }

    /// Removes an account and its secrets. What they were is overwritten in the file; blobs may stay in SQLite's write-ahead
    /// log for a while, and in copies of the file.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; the store can't be written.
    pub fn remove(&mut self, id: AccountId) -> Result<()> {
        let there = self.store.change(|tx| rows::remove(tx, id))?;
        if there { Ok(()) } else { Err(Error::NoAccount(id)) }
    }

    /// An account with its blobs.
    ///
    /// # Errors
    /// [`Error::NoAccount`], [`Error::Damaged`]; the store can't be read.
    pub fn export(&self, id: AccountId) -> Result<Exported> {
        let account = self.show(id)?;
        let mut secrets = Vec::new();
        for field in Field::ALL {
            if let Some(Stored { key, blob, .. }) = self.store.read(|c| rows::secret(c, id, field))? {
                secrets.push((field, key, blob));
            }
        }
        Ok(Exported { account, secrets })
    }
}

/// The key that a blob names.
pub(crate) fn key_of(account: AccountId, blob: &[u8]) -> Result<KeyId> {
    let header = Header::parse(blob).map_err(|error| Error::Damaged { account, what: error.to_string() })?;
    Ok(header.key())
}
