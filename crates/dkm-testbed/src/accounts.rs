//! Accounts, groups and tickets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::admin;
use crate::controller::Controller;
use crate::domain::Domain;
use crate::process::{self, command};

/// Samba refuses service tickets to holders of shorter tickets.
const SHORTEST_TICKET: u32 = 200;

/// A user account, with everything to log on as it.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// `sAMAccountName`: the short name.
    pub sam: String,
    /// The distinguished name when it was made.
    pub dn: String,
    /// The security identifier, as text.
    pub sid: String,
    /// The password it was made with.
    pub password: String,
    /// Its keys, for a Kerberos client; written by [`Domain::keytab`].
    pub keytab: PathBuf,
    /// `name@REALM`.
    pub principal: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("dn", &self.dn).field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// A global security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `sAMAccountName`: the short name.
    pub sam: String,
    /// The distinguished name when it was made.
    pub dn: String,
    /// The security identifier, as text.
    pub sid: String,
}

impl Domain {
    /// Makes an account below `CN=Users`, with a random password and a keytab.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_user(&self, name: &str) -> Result<Account> {
        let account = self.add_users(&[name])?.pop().context("no account")?;
        self.keytab(&account)?;
        Ok(account)
    }

    /// Makes several accounts in one go, without keytabs: [`Domain::keytab`] writes them.
    ///
    /// # Errors
    /// A name is taken; none is made then.
    pub fn add_users(&self, names: &[&str]) -> Result<Vec<Account>> {
        let passwords = names.iter().map(|_| random_password()).collect::<Result<Vec<_>>>()?;
        let users: Vec<Value> = names
            .iter()
            .zip(&passwords)
            .map(|(name, password)| json!({"name": name, "password": password}))
            .collect();
        let answer = self.ask(&json!({"do": "add_users", "users": users}))?;
        let answers = answer.as_array().context("not a list")?;
        let made = names.iter().zip(passwords).zip(answers);
        made.map(|((name, password), answer)| self.account(name, password, answer)).collect()
    }

    pub(crate) fn account(&self, name: &str, password: String, answer: &Value) -> Result<Account> {
        Ok(Account {
            sam: name.to_owned(),
            dn: admin::text(answer, "dn")?,
            sid: admin::text(answer, "sid")?,
            password,
            keytab: self.clients().join(format!("{name}.keytab")),
            principal: format!("{name}@{}", self.realm()),
        })
    }

    /// Makes a global security group below `CN=Users`.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_group(&self, name: &str) -> Result<Group> {
        let answer = self.ask(&json!({"do": "add_group", "name": name, "ou": null}))?;
        Ok(Group { sam: name.to_owned(), dn: admin::text(&answer, "dn")?, sid: admin::text(&answer, "sid")? })
    }

    /// Makes the object `member`, given by its distinguished name, a member.
    ///
    /// # Errors
    /// It is one already, or does not exist.
    pub fn add_member(&self, group: &Group, member: &str) -> Result<()> {
        self.ask(&json!({"do": "add_member", "group": group.dn, "member": member})).map(drop)
    }

    /// Ends a membership.
    ///
    /// # Errors
    /// It is not a member.
    pub fn remove_member(&self, group: &Group, member: &str) -> Result<()> {
        self.ask(&json!({"do": "remove_member", "group": group.dn, "member": member})).map(drop)
    }

    /// Makes a group an account's primary group: a membership that the group does not list. The account must be a
    /// member.
    ///
    /// # Errors
    /// It is not a member.
    pub fn set_primary_group(&self, account: &Account, group: &Group) -> Result<()> {
        let rid = group.sid.rsplit('-').next().unwrap_or_default();
        self.ask(&json!({"do": "set_primary_group", "dn": account.dn, "rid": rid})).map(drop)
    }

    /// Disables an account.
    ///
    /// # Errors
    /// There is none.
    pub fn disable(&self, account: &Account) -> Result<()> {
        self.ask(&json!({"do": "set_enabled", "dn": account.dn, "enabled": false})).map(drop)
    }

    /// Enables an account again.
    ///
    /// # Errors
    /// There is none.
    pub fn enable(&self, account: &Account) -> Result<()> {
        self.ask(&json!({"do": "set_enabled", "dn": account.dn, "enabled": true})).map(drop)
    }

    /// Gives an account another password. Its keytab is old then: see [`Domain::keytab`].
    ///
    /// # Errors
    /// There is no such account, or the password is refused.
    pub fn set_password(&self, account: &mut Account, password: &str) -> Result<()> {
        self.ask(&json!({"do": "set_password", "name": account.sam, "password": password}))?;
        password.clone_into(&mut account.password);
        Ok(())
    }

    /// Writes the account's present keys to its keytab, and returns where.
    ///
    /// # Errors
    /// There is no such account.
    pub fn keytab(&self, account: &Account) -> Result<PathBuf> {
        self.export_keytab(&account.keytab, &account.principal)?;
        Ok(account.keytab.clone())
    }

    /// Gets a ticket with the account's keytab, into a new credential cache, which is returned. `lifetime` is in
    /// seconds, at least 200: Samba gives no service ticket for less. Without it the domain decides: ten hours.
    ///
    /// # Errors
    /// The domain refuses: the account is disabled, or the keytab is old.
    pub fn ccache(&self, account: &Account, lifetime: Option<u32>) -> Result<PathBuf> {
        self.kinit(self.env(), account, lifetime)
    }

    /// As [`Domain::ccache`], from this controller and no other.
    ///
    /// # Errors
    /// As [`Domain::ccache`]; also if the controller does not answer.
    pub fn ccache_at(
        &self,
        controller: &Controller,
        account: &Account,
        lifetime: Option<u32>,
    ) -> Result<PathBuf> {
        self.kinit(self.env_at(controller), account, lifetime)
    }

    fn kinit(&self, env: Vec<(String, String)>, account: &Account, lifetime: Option<u32>) -> Result<PathBuf> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if lifetime.is_some_and(|seconds| seconds < SHORTEST_TICKET) {
            bail!("a ticket must last {SHORTEST_TICKET} s or more");
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cache = self.clients().join(format!("{}.{count}.ccache", account.sam));
        let mut kinit = command("kinit");
        kinit.envs(env).arg("-c").arg(&cache).arg("-k").arg("-t").arg(&account.keytab);
        if let Some(seconds) = lifetime {
            kinit.args(["-l", &format!("{seconds}s")]);
        }
        process::run(kinit.arg(&account.principal))?;
        Ok(cache)
    }

    /// As [`Domain::env`], for a client that logs on by itself with this account's keytab, into a credential cache of
    /// its own.
    #[must_use]
    pub fn env_with_keytab(&self, account: &Account) -> Vec<(String, String)> {
        let cache = self.clients().join(format!("{}.own.ccache", account.sam));
        let mut env = self.env();
        env.push(("KRB5_CLIENT_KTNAME".to_owned(), shown(&account.keytab)));
        env.push(("KRB5CCNAME".to_owned(), shown(&cache)));
        env
    }
}

pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Long enough, and of every kind of letter that the domain's rules want.
pub(crate) fn random_password() -> Result<String> {
    let mut random = [0; 18];
    getrandom::fill(&mut random).context("no randomness")?;
    Ok(format!("Aa1-{}", admin::base64(&random)))
}
