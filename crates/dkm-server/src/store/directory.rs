//! Principals and directory groups.

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::GroupId;
use dkm_remote::wire::Kind;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::account::{Account, Name};
use crate::catalog::{Access, Catalog, DirectoryGroup, Principal, Role};

/// A column that holds something else than this program writes.
fn odd<E: std::error::Error + Send + Sync + 'static>(error: E) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

pub(super) fn account(text: &str) -> rusqlite::Result<Account> {
    text.parse().map_err(odd)
}

fn name(text: &str) -> rusqlite::Result<Name> {
    text.parse().map_err(odd)
}

fn kind(text: &str) -> Kind {
    // What a tampered database says is taken for what can do less.
    if text == "service" { Kind::Service } else { Kind::Person }
}

impl Catalog {
    /// Reads everything that decides.
    ///
    /// # Errors
    /// The database can't be read, or holds what this program does not write.
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut catalog = Self::default();
        let mut rows =
            connection.prepare("SELECT account, administrator, auditor, enabled, sid FROM principals")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let account = account(row.get_ref(0)?.as_str()?)?;
            let administrator = row.get::<_, bool>(1)? && account.kind == Kind::Person;
            let (auditor, enabled, sid) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let principal = Principal { uids: BTreeSet::new(), administrator, auditor, enabled, sid };
            catalog.principals.insert(account, principal);
        }
        let mut rows = connection.prepare("SELECT uid, account FROM uids")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(principal) = catalog.principals.get_mut(&account(row.get_ref(1)?.as_str()?)?) {
                principal.uids.insert(row.get(0)?);
            }
        }
        catalog.directory = directory(connection)?;
        catalog.groups = key_groups(connection)?;
        Ok(catalog)
    }
}

fn directory(connection: &Connection) -> rusqlite::Result<BTreeMap<String, DirectoryGroup>> {
    let mut groups = BTreeMap::new();
    let mut rows = connection.prepare("SELECT name, kind, sid FROM directory_groups")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let kind = kind(row.get_ref(1)?.as_str()?);
        groups.insert(row.get(0)?, DirectoryGroup { kind, members: BTreeSet::new(), sid: row.get(2)? });
    }
    let mut rows = connection.prepare("SELECT into_group, member FROM members")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(group) = groups.get_mut(row.get_ref(0)?.as_str()?) {
            group.members.insert(name(row.get_ref(1)?.as_str()?)?);
        }
    }
    Ok(groups)
}

fn key_groups(connection: &Connection) -> rusqlite::Result<BTreeMap<GroupId, Access>> {
    let mut groups = BTreeMap::new();
    let mut rows = connection.prepare("SELECT id, founder, announced FROM key_groups")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let founder = account(row.get_ref(1)?.as_str()?)?;
        let access = Access { founder, announced: row.get(2)?, roles: BTreeSet::new() };
        groups.insert(GroupId(row.get(0)?), access);
    }
    let mut rows = connection.prepare("SELECT key_group, role, who FROM access")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let role = Role::named(row.get_ref(1)?.as_str()?);
        if let (Some(role), Some(access)) = (role, groups.get_mut(&GroupId(row.get(0)?))) {
            access.roles.insert((role, name(row.get_ref(2)?.as_str()?)?));
        }
    }
    Ok(groups)
}

/// Makes a principal, or changes one: its Unix accounts, and whether it administers and audits. One that was disabled is
/// enabled.
pub fn put_principal(
    tx: &Transaction<'_>,
    account: &Account,
    uids: &[u32],
    (administrator, auditor): (bool, bool),
) -> rusqlite::Result<()> {
    let text = account.to_string();
    tx.execute(
        "INSERT INTO principals (account, administrator, auditor, enabled) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT DO UPDATE SET administrator = excluded.administrator, auditor = excluded.auditor, enabled = 1",
        (&text, administrator, auditor),
    )?;
    tx.execute("DELETE FROM uids WHERE account = ?1", [&text])?;
    for uid in uids {
        tx.execute("INSERT INTO uids VALUES (?1, ?2)", (uid, &text))?;
    }
    Ok(())
}

/// Makes an account of a domain a principal, or binds one that is there to this security identifier. What else was bound to
/// it is disabled, and one that was disabled is enabled.
pub fn bind_principal(tx: &Transaction<'_>, account: &Account, sid: &str) -> rusqlite::Result<()> {
    let text = account.to_string();
    tx.execute(
        "UPDATE principals SET sid = NULL, enabled = 0 WHERE sid = ?1 AND account <> ?2",
        [sid, &text],
    )?;
    // What was given out to another one under the name is not this one's.
    tx.execute(
        "DELETE FROM grant_certificates
         WHERE account = ?1 AND NOT EXISTS (SELECT 1 FROM principals WHERE account = ?1 AND sid = ?2)",
        [&text, sid],
    )?;
    tx.execute(
        "INSERT INTO principals (account, administrator, enabled, sid) VALUES (?1, 0, 1, ?2)
         ON CONFLICT DO UPDATE SET enabled = 1, sid = excluded.sid",
        [&text, sid],
    )?;
    Ok(())
}

/// What a principal is at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether it may do anything.
    pub enabled: bool,
    /// Whether it administers.
    pub administrator: bool,
}

/// What a principal is in a transaction, whatever was read before; one that is not there is nothing.
pub fn standing(tx: &Transaction<'_>, account: &Account) -> rusqlite::Result<Standing> {
    tx.prepare_cached("SELECT enabled, administrator FROM principals WHERE account = ?1")?
        .query_row([account.to_string()], |row| {
            Ok(Standing { enabled: row.get(0)?, administrator: row.get(1)? })
        })
        .optional()
        .map(Option::unwrap_or_default)
}

/// Disables a principal: its tokens and certificates are gone. Whether there is one.
pub fn disable_principal(tx: &Transaction<'_>, account: &Account) -> rusqlite::Result<bool> {
    let text = account.to_string();
    tx.execute("DELETE FROM tokens WHERE account = ?1", [&text])?;
    tx.execute("DELETE FROM certificates WHERE account = ?1", [&text])?;
    tx.execute("DELETE FROM grant_certificates WHERE account = ?1", [&text])?;
    Ok(tx.execute("UPDATE principals SET enabled = 0 WHERE account = ?1", [&text])? > 0)
}

/// Makes a directory group. Whether there was none; one of the other kind is an error for the caller to see before.
pub fn put_directory_group(tx: &Transaction<'_>, name: &str, kind: Kind) -> rusqlite::Result<bool> {
    let kind = crate::account::prefix(kind);
    let there: Option<String> = tx
        .query_row("SELECT kind FROM directory_groups WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    if there.is_none() {
        tx.execute("INSERT INTO directory_groups (name, kind) VALUES (?1, ?2)", (name, kind))?;
    }
    Ok(there.is_none())
}

/// Makes a group of a domain a directory group, or binds one that is there to another security identifier. Whether anything
/// was done; none if its members are of the other kind.
pub fn bind_directory_group(
    tx: &Transaction<'_>,
    name: &str,
    kind: Kind,
    sid: &str,
) -> rusqlite::Result<Option<bool>> {
    let kind = crate::account::prefix(kind);
    let there: Option<(String, Option<String>)> = tx
        .query_row("SELECT kind, sid FROM directory_groups WHERE name = ?1", [name], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match there {
        Some((other, _)) if other != kind => return Ok(None),
        Some((_, Some(bound))) if bound == sid => return Ok(Some(false)),
        _ => {}
    }
    tx.execute(
        "INSERT INTO directory_groups VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET sid = excluded.sid",
        (name, kind, sid),
    )?;
    Ok(Some(true))
}

/// Puts a principal or directory group into a directory group.
pub fn add_member(tx: &Transaction<'_>, into: &str, member: &Name) -> rusqlite::Result<()> {
    tx.execute("INSERT OR IGNORE INTO members VALUES (?1, ?2)", (into, member.to_string()))?;
    Ok(())
}

/// Takes a principal or directory group out of a directory group.
pub fn remove_member(tx: &Transaction<'_>, from: &str, member: &Name) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM members WHERE into_group = ?1 AND member = ?2", (from, member.to_string()))?;
    Ok(())
}
