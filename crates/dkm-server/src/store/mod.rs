//! The embedded database: principals, access, and records.
//!
//! One connection writes, some read. A change is made in one transaction together with the number of the audit log's leaf
//! that announced it, so that a database which is older than its log is noticed. Changes that wait at the same time share it.

pub mod certificates;
pub mod directory;
pub mod elevations;
pub mod groups;
pub mod records;
mod schema;
mod together;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dkm_core::{InstanceId, ReplicaId, RepositoryId};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

pub use certificates::Certified;
pub use records::{Listed, Mark, Put, Record};

/// File of the database in the server's folder.
pub const FILE: &str = "dkmd.db";
const READERS: usize = 4;

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is one already.
    #[error("there is a database in {} already", .0.display())]
    Exists(PathBuf),
    /// There is none.
    #[error("there is no database in {}: make one with dkmd init", .0.display())]
    None(PathBuf),
    /// It was written by a newer program.
    #[error("the database in {} has version {version}, which this program does not know: use a newer dkmd", path.display())]
    Version {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        version: i64,
    },
    /// It can't be read or written.
    #[error("the database in {} can't be used: {source}", path.display())]
    Sqlite {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// What the database says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// This server: approvals given to another say nothing here.
    pub instance: InstanceId,
    /// The repository that it holds.
    pub repository: RepositoryId,
    /// This copy of it.
    pub replica: ReplicaId,
    /// Changes with every recovery.
    pub epoch: [u8; 16],
}

/// The open database.
pub struct Store {
    path: PathBuf,
    /// Device and inode of the file that is open.
    file: (u64, u64),
    writer: Mutex<Connection>,
    /// Changes that the next transaction makes.
    waiting: Mutex<Vec<together::Waiting>>,
    readers: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
    identity: Identity,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.identity.instance)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn moved(why: Option<std::io::Error>) -> rusqlite::Error {
    let why = why.map_or_else(|| "another one stands there".to_owned(), |error| error.to_string());
    let text = format!("the database is not where it was opened: {why}");
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY_DBMOVED),
        Some(text),
    )
}

fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| StoreError::NoRandomness)?;
    Ok(bytes)
}

impl Store {
    /// Makes a database in a folder, readable by this account alone.
    ///
    /// # Errors
    /// There is one; the folder can't be written.
    pub fn create(folder: &Path) -> Result<Arc<Self>, StoreError> {
        let path = folder.join(FILE);
        if path.exists() {
            return Err(StoreError::Exists(folder.to_owned()));
        }
        let error = |source| StoreError::Sqlite { path: folder.to_owned(), source };
        let ids = [random()?, random()?, random()?, random()?];
        // Under another name first: what is there under its own name is whole.
        let new = folder.join(format!("{FILE}.new"));
        let _ = std::fs::remove_file(&new);
        {
            let mut connection = Connection::open(&new).map_err(error)?;
            schema::prepare(&connection).map_err(error)?;
            let made = (|| {
                connection.pragma_update(None, "journal_mode", "DELETE")?;
                let tx = connection.transaction()?;
                tx.execute_batch(schema::TABLES)?;
                tx.execute_batch(schema::VERSION_2)?;
                tx.execute_batch(schema::VERSION_3)?;
                tx.execute_batch(schema::VERSION_4)?;
                tx.execute(
                    "INSERT INTO meta VALUES (1, ?1, ?2, ?3, ?4, ?5, -1)",
                    (schema::VERSION, ids[0], ids[1], ids[2], ids[3]),
                )?;
                // A member of those groups whose blobs the server opens for people.
                tx.execute(
                    "INSERT INTO principals (account, administrator, enabled) VALUES (?1, 0, 1)",
                    [crate::broker::ACCOUNT],
                )?;
                tx.commit()
            })();
            made.map_err(error)?;
        }
        std::fs::rename(&new, &path)
            .map_err(|source| error(rusqlite::Error::ToSqlConversionFailure(Box::new(source))))?;
        Self::open(folder)
    }

    /// Opens the database in a folder.
    ///
    /// # Errors
    /// There is none, or it can't be used.
    pub fn open(folder: &Path) -> Result<Arc<Self>, StoreError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(StoreError::None(folder.to_owned()));
        }
        let error = |source| StoreError::Sqlite { path: folder.to_owned(), source };
        let connect = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)?;
            schema::prepare(&connection)?;
            Ok(connection)
        };
        let mut writer = connect().map_err(error)?;
        let version = |c: &Connection| c.query_row("SELECT version FROM meta", [], |row| row.get(0));
        let mut version: i64 = version(&writer).map_err(error)?;
        if (1..schema::VERSION).contains(&version) {
            version = Self::upgrade(&mut writer, version).map_err(error)?;
        }
        if version != schema::VERSION {
            return Err(StoreError::Version { path: folder.to_owned(), version });
        }
        writer.pragma_update(None, "journal_mode", "WAL").map_err(error)?;
        let identity = writer
            .query_row("SELECT instance, repository, replica, epoch FROM meta", [], |row| {
                Ok(Identity {
                    instance: InstanceId(row.get(0)?),
                    repository: RepositoryId(row.get(1)?),
                    replica: ReplicaId(row.get(2)?),
                    epoch: row.get(3)?,
                })
            })
            .map_err(error)?;
        let readers = (0..READERS)
            .map(|_| {
                let reader = connect()?;
                reader.pragma_update(None, "query_only", true)?;
                Ok(Mutex::new(reader))
            })
            .collect::<rusqlite::Result<_>>()
            .map_err(error)?;
        let file = std::fs::metadata(&path).map_err(|source| error(moved(Some(source))))?;
        let (file, writer, turn) = ((file.dev(), file.ino()), Mutex::new(writer), AtomicUsize::new(0));
        Ok(Arc::new(Self { path, file, writer, waiting: Mutex::default(), readers, turn, identity }))
    }

    /// Makes a database of an earlier version one of the present, whole or not at all.
    fn upgrade(writer: &mut Connection, from: i64) -> rusqlite::Result<i64> {
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if from < 2 {
            tx.execute_batch(schema::VERSION_2)?;
        }
        if from < 3 {
            tx.execute_batch(schema::VERSION_3)?;
        }
        tx.execute_batch(schema::VERSION_4)?;
        tx.execute("UPDATE meta SET version = ?1", [schema::VERSION])?;
        tx.commit()?;
        Ok(schema::VERSION)
    }

    /// Refuses a database whose file was moved, removed or replaced while it was open: nobody would find again what is
    /// written to it, and what is read from it may be older than what stands in its place.
    fn in_place(&self) -> rusqlite::Result<()> {
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.file => Ok(()),
            Ok(_) => Err(moved(None)),
            Err(error) => Err(moved(Some(error))),
        }
    }

    /// What the database says of itself.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Reads. Quick: it never waits for whoever writes.
    ///
    /// # Errors
    /// The database can't be read, or is not where it was opened.
    pub fn read<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.in_place()?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let free = self.readers.iter().find_map(|reader| reader.try_lock().ok());
        match (free, self.readers.get(turn % READERS)) {
            (Some(reader), _) => f(&reader),
            (None, Some(reader)) => f(&lock(reader)),
            (None, None) => f(&lock(&self.writer)),
        }
    }

    /// Makes a change that the audit log's leaf announced, durably, whole or not at all. Waits for the disk.
    ///
    /// # Errors
    /// What `f` says; the database can't be written. Nothing has changed then.
    pub fn change<T, E: From<rusqlite::Error>>(
        &self,
        leaf: u64,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = lock(&self.writer);
        self.in_place()?;
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = f(&tx)?;
        let leaf = i64::try_from(leaf).unwrap_or(i64::MAX);
        tx.execute("UPDATE meta SET last_leaf = max(last_leaf, ?1)", [leaf])?;
        tx.commit()?;
        // Into a file that is gone by now nothing was stored.
        self.in_place()?;
        Ok(done)
    }

    /// The highest leaf of the audit log whose change is here.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn last_leaf(&self) -> rusqlite::Result<Option<u64>> {
        self.read(|c| {
            c.prepare_cached("SELECT last_leaf FROM meta")?.query_row([], |row| row.get::<_, i64>(0))
        })
        .map(|leaf| u64::try_from(leaf).ok())
    }

    /// Puts up with a database that is not what its log says: readers' marks say nothing any more, and no request for
    /// elevated access goes on.
    ///
    /// # Errors
    /// The database can't be written.
    pub fn recover(&self, leaf: u64) -> Result<(), StoreError> {
        let epoch = random()?;
        let path = PathBuf::from(FILE);
        self.change(leaf, |tx| {
            tx.execute("DELETE FROM elevations", [])?;
            tx.execute("DELETE FROM grant_certificates", [])?;
            // The log may be the older of the two: what it does not have says nothing any more.
            tx.execute("UPDATE meta SET epoch = ?1, last_leaf = -1", [epoch]).map(|_| ())
        })
        .map_err(|source: rusqlite::Error| StoreError::Sqlite { path, source })
    }

    /// Overwrites what was erased in the write-ahead log, too. Best effort: somebody may be reading.
    pub fn settle(&self) {
        let settled = lock(&self.writer)
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
            .optional();
        if !matches!(settled, Ok(Some(0))) {
            tracing::debug!("the database's write-ahead log is in use: it is shortened later");
        }
    }
}

#[cfg(test)]
mod tests;
