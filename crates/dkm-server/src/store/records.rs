//! Records of groups: create-only, and erased only where their key was destroyed.

use dkm_core::record::{Change, Record as CoreRecord};
use dkm_core::{Digest, GroupId, KeyId, Room, SlotName};
use rusqlite::{Connection, OptionalExtension, Transaction};
use zeroize::Zeroizing;

/// A record as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its slot.
    pub slot: String,
    /// Names this object, and no other for ever: its number, and the beginning of its digest.
    pub stamp: [u8; 16],
}

/// How far a reading went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Number of the last record that was added.
    pub seq: i64,
    /// How many records of the group were erased.
    pub erased: i64,
}

/// A record as it is stored. `Debug` does not show its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Who added it, as he was authenticated.
    pub creator: String,
    /// When, by the server's clock.
    pub created_ms: u64,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({} bytes by {})", self.bytes.len(), self.creator)
    }
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Created,
    /// The slot is taken.
    Taken,
    /// The key was destroyed.
    Tombstoned,
}

/// The key whose record this is, if it is one of the group.
fn key_of(group: GroupId, bytes: &[u8]) -> Option<KeyId> {
    match CoreRecord::decode(bytes) {
        Ok((of, CoreRecord::Key(key))) if of == group => Some(key.id),
        _ => None,
    }
}

/// The key that this record destroys, if it is a tombstone of the group.
fn destroyed_by(group: GroupId, bytes: &[u8]) -> Option<KeyId> {
    match CoreRecord::decode(bytes) {
        Ok((of, CoreRecord::Status(status))) if of == group && status.change == Change::Destroyed => {
            Some(status.key)
        }
        _ => None,
    }
}

fn is_destroyed(connection: &Connection, group: GroupId, key: KeyId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM tombstones WHERE key_group = ?1 AND key = ?2")?
        .exists((group.0, key.0))
}

/// How far a reading of a room that begins now will go.
pub fn mark(connection: &Connection, group: GroupId, room: Room) -> rusqlite::Result<Mark> {
    let mut last =
        connection.prepare_cached("SELECT max(seq) FROM records WHERE key_group = ?1 AND room = ?2")?;
    let mut erased = connection.prepare_cached("SELECT erased FROM key_groups WHERE id = ?1")?;
    let seq: Option<i64> = last.query_row((group.0, room.as_str()), |row| row.get(0))?;
    Ok(Mark { seq: seq.unwrap_or(0), erased: erased.query_row([group.0], |row| row.get(0))? })
}

/// What a room holds beyond a record's number, in the order in which it came; 0 for everything.
pub fn list(
    connection: &Connection,
    group: GroupId,
    room: Room,
    after: i64,
) -> rusqlite::Result<Vec<Listed>> {
    let mut rows = connection.prepare_cached(
        "SELECT slot, stamp FROM records WHERE key_group = ?1 AND room = ?2 AND seq > ?3 ORDER BY seq",
    )?;
    let rows = rows.query_map((group.0, room.as_str(), after), |row| {
        Ok(Listed { slot: row.get(0)?, stamp: row.get(1)? })
    })?;
    rows.collect()
}

/// The record with this stamp, if it is still there.
pub fn get(
    connection: &Connection,
    group: GroupId,
    room: Room,
    slot: &SlotName,
    stamp: &[u8],
) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached(
            "SELECT record, creator, created_ms FROM records
             WHERE key_group = ?1 AND room = ?2 AND slot = ?3 AND stamp = ?4",
        )?
        .query_row((group.0, room.as_str(), slot.as_str(), stamp), |row| {
            Ok(Record {
                bytes: Zeroizing::new(row.get(0)?),
                creator: row.get(1)?,
                created_ms: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        })
        .optional()
}

/// Every record of a room, with its slot.
pub fn all(connection: &Connection, group: GroupId, room: Room) -> rusqlite::Result<Vec<(String, Record)>> {
    let mut rows = connection.prepare_cached(
        "SELECT slot, record, creator, created_ms FROM records WHERE key_group = ?1 AND room = ?2 ORDER BY seq",
    )?;
    let rows = rows.query_map((group.0, room.as_str()), |row| {
        let record = Record {
            bytes: Zeroizing::new(row.get(1)?),
            creator: row.get(2)?,
            created_ms: row.get::<_, i64>(3)?.unsigned_abs(),
        };
        Ok((row.get(0)?, record))
    })?;
    rows.collect()
}

/// Adds a record to a free slot.
pub fn put(
    tx: &Transaction<'_>,
    group: GroupId,
    room: Room,
    slot: &SlotName,
    bytes: &[u8],
    by: (&str, u64),
) -> rusqlite::Result<Put> {
    if room == Room::Keys
        && let Some(key) = key_of(group, bytes)
        && is_destroyed(tx, group, key)?
    {
        return Ok(Put::Tombstoned);
    }
    let taken = tx
        .prepare_cached("SELECT 1 FROM records WHERE key_group = ?1 AND room = ?2 AND slot = ?3")?
        .exists((group.0, room.as_str(), slot.as_str()))?;
    if taken {
        return Ok(Put::Taken);
    }
    let created = i64::try_from(by.1).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO records (key_group, room, slot, record, stamp, creator, created_ms)
         VALUES (?1, ?2, ?3, ?4, x'', ?5, ?6)",
        (group.0, room.as_str(), slot.as_str(), bytes, by.0, created),
    )?;
    let seq = tx.last_insert_rowid();
    let mut stamp = [0u8; 16];
    stamp[..8].copy_from_slice(&seq.to_be_bytes());
    stamp[8..].copy_from_slice(&Digest::of(bytes).0[..8]);
    tx.execute("UPDATE records SET stamp = ?1 WHERE seq = ?2", (stamp, seq))?;
    if room == Room::Control
        && let Some(key) = destroyed_by(group, bytes)
    {
        tx.execute("INSERT OR IGNORE INTO tombstones VALUES (?1, ?2)", (group.0, key.0))?;
    }
    Ok(Put::Created)
}

/// Erases a record of a key that was destroyed; one that is gone is erased. Whether it might be.
pub fn shred(tx: &Transaction<'_>, group: GroupId, slot: &SlotName, stamp: &[u8]) -> rusqlite::Result<bool> {
    let Some(record) = get(tx, group, Room::Keys, slot, stamp)? else { return Ok(true) };
    let Some(key) = key_of(group, &record.bytes) else { return Ok(false) };
    if !is_destroyed(tx, group, key)? {
        return Ok(false);
    }
    tx.execute(
        "DELETE FROM records WHERE key_group = ?1 AND room = 'keys' AND slot = ?2 AND stamp = ?3",
        (group.0, slot.as_str(), stamp),
    )?;
    tx.execute("UPDATE key_groups SET erased = erased + 1 WHERE id = ?1", [group.0])?;
    Ok(true)
}
