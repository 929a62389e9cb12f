//! Rows of the store, read and written.

use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use dkm::{KeyId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::account::{Account, AccountId, State};
use crate::error::Error;
use crate::secret::Field;

const COLUMNS: &str = "id, owner, address, provider, protocol, host, port, user, login, ca, created_ms, state, state_ms, \
                       state_detail";

/// A secret as it is stored.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) account: AccountId,
    pub(crate) field: Field,
    pub(crate) key: KeyId,
    pub(crate) blob: Vec<u8>,
}

/// Which accounts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selected<'a> {
    pub(crate) owner: Option<&'a str>,
    pub(crate) address: Option<&'a str>,
    pub(crate) state: Option<&'a str>,
}

fn milliseconds(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp(u64::try_from(ms).unwrap_or(0))
}

/// The account of a row; what is wrong with it as text.
fn account(row: &Row<'_>) -> rusqlite::Result<Result<Account, Error>> {
    let id = AccountId(row.get(0)?);
    let text =
        |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from).map(str::to_owned);
    let (owner, address, provider, protocol) = (text(1)?, text(2)?, text(3)?, text(4)?);
    let (host, port, user, login) = (text(5)?, row.get::<_, i64>(6)?, text(7)?, text(8)?);
    let ca = row
        .get::<_, Option<String>>(9)?
        .map(|path| PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes())));
    let (created, since) = (timestamp(row.get(10)?), timestamp(row.get(12)?));
    let (state, detail) = (text(11)?, text(13)?);
    let read = || -> Result<Account, String> {
        Ok(Account {
            id,
            owner: owner.parse().map_err(|error| format!("{error}"))?,
            address: address.parse().map_err(|error| format!("{error}"))?,
            provider: provider.parse()?,
            protocol: protocol.parse().map_err(|error| format!("{error}"))?,
            host: host.parse().map_err(|error| format!("{error}"))?,
            port: u16::try_from(port).ok().filter(|port| *port > 0).ok_or("its port is none")?,
            user,
            login: login.parse()?,
            ca,
            created,
            state: State { kind: state.parse().map_err(|error| format!("{error}"))?, since, detail },
        })
    };
    Ok(read().map_err(|what| Error::Damaged { account: id, what }))
}

pub(crate) fn insert(tx: &Transaction<'_>, account: &Account) -> rusqlite::Result<()> {
    let ca = account.ca.as_ref().map(|ca| String::from_utf8_lossy(ca.as_os_str().as_bytes()).into_owned());
    tx.execute(
        &format!("INSERT INTO accounts ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"),
        params![
            account.id.0,
            account.owner.as_str(),
            account.address.as_str(),
            account.provider.as_str(),
            account.protocol.as_str(),
            account.host.as_str(),
            account.port,
            account.user,
            account.login.as_str(),
            ca,
            milliseconds(account.created),
            account.state.kind.as_str(),
            milliseconds(account.state.since),
            account.state.detail,
        ],
    )
    .map(drop)
}

/// The account that has this mailbox already.
pub(crate) fn taken(c: &Connection, account: &Account) -> rusqlite::Result<Option<AccountId>> {
    c.query_row(
        "SELECT id FROM accounts WHERE owner = ?1 AND address = ?2 AND protocol = ?3",
        (account.owner.as_str(), account.address.as_str(), account.protocol.as_str()),
        |row| row.get(0).map(AccountId),
    )
    .optional()
}

pub(crate) fn of_id(c: &Connection, id: AccountId) -> rusqlite::Result<Option<Result<Account, Error>>> {
    c.query_row(&format!("SELECT {COLUMNS} FROM accounts WHERE id = ?1"), [id.0], account).optional()
}

/// Accounts in the order of their owners, each given to `f` until it says stop.
pub(crate) fn each(
    c: &Connection,
    selected: &Selected<'_>,
    mut f: impl FnMut(Result<Account, Error>) -> bool,
) -> rusqlite::Result<()> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM accounts WHERE (?1 IS NULL OR owner = ?1) AND (?2 IS NULL OR address = ?2) \
         AND (?3 IS NULL OR state = ?3) ORDER BY owner, address, protocol"
    ))?;
    let mut rows = statement.query((selected.owner, selected.address, selected.state))?;
    while let Some(row) = rows.next()? {
        if !f(account(row)?) {
            break;
        }
    }
    Ok(())
}

/// Removes an account and its secrets; whether it was there.
pub(crate) fn remove(tx: &Transaction<'_>, id: AccountId) -> rusqlite::Result<bool> {
    Ok(tx.execute("DELETE FROM accounts WHERE id = ?1", [id.0])? > 0)
}

pub(crate) fn set_state(tx: &Transaction<'_>, id: AccountId, state: &State) -> rusqlite::Result<bool> {
    let changed = tx.execute(
        "UPDATE accounts SET state = ?2, state_ms = ?3, state_detail = ?4 WHERE id = ?1",
        (id.0, state.kind.as_str(), milliseconds(state.since), &state.detail),
    )?;
    Ok(changed > 0)
}

/// Puts a secret in place of what is there.
pub(crate) fn put_secret(tx: &Transaction<'_>, stored: &Stored) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO secrets (account, field, key, blob) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (account, field) DO UPDATE SET key = excluded.key, blob = excluded.blob",
    )?
    .execute((stored.account.0, stored.field.as_str(), stored.key.0, &stored.blob))
    .map(drop)
}

/// Puts a secret in place of another blob of it; whether that was still there.
pub(crate) fn swap_secret(tx: &Transaction<'_>, stored: &Stored, old: &[u8]) -> rusqlite::Result<bool> {
    let changed = tx
        .prepare_cached(
            "UPDATE secrets SET key = ?3, blob = ?4 WHERE account = ?1 AND field = ?2 AND blob = ?5",
        )?
        .execute((stored.account.0, stored.field.as_str(), stored.key.0, &stored.blob, old))?;
    Ok(changed > 0)
}

pub(crate) fn secret(c: &Connection, id: AccountId, field: Field) -> rusqlite::Result<Option<Stored>> {
    c.prepare_cached("SELECT key, blob FROM secrets WHERE account = ?1 AND field = ?2")?
        .query_row((id.0, field.as_str()), |row| {
            Ok(Stored { account: id, field, key: KeyId(row.get(0)?), blob: row.get(1)? })
        })
        .optional()
}

/// Which secrets an account has, with the key of each. The blobs are not read.
pub(crate) fn keys_of(c: &Connection, id: AccountId) -> rusqlite::Result<Vec<(String, KeyId)>> {
    c.prepare_cached("SELECT field, key FROM secrets WHERE account = ?1 ORDER BY field")?
        .query_map([id.0], |row| Ok((row.get(0)?, KeyId(row.get(1)?))))?
        .collect()
}

/// How many secrets each key protects, and their bytes.
pub(crate) fn usage(c: &Connection) -> rusqlite::Result<Vec<(KeyId, u64, u64)>> {
    c.prepare("SELECT key, count(*), sum(length(blob)) FROM secrets GROUP BY key ORDER BY key")?
        .query_map([], |row| {
            let number = |column| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
            Ok((KeyId(row.get(0)?), number(1)?, number(2)?))
        })?
        .collect()
}

/// At most `count` secrets beyond a place that another key than this protects, in the order of their places.
pub(crate) fn of_other_keys(
    c: &Connection,
    key: KeyId,
    beyond: Option<(AccountId, Field)>,
    count: usize,
) -> rusqlite::Result<Vec<Result<(Account, Stored), Error>>> {
    let columns: Vec<String> = COLUMNS.split(", ").map(|column| format!("a.{}", column.trim())).collect();
    let mut statement = c.prepare_cached(&format!(
        "SELECT {}, s.field, s.key, s.blob FROM secrets s JOIN accounts a ON a.id = s.account \
         WHERE s.key <> ?1 AND (s.account, s.field) > (?2, ?3) ORDER BY s.account, s.field LIMIT ?4",
        columns.join(", ")
    ))?;
    let (id, field) = beyond.map_or((Vec::new(), ""), |(id, field)| (id.0.to_vec(), field.as_str()));
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    statement
        .query_map((key.0, id, field, count), |row| {
            let found = account(row)?;
            let (field, key, blob) = (row.get::<_, String>(14)?, KeyId(row.get(15)?), row.get(16)?);
            Ok(found.and_then(|account| {
                let id = account.id;
                let what =
                    || Error::Damaged { account: id, what: "it has a secret of an unknown kind".to_owned() };
                let field = field.parse().map_err(|()| what())?;
                Ok((account, Stored { account: id, field, key, blob }))
            }))
        })?
        .collect()
}
