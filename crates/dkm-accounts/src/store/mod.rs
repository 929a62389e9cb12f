//! The store: a SQLite file with accounts, and their secrets as blobs.
//!
//! What is written is durable when a call returns. The file is its owner's alone: who else could change it could give an
//! account another server, and be sent its secret.

pub(crate) mod rows;
mod schema;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use dkm::GroupId;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{Error, Result};

pub(crate) use rows::{Selected, Stored};

/// The open store.
pub(crate) struct Store {
    path: PathBuf,
    connection: Connection,
    group: GroupId,
}

impl Store {
    /// Makes a store for the secrets of a group, in a folder that is there.
    pub(crate) fn create(path: &Path, group: GroupId) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        check_folder(path)?;
        // Empty, and nobody else's: SQLite gives its journals the same mode.
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        let made = Self::connect(path).and_then(|mut connection| {
            let tx = connection.transaction()?;
            tx.execute_batch(schema::TABLES)?;
            tx.execute("INSERT INTO meta VALUES (1, ?1, ?2)", (schema::VERSION, group.0))?;
            tx.commit()?;
            Ok(connection)
        });
        match made {
            Ok(connection) => Ok(Self { path: path.to_owned(), connection, group }),
            Err(source) => {
                let _ = fs::remove_file(path);
                Err(Error::Store { path: path.to_owned(), source })
            }
        }
    }

    /// Opens the store that is there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let there = fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoStore(path.to_owned()),
            _ => Error::Io { path: path.to_owned(), source },
        })?;
        if there.permissions().mode() & 0o077 != 0 {
            let how = if there.permissions().mode() & 0o022 == 0 { "read" } else { "changed" };
            return Err(Error::Open { path: path.to_owned(), how, mode: "0600" });
        }
        check_folder(path)?;
        let error = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Error::NotAStore(path.to_owned()),
            _ => Error::Store { path: path.to_owned(), source },
        };
        let connection = Self::connect(path).map_err(error)?;
        let application: i64 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(error)?;
        if application != schema::APPLICATION {
            return Err(Error::NotAStore(path.to_owned()));
        }
        let (version, group): (i64, [u8; 16]) = connection
            .query_row("SELECT version, key_group FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(error)?;
        if version != schema::VERSION {
            return Err(Error::Version { path: path.to_owned(), version });
        }
        Ok(Self { path: path.to_owned(), connection, group: GroupId(group) })
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(30))?;
        connection.execute_batch(schema::PRAGMAS)?;
        Ok(connection)
    }

    /// The group whose keys its secrets are protected with.
    pub(crate) const fn group(&self) -> GroupId {
        self.group
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An error of it.
    pub(crate) fn error(&self, source: rusqlite::Error) -> Error {
        Error::Store { path: self.path.clone(), source }
    }

    /// Reads.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        f(&self.connection).map_err(|source| self.error(source))
    }

    /// Changes something, whole or not at all, durably.
    pub(crate) fn change<T>(&mut self, f: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let path = &self.path;
        let changed = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        changed
            .and_then(|tx| {
                let done = f(&tx)?;
                tx.commit()?;
                Ok(done)
            })
            .map_err(|source| Error::Store { path: path.clone(), source })
    }
}

/// Whoever can change the folder could put another store there.
fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = fs::metadata(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    // In a folder such as /tmp nobody removes what is another's.
    let is_sticky = there.mode() & 0o1000 != 0;
    if there.mode() & 0o022 != 0 && !is_sticky {
        return Err(Error::Open { path: folder.to_owned(), how: "changed", mode: "0700" });
    }
    Ok(())
}
