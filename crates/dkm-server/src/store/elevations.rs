//! Records of requests for elevated access.

use dkm_core::{GroupId, RequestId};
use rusqlite::{Connection, Transaction};

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its request.
    pub request: RequestId,
    /// Its number among the request's.
    pub number: u64,
    /// The group.
    pub group: GroupId,
    /// Its bytes.
    pub record: Vec<u8>,
    /// The audit log's leaf that announced it.
    pub leaf: u64,
}

/// Stores a record: whether its place was free.
pub fn put(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<bool> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let stored = tx.execute(
        "INSERT OR IGNORE INTO elevations VALUES (?1, ?2, ?3, ?4, ?5)",
        (row.request.0, number(row.number), row.group.0, &row.record, number(row.leaf)),
    )?;
    Ok(stored == 1)
}

/// The records of a request, in the order of their numbers.
pub fn of(connection: &Connection, request: RequestId) -> rusqlite::Result<Vec<Vec<u8>>> {
    let mut rows =
        connection.prepare_cached("SELECT record FROM elevations WHERE request = ?1 ORDER BY number")?;
    let rows = rows.query_map([request.0], |row| row.get(0))?;
    rows.collect()
}

/// Every record, those of a request in the order of their numbers.
pub fn all(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut rows = connection.prepare(
        "SELECT request, number, key_group, record, leaf FROM elevations ORDER BY request, number",
    )?;
    let rows = rows.query_map([], |row| {
        Ok(Row {
            request: RequestId(row.get(0)?),
            number: row.get::<_, i64>(1)?.unsigned_abs(),
            group: GroupId(row.get(2)?),
            record: row.get(3)?,
            leaf: row.get::<_, i64>(4)?.unsigned_abs(),
        })
    })?;
    rows.collect()
}
