//! Leaving old keys: every secret is protected anew with the key that protects now.

use dkm::blocking::Group;
use dkm::{KeyId, Reprotected};

use crate::account::{Account, AccountId};
use crate::accounts::{Accounts, key_of};
use crate::error::{Error, Result};
use crate::secret::{Field, context};
use crate::store::{Stored, rows};

/// Secrets in one transaction: each waits for the disk once.
const BATCH: usize = 1024;
/// Most secrets that are named which stay as they are.
const STUCK_MAX: usize = 1000;

/// A secret that stays under its old key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The account.
    pub account: AccountId,
    /// Why.
    pub why: String,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Secrets that have the present key now.
    pub renewed: u64,
    /// Secrets that stay under their old keys.
    pub stuck_total: u64,
    /// At most 1 000 of them.
    pub stuck: Vec<Stuck>,
    /// How many secrets each key protects afterwards.
    pub usage: Vec<(KeyId, u64, u64)>,
}

impl Rewrapped {
    fn stuck(&mut self, account: AccountId, why: impl std::fmt::Display) {
        self.stuck_total += 1;
        if self.stuck.len() < STUCK_MAX {
            self.stuck.push(Stuck { account, why: why.to_string() });
        }
    }
}

/// What becomes of one secret.
fn renew(group: &Group, account: &Account, old: &Stored) -> Result<Stored> {
    let doing = || format!("protecting the {} anew", old.field);
    let renewed = group.reprotect(&context(account, old.field)?, &old.blob).map_err(Error::dkm(doing()))?;
    let blob = match renewed {
        Reprotected::Renewed(blob) => blob,
        // Only its row said that it has another key.
        Reprotected::Current => old.blob.clone(),
    };
    Ok(Stored { account: old.account, field: old.field, key: key_of(old.account, &blob)?, blob })
}

impl Accounts {
    /// Protects every secret of another key anew, in batches, each durable before the next: broken off at any time, it
    /// goes on where it was. A secret that somebody replaces meanwhile is left to him. One that does not open stays, and
    /// is reported. `progress` is told how many were looked at, of how many.
    ///
    /// # Errors
    /// No key protects; the store can't be read or written. What was done is done.
    pub fn rewrap(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<Rewrapped> {
        self.group.refresh().map_err(Error::dkm("reading the group's keys"))?;
        let view = self.group.view().map_err(Error::dkm("reading the group's keys"))?;
        let present = view.protecting.map_err(|why| Error::NoKey(why.to_string()))?;
        let total = self.usage()?.iter().filter(|(key, ..)| *key != present).map(|(_, count, _)| count).sum();
        let mut done = Rewrapped::default();
        let mut beyond: Option<(AccountId, Field)> = None;
        let mut looked_at = 0;
        loop {
            let batch = self.store.read(|c| rows::of_other_keys(c, present, beyond, BATCH))?;
            if batch.is_empty() {
                break;
            }
            let mut renewed = Vec::with_capacity(batch.len());
            for found in batch {
                looked_at += 1;
                match found {
                    Ok((account, old)) => {
                        beyond = Some((old.account, old.field));
                        match renew(&self.group, &account, &old) {
                            Ok(new) => renewed.push((new, old.blob)),
                            Err(error) => done.stuck(account.id, error),
                        }
                    }
                    Err(Error::Damaged { account, what }) => {
                        // Beyond all its fields.
                        beyond = Some((account, Field::RefreshToken));
                        done.stuck(account, what);
                    }
                    Err(error) => return Err(error),
                }
            }
            done.renewed += self.store.change(|tx| {
                let mut swapped = 0;
                for (new, old) in &renewed {
                    swapped += u64::from(rows::swap_secret(tx, new, old)?);
                }
                Ok(swapped)
            })?;
            progress(looked_at, total);
        }
        done.usage = self.usage()?;
        Ok(done)
    }
}
