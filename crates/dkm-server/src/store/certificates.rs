//! Enrolment: one-time tokens and the certificates that were given out.

use dkm_core::{Digest, RequestId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::directory::account;
use crate::account::Account;

/// Whose certificate it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The principal.
    pub account: Account,
    /// When it ends.
    pub not_after: Timestamp,
    /// The request for elevated access under which it was given out; none for the principal's own.
    pub grant: Option<RequestId>,
}

fn time(ms: i64) -> Timestamp {
    Timestamp(u64::try_from(ms).unwrap_or(0))
}

fn ms(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// Keeps a token, by its digest, in place of those that the account had.
pub fn put_token(
    tx: &Transaction<'_>,
    token: Digest,
    of: &Account,
    until: Timestamp,
) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM tokens WHERE account = ?1", [of.to_string()])?;
    tx.execute("INSERT INTO tokens VALUES (?1, ?2, ?3)", (token.0, of.to_string(), ms(until)))?;
    Ok(())
}

/// Whose token this is, if it has not ended.
pub fn token(connection: &Connection, token: Digest, now: Timestamp) -> rusqlite::Result<Option<Account>> {
    connection
        .query_row(
            "SELECT account FROM tokens WHERE digest = ?1 AND not_after_ms > ?2",
            (token.0, ms(now)),
            |row| account(row.get_ref(0)?.as_str()?),
        )
        .optional()
}

/// Uses a token up: whether it was still there. In the transaction that gives out what it stands for.
pub fn use_token(tx: &Transaction<'_>, token: Digest) -> rusqlite::Result<bool> {
    Ok(tx.execute("DELETE FROM tokens WHERE digest = ?1", [token.0])? == 1)
}

/// Keeps a certificate that is given out, and forgets those of everybody that have ended.
pub fn put_certificate(
    tx: &Transaction<'_>,
    digest: Digest,
    of: &Certified,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM certificates WHERE not_after_ms < ?1", [ms(now)])?;
    tx.execute(
        "INSERT INTO certificates VALUES (?1, ?2, ?3)",
        (digest.0, of.account.to_string(), ms(of.not_after)),
    )?;
    Ok(())
}

/// Keeps a certificate that is given out under a grant, in place of the one that was given out under it before.
pub fn put_grant_certificate(
    tx: &Transaction<'_>,
    digest: Digest,
    (grant, of, until): (RequestId, &Account, Timestamp),
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM grant_certificates WHERE request = ?1 OR not_after_ms < ?2", (grant.0, ms(now)))?;
    tx.execute(
        "INSERT INTO grant_certificates VALUES (?1, ?2, ?3, ?4)",
        (digest.0, grant.0, of.to_string(), ms(until)),
    )?;
    Ok(())
}

/// Whose certificate this is; none for one that was not given out here or was taken back.
pub fn certificate(connection: &Connection, digest: Digest) -> rusqlite::Result<Option<Certified>> {
    connection
        .prepare_cached(
            "SELECT account, not_after_ms, NULL FROM certificates WHERE digest = ?1
             UNION ALL SELECT account, not_after_ms, request FROM grant_certificates WHERE digest = ?1",
        )?
        .query_row([digest.0], |row| {
            Ok(Certified {
                account: account(row.get_ref(0)?.as_str()?)?,
                not_after: time(row.get(1)?),
                grant: row.get::<_, Option<[u8; 16]>>(2)?.map(RequestId),
            })
        })
        .optional()
}
