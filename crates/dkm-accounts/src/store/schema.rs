//! Tables of the store.

/// Version of the tables.
pub(super) const VERSION: i64 = 1;
/// Marks the file as a store of accounts ("DKMA").
pub(super) const APPLICATION: i64 = 0x444b_4d41;

/// Of every connection. What is erased is overwritten; an acknowledged change survives a power cut.
pub(super) const PRAGMAS: &str = "\
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA temp_store = MEMORY;";

pub(super) const TABLES: &str = "\
PRAGMA application_id = 0x444b4d41;
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    key_group BLOB NOT NULL
) STRICT;
CREATE TABLE accounts (
    id BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    address TEXT NOT NULL,
    provider TEXT NOT NULL,
    protocol TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    user TEXT NOT NULL,
    login TEXT NOT NULL,
    ca TEXT,
    created_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_ms INTEGER NOT NULL,
    state_detail TEXT NOT NULL,
    UNIQUE (owner, address, protocol)
) STRICT, WITHOUT ROWID;
-- The key stands beside the blob, which names it too, so that the report of use and re-protection need not read blobs.
CREATE TABLE secrets (
    account BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,
    field TEXT NOT NULL,
    key BLOB NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (account, field)
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_by_key ON secrets (key);";
