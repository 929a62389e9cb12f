//! Changes that wait at the same time share one transaction, and with it one wait for the disk.
//!
//! Whoever comes to write makes the changes of all who wait, each within a savepoint of its own: one that is refused is
//! undone alone. They are durable together, and nobody is told before that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Error, Result, Transaction, TransactionBehavior, ffi};

use super::{Store, lock};

/// A change that waits. Whether it was made; what it says is kept for who waits for it.
type Change = Box<dyn FnOnce(&Transaction<'_>) -> bool + Send>;

pub(super) struct Waiting {
    leaf: u64,
    change: Change,
    fate: Arc<Mutex<Option<Fate>>>,
}

/// What became of a transaction. An error is told to everybody who shared it.
type Fate = std::result::Result<(), Lost>;

#[derive(Debug, Clone)]
struct Lost(ffi::Error, Option<String>);

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        match error {
            Error::SqliteFailure(error, text) => Self(error, text),
            // What other errors say may quote values.
            _ => Self(ffi::Error::new(ffi::SQLITE_ERROR), None),
        }
    }
}

fn aborted() -> Lost {
    Lost(ffi::Error::new(ffi::SQLITE_ABORT), Some("the transaction was broken off".to_owned()))
}

impl Store {
    /// As [`Store::change`], in one transaction with the changes that wait at the same time.
    ///
    /// # Errors
    /// What `f` says: its change is undone, and those of others are not. The database can't be written: nothing has
    /// changed then.
    pub fn change_together<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        leaf: u64,
        f: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E> {
        let said = Arc::new(Mutex::new(None));
        let fate = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&said);
        let change: Change = Box::new(move |tx| {
            let done = f(tx);
            let made = done.is_ok();
            *lock(&kept) = Some(done);
            made
        });
        lock(&self.waiting).push(Waiting { leaf, change, fate: Arc::clone(&fate) });
        let mut writer = lock(&self.writer);
        // Somebody else may have made it, while this one waited for his turn.
        if lock(&fate).is_none() {
            self.make(&mut writer);
        }
        drop(writer);
        let made = lock(&fate).take().unwrap_or_else(|| Err(aborted()));
        let said = lock(&said).take();
        match (said, made) {
            (Some(Err(refused)), _) => Err(refused),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (_, Err(Lost(error, text))) => Err(Error::SqliteFailure(error, text).into()),
            // It has panicked, and was undone.
            (None, Ok(())) => {
                let Lost(error, text) = aborted();
                Err(Error::SqliteFailure(error, text).into())
            }
        }
    }

    /// Makes all changes that wait.
    fn make(&self, writer: &mut Connection) {
        let mut fates = Vec::new();
        let mut changes = Vec::new();
        for Waiting { leaf, change, fate } in std::mem::take(&mut *lock(&self.waiting)) {
            fates.push(fate);
            changes.push((leaf, change));
        }
        let made = self.in_one_transaction(writer, changes).map_err(Lost::from);
        for fate in fates {
            *lock(&fate) = Some(made.clone());
        }
    }

    fn in_one_transaction(&self, writer: &mut Connection, changes: Vec<(u64, Change)>) -> Result<()> {
        self.in_place()?;
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut last = None;
        for (leaf, change) in changes {
            tx.execute_batch("SAVEPOINT change")?;
            let made = catch_unwind(AssertUnwindSafe(|| change(&tx))).unwrap_or(false);
            // After some errors, a full disk for one, SQLite takes back the whole transaction by itself.
            if tx.is_autocommit() {
                let Lost(error, text) = aborted();
                return Err(Error::SqliteFailure(error, text));
            }
            if made {
                last = last.max(Some(leaf));
            } else {
                tx.execute_batch("ROLLBACK TO change")?;
            }
            tx.execute_batch("RELEASE change")?;
        }
        if let Some(leaf) = last {
            let leaf = i64::try_from(leaf).unwrap_or(i64::MAX);
            tx.execute("UPDATE meta SET last_leaf = max(last_leaf, ?1)", [leaf])?;
        }
        tx.commit()?;
        // Into a file that is gone by now nothing was stored.
        self.in_place()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    use super::*;

    fn count(store: &Store) -> i64 {
        store.read(|c| c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).unwrap()
    }

    fn store() -> (tempfile::TempDir, Arc<Store>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        store.change(0, |tx| tx.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)")).unwrap();
        (folder, store)
    }

    fn insert(tx: &Transaction<'_>, n: u64) -> Result<u64> {
        tx.execute("INSERT INTO t VALUES (?1)", [i64::try_from(n).unwrap()])?;
        Ok(n)
    }

    /// Lets all these changes wait while somebody writes; what each was told.
    fn at_once<F>(store: &Arc<Store>, changes: Vec<F>) -> Vec<Result<u64>>
    where
        F: FnOnce(&Transaction<'_>) -> Result<u64> + Send + 'static,
    {
        let number = changes.len();
        let (held, let_go) = channel::<()>();
        let begun = Arc::new(Barrier::new(2));
        std::thread::scope(|scope| {
            let barrier = Arc::clone(&begun);
            let writer = scope.spawn(move || {
                store.change_together(1, move |_| {
                    barrier.wait();
                    let _ = let_go.recv();
                    Ok::<_, Error>(())
                })
            });
            begun.wait();
            let waiting: Vec<_> = changes
                .into_iter()
                .zip(2..)
                .map(|(change, leaf)| scope.spawn(move || store.change_together(leaf, change)))
                .collect();
            while lock(&store.waiting).len() < number {
                std::thread::yield_now();
            }
            drop(held);
            writer.join().unwrap().unwrap();
            waiting.into_iter().map(|change| change.join().unwrap()).collect()
        })
    }

    #[test]
    fn a_change_that_is_refused_or_panics_is_undone_alone() {
        let (_folder, store) = store();
        let told = at_once(
            &store,
            (0..30u64)
                .map(|n| {
                    move |tx: &Transaction<'_>| {
                        insert(tx, n)?;
                        match n % 3 {
                            0 => Ok(n),
                            1 => Err(Error::QueryReturnedNoRows),
                            _ => panic!("a fault of the caller"),
                        }
                    }
                })
                .collect(),
        );
        for (n, told) in (0..).zip(&told) {
            match n % 3 {
                0 => assert_eq!(*told, Ok(n)),
                1 => assert_eq!(*told, Err(Error::QueryReturnedNoRows)),
                _ => assert!(matches!(told, Err(Error::SqliteFailure(..))), "{told:?}"),
            }
        }
        assert_eq!(count(&store), 10);
        // 27 was made, 28 and 29 were not: their leaves were 29, 30 and 31.
        assert_eq!(store.last_leaf().unwrap(), Some(29));
    }

    #[test]
    fn what_is_taken_back_with_the_transaction_is_told_to_nobody() {
        let (_folder, store) = store();
        let told = at_once(
            &store,
            (0..9u64)
                .map(|n| {
                    move |tx: &Transaction<'_>| {
                        insert(tx, n)?;
                        if n == 4 {
                            // As SQLite does by itself when the disk is full.
                            tx.execute_batch("ROLLBACK")?;
                        }
                        Ok(n)
                    }
                })
                .collect(),
        );
        assert!(told.iter().all(Result::is_err), "{told:?}");
        assert_eq!(count(&store), 0);
        assert_eq!(store.change_together(50, |tx| insert(tx, 7)), Ok(7));
        assert_eq!((count(&store), store.last_leaf().unwrap()), (1, Some(50)));
    }
}
