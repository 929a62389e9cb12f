//! The database's tables.

use rusqlite::Connection;

/// Version of the schema that this program writes.
pub(super) const VERSION: i64 = 4;

/// Times are milliseconds since 1970-01-01 UTC, ids and digests their bytes.
pub(super) const TABLES: &str = "
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL,
    instance BLOB NOT NULL, repository BLOB NOT NULL, replica BLOB NOT NULL,
    -- Another one after every recovery: marks of earlier readings say nothing any more.
    epoch BLOB NOT NULL,
    -- The highest leaf of the audit log whose change is in this database; -1: none.
    last_leaf INTEGER NOT NULL
) STRICT;
CREATE TABLE principals (
    account TEXT PRIMARY KEY, administrator INTEGER NOT NULL, enabled INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE uids (uid INTEGER PRIMARY KEY, account TEXT NOT NULL REFERENCES principals) STRICT;
CREATE TABLE directory_groups (name TEXT PRIMARY KEY, kind TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE members (
    into_group TEXT NOT NULL REFERENCES directory_groups, member TEXT NOT NULL, PRIMARY KEY (into_group, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    digest BLOB PRIMARY KEY, account TEXT NOT NULL REFERENCES principals, not_after_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE certificates (
    digest BLOB PRIMARY KEY, account TEXT NOT NULL REFERENCES principals, not_after_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE key_groups (
    id BLOB PRIMARY KEY, founder TEXT NOT NULL REFERENCES principals, announced INTEGER NOT NULL,
    -- How many of its records were erased.
    erased INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE access (
    key_group BLOB NOT NULL REFERENCES key_groups, role TEXT NOT NULL, who TEXT NOT NULL,
    PRIMARY KEY (key_group, role, who)
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key_group BLOB NOT NULL REFERENCES key_groups, room TEXT NOT NULL, slot TEXT NOT NULL,
    record BLOB NOT NULL, stamp BLOB NOT NULL, creator TEXT NOT NULL, created_ms INTEGER NOT NULL,
    UNIQUE (key_group, room, slot)
) STRICT;
CREATE INDEX records_by_age ON records (key_group, room, seq);
CREATE TABLE tombstones (
    key_group BLOB NOT NULL REFERENCES key_groups, key BLOB NOT NULL, PRIMARY KEY (key_group, key)
) STRICT, WITHOUT ROWID;
-- A cache of the audit log's leaves: what is here and not there, or the other way round, was tampered with.
CREATE TABLE elevations (
    request BLOB NOT NULL, number INTEGER NOT NULL, key_group BLOB NOT NULL REFERENCES key_groups,
    record BLOB NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (request, number)
) STRICT, WITHOUT ROWID;
";

/// What version 2 has beside version 1.
pub(super) const VERSION_2: &str = "
ALTER TABLE principals ADD COLUMN auditor INTEGER NOT NULL DEFAULT 0;
CREATE TABLE grant_certificates (
    digest BLOB PRIMARY KEY, request BLOB NOT NULL UNIQUE, account TEXT NOT NULL, not_after_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What version 3 changes in a database of version 2: requests may be for groups that lie elsewhere.
pub(super) const VERSION_3: &str = "
CREATE TABLE elevations_of_any_group (
    request BLOB NOT NULL, number INTEGER NOT NULL, key_group BLOB NOT NULL,
    record BLOB NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (request, number)
) STRICT, WITHOUT ROWID;
INSERT INTO elevations_of_any_group SELECT request, number, key_group, record, leaf FROM elevations;
DROP TABLE elevations;
ALTER TABLE elevations_of_any_group RENAME TO elevations;
";

/// What version 4 has beside version 3: accounts and groups of a domain, by security identifier.
pub(super) const VERSION_4: &str = "
ALTER TABLE principals ADD COLUMN sid TEXT;
ALTER TABLE directory_groups ADD COLUMN sid TEXT;
";

/// How every connection is set up. An acknowledged change survives a power cut; what is erased is overwritten; and what a
/// tampered schema would run is not run.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    connection.busy_timeout(std::time::Duration::from_secs(5))
}
