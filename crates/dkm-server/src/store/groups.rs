//! Groups of keys: who made them, and who has access.

use std::collections::BTreeSet;

use dkm_core::GroupId;
use rusqlite::Transaction;

use crate::account::{Account, Name};
use crate::catalog::Role;

/// Makes a group that is not announced yet, or makes it anew while it is not.
pub fn put_group(
    tx: &Transaction<'_>,
    group: GroupId,
    founder: &Account,
    roles: &BTreeSet<(Role, Name)>,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO key_groups (id, founder, announced) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING",
        (group.0, founder.to_string()),
    )?;
    tx.execute("DELETE FROM access WHERE key_group = ?1", [group.0])?;
    for (role, who) in roles {
        tx.execute("INSERT INTO access VALUES (?1, ?2, ?3)", (group.0, role.as_str(), who.to_string()))?;
    }
    Ok(())
}

/// Announces a group: it is listed from now on.
pub fn announce_group(tx: &Transaction<'_>, group: GroupId) -> rusqlite::Result<()> {
    tx.execute("UPDATE key_groups SET announced = 1 WHERE id = ?1", [group.0])?;
    Ok(())
}
